package vm

import (
	"fmt"
	"io"
	"path"
	"slices"
	"strings"

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

// dir adds a directory with those above it, where they are missing.
func (b *build) dir(t *tree.Tree, name string) {
	for _, p := range above(name) {
		if !slices.ContainsFunc(t.Entries, func(e tree.Entry) bool { return e.Path == p }) {
			t.Entries = append(t.Entries, tree.Entry{Path: p, Type: tree.Dir, Mode: 0o755, MTime: b.Epoch})
		}
	}
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

// text adds or replaces a file with content of ours.
func (b *build) text(t *tree.Tree, name, content string) {
	b.copy(t, name, &tree.Entry{Data: []byte(content), Size: int64(len(content)), MTime: b.Epoch})
}

// copy adds or replaces a file with the content of another.
func (b *build) copy(t *tree.Tree, name string, from *tree.Entry) {
	e := tree.Entry{Path: name, Type: tree.File, Mode: 0o644, MTime: from.MTime, Size: from.Size, Source: from.Source, Data: from.Data}
	b.dir(t, path.Dir(name))
	if i := slices.IndexFunc(t.Entries, func(e tree.Entry) bool { return e.Path == name }); i >= 0 {
		t.Entries[i] = e
		return
	}
	t.Entries = append(t.Entries, e)
}
