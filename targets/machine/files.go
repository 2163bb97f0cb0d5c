package machine

import (
	"fmt"
	"io"
	"path"
	"slices"
	"strings"
	"time"

	"cloudy/builder/tree"
)

// lookup finds what path leads to through symbolic links, or nil. The tree is
// its own root: absolute links and ".." stay inside.
func lookup(t *tree.Tree, name string) (*tree.Entry, error) {
	left := strings.Split(strings.Trim(path.Clean("/"+name), "/"), "/")
	at := "."
	for links := 0; len(left) > 0; {
		p := path.Join(at, left[0])
		left = left[1:]
		e := t.Find(p)
		if e != nil && e.Type == tree.Hardlink {
			e = t.Find(e.Link)
		}
		if e == nil {
			return nil, nil
		}
		if e.Type != tree.Symlink {
			if len(left) == 0 {
				return e, nil
			}
			at = p
			continue
		}
		if links++; links > 40 {
			return nil, fmt.Errorf("/%s: %w", name, errLink)
		}
		target := e.Link
		if !path.IsAbs(target) {
			target = path.Join("/", at, target)
		}
		rest := strings.Split(strings.Trim(path.Clean(target), "/"), "/")
		at, left = ".", slices.Concat(rest, left)
		if rest[0] == "" {
			left = left[1:]
		}
	}
	return t.Find(at), nil
}

// file is lookup for a regular file that package pkg brings.
func file(t *tree.Tree, name, pkg string) (*tree.Entry, error) {
	e, err := lookup(t, name)
	if err != nil {
		return nil, err
	}
	if e == nil || e.Type != tree.File {
		return nil, errNoFile(name, pkg)
	}
	return e, nil
}

func read(e *tree.Entry) ([]byte, error) {
	r, err := e.Open()
	if err != nil {
		return nil, err
	}
	defer r.Close()
	b, err := io.ReadAll(r)
	if err != nil {
		return nil, fmt.Errorf("read /%s: %w", e.Path, err)
	}
	return b, nil
}

// editor adds entries to a copy of a tree.
type editor struct {
	t     *tree.Tree
	index map[string]int // of all paths
	epoch time.Time
}

func newEditor(t *tree.Tree, epoch time.Time) *editor {
	e := &editor{&tree.Tree{Entries: slices.Clone(t.Entries)}, make(map[string]int, len(t.Entries)), epoch}
	for i := range e.t.Entries {
		e.index[e.t.Entries[i].Path] = i
	}
	return e
}

// tree returns the result in order. Nothing can be added after it.
func (ed *editor) tree() *tree.Tree {
	ed.t.Sort()
	ed.index = nil
	return ed.t
}

func (ed *editor) put(e tree.Entry) {
	if i, ok := ed.index[e.Path]; ok {
		ed.t.Entries[i] = e
		return
	}
	ed.index[e.Path] = len(ed.t.Entries)
	ed.t.Entries = append(ed.t.Entries, e)
}

// dir adds a directory with those above it, where they are missing.
func (ed *editor) dir(name string) {
	for _, p := range above(name) {
		if _, ok := ed.index[p]; !ok {
			ed.put(tree.Entry{Path: p, Type: tree.Dir, Mode: 0o755, MTime: ed.epoch})
		}
	}
}

// text adds or replaces a file with content of ours.
func (ed *editor) text(name, content string) {
	ed.copy(name, &tree.Entry{Data: []byte(content), Size: int64(len(content)), MTime: ed.epoch})
}

// copy adds or replaces a file with the content of another.
func (ed *editor) copy(name string, from *tree.Entry) {
	ed.dir(path.Dir(name))
	ed.put(tree.Entry{Path: name, Type: tree.File, Mode: 0o644, MTime: from.MTime, Size: from.Size, Source: from.Source, Data: from.Data})
}

// above lists a path and all its directories, the outermost first.
func above(name string) []string {
	var out []string
	for p := name; p != "."; p = path.Dir(p) {
		out = append(out, p)
	}
	slices.Reverse(out)
	return out
}
