// Package tree is the model of a finished root filesystem: a sorted list of
// entries with owners, modes, times, extended attributes, hard links and
// device nodes. Everything that writes a filesystem, an archive or an image
// layer reads one Tree; nothing that reads a Tree needs root.
package tree

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"
)

// Type is the type of an entry.
type Type byte

// The types. A socket never gets into a tree.
const (
	Dir      Type = 'd'
	File     Type = 'f'
	Symlink  Type = 'l'
	Hardlink Type = 'h'
	Char     Type = 'c'
	Block    Type = 'b'
	Fifo     Type = 'p'
)

// Xattr is one extended attribute with its full name ("security.capability").
type Xattr struct {
	Name  string
	Value []byte
}

// Entry is one name in the tree.
type Entry struct {
	Path     string // slash-separated, relative, no leading "./"; "." is the root directory itself
	Type     Type
	Mode     uint32 // permission bits with setuid, setgid and sticky: 07777
	UID, GID uint32
	MTime    time.Time
	Size     int64   // bytes of content, File only
	Link     string  // Symlink: the target as stored; Hardlink: the Path of the File that it names
	Major    uint32  // Char and Block
	Minor    uint32  // Char and Block
	Xattrs   []Xattr // sorted by name

	// Content of a File: what Content opens when it is set, else the file at
	// Source on the host, else Data.
	Source  string
	Data    []byte
	Content func() (io.ReadCloser, error)
}

// Open returns the content of a File.
func (e *Entry) Open() (io.ReadCloser, error) {
	if e.Type != File {
		return nil, fmt.Errorf("open %s: not a regular file", e.Path)
	}
	if e.Content != nil {
		return e.Content()
	}
	if e.Source == "" {
		return io.NopCloser(bytes.NewReader(e.Data)), nil
	}
	return os.Open(e.Source)
}

// Read returns the content of a File as a whole.
func (e *Entry) Read() ([]byte, error) {
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

// Tree is a list of entries sorted by Path ("." first). A directory stands
// before what is in it, because a prefix sorts first; the File of a hard link
// stands before every Hardlink that names it.
type Tree struct {
	Entries []Entry
}

// Compare orders paths: "." first, else by bytes.
func Compare(a, b string) int {
	switch {
	case a == b:
		return 0
	case a == ".":
		return -1
	case b == ".":
		return 1
	}
	return strings.Compare(a, b)
}

// Sort puts the entries in order.
func (t *Tree) Sort() {
	slices.SortFunc(t.Entries, func(a, b Entry) int { return Compare(a.Path, b.Path) })
}

// Find returns the entry at path, or nil. The tree must be sorted.
func (t *Tree) Find(path string) *Entry {
	i, ok := slices.BinarySearchFunc(t.Entries, path, func(e Entry, p string) int { return Compare(e.Path, p) })
	if !ok {
		return nil
	}
	return &t.Entries[i]
}

// Size is the sum of the sizes of all files in bytes, hard links counted once.
func (t *Tree) Size() int64 {
	var n int64
	for i := range t.Entries {
		n += t.Entries[i].Size
	}
	return n
}

// Without returns t without the entries for which drop is true. Of a file with
// more than one name the content stays with the names that stay.
func (t *Tree) Without(drop func(e *Entry) bool) *Tree {
	out := &Tree{Entries: make([]Entry, 0, len(t.Entries))}
	gone := map[string]*Entry{} // files that are dropped
	heir := map[string]string{} // dropped file -> the name that has its content now
	for i := range t.Entries {
		e := &t.Entries[i]
		if drop(e) {
			if e.Type == File {
				gone[e.Path] = e
			}
			continue
		}
		out.Entries = append(out.Entries, *e)
		if e.Type != Hardlink || gone[e.Link] == nil {
			continue
		}
		last := &out.Entries[len(out.Entries)-1]
		if h := heir[e.Link]; h != "" {
			last.Link = h
			continue
		}
		heir[e.Link] = e.Path
		*last = *gone[e.Link]
		last.Path = e.Path
	}
	return out
}

// Apply returns t with removed paths gone (with all below them) and added
// entries put in, each replacing what stood at its path. A directory that is
// added where one stands keeps what is below it. Other names of a file that is
// removed or replaced keep its content.
func (t *Tree) Apply(removed []string, added []Entry) *Tree {
	put := make(map[string]*Entry, len(added))
	for i := range added {
		put[added[i].Path] = &added[i] // the last one for a path counts
	}
	gone := map[string]bool{}
	for _, p := range removed {
		gone[p] = true
	}
	for p, e := range put {
		if old := t.Find(p); old != nil && old.Type == Dir && e.Type != Dir {
			gone[p] = true
		}
	}
	out := t.Without(func(e *Entry) bool { return put[e.Path] != nil || below(gone, e.Path) })
	for i := range added {
		if put[added[i].Path] == &added[i] {
			out.Entries = append(out.Entries, added[i])
		}
	}
	out.Sort()
	return out
}

// below tells whether p or a folder above it is in set.
func below(set map[string]bool, p string) bool {
	if len(set) == 0 {
		return false
	}
	for {
		if set[p] {
			return true
		}
		i := strings.LastIndexByte(p, '/')
		if i < 0 {
			return false
		}
		p = p[:i]
	}
}
