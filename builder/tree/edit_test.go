package tree

import (
	"testing"
	"time"
)

func TestLookup(t *testing.T) {
	tr := &Tree{Entries: []Entry{
		{Path: ".", Type: Dir},
		{Path: "abs", Type: Symlink, Link: "/usr/real"},
		{Path: "lib", Type: Symlink, Link: "usr/lib"},
		{Path: "out", Type: Symlink, Link: "../../../usr/real"},
		{Path: "top", Type: Symlink, Link: "/"},
		{Path: "usr", Type: Dir},
		{Path: "usr/hard", Type: Hardlink, Link: "usr/real"},
		{Path: "usr/lib", Type: Dir},
		{Path: "usr/lib/up", Type: Symlink, Link: "../real"},
		{Path: "usr/real", Type: File},
	}}
	for _, p := range []string{"usr/real", "/usr/real", "abs", "lib/up", "out", "usr/hard", "top/usr/real", "lib/../usr/real"} {
		if e, err := tr.Lookup(p); err != nil || e == nil || e.Path != "usr/real" {
			t.Errorf("%s leads to %+v (%v)", p, e, err)
		}
	}
	for _, p := range []string{"nonesuch", "usr/nonesuch", "lib/nonesuch"} {
		if e, err := tr.Lookup(p); err != nil || e != nil {
			t.Errorf("%s leads to %+v (%v)", p, e, err)
		}
	}
}

func TestEditor(t *testing.T) {
	at := time.Unix(1, 0)
	old := &Tree{Entries: []Entry{{Path: ".", Type: Dir}, {Path: "a", Type: File, Data: []byte("old"), Size: 3}, {Path: "etc", Type: Dir, Mode: 0o700}}}
	ed := old.Edit(at)
	ed.Text("a", "new content", 0o600)
	ed.Text("etc/deep/file", "x", 0o755)
	ed.Link("etc/link", "deep/file")
	ed.Copy("copy", old.Find("a"))
	got := ed.Tree()
	for _, want := range []Entry{
		{Path: "a", Type: File, Mode: 0o600, Size: 11}, {Path: "copy", Type: File, Mode: 0o644, Size: 3}, {Path: "etc", Type: Dir, Mode: 0o700},
		{Path: "etc/deep", Type: Dir, Mode: 0o755}, {Path: "etc/deep/file", Type: File, Mode: 0o755, Size: 1}, {Path: "etc/link", Type: Symlink, Mode: 0o777, Link: "deep/file"},
	} {
		e := got.Find(want.Path)
		if e == nil || e.Type != want.Type || e.Mode != want.Mode || e.Size != want.Size || e.Link != want.Link {
			t.Errorf("%s is %+v, want %+v", want.Path, e, want)
		}
	}
	if text, err := old.Find("a").Text(); text != "old" || err != nil || len(old.Entries) != 3 {
		t.Errorf("the tree that was edited is another one: %q, %v", text, err)
	}
	if e, _ := got.Lookup("etc/link"); e == nil || e.Path != "etc/deep/file" || !e.MTime.Equal(at) {
		t.Errorf("the link leads to %+v", e)
	}
}
