package tree

import (
	"fmt"
	"path"
	"slices"
	"strings"
	"time"
)

// Lookup finds what a path leads to through symbolic and hard links, or nil.
// The tree is its own root: absolute links and ".." stay inside. Its only
// error is a circle of links. The tree must be sorted.
func (t *Tree) Lookup(name string) (*Entry, error) {
	left := strings.Split(strings.Trim(path.Clean("/"+name), "/"), "/")
	at := "."
	for links := 0; len(left) > 0 && left[0] != ""; {
		p := path.Join(at, left[0])
		left = left[1:]
		e := t.Find(p)
		if e != nil && e.Type == Hardlink {
			e = t.Find(e.Link)
		}
		if e == nil {
			return nil, nil
		}
		if e.Type != Symlink {
			if len(left) == 0 {
				return e, nil
			}
			at = p
			continue
		}
		if links++; links > 40 { // as many as Linux follows
			return nil, fmt.Errorf("/%s: too many levels of symbolic links", strings.Trim(name, "/"))
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

// Text is Read for a text.
func (e *Entry) Text() (string, error) {
	b, err := e.Read()
	return string(b), err
}

// Editor changes a copy of a tree.
type Editor struct {
	t     *Tree
	index map[string]int // of all paths
	mtime time.Time      // of what is new
}

// Edit begins with a copy of t. What is new has mtime.
func (t *Tree) Edit(mtime time.Time) *Editor {
	e := &Editor{&Tree{Entries: slices.Clone(t.Entries)}, make(map[string]int, len(t.Entries)), mtime}
	for i := range e.t.Entries {
		e.index[e.t.Entries[i].Path] = i
	}
	return e
}

// Tree returns the result in order. Nothing can be added after it.
func (ed *Editor) Tree() *Tree {
	ed.t.Sort()
	ed.index = nil
	return ed.t
}

// Put adds or replaces an entry as it is.
func (ed *Editor) Put(e Entry) {
	if i, ok := ed.index[e.Path]; ok {
		ed.t.Entries[i] = e
		return
	}
	ed.index[e.Path] = len(ed.t.Entries)
	ed.t.Entries = append(ed.t.Entries, e)
}

// Dir adds a directory with those above it, where they are missing.
func (ed *Editor) Dir(name string) {
	for p := name; ; p = path.Dir(p) {
		if _, ok := ed.index[p]; !ok {
			ed.Put(Entry{Path: p, Type: Dir, Mode: 0o755, MTime: ed.mtime})
		}
		if p == "." {
			return
		}
	}
}

// Text adds or replaces a file with content of ours.
func (ed *Editor) Text(name, content string, mode uint32) {
	ed.Dir(path.Dir(name))
	ed.Put(Entry{Path: name, Type: File, Mode: mode, MTime: ed.mtime, Size: int64(len(content)), Data: []byte(content)})
}

// Link adds or replaces a symbolic link.
func (ed *Editor) Link(name, target string) {
	ed.Dir(path.Dir(name))
	ed.Put(Entry{Path: name, Type: Symlink, Mode: 0o777, MTime: ed.mtime, Link: target})
}

// Copy adds or replaces a file with the content and time of another, which
// may be of another tree.
func (ed *Editor) Copy(name string, from *Entry) {
	ed.Dir(path.Dir(name))
	ed.Put(Entry{Path: name, Type: File, Mode: 0o644, MTime: from.MTime, Size: from.Size, Source: from.Source, Data: from.Data, Content: from.Content})
}
