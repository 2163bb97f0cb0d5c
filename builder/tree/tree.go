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

	"golang.org/x/sys/unix"
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

// ReadAt fills p with the content of a File from byte off on, as far as it goes,
// and returns how far that is. A root has thousands of small files: this costs
// three system calls each, where os.Open and reading to the end cost nine.
func (e *Entry) ReadAt(p []byte, off int64) (int, error) {
	if e.Type == File && e.Content == nil && e.Source != "" {
		n, err := e.readSource(p, off)
		if err != nil {
			err = &os.PathError{Op: "read", Path: e.Source, Err: err}
		}
		return n, err
	}
	r, err := e.Open()
	if err != nil {
		return 0, err
	}
	defer r.Close()
	if at, ok := r.(io.ReaderAt); ok {
		n, err := at.ReadAt(p, off)
		return n, ended(err)
	}
	if _, err := io.CopyN(io.Discard, r, off); err != nil {
		return 0, ended(err)
	}
	n, err := io.ReadFull(r, p)
	return n, ended(err)
}

// ended makes the end of a file no error.
func ended(err error) error {
	if err == io.EOF || err == io.ErrUnexpectedEOF {
		return nil
	}
	return err
}

func (e *Entry) readSource(p []byte, off int64) (n int, err error) {
	fd, err := again(func() (int, error) { return unix.Open(e.Source, unix.O_RDONLY|unix.O_CLOEXEC, 0) })
	if err != nil {
		return 0, err
	}
	defer unix.Close(fd)
	if off > 0 { // a large file may have large holes: nothing to read there
		data, err := unix.Seek(fd, off, unix.SEEK_DATA)
		if err == unix.ENXIO || err == nil && data >= off+int64(len(p)) {
			size, err := unix.Seek(fd, 0, io.SeekEnd)
			n := int(min(max(size-off, 0), int64(len(p))))
			clear(p[:n])
			return n, err
		}
	}
	for n < len(p) {
		k, err := again(func() (int, error) { return unix.Pread(fd, p[n:], off+int64(n)) })
		if k <= 0 {
			return n, err
		}
		if n += k; n < len(p) && off+int64(n) == e.Size {
			return n, nil // it ends where it should
		}
	}
	return n, nil
}

// again calls what a signal has interrupted once more.
func again(f func() (int, error)) (int, error) {
	for {
		if n, err := f(); err != unix.EINTR {
			return n, err
		}
	}
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

// Sort puts the entries in order. It is quick where most of them are, and what
// was added stands at the end.
func (t *Tree) Sort() {
	old := t.Entries
	n := 1 // so many are in order
	for n < len(old) && Compare(old[n-1].Path, old[n].Path) <= 0 {
		n++
	}
	if n >= len(old) {
		return
	}
	// Entries are large: pointers to them are sorted, and each is moved once.
	rest := make([]*Entry, 0, len(old)-n)
	for i := n; i < len(old); i++ {
		rest = append(rest, &old[i])
	}
	slices.SortFunc(rest, func(a, b *Entry) int { return Compare(a.Path, b.Path) })
	t.Entries = make([]Entry, 0, len(old))
	at := 0
	for _, e := range rest {
		k, _ := slices.BinarySearchFunc(old[at:n], e.Path, func(a Entry, p string) int { return Compare(a.Path, p) })
		t.Entries = append(append(t.Entries, old[at:at+k]...), *e)
		at += k
	}
	t.Entries = append(t.Entries, old[at:n]...)
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
