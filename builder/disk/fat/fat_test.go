package fat

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"cloudy/builder/tree"
)

func missing(t *testing.T, why string) {
	t.Helper()
	if os.Getenv("CLOUDY_REQUIRE_ALL") != "" {
		t.Fatal(why)
	}
	t.Skip(why)
}

func tool(t *testing.T, name string) {
	t.Helper()
	if _, err := exec.LookPath(name); err != nil {
		missing(t, name+" is not installed")
	}
}

var epoch = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

// sample has what an ESP has, and what is hard: long names, clashing short
// names, an empty file, a file of many clusters, a directory of many.
func sample(many int) *tree.Tree {
	t := &tree.Tree{}
	dir := func(p string) {
		t.Entries = append(t.Entries, tree.Entry{Path: p, Type: tree.Dir, MTime: epoch.Add(-time.Hour)})
	}
	file := func(p string, data []byte) {
		t.Entries = append(t.Entries, tree.Entry{Path: p, Type: tree.File, Size: int64(len(data)), Data: data, MTime: epoch.Add(time.Hour)})
	}
	dir(".")
	dir("EFI")
	dir("EFI/BOOT")
	dir("EFI/debian")
	file("EFI/BOOT/BOOTX64.EFI", noise(1_000_001))
	file("EFI/debian/grub.cfg", []byte("configfile\n"))
	file("EFI/debian/shimx64.efi", noise(512))
	file("EMPTY", nil)
	dir("empty dir")
	dir("many")
	for i := range many {
		file(fmt.Sprintf("many/a rather long name number %d.text", i), fmt.Appendf(nil, "%d", i))
	}
	file("many/Ärger mit Ümläuten 𝄞", []byte("x"))
	file("many/exactly13char", []byte("y"))
	file("many/"+strings.Repeat("n", 255), []byte("z"))
	t.Sort()
	return t
}

func noise(n int) []byte {
	b := make([]byte, n)
	x := uint32(n)
	for i := range b {
		x = x*1664525 + 1013904223
		b[i] = byte(x >> 24)
	}
	return b
}

// image writes a filesystem of size bytes into a new file at off.
func image(t *testing.T, tr *tree.Tree, size, off int64) (path string, u Usage) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "fat.img")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := f.Truncate(off + size); err != nil {
		t.Fatal(err)
	}
	u, err = Write(t.Context(), f, off, tr, Options{Size: size, Label: "ESP", Serial: 0xc10d0001, Hidden: 4096, Epoch: epoch})
	if err != nil {
		t.Fatal(err)
	}
	return path, u
}

func TestJudges(t *testing.T) {
	tool(t, "fsck.vfat")
	tool(t, "mcopy")
	for _, tc := range []struct {
		mib, bits int64
		cluster   int
	}{{4, 16, 512}, {16, 16, 512}, {32, 16, 512}, {33, 32, 512}, {64, 32, 512}, {100, 32, 512}, {256, 32, 512}, {261, 32, 4096}, {1024, 32, 4096}} {
		t.Run(fmt.Sprint(tc.mib), func(t *testing.T) {
			tr := sample(300)
			img, u := image(t, tr, tc.mib<<20, 0)
			if int64(u.Bits) != tc.bits || u.ClusterSize != tc.cluster {
				t.Errorf("FAT%d with clusters of %d, want FAT%d with %d", u.Bits, u.ClusterSize, tc.bits, tc.cluster)
			}
			out, err := exec.Command("fsck.vfat", "-n", "-v", img).CombinedOutput()
			if err != nil {
				t.Errorf("fsck.vfat: %v\n%s", err, out)
			}
			for _, bad := range []string{"Differences", "Warning", "uninitialized", "Reclaimed", "dirty"} {
				if strings.Contains(string(out), bad) {
					t.Errorf("fsck.vfat: %s", out)
				}
			}
			if want := fmt.Sprintf("%d/%d clusters", u.Clusters-u.Free, u.Clusters); !strings.Contains(string(out), want) {
				t.Errorf("fsck.vfat does not say %q: %s", want, out)
			}
			dir := t.TempDir()
			cmd := exec.Command("mcopy", "-i", img, "-snm", "::*", dir)
			cmd.Env = append(os.Environ(), "LC_ALL=C.UTF-8")
			if out, err := cmd.CombinedOutput(); err != nil {
				t.Fatalf("mcopy: %v\n%s", err, out)
			}
			for _, e := range tr.Entries {
				if e.Type == tree.Dir {
					if fi, err := os.Stat(filepath.Join(dir, e.Path)); err != nil || !fi.IsDir() {
						t.Errorf("%s is no directory: %v", e.Path, err)
					}
					continue
				}
				if strings.Contains(e.Path, "𝄞") {
					continue // mtools knows no characters beyond 16 bits
				}
				got, err := os.ReadFile(filepath.Join(dir, e.Path))
				if err != nil || !bytes.Equal(got, e.Data) {
					t.Errorf("mtools reads %s otherwise (%v)", e.Path, err)
				}
			}
			readBack(t, img, tr)
		})
	}
}

// readBack holds our own reader against the tree.
func readBack(t *testing.T, img string, tr *tree.Tree) {
	t.Helper()
	f, err := os.Open(img)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	fs, err := Open(f)
	if err != nil {
		t.Fatal(err)
	}
	if fs.Label != "ESP" || fs.Serial != 0xc10d0001 {
		t.Errorf("label %q, serial %x", fs.Label, fs.Serial)
	}
	list, err := fs.Entries()
	if err != nil {
		t.Fatal(err)
	}
	if len(list) != len(tr.Entries)-1 {
		t.Errorf("%d entries, want %d", len(list), len(tr.Entries)-1)
	}
	for _, e := range list {
		want := tr.Find(e.Path)
		if want == nil || (want.Type == tree.Dir) != e.Dir || want.Size != e.Size {
			t.Errorf("entry %+v, want %+v", e, want)
			continue
		}
		mtime := want.MTime
		if mtime.After(epoch) {
			mtime = epoch
		}
		if d := mtime.Sub(e.MTime); d < 0 || d >= 2*time.Second {
			t.Errorf("%s has time %v, want %v", e.Path, e.MTime, mtime)
		}
		if e.Dir {
			continue
		}
		r, err := fs.Open(e)
		if err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(r)
		if err != nil || !bytes.Equal(got, want.Data) {
			t.Errorf("%s reads otherwise (%v)", e.Path, err)
		}
	}
}

// TestReadsMkfs lets our reader read what mkfs.vfat and mtools made.
func TestReadsMkfs(t *testing.T) {
	tool(t, "mkfs.vfat")
	tool(t, "mcopy")
	for _, bits := range []string{"16", "32"} {
		img := filepath.Join(t.TempDir(), "img")
		src := filepath.Join(t.TempDir(), "A long name here.txt")
		if err := os.WriteFile(src, noise(70000), 0o600); err != nil {
			t.Fatal(err)
		}
		for _, args := range [][]string{{"mkfs.vfat", "-C", "-F", bits, "-n", "THEIRS", img, "65536"}, {"mmd", "-i", img, "::sub"}, {"mcopy", "-i", img, src, "::sub"}, {"mcopy", "-i", img, src, "::lower.txt"}} {
			if out, err := exec.Command(args[0], args[1:]...).CombinedOutput(); err != nil {
				t.Fatalf("%v: %v\n%s", args, err, out)
			}
		}
		f, err := os.Open(img)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		fs, err := Open(f)
		if err != nil {
			t.Fatal(err)
		}
		list, err := fs.Entries()
		if err != nil {
			t.Fatal(err)
		}
		var paths []string
		for _, e := range list {
			paths = append(paths, e.Path)
		}
		if got := strings.Join(paths, "|"); got != "lower.txt|sub|sub/A long name here.txt" {
			t.Errorf("FAT%s lists %s", bits, got)
		}
	}
}

func TestSameBits(t *testing.T) {
	sum := func(off int64) [32]byte {
		img, _ := image(t, sample(50), 40<<20, off)
		b, err := os.ReadFile(img)
		if err != nil {
			t.Fatal(err)
		}
		return sha256.Sum256(b[off:])
	}
	if a, b := sum(0), sum(1<<20); a != b {
		t.Error("two runs differ")
	}
}

func TestErrors(t *testing.T) {
	one := func(e tree.Entry) *tree.Tree { return &tree.Tree{Entries: []tree.Entry{e}} }
	file := func(p string) tree.Entry { return tree.Entry{Path: p, Type: tree.File} }
	for _, tc := range []struct {
		name string
		tree *tree.Tree
		opts Options
		want error
		text string
	}{
		{"full", one(tree.Entry{Path: "big", Type: tree.File, Size: 5 << 20}), Options{Size: 4 << 20}, ErrFull, ""},
		{"bad character", one(file("a:b")), Options{Size: 4 << 20}, ErrName, ""},
		{"trailing dot", one(file("a.")), Options{Size: 4 << 20}, ErrName, ""},
		{"not UTF-8", one(file("a\xff")), Options{Size: 4 << 20}, ErrName, ""},
		{"too long", one(file(strings.Repeat("n", 256))), Options{Size: 4 << 20}, ErrName, ""},
		{"case", &tree.Tree{Entries: []tree.Entry{file("A"), file("a")}}, Options{Size: 4 << 20}, ErrName, ""},
		{"label", one(file("a")), Options{Size: 4 << 20, Label: "a/b"}, ErrName, ""},
		{"symlink", one(tree.Entry{Path: "l", Type: tree.Symlink, Link: "x"}), Options{Size: 4 << 20}, nil, "neither a directory nor a file"},
		{"no directory", one(file("d/a")), Options{Size: 4 << 20}, nil, "in no directory"},
		{"huge file", one(tree.Entry{Path: "big", Type: tree.File, Size: 4 << 30}), Options{Size: 8 << 30}, nil, "at most"},
		{"FAT12", one(file("a")), Options{Size: 1 << 20}, nil, "too small"},
		{"odd size", one(file("a")), Options{Size: 4<<20 + 1}, nil, "not possible"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			_, err := Write(t.Context(), discard{}, 0, tc.tree, tc.opts)
			if err == nil || tc.want != nil && !errors.Is(err, tc.want) || !strings.Contains(err.Error(), tc.text) {
				t.Errorf("error %v, want %v %s", err, tc.want, tc.text)
			}
		})
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Write(ctx, discard{}, 0, sample(0), Options{Size: 4 << 20}); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
}

func TestMinSize(t *testing.T) {
	tr := sample(10)
	size, err := MinSize(tr, 0)
	if err != nil {
		t.Fatal(err)
	}
	image(t, tr, size, 0)
	more, err := MinSize(tr, 50<<20)
	if err != nil {
		t.Fatal(err)
	}
	if more < size+40<<20 {
		t.Errorf("with 50 MiB more: %d, without: %d", more, size)
	}
}

type discard struct{}

func (discard) WriteAt(p []byte, _ int64) (int, error) { return len(p), nil }

func FuzzOpen(f *testing.F) {
	img := &memory{make([]byte, 3<<20)}
	if _, err := Write(f.Context(), img, 0, sample(3), Options{Size: 3 << 20, Epoch: epoch}); err != nil {
		f.Fatal(err)
	}
	// The fuzzer sees the part that says anything; the rest is zeros.
	f.Add(img.b[:64<<10])
	f.Fuzz(func(t *testing.T, b []byte) {
		fs, err := Open(&memory{append(b[:len(b):len(b)], make([]byte, 1<<16)...)})
		if err != nil {
			return
		}
		list, err := fs.Entries()
		if err != nil {
			return
		}
		for _, e := range list[:min(len(list), 20)] {
			if strings.Contains(e.Path, "..") && filepath.Clean(e.Path) != e.Path {
				t.Errorf("path %q", e.Path)
			}
			if !e.Dir {
				if r, err := fs.Open(e); err == nil {
					_, _ = io.Copy(io.Discard, r)
				}
			}
		}
	})
}

type memory struct{ b []byte }

func (m *memory) WriteAt(p []byte, off int64) (int, error) { return copy(m.b[off:], p), nil }
func (m *memory) ReadAt(p []byte, off int64) (int, error) {
	return bytes.NewReader(m.b).ReadAt(p, off)
}
