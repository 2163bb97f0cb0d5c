package fat

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"strings"
	"testing"
)

// TestPut puts files into filesystems of ours and of mkfs.vfat, and lets
// fsck.vfat and mtools judge.
func TestPut(t *testing.T) {
	tool(t, "fsck.vfat")
	tool(t, "mkfs.vfat")
	tool(t, "mcopy")
	made := func(size int64, args ...string) string {
		path, _ := image(t, sample(3), size, 0)
		if len(args) == 0 {
			return path
		}
		if err := os.WriteFile(path, make([]byte, size), 0o600); err != nil {
			t.Fatal(err)
		}
		if out, err := exec.Command("mkfs.vfat", append(args, path)...).CombinedOutput(); err != nil {
			t.Fatalf("mkfs.vfat: %v\n%s", err, out)
		}
		return path
	}
	for name, path := range map[string]string{
		"our FAT16": made(16 << 20), "our FAT32": made(64 << 20),
		"FAT16": made(16<<20, "-F", "16"), "FAT32": made(64<<20, "-F", "32", "-s", "1"),
	} {
		t.Run(name, func(t *testing.T) {
			f, err := os.OpenFile(path, os.O_RDWR, 0)
			if err != nil {
				t.Fatal(err)
			}
			defer f.Close()
			for _, content := range []string{"first\n", strings.Repeat("longer ", 10_000), "", "short again\n"} {
				if err := Put(f, "cloudy.txt", []byte(content), epoch); err != nil {
					t.Fatal(err)
				}
				if out, err := exec.Command("fsck.vfat", "-n", path).CombinedOutput(); err != nil {
					t.Fatalf("fsck.vfat: %v\n%s", err, out)
				}
				out, err := exec.Command("mcopy", "-n", "-i", path, "::cloudy.txt", "-").Output()
				if err != nil || string(out) != content {
					t.Fatalf("mcopy: %d bytes, %v; want %d", len(out), err, len(content))
				}
			}
			raw, err := os.ReadFile(path)
			if err != nil || bytes.Contains(raw, []byte("longer")) {
				t.Errorf("the old content is still there (%v)", err)
			}
			if err := Put(f, "big.bin", make([]byte, 80<<20), epoch); !errors.Is(err, ErrFull) {
				t.Errorf("a file that does not fit: %v", err)
			}
			if err := Put(f, "a long name.txt", nil, epoch); !errors.Is(err, ErrName) {
				t.Errorf("a long name: %v", err)
			}
			fs, err := Open(f)
			if err != nil {
				t.Fatal(err)
			}
			entries, err := fs.Entries()
			if err != nil {
				t.Fatal(err)
			}
			n := 0
			for _, e := range entries {
				if e.Path == "cloudy.txt" {
					n++
				}
				if e.Path == "big.bin" {
					t.Error("a file that did not fit is there")
				}
			}
			if n != 1 {
				t.Errorf("cloudy.txt is there %d times", n)
			}
		})
	}
}
