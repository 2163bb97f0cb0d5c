package report

import (
	"bytes"
	"context"
	"slices"
	"testing"

	"cloudy/builder/tree"
)

func TestDiffPackages(t *testing.T) {
	from := []Package{{Name: "a", Architecture: "all", Version: "1"}, {Name: "b", Architecture: "amd64", Version: "1", SHA256: "x"},
		{Name: "c", Architecture: "amd64", Version: "1"}, {Name: "d", Architecture: "amd64", Version: "1"}}
	to := []Package{{Name: "a", Architecture: "all", Version: "2"}, {Name: "b", Architecture: "amd64", Version: "1", SHA256: "y"},
		{Name: "c", Architecture: "i386", Version: "1"}, {Name: "d", Architecture: "amd64", Version: "1", SHA256: "z"}}
	d := DiffPackages(from, to)
	var b bytes.Buffer
	if err := WritePackageDiff(&b, &d); err != nil {
		t.Fatal(err)
	}
	want := "- c:amd64 1\n+ c:i386 1\n~ a:all 1 -> 2\n~ b:amd64 1, the same version with other content\n"
	if b.String() != want {
		t.Errorf("got:\n%s", b.String())
	}
	if d := DiffPackages(from, from); !d.Empty() {
		t.Errorf("a set differs from itself: %+v", d)
	}
}

// changed is sampleRoot with one change of each kind.
func changed() *Root {
	r := sampleRoot()
	edit := func(path string, f func(e *tree.Entry)) { f(r.Find(path)) }
	edit("usr/bin/bash", func(e *tree.Entry) { e.Mode = 0o4755 })
	edit("usr/bin/sh.distrib", func(e *tree.Entry) { e.UID, e.GID = 1, 2 })
	edit("usr/lib/i386-linux-gnu/libc.so.6", func(e *tree.Entry) { e.Data = bytes.Repeat([]byte("j"), 1500) })
	edit("usr/lib/x86_64-linux-gnu/libc.so.6", func(e *tree.Entry) { e.Data, e.Size = []byte("short"), 5 })
	edit("usr/bin/rbash", func(e *tree.Entry) { e.Link = "dash" })
	edit("etc/machine-id", func(e *tree.Entry) { *e = tree.Entry{Path: e.Path, Type: tree.Symlink, Link: "/run/machine-id"} })
	edit("usr/lib/os-release", func(e *tree.Entry) { e.Xattrs = []tree.Xattr{{Name: "user.x", Value: []byte("1")}} })
	edit("var/lib/dpkg/status", func(e *tree.Entry) {
		e.Data = bytes.Replace(e.Data, []byte("Version: 5.2-1"), []byte("Version: 5.3-1"), 1)
	})
	r.Entries = slices.DeleteFunc(r.Entries, func(e tree.Entry) bool { return e.Path == "var/lib/apt/lists/debian_Packages" })
	r.Entries = append(r.Entries, tree.Entry{Path: "dev", Type: tree.Dir, Mode: 0o755}, tree.Entry{Path: "dev/null", Type: tree.Char, Mode: 0o666, Major: 1, Minor: 3})
	r.Sort()
	return r
}

func TestDiffRoots(t *testing.T) {
	ctx := context.Background()
	d, err := DiffRoots(ctx, sampleRoot(), changed(), DiffOptions{})
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	if err := WriteDiff(&b, d, 0); err != nil {
		t.Fatal(err)
	}
	golden(t, "diff.txt", b.Bytes())

	same, err := DiffRoots(ctx, sampleRoot(), sampleRoot(), DiffOptions{Times: true})
	if err != nil || !same.Empty() {
		t.Errorf("a root differs from itself: %+v, %v", same, err)
	}
	less, err := DiffRoots(ctx, sampleRoot(), changed(), DiffOptions{Ignore: []string{"/usr/*", "var/lib", "dev"}})
	if err != nil {
		t.Fatal(err)
	}
	if len(less.Added) != 0 || len(less.Removed) != 0 || len(less.Changed) != 1 || less.Changed[0].Path != "etc/machine-id" {
		t.Errorf("with patterns: %+v", less)
	}
	if _, err := DiffRoots(ctx, sampleRoot(), changed(), DiffOptions{Ignore: []string{"["}}); err == nil {
		t.Error("a broken pattern passed")
	}
}

func TestDiffSeesBrokenHardLinks(t *testing.T) {
	one := rootWith(map[string]string{"a": "x", "b": "=> a"})
	two := rootWith(map[string]string{"a": "x", "b": "x"})
	d, err := DiffRoots(context.Background(), one, two, DiffOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if len(d.Changed) != 1 || !slices.Equal(d.Changed[0].What, []string{"link"}) {
		t.Errorf("%+v", d.Changed)
	}
}
