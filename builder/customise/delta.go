// Package customise lays what a recipe says over a root of packages: files,
// overlays, accounts, names, units. It works on the list of entries alone, so
// it needs no root and no copy of the tree, and a changed file costs nothing
// but itself.
package customise

import (
	"errors"
	"fmt"
	"io"
	"path"
	"slices"
	"strings"
	"time"

	"cloudy/builder/fail"
	"cloudy/builder/tree"
)

// Delta is the difference that a recipe makes to a tree.
type Delta struct {
	base    *tree.Tree
	epoch   time.Time
	added   map[string]tree.Entry
	order   []string
	removed map[string]bool
	asked   map[string]bool // folders that the recipe names
}

func newDelta(base *tree.Tree, epoch time.Time) *Delta {
	return &Delta{base: base, epoch: epoch, added: map[string]tree.Entry{}, removed: map[string]bool{}, asked: map[string]bool{}}
}

// Added returns the new entries, in the order in which they came.
func (d *Delta) Added() []tree.Entry {
	out := make([]tree.Entry, 0, len(d.order))
	for _, p := range d.order {
		if e, ok := d.added[p]; ok {
			out = append(out, e)
		}
	}
	return out
}

// Removed returns the paths that go away with all below them, sorted.
func (d *Delta) Removed() []string {
	out := make([]string, 0, len(d.removed))
	for p := range d.removed {
		out = append(out, p)
	}
	slices.Sort(out)
	return out
}

// Declares tells whether the recipe asked for the path itself, and not only
// for something in it.
func (d *Delta) Declares(p string) bool {
	e, ok := d.added[p]
	return ok && (e.Type != tree.Dir || d.asked[p])
}

// Tree returns the base with the difference applied.
func (d *Delta) Tree() *tree.Tree { return d.base.Apply(d.Removed(), d.Added()) }

// find returns the entry at a path as it stands now.
func (d *Delta) find(p string) *tree.Entry {
	if e, ok := d.added[p]; ok {
		return &e
	}
	if d.inRemoved(p) {
		return nil
	}
	return d.base.Find(p)
}

// below returns the entries under a folder as they stand now, sorted by path.
func (d *Delta) below(dir string) []tree.Entry {
	var out []tree.Entry
	for i := range d.base.Entries {
		p := d.base.Entries[i].Path
		if _, again := d.added[p]; !again && strings.HasPrefix(p, dir+"/") && !d.inRemoved(p) {
			out = append(out, d.base.Entries[i])
		}
	}
	for p, e := range d.added {
		if strings.HasPrefix(p, dir+"/") {
			out = append(out, e)
		}
	}
	slices.SortFunc(out, func(a, b tree.Entry) int { return strings.Compare(a.Path, b.Path) })
	return out
}

// inRemoved tells whether the base's entry at p, or a folder above it, was removed.
func (d *Delta) inRemoved(p string) bool {
	for ; p != "." && p != "/"; p = path.Dir(p) {
		if d.removed[p] {
			return true
		}
	}
	return false
}

// maxLinks bounds the symbolic links that one path may go through, as the
// kernel does (path_resolution(7)).
const maxLinks = 40

// resolve follows symbolic links in the folders of p inside the tree: with a
// merged /usr, bin/x is usr/bin/x.
func (d *Delta) resolve(p string) (string, error) { return d.walk(p, false) }

// follow is resolve for a path whose last element may be a symbolic link too.
func (d *Delta) follow(p string) (string, error) { return d.walk(p, true) }

// walk goes from name to name as the kernel does in a root of its own
// (path_resolution(7)): ".." leads to the folder that a link has led into.
func (d *Delta) walk(p string, last bool) (string, error) {
	parts, done, links := strings.Split(path.Clean("/" + p)[1:], "/"), ".", 0
	for len(parts) > 0 {
		part := parts[0]
		parts = parts[1:]
		switch part {
		case "", ".":
			continue
		case "..":
			done = path.Dir(done)
			continue
		}
		next := path.Join(done, part)
		e := d.find(next)
		if e == nil || e.Type != tree.Symlink || len(parts) == 0 && !last {
			done = next
			continue
		}
		if links++; links > maxLinks {
			return "", fmt.Errorf("/%s: too many symbolic links", path.Clean("/" + p)[1:])
		}
		if path.IsAbs(e.Link) {
			done = "."
		}
		parts = append(strings.Split(e.Link, "/"), parts...)
	}
	return done, nil
}

// put lays e over the tree, with the folders on the way.
func (d *Delta) put(e tree.Entry) error {
	p, err := d.resolve(e.Path)
	if err != nil {
		return fail.Mark(fail.User, err)
	}
	e.Path, e.MTime = p, d.epoch
	if old := d.find(p); old != nil && (old.Type == tree.Dir) != (e.Type == tree.Dir) {
		return fail.Mark(fail.User, fmt.Errorf("/%s is a folder in the one and not in the other", p))
	}
	if err := d.parents(p); err != nil {
		return err
	}
	if _, ok := d.added[p]; !ok {
		d.order = append(d.order, p)
	}
	d.added[p] = e
	return nil
}

func (d *Delta) parents(p string) error {
	dir := path.Dir(p)
	if dir == "." {
		return nil
	}
	if e := d.find(dir); e != nil {
		if e.Type != tree.Dir {
			return fail.Mark(fail.User, fmt.Errorf("/%s is no folder, so /%s cannot be in it", dir, p))
		}
		return nil
	}
	return d.put(tree.Entry{Path: dir, Type: tree.Dir, Mode: 0o755})
}

// write lays a small file over the tree.
func (d *Delta) write(p string, mode uint32, content string) error {
	return d.put(tree.Entry{Path: p, Type: tree.File, Mode: mode, Data: []byte(content), Size: int64(len(content))})
}

// rewrite replaces the content of a file and keeps its owner and mode.
func (d *Delta) rewrite(p string, mode uint32, content string) error {
	e := tree.Entry{Path: p, Type: tree.File, Mode: mode, Data: []byte(content), Size: int64(len(content))}
	if old := d.find(p); old != nil && old.Type == tree.File {
		e.Mode, e.UID, e.GID = old.Mode, old.UID, old.GID
	}
	return d.put(e)
}

func (d *Delta) symlink(p, target string) error {
	return d.put(tree.Entry{Path: p, Type: tree.Symlink, Mode: 0o777, Link: target})
}

func (d *Delta) remove(p string) error {
	p, err := d.resolve(p)
	if err != nil {
		return fail.Mark(fail.User, err)
	}
	if p == "." {
		return fail.Mark(fail.User, errors.New("the root itself cannot be absent"))
	}
	for q := range d.added {
		if q == p || strings.HasPrefix(q, p+"/") {
			delete(d.added, q)
			d.order = slices.DeleteFunc(d.order, func(o string) bool { return o == q })
		}
	}
	if d.base.Find(p) != nil {
		d.removed[p] = true
	}
	return nil
}

// read returns a file's content as it stands now, "" when there is none.
func (d *Delta) read(p string) (string, error) {
	p, err := d.follow(p)
	if err != nil {
		return "", err
	}
	e := d.find(p)
	if e == nil {
		return "", nil
	}
	if e.Type != tree.File {
		return "", fmt.Errorf("/%s is not a regular file", p)
	}
	r, err := e.Open()
	if err != nil {
		return "", err
	}
	defer r.Close()
	data, err := io.ReadAll(r)
	return string(data), err
}
