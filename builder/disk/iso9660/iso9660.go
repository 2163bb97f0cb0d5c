// Package iso9660 writes CD images out of a tree: ISO 9660 (ECMA-119) with long
// names, owners and modes by Rock Ridge (IEEE P1282, RRIP 1991A over SUSP) and
// boot images by El Torito (specification 1.0). The same tree and options give
// the same bytes. List finds the files of any volume. The first 32 KiB are left to the caller, for partition
// tables and boot code.
package iso9660

import (
	"errors"
	"fmt"
	"io"
	"path"
	"strings"
	"time"

	"cloudy/builder/tree"
)

// Sector is the size of a sector in bytes.
const Sector = 2048

// Platforms of boot images.
const (
	BIOS = 0x00
	UEFI = 0xef
)

// Boot is a boot image: a file of the tree that firmware loads.
type Boot struct {
	Platform byte
	Path     string
	Load     int // sectors of 512 bytes to load; 0 is the whole file
}

// Placed is a file that is written straight to its place in the image, behind
// all others in the order of the list.
type Placed struct {
	Path  string
	Align int64 // bytes; 0 is a sector
	// Write writes the content from byte at of the image on and returns its
	// length in bytes.
	Write func(at int64) (int64, error)
}

// Options say what a volume is like.
type Options struct {
	Volume string    // the volume's name, at most 32 characters of A-Z, 0-9 and _
	Set    string    // the volume set's name, at most 128 characters
	Epoch  time.Time // no time is later than this; entries without a time get it
	Boot   []Boot    // the first is the default one
	Placed []Placed

	// Application gives the field for the application's use, at most 512 bytes,
	// when all files have their places. Nil leaves it empty.
	Application func(*Image) []byte

	// Tail is the room behind the files that is part of the volume, in bytes,
	// for a backup of a partition table. The volume then is of whole MiB.
	Tail int64
}

// Image tells where things are in what was written.
type Image struct {
	Size  int64 // bytes, whole sectors
	files map[string]Extent
}

// Extent is where a file lies, in bytes.
type Extent struct{ Offset, Size int64 }

// Find returns where a file lies.
func (im *Image) Find(path string) (Extent, bool) {
	e, ok := im.files[path]
	return e, ok
}

// ErrLimit is a tree that the format has no room for.
var ErrLimit = errors.New("not possible in ISO 9660")

const (
	maxFile     = 1<<32 - Sector // the size field has 32 bits
	maxRecord   = 255            // bytes of a directory record
	firstSector = 16             // of the descriptors
)

// node is a directory or a file.
type node struct {
	entry    *tree.Entry // nil for a placed file
	name     string
	id       string // its name for systems without Rock Ridge
	parent   *node
	children []*node // sorted by id
	placed   *Placed

	first   int64 // sector
	size    int64 // bytes of content, or of the directory
	number  int   // of a directory, in the path table
	records []byte
}

func (n *node) isDir() bool { return n.placed == nil && n.entry.Type == tree.Dir }

// writer is one image on its way.
type writer struct {
	w           io.WriterAt
	o           Options
	root        *node
	dirs        []*node // in the order of the path table
	files       []*node // those of the tree, in its order
	placed      []*node
	next        int64 // sector
	tables      [2]int64
	tabSize     int64
	catalog     int64
	application []byte
	ce          int64 // sector with what is too long for the root's own record
}

// Write writes the tree, which has directories and files alone, to w.
func Write(w io.WriterAt, t *tree.Tree, o Options) (*Image, error) {
	im, err := write(w, t, o)
	if err != nil {
		return nil, fmt.Errorf("iso9660: %w", err)
	}
	return im, nil
}

func write(w io.WriterAt, t *tree.Tree, o Options) (*Image, error) {
	if !plainName(o.Volume, 32) || len(o.Set) > 128 {
		return nil, fmt.Errorf("%w: volume %q, set %q", ErrLimit, o.Volume, o.Set)
	}
	wr := &writer{w: w, o: o}
	if err := wr.arrange(t); err != nil {
		return nil, err
	}
	if err := wr.layout(); err != nil {
		return nil, err
	}
	for _, n := range wr.files {
		if err := wr.content(n); err != nil {
			return nil, fmt.Errorf("%s: %w", n.entry.Path, err)
		}
	}
	for _, n := range wr.placed {
		align := max(n.placed.Align/Sector, 1)
		n.first = (wr.next + align - 1) / align * align
		size, err := n.placed.Write(n.first * Sector)
		if err != nil {
			return nil, err
		}
		if size > maxFile {
			return nil, fmt.Errorf("%w: %s has %d bytes, at most 4 GiB", ErrLimit, n.placed.Path, size)
		}
		n.size = size
		wr.next = n.first + sectors(size)
	}
	if o.Tail > 0 {
		const mib = 1 << 20 / Sector
		wr.next = (wr.next + sectors(o.Tail) + mib - 1) / mib * mib
	}
	im := &Image{Size: wr.next * Sector, files: map[string]Extent{}}
	for _, n := range append(wr.files, wr.placed...) {
		im.files[n.path()] = Extent{n.first * Sector, n.size}
	}
	if o.Application != nil {
		if wr.application = o.Application(im); len(wr.application) > 512 {
			return nil, fmt.Errorf("%w: %d bytes for the application", ErrLimit, len(wr.application))
		}
	}
	return im, wr.metadata()
}

func (n *node) path() string {
	if n.placed != nil {
		return n.placed.Path
	}
	return n.entry.Path
}

func sectors(n int64) int64 { return (n + Sector - 1) / Sector }

// arrange builds the directories.
func (w *writer) arrange(t *tree.Tree) error {
	byPath := map[string]*node{}
	add := func(p string, n *node) error {
		parent := byPath[path.Dir(p)]
		if parent == nil || !parent.isDir() {
			return fmt.Errorf("%s is in no directory", p)
		}
		n.name, n.parent = path.Base(p), parent
		if byPath[p] != nil {
			return fmt.Errorf("%s is there twice", p)
		}
		byPath[p] = n
		parent.children = append(parent.children, n)
		return nil
	}
	for i := range t.Entries {
		e := &t.Entries[i]
		n := &node{entry: e}
		switch {
		case e.Path == ".":
			n.parent, w.root = n, n
			byPath["."] = n
			continue
		case e.Type == tree.File && e.Size > maxFile:
			return fmt.Errorf("%w: %s has %d bytes, at most 4 GiB", ErrLimit, e.Path, e.Size)
		case e.Type == tree.File:
			n.size = e.Size
			w.files = append(w.files, n)
		case e.Type != tree.Dir:
			return fmt.Errorf("%w: %s is neither a directory nor a file", ErrLimit, e.Path)
		}
		if err := add(e.Path, n); err != nil {
			return err
		}
	}
	if w.root == nil {
		return errors.New("the tree has no root")
	}
	for i := range w.o.Placed {
		n := &node{placed: &w.o.Placed[i]}
		if err := add(n.placed.Path, n); err != nil {
			return err
		}
		w.placed = append(w.placed, n)
	}
	// The path table wants directories by levels (ECMA-119, 6.9.1).
	w.dirs = []*node{w.root}
	for i := 0; i < len(w.dirs); i++ {
		d := w.dirs[i]
		d.number = i + 1
		if err := identify(d.children); err != nil {
			return fmt.Errorf("%s: %w", d.path(), err)
		}
		for _, c := range d.children {
			if c.isDir() {
				w.dirs = append(w.dirs, c)
			}
		}
	}
	if len(w.dirs) > 0xffff {
		return fmt.Errorf("%w: more than 65535 directories", ErrLimit)
	}
	return nil
}

func plainName(s string, most int) bool {
	return len(s) <= most && strings.Trim(s, "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_") == ""
}
