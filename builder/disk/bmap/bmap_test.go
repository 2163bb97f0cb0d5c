package bmap

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"cloudy/builder/disk/internal/disktest"
	"cloudy/builder/disk/sparse"
)

func text(t testing.TB, f *os.File, zeros []sparse.Extent) string {
	t.Helper()
	m, err := Of(t.Context(), f, zeros, nil)
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	if err := m.Write(&b); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// TestJudge lets bmaptool write an image by our map onto a medium that is full
// of other things.
func TestJudge(t *testing.T) {
	disktest.Need(t, "bmaptool")
	src := disktest.Disk(t, 64<<20+512)
	zeros := []sparse.Extent{{Offset: 20<<20 + 100, Length: 1 << 20}}
	name := src.Name() + ".bmap"
	if err := os.WriteFile(name, []byte(text(t, src, zeros)), 0o644); err != nil {
		t.Fatal(err)
	}
	old := disktest.Create(t, "medium")
	if _, err := old.Write(bytes.Repeat([]byte{0xaa}, 64<<20+512)); err != nil {
		t.Fatal(err)
	}
	disktest.Run(t, "bmaptool", "copy", "--bmap", name, src.Name(), old.Name())
	m, err := Read(strings.NewReader(text(t, src, zeros)))
	if err != nil {
		t.Fatal(err)
	}
	// bmaptool gives a file its image's size and leaves what is not mapped.
	for _, r := range m.Ranges {
		a, b := make([]byte, (r.Last-r.First+1)*BlockSize), make([]byte, (r.Last-r.First+1)*BlockSize)
		n, _ := src.ReadAt(a, r.First*BlockSize)
		if _, err := old.ReadAt(b[:n], r.First*BlockSize); err != nil || !bytes.Equal(a[:n], b[:n]) {
			t.Errorf("blocks %d-%d: %v", r.First, r.Last, err)
		}
		if got := fmt.Sprintf("%x", sha256.Sum256(a[:n])); got != r.SHA256 {
			t.Errorf("checksum of %d-%d", r.First, r.Last)
		}
	}
	// A changed block is found out.
	if _, err := src.WriteAt([]byte("changed"), 0); err != nil {
		t.Fatal(err)
	}
	broken := filepath.Join(t.TempDir(), "copy")
	if out, err := runQuiet("bmaptool", "copy", "--bmap", name, src.Name(), broken); err == nil {
		t.Errorf("bmaptool did not see the change: %s", out)
	}
}

// TestMapped: every block with something in it is mapped, and zeros where they
// are asked for, and nothing else, however the image is stored.
func TestMapped(t *testing.T) {
	src := disktest.Disk(t, 16<<20)
	zeros := []sparse.Extent{{Offset: 5 << 20, Length: 4096}, {Offset: 15<<20 - 1, Length: 2}}
	m, err := Of(t.Context(), src, zeros, nil)
	if err != nil {
		t.Fatal(err)
	}
	mapped := map[int64]bool{}
	for _, r := range m.Ranges {
		for n := r.First; n <= r.Last; n++ {
			mapped[n] = true
		}
	}
	block := make([]byte, BlockSize)
	for n := range int64(16 << 20 / BlockSize) {
		if _, err := src.ReadAt(block, n*BlockSize); err != nil && err != io.EOF {
			t.Fatal(err)
		}
		want := !sparse.Zero(block) || n == 5<<20/BlockSize || n == 15<<20/BlockSize || n == 15<<20/BlockSize-1
		if mapped[n] != want {
			t.Errorf("block %d: mapped %v, want %v", n, mapped[n], want)
		}
	}
	if text(t, src, zeros) != text(t, disktest.Dense(t, src), zeros) {
		t.Error("the map depends on how the image is stored")
	}
}

func TestInvalid(t *testing.T) {
	good := text(t, disktest.Disk(t, 16<<20), nil)
	if _, err := Read(strings.NewReader(good)); err != nil {
		t.Fatal(err)
	}
	for name, bad := range map[string]string{
		"nothing":        "",
		"another text":   "<html></html>",
		"changed":        strings.Replace(good, "16777216", "16777217", 1),
		"old version":    strings.Replace(good, `"2.0"`, `"1.3"`, 1),
		"no checksum":    strings.Replace(good, "BmapFileChecksum", "Sum", 2),
		"other checksum": strings.Replace(good, "sha256", "md5", 1),
	} {
		if _, err := Read(strings.NewReader(bad)); !errors.Is(err, ErrInvalid) {
			t.Errorf("%s: %v", name, err)
		}
	}
	// Maps with a right checksum and wrong ranges.
	for _, ranges := range [][]Range{{{5, 4, ""}}, {{4096, 4096, ""}}, {{3, 5, ""}, {5, 6, ""}}} {
		var b bytes.Buffer
		if err := (&Map{ImageSize: 16 << 20, BlockSize: BlockSize, Ranges: ranges}).Write(&b); err != nil {
			t.Fatal(err)
		}
		if _, err := Read(&b); !errors.Is(err, ErrInvalid) {
			t.Errorf("ranges %v: %v", ranges, err)
		}
	}
}

func FuzzRead(f *testing.F) {
	f.Add([]byte(text(f, disktest.Disk(f, 1<<20), nil)))
	f.Fuzz(func(t *testing.T, data []byte) { _, _ = Read(bytes.NewReader(data)) })
}

func runQuiet(name string, args ...string) (string, error) {
	out, err := exec.Command(name, args...).CombinedOutput()
	return string(out), err
}
