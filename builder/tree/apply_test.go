package tree

import (
	"fmt"
	"io"
	"strings"
	"testing"
)

// treeOf makes a sorted tree out of "path", "path/" for a folder, "path=content",
// "path->link" and "path=>file" for a hard link.
func treeOf(specs ...string) *Tree {
	t := &Tree{}
	for _, s := range specs {
		var e Entry
		switch {
		case strings.Contains(s, "=>"):
			e.Path, e.Link, _ = strings.Cut(s, "=>")
			e.Type = Hardlink
		case strings.Contains(s, "->"):
			e.Path, e.Link, _ = strings.Cut(s, "->")
			e.Type = Symlink
		case strings.HasSuffix(s, "/"):
			e.Path, e.Type, e.Mode = strings.TrimSuffix(s, "/"), Dir, 0o755
		default:
			path, content, _ := strings.Cut(s, "=")
			e = Entry{Path: path, Type: File, Mode: 0o644, Data: []byte(content), Size: int64(len(content))}
		}
		t.Entries = append(t.Entries, e)
	}
	t.Sort()
	return t
}

func (t *Tree) spec() string {
	var out []string
	for i := range t.Entries {
		e := &t.Entries[i]
		s := e.Path
		switch e.Type {
		case Dir:
			s += "/"
		case Symlink:
			s += "->" + e.Link
		case Hardlink:
			s += "=>" + e.Link
		case File:
			if e.Size > 0 {
				r, err := e.Open()
				if err != nil {
					return err.Error()
				}
				data, _ := io.ReadAll(r)
				r.Close()
				s += "=" + string(data)
			}
		default:
			s += fmt.Sprintf("?%c", e.Type)
		}
		out = append(out, s)
	}
	return strings.Join(out, " ")
}

func TestApply(t *testing.T) {
	for _, tc := range []struct {
		name          string
		base, removed string
		added         string
		want          string
	}{
		{"nothing", "./ a=1", "", "", "./ a=1"},
		{"new file", "./ a/", "", "a/b=1", "./ a/ a/b=1"},
		{"replaced file", "./ a=1", "", "a=2", "./ a=2"},
		{"the last of one path counts", "./", "", "a=1 a=2", "./ a=2"},
		{"removed with all below", "./ a/ a/b=1 a/b.c=2 ab=3", "a", "", "./ ab=3"},
		{"a name that begins alike stays", "./ a/ a/b=1 a-b=2", "a", "", "./ a-b=2"},
		{"folder over folder keeps what is below", "./ a/ a/b=1", "", "a/", "./ a/ a/b=1"},
		{"file over folder", "./ a/ a/b=1 a/c/ a/c/d=2", "", "a=2", "./ a=2"},
		{"link over folder", "./ a/ a/b=1", "", "a->c", "./ a->c"},
		{"removed and made anew", "./ a/ a/b=1", "a", "a/ a/c=2", "./ a/ a/c=2"},
		{"first name of a file is removed", "./ a=1 b=>a c=>a", "a", "", "./ b=1 c=>b"},
		{"first name of a file is replaced", "./ a=1 b=>a c=>a", "", "a=2", "./ a=2 b=1 c=>b"},
		{"another name is replaced", "./ a=1 b=>a c=>a", "", "b=2", "./ a=1 b=2 c=>a"},
		{"first and second go", "./ a=1 b=>a c=>a", "a b", "", "./ c=1"},
		{"first name goes with its folder", "./ d/ d/a=1 e=>d/a", "d", "", "./ e=1"},
		{"removed is not there", "./ a=1", "b", "", "./ a=1"},
	} {
		base := treeOf(strings.Fields(tc.base)...)
		before := base.spec()
		got := base.Apply(strings.Fields(tc.removed), treeOfUnsorted(strings.Fields(tc.added)...)).spec()
		if got != tc.want {
			t.Errorf("%s: %s, want %s", tc.name, got, tc.want)
		}
		if base.spec() != before {
			t.Errorf("%s: the base has changed to %s", tc.name, base.spec())
		}
	}
}

func treeOfUnsorted(specs ...string) []Entry {
	var out []Entry
	for _, s := range specs {
		out = append(out, treeOf(s).Entries...)
	}
	return out
}

func TestFindAndSize(t *testing.T) {
	tr := treeOf("./", "a/", "a/b=123", "a-b=4", "a.b=5", "z=>a/b")
	for _, p := range []string{".", "a", "a/b", "a-b", "a.b", "z"} {
		if e := tr.Find(p); e == nil || e.Path != p {
			t.Errorf("Find(%q) = %v", p, e)
		}
	}
	if tr.Find("") != nil || tr.Find("a/") != nil || tr.Find("b") != nil {
		t.Error("found what is not there")
	}
	if tr.Size() != 5 {
		t.Errorf("size %d, want 5", tr.Size())
	}
	if _, err := tr.Find("a").Open(); err == nil {
		t.Error("a folder can be opened")
	}
}
