package iso9660

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"testing"

	"cloudy/builder/disk/internal/disktest"
	"cloudy/builder/tree"
)

// listed compares what List finds with the sample and the files placed.
func listed(t *testing.T, r io.ReaderAt, want map[string][]byte) {
	t.Helper()
	list, err := List(r)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range list {
		content, ok := want[e.Path]
		if !ok || e.Dir != (content == nil) {
			t.Errorf("%s, folder %t", e.Path, e.Dir)
			continue
		}
		delete(want, e.Path)
		if e.Dir {
			continue
		}
		got := make([]byte, e.Size)
		if _, err := r.ReadAt(got, e.Offset); err != nil || !bytes.Equal(got, content) {
			t.Errorf("%s: %d bytes, want %d, %v", e.Path, len(got), len(content), err)
		}
	}
	for p := range want {
		t.Errorf("%s is missing", p)
	}
}

func contents() map[string][]byte {
	out := map[string][]byte{}
	for _, e := range sample().Entries {
		switch {
		case e.Path == ".":
		case e.Type == tree.Dir:
			out[e.Path] = nil
		default:
			out[e.Path] = append([]byte{}, e.Data...)
		}
	}
	return out
}

func TestList(t *testing.T) {
	f, _ := made(t)
	want := contents()
	want["boot/esp.img"] = bytes.Repeat([]byte("E"), 7000)
	want["root.squashfs"] = bytes.Repeat([]byte("S"), 3<<20)
	listed(t, f, want)
}

// TestListOthers reads what xorriso writes.
func TestListOthers(t *testing.T) {
	disktest.Need(t, "xorriso")
	dir := t.TempDir()
	for p, data := range contents() {
		name := filepath.Join(dir, p)
		if data == nil {
			if err := os.MkdirAll(name, 0o755); err != nil {
				t.Fatal(err)
			}
			continue
		}
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, data, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	file := filepath.Join(t.TempDir(), "other.iso")
	disktest.Run(t, "xorriso", "-as", "mkisofs", "-R", "-o", file, dir)
	f, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	listed(t, f, contents())
}

func TestListDamaged(t *testing.T) {
	f, _ := made(t)
	whole, err := os.ReadFile(f.Name())
	if err != nil {
		t.Fatal(err)
	}
	root := int(whole[16*Sector+158]) * Sector
	for name, spoil := range map[string]func(b []byte) []byte{
		"cut":         func(b []byte) []byte { return b[:root+100] },
		"no volume":   func(b []byte) []byte { b[16*Sector+1] = 'X'; return b },
		"short entry": func(b []byte) []byte { b[root] = 5; return b },
		"empty":       func([]byte) []byte { return nil },
	} {
		if _, err := List(bytes.NewReader(spoil(bytes.Clone(whole)))); !errors.Is(err, ErrInvalid) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func FuzzList(f *testing.F) {
	small := &tree.Tree{Entries: []tree.Entry{{Path: ".", Type: tree.Dir, Mode: 0o755}, {Path: "a", Type: tree.Dir, Mode: 0o755}, {Path: "a/long name.txt", Type: tree.File, Size: 1, Data: []byte("x")}}}
	file := disktest.Create(f, "x.iso")
	if _, err := Write(file, small, Options{Volume: "X", Epoch: epoch}); err != nil {
		f.Fatal(err)
	}
	data, err := os.ReadFile(file.Name())
	if err != nil {
		f.Fatal(err)
	}
	f.Add(data[16*Sector:])
	f.Fuzz(func(t *testing.T, data []byte) {
		_, _ = List(bytes.NewReader(append(make([]byte, 16*Sector), data...)))
	})
}
