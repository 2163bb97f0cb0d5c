package squashfs

import (
	"encoding/binary"
	"fmt"
	"path"

	"cloudy/builder/tree"
)

// Types of inodes in directories; inodes that carry more have theirs 7 higher.
const (
	typeDir = 1 + iota
	typeFile
	typeSymlink
	typeBlock
	typeChar
	typeFifo

	extended = 7
)

// node is one inode.
type node struct {
	e        *tree.Entry
	number   uint32
	links    uint32
	parent   *node
	children []child // in the order of their names
	xattr    uint32

	// Where the inode is, once it is written.
	block  uint32
	offset uint16
}

type child struct {
	name string
	n    *node
}

// maxName is the longest name (SQUASHFS_NAME_LEN).
const maxName = 256

// link makes the inodes of the tree with their places in each other.
func (s *writer) link() error {
	s.byPath = make(map[string]*node, len(s.t.Entries))
	for i := range s.t.Entries {
		e := &s.t.Entries[i]
		var n *node
		if e.Type == tree.Hardlink {
			if n = s.byPath[e.Link]; n == nil || n.e.Type != tree.File {
				return fmt.Errorf("%s is a hard link to %s, which is not there", e.Path, e.Link)
			}
			n.links++
		} else {
			n = &node{e: e, number: uint32(len(s.nodes) + 1), links: 1, xattr: none}
			if e.Type == tree.Dir {
				n.links = 2
			}
			s.nodes = append(s.nodes, n)
			s.byPath[e.Path] = n
		}
		if e.Path == "." {
			continue
		}
		dir, name := path.Dir(e.Path), path.Base(e.Path)
		up := s.byPath[dir]
		if up == nil || up.e.Type != tree.Dir {
			return fmt.Errorf("%s is in no directory", e.Path)
		}
		if len(name) > maxName {
			return fmt.Errorf("%w: %s has a name of %d bytes", ErrLimit, e.Path, len(name))
		}
		// Within a directory the order of paths is that of names.
		up.children = append(up.children, child{name, n})
		if e.Type == tree.Dir {
			n.parent = up
			up.links++
		}
	}
	if s.byPath["."] == nil {
		return fmt.Errorf("the tree has no root")
	}
	return nil
}

// kind is the inode's type in directories.
func (n *node) kind() (uint16, error) {
	switch n.e.Type {
	case tree.Dir:
		return typeDir, nil
	case tree.File:
		return typeFile, nil
	case tree.Symlink:
		return typeSymlink, nil
	case tree.Block:
		return typeBlock, nil
	case tree.Char:
		return typeChar, nil
	case tree.Fifo:
		return typeFifo, nil
	}
	return 0, fmt.Errorf("%s: unknown type %q", n.e.Path, byte(n.e.Type))
}

// header is what all inodes begin with.
func (s *writer) header(n *node, kind uint16) ([]byte, error) {
	uid, err := s.id(n.e.UID)
	if err != nil {
		return nil, err
	}
	gid, err := s.id(n.e.GID)
	if err != nil {
		return nil, err
	}
	var b []byte
	b = binary.LittleEndian.AppendUint16(b, kind)
	b = binary.LittleEndian.AppendUint16(b, uint16(n.e.Mode&0o7777))
	b = binary.LittleEndian.AppendUint16(b, uid)
	b = binary.LittleEndian.AppendUint16(b, gid)
	b = binary.LittleEndian.AppendUint32(b, seconds(n.e.MTime))
	return binary.LittleEndian.AppendUint32(b, n.number), nil
}

// listing is where a directory's names are.
type listing struct {
	block  uint32
	offset uint16
	size   int
	index  []indexEntry
}

// indexEntry says which name stands first in a later metadata block of a
// listing (squashfs_dir_index), so that a lookup need not read all of it.
type indexEntry struct {
	at    uint32 // bytes from the start of the listing
	block uint32
	name  string
}

// inode is the inode as it is stored. dir is for directories alone.
func (s *writer) inode(n *node, dir listing) ([]byte, error) {
	kind, err := n.kind()
	if err != nil {
		return nil, err
	}
	le := binary.LittleEndian
	more := n.xattr != none
	switch kind {
	case typeDir:
		// The size counts "." and "..", which are not stored, as 3 bytes.
		more = more || dir.size+3 > 0xffff || len(dir.index) > 0
	case typeFile:
		c := s.files[n.e.Path]
		more = more || n.links > 1 || c.sparse > 0 || c.start > none || n.e.Size > none
	}
	if more {
		kind += extended
	}
	b, err := s.header(n, kind)
	if err != nil {
		return nil, err
	}
	switch kind {
	case typeDir:
		b = le.AppendUint32(b, dir.block)
		b = le.AppendUint32(b, n.links)
		b = le.AppendUint16(b, uint16(dir.size+3))
		b = le.AppendUint16(b, dir.offset)
		b = le.AppendUint32(b, s.parent(n))
	case typeDir + extended:
		b = le.AppendUint32(b, n.links)
		b = le.AppendUint32(b, uint32(dir.size+3))
		b = le.AppendUint32(b, dir.block)
		b = le.AppendUint32(b, s.parent(n))
		b = le.AppendUint16(b, uint16(len(dir.index)))
		b = le.AppendUint16(b, dir.offset)
		b = le.AppendUint32(b, n.xattr)
		for _, x := range dir.index {
			b = le.AppendUint32(b, x.at)
			b = le.AppendUint32(b, x.block)
			b = le.AppendUint32(b, uint32(len(x.name)-1))
			b = append(b, x.name...)
		}
	case typeFile:
		c := s.files[n.e.Path]
		b = le.AppendUint32(b, uint32(c.start))
		b = le.AppendUint32(b, c.fragment)
		b = le.AppendUint32(b, c.offset)
		b = le.AppendUint32(b, uint32(n.e.Size))
		b = appendSizes(b, c.sizes)
	case typeFile + extended:
		c := s.files[n.e.Path]
		b = le.AppendUint64(b, uint64(c.start))
		b = le.AppendUint64(b, uint64(n.e.Size))
		b = le.AppendUint64(b, uint64(c.sparse))
		b = le.AppendUint32(b, n.links)
		b = le.AppendUint32(b, c.fragment)
		b = le.AppendUint32(b, c.offset)
		b = le.AppendUint32(b, n.xattr)
		b = appendSizes(b, c.sizes)
	default:
		b = le.AppendUint32(b, n.links)
		switch n.e.Type {
		case tree.Symlink:
			b = le.AppendUint32(b, uint32(len(n.e.Link)))
			b = append(b, n.e.Link...)
		case tree.Block, tree.Char:
			// new_encode_dev of linux/kdev_t.h
			major, minor := n.e.Major, n.e.Minor
			b = le.AppendUint32(b, minor&0xff|major<<8|minor&^0xff<<12)
		}
		if more {
			b = le.AppendUint32(b, n.xattr)
		}
	}
	return b, nil
}

func appendSizes(b []byte, sizes []uint32) []byte {
	for _, n := range sizes {
		b = binary.LittleEndian.AppendUint32(b, n)
	}
	return b
}

// parent is the number of the directory above; that above the root is one
// that no inode has.
func (s *writer) parent(n *node) uint32 {
	if n.parent == nil {
		return uint32(len(s.nodes) + 1)
	}
	return n.parent.number
}

// names is a directory's list of names (squashfs_dir_header and _entry).
// Entries whose inodes are near each other share a header; heads are the
// places of the headers with the names after them.
func (n *node) names() (out []byte, heads []indexEntry, err error) {
	le := binary.LittleEndian
	for i := 0; i < len(n.children); {
		first := n.children[i].n
		j := i
		for j < len(n.children) && j-i < 256 {
			c := n.children[j].n
			delta := int64(c.number) - int64(first.number)
			if c.block != first.block || delta > 0x7fff || delta < -0x8000 {
				break
			}
			j++
		}
		heads = append(heads, indexEntry{at: uint32(len(out)), name: n.children[i].name})
		out = le.AppendUint32(out, uint32(j-i-1))
		out = le.AppendUint32(out, first.block)
		out = le.AppendUint32(out, first.number)
		for _, c := range n.children[i:j] {
			kind, err := c.n.kind()
			if err != nil {
				return nil, nil, err
			}
			out = le.AppendUint16(out, c.n.offset)
			out = le.AppendUint16(out, uint16(int16(int64(c.n.number)-int64(first.number))))
			out = le.AppendUint16(out, kind)
			out = le.AppendUint16(out, uint16(len(c.name)-1))
			out = append(out, c.name...)
		}
		i = j
	}
	return out, heads, nil
}
