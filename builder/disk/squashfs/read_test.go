package squashfs

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"cloudy/builder/tree"
)

func read(t *testing.T, file string, at int64) *tree.Tree {
	t.Helper()
	f, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	im, err := Open(f, at)
	if err != nil {
		t.Fatal(err)
	}
	tr, err := im.Tree(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return tr
}

// TestRead reads what was written.
func TestRead(t *testing.T) {
	for _, o := range variants {
		t.Run(fmt.Sprintf("%d-%d", o.Compressor, o.BlockSize), func(t *testing.T) {
			equal(t, read(t, write(t, hard(), o), 0), hard())
		})
	}
}

// TestReadOthers reads what mksquashfs makes: with fragments of large files'
// ends, other compressors, and tables that are not packed.
func TestReadOthers(t *testing.T) {
	if _, err := exec.LookPath("mksquashfs"); err != nil {
		missing(t, "squashfs-tools is not installed")
	}
	if os.Geteuid() != 0 {
		missing(t, "only root unpacks owners and device nodes")
	}
	// What it packs is what it unpacked, so that the tree is on this disk.
	dir := filepath.Join(t.TempDir(), "tree")
	if out, err := exec.Command("unsquashfs", "-strict-errors", "-d", dir, write(t, hard(), Options{})).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	for _, args := range [][]string{{"-comp", "xz", "-b", "256K"}, {"-comp", "gzip", "-always-use-fragments"}, {"-comp", "zstd"}, {"-noI", "-noD", "-noF", "-noX"}} {
		t.Run(fmt.Sprint(args), func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "other")
			if out, err := exec.Command("mksquashfs", append([]string{dir, file, "-noappend", "-quiet", "-no-progress"}, args...)...).CombinedOutput(); err != nil {
				t.Fatalf("%v\n%s", err, out)
			}
			equal(t, read(t, file, 0), hard())
		})
	}
}

// TestReadDamaged: what is cut or unknown is an ErrInvalid, and a cancelled
// context ends it.
func TestReadDamaged(t *testing.T) {
	whole, err := os.ReadFile(write(t, hard(), Options{}))
	if err != nil {
		t.Fatal(err)
	}
	for name, spoil := range map[string]func(b []byte) []byte{
		"cut":              func(b []byte) []byte { return b[:len(b)/2] },
		"other version":    func(b []byte) []byte { b[28] = 3; return b },
		"other compressor": func(b []byte) []byte { b[20] = 3; return b },
		"odd blocks":       func(b []byte) []byte { b[12] = 7; return b },
		"no inodes":        func(b []byte) []byte { clear(b[64:72]); return b },
	} {
		im, err := Open(bytes.NewReader(spoil(bytes.Clone(whole))), 0)
		if err == nil {
			_, err = im.Tree(t.Context())
		}
		if !errors.Is(err, ErrInvalid) {
			t.Errorf("%s: %v", name, err)
		}
	}
	im, err := Open(bytes.NewReader(whole), 0)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := im.Tree(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
}

func FuzzRead(f *testing.F) {
	small := &tree.Tree{Entries: []tree.Entry{
		{Path: ".", Type: tree.Dir, Mode: 0o755}, {Path: "a", Type: tree.File, Size: 3, Data: []byte("abc"), Xattrs: []tree.Xattr{{Name: "user.x", Value: []byte("y")}}},
		{Path: "b", Type: tree.Dir}, {Path: "b/c", Type: tree.Symlink, Link: "../a"}, {Path: "b/d", Type: tree.Hardlink, Link: "a"}, {Path: "e", Type: tree.Char, Major: 1, Minor: 3},
	}}
	for _, o := range variants {
		data, err := os.ReadFile(write(f, small, o))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		im, err := Open(bytes.NewReader(data), 0)
		if err != nil {
			return
		}
		tr, err := im.Tree(context.Background())
		if err != nil {
			return
		}
		for i := range tr.Entries {
			e := &tr.Entries[i]
			if e.Type != tree.File || e.Size > 1<<20 {
				continue
			}
			r, err := e.Open()
			if err != nil {
				t.Fatal(err)
			}
			if n, err := io.Copy(io.Discard, r); err == nil && n != e.Size {
				t.Fatalf("%s: %d bytes of %d", e.Path, n, e.Size)
			}
		}
	})
}
