package squashfs

import (
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"path"
	"strings"
	"time"

	"cloudy/builder/tree"
)

// maxDepth of folders: a path in Linux has 4096 bytes at most.
const maxDepth = 2048

// Tree returns all entries of the filesystem but sockets; their content is
// read when it is asked for.
func (im *Image) Tree(ctx context.Context) (*tree.Tree, error) {
	w := &walk{im: im, ctx: ctx, t: &tree.Tree{}, numbers: map[string]uint32{}, folders: map[uint32]bool{}}
	if err := w.visit(".", im.root>>16, int(im.root&0xffff), 0); err != nil {
		return nil, fmt.Errorf("squashfs: %w", err)
	}
	w.t.Sort()
	first := map[uint32]string{}
	for i := range w.t.Entries {
		e := &w.t.Entries[i]
		n := w.numbers[e.Path]
		if at, again := first[n]; again && e.Type == tree.File {
			e.Type, e.Link, e.Size, e.Content, e.Xattrs = tree.Hardlink, at, 0, nil, nil
		} else {
			first[n] = e.Path
		}
	}
	return w.t, nil
}

type walk struct {
	im      *Image
	ctx     context.Context
	t       *tree.Tree
	numbers map[string]uint32 // of inodes, by paths
	folders map[uint32]bool   // that were visited
}

// inode is what the walk needs to know of one beside its entry.
type inode struct {
	number      uint32
	block       uint32 // of a folder's list of names
	offset, len int
}

// visit adds what is at a path, and all below it.
func (w *walk) visit(p string, block uint64, offset, depth int) error {
	if err := w.ctx.Err(); err != nil {
		return err
	}
	e, n, err := w.im.inode(block, offset)
	if err != nil {
		return fmt.Errorf("%s: %w", p, err)
	}
	if e.Type == 0 {
		return nil
	}
	// Many names of one file are few next to all files.
	if len(w.t.Entries) > 16*int(w.im.inodes) {
		return fmt.Errorf("%w: more names than its %d inodes can have", ErrInvalid, w.im.inodes)
	}
	e.Path, w.numbers[p] = p, n.number
	w.t.Entries = append(w.t.Entries, e)
	if e.Type != tree.Dir {
		return nil
	}
	if w.folders[n.number] {
		return fmt.Errorf("%w: %s is a folder that stands elsewhere, too", ErrInvalid, p)
	}
	w.folders[n.number] = true
	if depth == maxDepth {
		return fmt.Errorf("%w: folders within folders without end", ErrInvalid)
	}
	return w.list(p, n, depth)
}

// list visits what is in a folder (squashfs_dir_header and _entry).
func (w *walk) list(p string, n inode, depth int) error {
	c, err := w.im.cursor(w.im.tables.dirs, uint64(n.block), n.offset)
	if err != nil {
		return fmt.Errorf("%s: %w", p, err)
	}
	le := binary.LittleEndian
	for left := n.len; left > 0; {
		head, err := c.take(12)
		if err != nil {
			return fmt.Errorf("%s: %w", p, err)
		}
		count, block := le.Uint32(head), le.Uint32(head[4:])
		if left -= 12; count > 255 {
			return fmt.Errorf("%w: %s has a header of %d names", ErrInvalid, p, count)
		}
		for range count + 1 {
			entry, err := c.take(8)
			if err != nil {
				return fmt.Errorf("%s: %w", p, err)
			}
			offset, size := int(le.Uint16(entry)), int(le.Uint16(entry[6:]))+1
			name, err := c.take(size)
			if err != nil {
				return fmt.Errorf("%s: %w", p, err)
			}
			left -= 8 + size
			if s := string(name); s == "." || s == ".." || size > maxName || strings.ContainsAny(s, "/\x00") {
				return fmt.Errorf("%w: %s has a name %q", ErrInvalid, p, s)
			}
			if err := w.visit(path.Join(p, string(name)), uint64(block), offset, depth+1); err != nil {
				return err
			}
		}
	}
	return nil
}

// inode reads one: its entry without a path, and where its names are.
func (im *Image) inode(block uint64, offset int) (e tree.Entry, n inode, err error) {
	c, err := im.cursor(im.tables.inodes, block, offset)
	if err != nil {
		return e, n, err
	}
	head, err := c.take(16)
	if err != nil {
		return e, n, err
	}
	le := binary.LittleEndian
	kind := le.Uint16(head)
	e = tree.Entry{Mode: uint32(le.Uint16(head[2:])) & 0o7777, MTime: time.Unix(int64(le.Uint32(head[8:])), 0).UTC()}
	n.number = le.Uint32(head[12:])
	for i, id := range []*uint32{&e.UID, &e.GID} {
		at := int(le.Uint16(head[4+2*i:])) * 4
		if at >= len(im.ids) {
			return e, n, fmt.Errorf("%w: an owner that is not in the table", ErrInvalid)
		}
		*id = le.Uint32(im.ids[at:])
	}
	attributes := uint32(none)
	switch kind {
	case typeDir:
		e.Type = tree.Dir
		b, err := c.take(16)
		if err != nil {
			return e, n, err
		}
		n.block, n.len, n.offset = le.Uint32(b), int(le.Uint16(b[8:])), int(le.Uint16(b[10:]))
	case typeDir + extended:
		e.Type = tree.Dir
		b, err := c.take(24)
		if err != nil {
			return e, n, err
		}
		n.len, n.block, n.offset = int(le.Uint32(b[4:])), le.Uint32(b[8:]), int(le.Uint16(b[18:]))
		attributes = le.Uint32(b[20:])
	case typeFile, typeFile + extended:
		e.Type = tree.File
		if attributes, err = im.file(c, &e, kind == typeFile+extended); err != nil {
			return e, n, err
		}
	default:
		if attributes, err = special(c, &e, kind); err != nil {
			return e, n, err
		}
	}
	n.len -= 3 // "." and "..", which are counted and not stored
	e.Xattrs, err = im.attributes(attributes)
	return e, n, err
}

// special reads the inode of a link or device.
func special(c *cursor, e *tree.Entry, kind uint16) (attributes uint32, err error) {
	le := binary.LittleEndian
	types := map[uint16]tree.Type{typeSymlink: tree.Symlink, typeBlock: tree.Block, typeChar: tree.Char, typeFifo: tree.Fifo}
	more := kind > extended
	if more {
		kind -= extended
	}
	if e.Type = types[kind]; e.Type == 0 { // a socket, or nothing known
		return none, nil
	}
	if _, err := c.take(4); err != nil { // the number of links
		return none, err
	}
	switch e.Type {
	case tree.Symlink:
		b, err := c.take(4)
		if err != nil {
			return none, err
		}
		target, err := c.take(int(le.Uint32(b)))
		if err != nil {
			return none, err
		}
		e.Link = string(target)
	case tree.Block, tree.Char:
		b, err := c.take(4)
		if err != nil {
			return none, err
		}
		dev := le.Uint32(b) // new_decode_dev of linux/kdev_t.h
		e.Major, e.Minor = dev>>8&0xfff, dev&0xff|dev>>12&0xfff00
	}
	if !more {
		return none, nil
	}
	b, err := c.take(4)
	if err != nil {
		return none, err
	}
	return le.Uint32(b), nil
}

// file reads the rest of a file's inode.
func (im *Image) file(c *cursor, e *tree.Entry, more bool) (attributes uint32, err error) {
	le := binary.LittleEndian
	f := &content{}
	attributes = none
	if more {
		b, err := c.take(40)
		if err != nil {
			return none, err
		}
		f.start, e.Size = int64(le.Uint64(b)), int64(le.Uint64(b[8:]))
		f.fragment, f.offset, attributes = le.Uint32(b[28:]), le.Uint32(b[32:]), le.Uint32(b[36:])
	} else {
		b, err := c.take(16)
		if err != nil {
			return none, err
		}
		f.start, f.fragment, f.offset, e.Size = int64(le.Uint32(b)), le.Uint32(b[4:]), le.Uint32(b[8:]), int64(le.Uint32(b[12:]))
	}
	bs := int64(im.blockSize)
	if e.Size < 0 || e.Size/bs > maxTable/4 {
		return none, fmt.Errorf("%w: a file of %d bytes", ErrInvalid, e.Size)
	}
	blocks := e.Size / bs
	if f.fragment == none && e.Size%bs > 0 {
		blocks++
	}
	list, err := c.take(int(blocks) * 4)
	if err != nil {
		return none, err
	}
	for i := range blocks {
		f.sizes = append(f.sizes, le.Uint32(list[4*i:]))
	}
	size := e.Size
	e.Content = func() (io.ReadCloser, error) {
		return io.NopCloser(&fileReader{im: im, c: f, left: size, pos: f.start}), nil
	}
	return attributes, nil
}
