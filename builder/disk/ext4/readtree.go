package ext4

import (
	"context"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"cloudy/builder/tree"
)

// walker reads the directories of an image. What it has seen bounds the work
// that a corrupt image can cause.
type walker struct {
	m       *Image
	ctx     context.Context
	out     []tree.Entry
	numbers map[string]uint32 // path -> inode
	seen    map[uint32]int    // inode -> index of its first entry in out
	blocks  map[uint64]bool   // of directories
}

const maxPath = 1 << 13

// add adds the entry for path and all that is below. typ is the type byte of
// the directory entry, 0 where there is none.
func (w *walker) add(path string, number uint32, typ byte) error {
	if err := w.ctx.Err(); err != nil {
		return err
	}
	if i, ok := w.seen[number]; ok {
		e := w.out[i]
		if e.Type == tree.Dir {
			return fmt.Errorf("%s: directory stands in two places: %w", path, ErrCorrupt)
		}
		e.Path = path
		w.out = append(w.out, e)
		w.numbers[path] = number
		return nil
	}
	raw, err := w.m.readInode(number)
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	e, err := w.m.entry(path, raw)
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	if e.Type == 0 {
		return nil // a socket
	}
	if typ != 0 && typ != fileTypes[e.Type] || len(path) > maxPath {
		return fmt.Errorf("%s: type or name: %w", path, ErrCorrupt)
	}
	w.seen[number] = len(w.out)
	w.out = append(w.out, e)
	w.numbers[path] = number
	if e.Type != tree.Dir {
		return nil
	}
	return w.directory(path, number, raw)
}

// directory reads a directory block by block. The index blocks of a hashed
// directory look like unused entries, so that both forms read alike.
func (w *walker) directory(path string, number uint32, raw []byte) error {
	c, err := w.m.content(raw)
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	b := make([]byte, w.m.blockSize)
	for _, x := range c.list {
		for i := range uint64(x.n) {
			if w.blocks[x.start+i] {
				return fmt.Errorf("%s: block in two directories: %w", path, ErrCorrupt)
			}
			w.blocks[x.start+i] = true
			if err := w.m.block(b, x.start+i); err != nil {
				return fmt.Errorf("%s: %w", path, err)
			}
			if err := w.dirBlock(path, b); err != nil {
				return err
			}
		}
	}
	return nil
}

func (w *walker) dirBlock(path string, shared []byte) error {
	b := slices.Clone(shared) // the caller goes on with its buffer further down the tree
	for len(b) > 0 {
		if len(b) < 8 {
			return fmt.Errorf("%s: directory entry: %w", path, ErrCorrupt)
		}
		number, n, nameLen, typ := le.Uint32(b), int(le.Uint16(b[4:])), int(b[6]), b[7]
		if n == 0 || n == 0xffff {
			n = 1 << 16 // a whole block of 64 KiB
		}
		if n < 8 || n%4 != 0 || n > len(b) || 8+nameLen > n {
			return fmt.Errorf("%s: directory entry: %w", path, ErrCorrupt)
		}
		name := string(b[8 : 8+nameLen])
		b = b[n:]
		if number == 0 || name == "." || name == ".." {
			continue
		}
		if name == "" || strings.ContainsAny(name, "/\x00") {
			return fmt.Errorf("%s: name %q: %w", path, name, ErrCorrupt)
		}
		full := name
		if path != "." {
			full = path + "/" + name
		}
		if err := w.add(full, number, typ); err != nil {
			return err
		}
	}
	return nil
}

// entry makes an entry of an inode; one of Type 0 for a socket.
func (m *Image) entry(path string, raw []byte) (tree.Entry, error) {
	u16 := func(at int) uint32 { return uint32(le.Uint16(raw[at:])) }
	mode := u16(0)
	e := tree.Entry{
		Path: path, Mode: mode & 0o7777,
		UID: u16(0x02) | u16(0x78)<<16, GID: u16(0x18) | u16(0x7a)<<16,
	}
	const socket = 0xc000
	if mode&0xf000 == socket {
		return e, nil
	}
	for typ, bits := range modeTypes {
		if mode&0xf000 == bits {
			e.Type = typ
		}
	}
	if e.Type == 0 {
		return e, fmt.Errorf("mode %#o: %w", mode, ErrCorrupt)
	}
	extra := 0
	if m.inodeSize > 128 {
		extra = int(u16(0x80))
	}
	var mtimeExtra uint32
	if extra >= 12 && len(raw) >= 0x8c {
		mtimeExtra = le.Uint32(raw[0x88:])
	}
	e.MTime = decodeTime(le.Uint32(raw[0x10:]), mtimeExtra)

	size := uint64(le.Uint32(raw[0x04:])) | uint64(le.Uint32(raw[0x6c:]))<<32
	switch e.Type {
	case tree.File:
		if size > math.MaxInt64 {
			return e, fmt.Errorf("size: %w", ErrCorrupt)
		}
		e.Size = int64(size)
	case tree.Char, tree.Block:
		if old := le.Uint32(raw[0x28:]); old != 0 {
			e.Major, e.Minor = old>>8&0xff, old&0xff
		} else {
			dev := le.Uint32(raw[0x2c:])
			e.Major, e.Minor = dev>>8&0xfff, dev&0xff|dev>>12&0xfff00
		}
	case tree.Symlink:
		target, err := m.target(raw, size)
		if err != nil {
			return e, err
		}
		e.Link = target
	}
	var err error
	e.Xattrs, err = m.xattrs(raw, 128+extra)
	return e, err
}

// target reads where a symlink points to.
func (m *Image) target(raw []byte, size uint64) (string, error) {
	if size < fastLink && le.Uint32(raw[0x20:])&flagExtents == 0 {
		return string(raw[0x28 : 0x28+size]), nil
	}
	if size > uint64(m.blockSize) {
		return "", fmt.Errorf("symlink target of %d bytes: %w", size, ErrCorrupt)
	}
	c, err := m.content(raw)
	if err != nil {
		return "", err
	}
	b := make([]byte, size)
	_, err = c.ReadAt(b, 0)
	return string(b), err
}

// decodeTime is the opposite of encodeTime.
func decodeTime(seconds, extra uint32) time.Time {
	return time.Unix(int64(int32(seconds))+int64(extra&3)<<32, int64(extra>>2)%1e9).UTC()
}

// xattrs reads the attributes in the inode, from byte at on, and those in its
// attribute block.
func (m *Image) xattrs(raw []byte, at int) ([]tree.Xattr, error) {
	var out []tree.Xattr
	var err error
	if at+4 <= len(raw) && le.Uint32(raw[at:]) == xattrMagic {
		if out, err = readXattrs(out, raw[at+4:], 0); err != nil {
			return nil, err
		}
	}
	if acl := uint64(le.Uint32(raw[0x68:])) | uint64(le.Uint16(raw[0x76:]))<<32; acl != 0 {
		b := make([]byte, m.blockSize)
		if err := m.block(b, acl); err != nil {
			return nil, err
		}
		if le.Uint32(b) != xattrMagic {
			return nil, fmt.Errorf("attribute block: %w", ErrCorrupt)
		}
		if out, err = readXattrs(out, b, xattrHeader); err != nil {
			return nil, err
		}
	}
	slices.SortFunc(out, func(a, b tree.Xattr) int { return strings.Compare(a.Name, b.Name) })
	return out, nil
}

// readXattrs is the opposite of putXattrs.
func readXattrs(out []tree.Xattr, b []byte, at int) ([]tree.Xattr, error) {
	room := uint64(len(b)) // values do not overlap
	for at+4 <= len(b) && le.Uint32(b[at:]) != 0 {
		if at+xattrEntry > len(b) || at+xattrEntry+int(b[at]) > len(b) {
			return nil, fmt.Errorf("attribute: %w", ErrCorrupt)
		}
		name := string(b[at+xattrEntry : at+xattrEntry+int(b[at])])
		from, n := int(le.Uint16(b[at+2:])), uint64(le.Uint32(b[at+8:]))
		if le.Uint32(b[at+4:]) != 0 {
			return nil, fmt.Errorf("attribute %q has an inode of its own: %w", name, ErrUnsupported)
		}
		if uint64(from)+n > uint64(len(b)) || n > room {
			return nil, fmt.Errorf("attribute %q: %w", name, ErrCorrupt)
		}
		room -= n
		x := tree.Xattr{Value: slices.Clone(b[from : from+int(n)])}
		for _, p := range xattrPrefixes {
			if p.index == b[at+1] {
				x.Name = p.prefix + name
			}
		}
		if x.Name == "" {
			return nil, fmt.Errorf("attribute %q of kind %d: %w", name, b[at+1], ErrUnsupported)
		}
		if b[at+1] == 2 || b[at+1] == 3 {
			var err error
			if x.Value, err = decodeACL(x.Value); err != nil {
				return nil, err
			}
		}
		out = append(out, x)
		at += xattrEntry + pad4(len(name))
	}
	return out, nil
}

// decodeACL is the opposite of encodeACL.
func decodeACL(v []byte) ([]byte, error) {
	if len(v) < 4 || le.Uint32(v) != aclOnDisk {
		return nil, fmt.Errorf("ACL: %w", ErrCorrupt)
	}
	out := le.AppendUint32(nil, aclVersion)
	for v = v[4:]; len(v) > 0; {
		if len(v) < 4 {
			return nil, fmt.Errorf("ACL: %w", ErrCorrupt)
		}
		id, n := uint32(math.MaxUint32), 4
		if tag := le.Uint16(v); tag == aclUser || tag == aclGroup {
			if n = 8; len(v) < n {
				return nil, fmt.Errorf("ACL: %w", ErrCorrupt)
			}
			id = le.Uint32(v[4:])
		}
		out = append(out, v[:4]...)
		out = le.AppendUint32(out, id)
		v = v[n:]
	}
	return out, nil
}
