package ext4

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"cloudy/builder/tree"
)

// TestReadMke2fs reads what mke2fs made of a directory, in several forms.
func TestReadMke2fs(t *testing.T) {
	mke2fs := tool(t, "mke2fs")
	dir := t.TempDir()
	check := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	in := func(name string) string { return filepath.Join(dir, name) }
	check(os.MkdirAll(in("a/b/c"), 0o755))
	check(os.MkdirAll(in("many"), 0o755))
	for _, n := range []int{0, 1, 1023, 4096, 1<<20 + 1, 7 << 20} {
		check(os.WriteFile(in(fmt.Sprintf("a/%d", n)), pattern(n), 0o640))
	}
	for i := range 3000 {
		check(os.WriteFile(in(fmt.Sprintf("many/a-rather-long-name-%d", i)), nil, 0o600))
	}
	for _, n := range []int{1, 59, 60, 900} {
		check(os.Symlink(strings.Repeat("s", n), in(fmt.Sprintf("a/b/s%d", n))))
	}
	check(os.Link(in("a/1"), in("a/b/one")))
	check(unix.Mkfifo(in("fifo"), 0o600))
	if err := unix.Setxattr(in("a/4096"), "user.long", pattern(900), 0); err != nil {
		t.Log("without attributes: ", err)
	}
	want, err := tree.Scan(dir)
	check(err)

	for name, args := range map[string][]string{
		"default": {"-b", "4096"}, "1 KiB blocks": {"-b", "1024"}, "2 KiB blocks": {"-b", "2048"},
		"small inodes": {"-I", "128"}, "32 bit": {"-O", "^64bit"}, "plain": {"-O", "^metadata_csum,^flex_bg,^dir_index"},
		"meta_bg": {"-b", "1024", "-O", "meta_bg,^resize_inode"}, "no sparse_super": {"-O", "^sparse_super,^resize_inode"},
	} {
		t.Run(name, func(t *testing.T) {
			image := filepath.Join(t.TempDir(), "image")
			args := append([]string{"-q", "-t", "ext4", "-d", dir}, append(args, image, "300M")...)
			if out, err := exec.Command(mke2fs, args...).CombinedOutput(); err != nil {
				t.Fatalf("mke2fs: %v\n%s", err, out)
			}
			m, got := openImage(t, image, 0)
			// mke2fs -d does not copy all of the times.
			want := &tree.Tree{Entries: slices.Clone(want.Entries)}
			for _, list := range [][]tree.Entry{want.Entries, got.Entries} {
				for i := range list {
					list[i].MTime = epoch
				}
			}
			same(t, want, got, fromImage(m))
		})
	}

	// Old forms are refused, not misread.
	image := filepath.Join(t.TempDir(), "image")
	if out, err := exec.Command(mke2fs, "-q", "-t", "ext2", "-d", dir, image, "300M").CombinedOutput(); err != nil {
		t.Fatalf("mke2fs: %v\n%s", err, out)
	}
	f, err := os.Open(image)
	check(err)
	defer f.Close()
	m, err := Open(f, 0)
	check(err)
	if _, err := m.Tree(context.Background()); err == nil || !strings.Contains(err.Error(), "not in extents") {
		t.Errorf("ext2: %v", err)
	}
}

// TestGrubReads lets GRUB's own driver read files.
func TestGrubReads(t *testing.T) {
	grub, err := exec.LookPath("grub-fstest")
	if err != nil {
		need(t, "grub-fstest is not installed")
	}
	tr := torture(t)
	image := writeImage(t, tr, testOptions(500<<20), 0)
	for _, name := range []string{"sizes/5242897", "sizes/striped", "many/file-5999", "links/b", "names/" + strings.Repeat("n", 255)} {
		e := tr.Find(name)
		if e.Type == tree.Hardlink {
			e = tr.Find(e.Link)
		}
		out, err := exec.Command(grub, image, "cat", "(loop0)/"+name).Output()
		if err != nil || !bytes.Equal(out, e.Data) {
			t.Errorf("%s: %d bytes read, %d wanted: %v", name, len(out), len(e.Data), err)
		}
	}
}

// FuzzOpen changes bytes of an image; data is a list of places (4 bytes) and
// values (4 bytes). It must never panic, loop or eat memory.
func FuzzOpen(f *testing.F) {
	want := randomTree(3)
	want.Entries = append(want.Entries, tree.Entry{Path: "zz", Type: tree.Dir})
	for i := range 300 {
		want.Entries = append(want.Entries, tree.Entry{Path: fmt.Sprintf("zz/%040d", i), Type: tree.Symlink, Link: strings.Repeat("l", i+1)})
	}
	want.Sort()
	o := testOptions(0)
	var err error
	if o.Size, err = MinSize(context.Background(), want, o, 0); err != nil {
		f.Fatal(err)
	}
	base, err := os.ReadFile(writeImage(f, want, o, 0))
	if err != nil {
		f.Fatal(err)
	}
	m, err := Open(bytes.NewReader(base), 0)
	if err != nil {
		f.Fatal(err)
	}
	table, err := m.tableBlock(0)
	if err != nil {
		f.Fatal(err)
	}
	raw, err := m.readInode(rootInode)
	if err != nil {
		f.Fatal(err)
	}
	root := le.Uint32(raw[0x28+20:]) * BlockSize
	patch := func(pairs ...uint32) (out []byte) {
		for _, p := range pairs {
			out = le.AppendUint32(out, p)
		}
		return out
	}
	f.Add([]byte{})
	for _, at := range []uint32{1024 + 0x18, 1024 + 0x28, 1024 + 0x58, 1024 + 0xfe, BlockSize + 8, root + 4, root + 24, root + 28} {
		for _, v := range []uint32{0, 1, 0xffff, 0xffffffff, 0x80000000, 0x10000} {
			f.Add(patch(at, v))
		}
	}
	for inode := range uint32(40) {
		for _, field := range []uint32{0, 4, 0x20, 0x28, 0x2c, 0x3c, 0x68, 0x80, 0xa0, 0xa4} {
			at := uint32(table)*BlockSize + inode*inodeSize + field
			f.Add(patch(at, 0xffffffff))
			f.Add(patch(at, 0x0004f30a))
			f.Add(patch(at, inode))
		}
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		image := patched{bytes.NewReader(base), data}
		m, err := Open(image, 0)
		if err != nil {
			return
		}
		tr, err := m.Tree(context.Background())
		if err != nil {
			return
		}
		for i := range tr.Entries {
			if e := &tr.Entries[i]; e.Type == tree.File {
				if r, err := m.File(e.Path); err == nil {
					io.CopyN(io.Discard, r, 1<<20)
				}
			}
		}
	})
}

// patched reads an image with some words replaced.
type patched struct {
	r    io.ReaderAt
	data []byte
}

func (p patched) ReadAt(b []byte, at int64) (int, error) {
	n, err := p.r.ReadAt(b, at)
	for d := p.data; len(d) >= 8; d = d[8:] {
		for i := range int64(4) {
			if pos := int64(le.Uint32(d)) + i - at; pos >= 0 && pos < int64(n) {
				b[pos] = d[4+i]
			}
		}
	}
	return n, err
}
