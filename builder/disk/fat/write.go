package fat

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"path"
	"strings"
	"time"

	"cloudy/builder/tree"
)

// node is a directory or file with its place.
type node struct {
	entry    *tree.Entry // nil for a root that the tree does not hold
	name     string
	children []*node
	parent   *node
	dir      []byte // encoded entries of a directory, but for the clusters
	first    uint32
	count    int64 // clusters
	names    *names
}

func (n *node) isDir() bool { return n.names != nil }

// Write writes the filesystem to the Size bytes of w from off on, which must
// read as zeros: what is empty is not written. A tree with anything but
// directories and files, or with a name that FAT cannot hold (ErrName), is
// refused; ErrFull when it does not fit.
func Write(ctx context.Context, w io.WriterAt, off int64, t *tree.Tree, o Options) (Usage, error) {
	g, err := plan(o.Size)
	if err != nil {
		return Usage{}, err
	}
	root, order, err := arrange(t, o)
	if err != nil {
		return Usage{}, err
	}
	free, err := allocate(g, root, order)
	if err != nil {
		return Usage{}, err
	}
	out := &writer{w: w, off: off, g: g, o: o}
	out.boot(free)
	out.tables(order)
	for _, n := range order {
		if err := ctx.Err(); err != nil {
			return Usage{}, err
		}
		if n.isDir() {
			out.directory(n)
		} else {
			out.file(n)
		}
	}
	if out.err != nil {
		return Usage{}, fmt.Errorf("write FAT filesystem: %w", out.err)
	}
	return Usage{Bits: g.bits, ClusterSize: int(g.clusterSize()), Clusters: g.clusters, Free: free}, nil
}

// MinSize is the least size in MiB steps, in bytes, that holds the tree with
// extra more bytes of content.
func MinSize(t *tree.Tree, extra int64) (int64, error) {
	root, order, err := arrange(t, Options{})
	if err != nil {
		return 0, err
	}
	for size := int64(3 << 20); ; size += max(1<<20, size/64>>20<<20) {
		g, err := plan(size)
		if err != nil {
			if size > 1<<40 {
				return 0, err
			}
			continue
		}
		free, err := allocate(g, root, order)
		if err == nil && free*g.clusterSize() >= extra {
			return size, nil
		}
		if err != nil && !errors.Is(err, ErrFull) {
			return 0, err
		}
	}
}

// arrange builds the directories, root first, each before what is in it.
func arrange(t *tree.Tree, o Options) (*node, []*node, error) {
	root := &node{names: newNames()}
	if o.Label != "" {
		e, err := labelEntry(o)
		if err != nil {
			return nil, nil, err
		}
		root.dir = e
	}
	order, dirs := []*node{root}, map[string]*node{".": root}
	for i := range t.Entries {
		e := &t.Entries[i]
		if e.Path == "." {
			continue
		}
		parent := dirs[path.Dir(e.Path)]
		if parent == nil {
			return nil, nil, fmt.Errorf("FAT filesystem: %s is in no directory", e.Path)
		}
		n := &node{entry: e, name: path.Base(e.Path), parent: parent}
		switch e.Type {
		case tree.Dir:
			n.names = newNames()
			n.dir = make([]byte, 2*dirEntry) // . and ..
			dirs[e.Path] = n
		case tree.File:
			if e.Size > maxFileSize {
				return nil, nil, fmt.Errorf("FAT filesystem: %s has %d bytes, at most %d", e.Path, e.Size, int64(maxFileSize))
			}
		default:
			return nil, nil, fmt.Errorf("FAT filesystem: %s is neither a directory nor a file", e.Path)
		}
		long, short, err := parent.names.add(n.name)
		if err != nil {
			return nil, nil, fmt.Errorf("FAT filesystem: %s: %w", e.Path, err)
		}
		parent.dir = append(parent.dir, long...)
		parent.dir = append(parent.dir, shortEntry(short, e, o.Epoch)...)
		parent.children = append(parent.children, n)
		order = append(order, n)
	}
	return root, order, nil
}

// allocate gives out clusters in order and returns how many are left.
func allocate(g geometry, root *node, order []*node) (free int64, err error) {
	next := int64(2)
	for _, n := range order {
		var size int64
		if n.isDir() {
			size = int64(len(n.dir))
			if n == root && g.bits == 16 {
				if size > rootEntries*dirEntry {
					return 0, fmt.Errorf("%w: the root directory has more than %d entries", ErrFull, rootEntries)
				}
				n.first, n.count = 0, 0
				continue
			}
			size = max(size, 1) // even an empty root has a cluster
		} else {
			size = n.entry.Size
		}
		n.count = g.need(size)
		n.first = 0
		if n.count > 0 {
			n.first = uint32(next)
		}
		next += n.count
		if next > g.clusters+2 {
			return 0, fmt.Errorf("%w: %d clusters of %d bytes", ErrFull, g.clusters, g.clusterSize())
		}
	}
	return g.clusters + 2 - next, nil
}

// label is the volume's name as it stands on disk.
func label(o Options) (l shortName) {
	copy(l[:], "NO NAME    ")
	if o.Label != "" {
		copy(l[:], "           ")
		copy(l[:], strings.ToUpper(o.Label))
	}
	return l
}

func labelEntry(o Options) ([]byte, error) {
	if len(o.Label) > 11 || strings.ContainsFunc(o.Label, func(r rune) bool {
		return r < 0x20 || r > 0x7e || strings.ContainsRune(`"*+,./:;<=>?[\]|`, r)
	}) {
		return nil, fmt.Errorf("%w: label %q", ErrName, o.Label)
	}
	return shortEntry(label(o), &tree.Entry{}, o.Epoch, attrVolume), nil
}

// shortEntry encodes all of an entry but its cluster.
func shortEntry(name shortName, e *tree.Entry, epoch time.Time, attr ...byte) []byte {
	b := make([]byte, dirEntry)
	copy(b, name[:])
	switch {
	case len(attr) > 0:
		b[11] = attr[0]
	case e.Type == tree.Dir:
		b[11] = attrDir
	default:
		b[11] = attrArchive
		binary.LittleEndian.PutUint32(b[28:], uint32(e.Size))
	}
	mtime := e.MTime
	if mtime.IsZero() || mtime.After(epoch) {
		mtime = epoch
	}
	date, clock := dosTime(mtime)
	le := binary.LittleEndian
	le.PutUint16(b[14:], clock) // created
	le.PutUint16(b[16:], date)
	le.PutUint16(b[18:], date)  // last access
	le.PutUint16(b[22:], clock) // last write
	le.PutUint16(b[24:], date)
	return b
}
