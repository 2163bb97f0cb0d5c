package tree

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// TestExtract takes a layer with everything in it through an archive: the two
// are the same to the last attribute.
func TestExtract(t *testing.T) {
	if os.Geteuid() != 0 {
		skip(t, "wants root")
	}
	at := func(n int64) time.Time { return time.Unix(1700000000, n) }
	capability := Xattr{"security.capability", []byte("\x01\x00\x00\x02\x00\x20\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00")}
	in := &Tree{Entries: []Entry{
		{Path: ".", Type: Dir, Mode: 0o751, UID: 3, GID: 4, MTime: at(1)},
		{Path: "gone", Type: Char, Mode: 0, MTime: at(2)}, // what overlayfs leaves of a removed file
		{Path: "dev", Type: Dir, Mode: 0o755, MTime: at(3)},
		{Path: "dev/null", Type: Char, Mode: 0o666, Major: 1, Minor: 3, MTime: at(4)},
		{Path: "dev/loop0", Type: Block, Mode: 0o660, GID: 6, Major: 7, MTime: at(5)},
		{Path: "fifo", Type: Fifo, Mode: 0o622, MTime: at(6)},
		{Path: "new", Type: Dir, Mode: 0o2755, Xattrs: []Xattr{{OpaqueName, []byte(OpaqueValue)}}, MTime: at(7)},
		{Path: "new/secret", Type: Dir, Mode: 0, UID: 65534, MTime: at(8)},
		{Path: "new/secret/suid", Type: File, Mode: 0o4755, UID: 1, GID: 2, Data: []byte("program"), Size: 7, MTime: at(999999999)},
		{Path: "new/secret/twice", Type: Hardlink, Mode: 0o4755, UID: 1, GID: 2, MTime: at(999999999), Link: "new/secret/suid"},
		{Path: "ping", Type: File, Mode: 0o755, Data: []byte("ping"), Size: 4, Xattrs: []Xattr{capability, {"user.note", []byte("a\x00b")}}, MTime: at(10)},
		{Path: "link", Type: Symlink, Mode: 0o777, UID: 7, GID: 8, Link: "/dev/../" + strings.Repeat("x", 200), MTime: at(11)},
		{Path: "zero", Type: File, Mode: 0o600, MTime: time.Unix(-1, 5)},
	}}
	in.Sort()
	pack := func(tr *Tree) []byte {
		var b bytes.Buffer
		if err := tr.WriteTar(context.Background(), &b, TarOptions{}); err != nil {
			t.Fatal(err)
		}
		return b.Bytes()
	}
	archive := pack(in)
	for range 2 { // what came out goes in again
		dir := t.TempDir()
		if err := Extract(context.Background(), bytes.NewReader(archive), dir, nil); err != nil {
			t.Fatal(err)
		}
		out, err := ScanLayer(dir)
		if err != nil {
			t.Fatal(err)
		}
		if again := pack(out); !bytes.Equal(again, archive) {
			t.Fatalf("another layer:\n%+v\n%+v", in.Entries, out.Entries)
		}
		var a, b unix.Stat_t
		if unix.Lstat(dir+"/new/secret/suid", &a) != nil || unix.Lstat(dir+"/new/secret/twice", &b) != nil || a.Ino != b.Ino {
			t.Error("no hard link")
		}
		if whole, err := Scan(dir); err != nil || whole.Find("gone") != nil {
			t.Errorf("the mark of a removed file hides nothing: %v", err)
		}
	}
}

// TestExtractHostile gives archives that want out.
func TestExtractHostile(t *testing.T) {
	outside := t.TempDir()
	if err := os.WriteFile(filepath.Join(outside, "victim"), []byte("safe"), 0o644); err != nil {
		t.Fatal(err)
	}
	file := func(name string) tar.Header {
		return tar.Header{Name: name, Typeflag: tar.TypeReg, Mode: 0o644, Size: 4, Uid: os.Geteuid(), Gid: os.Getegid()}
	}
	link := func(name, to string) tar.Header {
		return tar.Header{Name: name, Typeflag: tar.TypeSymlink, Linkname: to, Mode: 0o777, Uid: os.Geteuid(), Gid: os.Getegid()}
	}
	hard := func(name, to string) tar.Header { return tar.Header{Name: name, Typeflag: tar.TypeLink, Linkname: to} }
	for name, list := range map[string][]tar.Header{
		"up":              {file("../evil")},
		"up in the name":  {file("a/../../evil")},
		"through a link":  {link("a", outside), file("a/evil")},
		"over a link":     {link("a", filepath.Join(outside, "victim")), file("a")},
		"hard link up":    {hard("a", "../victim")},
		"hard link out":   {link("d", outside), hard("a", "d/victim")},
		"twice":           {file("a"), file("a")},
		"no folder":       {file("a/b")},
		"in a file":       {file("a"), file("a/b")},
		"link to nothing": {hard("a", "b")},
		"unknown type":    {{Name: "a", Typeflag: 'X'}},
	} {
		var b bytes.Buffer
		w := tar.NewWriter(&b)
		for _, h := range list {
			if err := w.WriteHeader(&h); err != nil {
				t.Fatal(err)
			}
			if h.Size > 0 {
				if _, err := w.Write([]byte("evil")); err != nil {
					t.Fatal(err)
				}
			}
		}
		w.Close()
		if err := Extract(context.Background(), &b, t.TempDir(), nil); !errors.Is(err, ErrBadArchive) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if data, err := os.ReadFile(filepath.Join(outside, "victim")); err != nil || string(data) != "safe" {
		t.Errorf("%q, %v", data, err)
	}
	if l, _ := os.ReadDir(outside); len(l) != 1 {
		t.Errorf("written outside: %v", l)
	}
}
