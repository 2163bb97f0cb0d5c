package squashfs

import (
	"context"
	"encoding/binary"
	"fmt"
	"math/bits"
	"slices"
	"strings"

	"cloudy/builder/tree"
)

// table is a run of metadata blocks that is being filled.
type table struct {
	pack   packer
	buf    []byte // of the block that is being filled
	out    []byte // packed blocks
	starts []int  // of the blocks in out
}

// add appends to the table and returns where it begins: the place of the
// block in the packed table, and the offset in the unpacked block.
func (t *table) add(p []byte) (block uint32, offset uint16, err error) {
	block, offset = uint32(len(t.out)), uint16(len(t.buf))
	for len(p) > 0 {
		n := min(len(p), metadataSize-len(t.buf))
		t.buf, p = append(t.buf, p[:n]...), p[n:]
		if len(t.buf) == metadataSize {
			if err := t.flush(); err != nil {
				return 0, 0, err
			}
		}
	}
	return block, offset, nil
}

func (t *table) flush() error {
	if len(t.buf) == 0 {
		return nil
	}
	packed, err := t.pack(nil, t.buf)
	if err != nil {
		return err
	}
	head := uint16(len(packed))
	if packed == nil {
		packed, head = t.buf, uint16(len(t.buf))|storedMetadata
	}
	t.starts = append(t.starts, len(t.out))
	t.out = binary.LittleEndian.AppendUint16(t.out, head)
	t.out = append(t.out, packed...)
	t.buf = t.buf[:0]
	return nil
}

// put writes the table, and returns where it is.
func (s *writer) put(t *table) (int64, error) {
	if err := t.flush(); err != nil {
		return 0, err
	}
	at := s.pos
	return at, s.append(t.out)
}

// putIndexed writes the table and after it the places of its blocks, and
// returns where those are.
func (s *writer) putIndexed(t *table, head []byte) (int64, error) {
	at, err := s.put(t)
	if err != nil {
		return 0, err
	}
	index := s.pos
	for _, start := range t.starts {
		head = binary.LittleEndian.AppendUint64(head, uint64(at)+uint64(start))
	}
	return index, s.append(head)
}

// metadata writes everything after the content, and the superblock.
func (s *writer) metadata(ctx context.Context) error {
	pack, err := newPacker(&s.o)
	if err != nil {
		return err
	}
	inodes, dirs := &table{pack: pack}, &table{pack: pack}
	s.xattrs = xattrTable{values: table{pack: pack}, known: map[string]uint32{}}
	// A directory names the places of what is in it. So everything else comes
	// first, and the directories go from the innermost out.
	for _, n := range s.nodes {
		if n.e.Type != tree.Dir {
			if err := s.putNode(n, inodes, dirs); err != nil {
				return err
			}
		}
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	for _, n := range slices.Backward(s.nodes) {
		if n.e.Type == tree.Dir {
			if err := s.putNode(n, inodes, dirs); err != nil {
				return err
			}
		}
	}
	super := superblock{xattrs: noTable, exports: noTable}
	if super.inodes, err = s.put(inodes); err != nil {
		return err
	}
	if super.dirs, err = s.put(dirs); err != nil {
		return err
	}
	frags, ids := &table{pack: pack}, &table{pack: pack}
	for _, f := range s.fragments {
		var b []byte
		b = binary.LittleEndian.AppendUint64(b, uint64(f.start))
		b = binary.LittleEndian.AppendUint32(b, f.size)
		if _, _, err := frags.add(append(b, 0, 0, 0, 0)); err != nil {
			return err
		}
	}
	if super.fragments, err = s.putIndexed(frags, nil); err != nil {
		return err
	}
	for _, id := range s.ids {
		if _, _, err := ids.add(binary.LittleEndian.AppendUint32(nil, id)); err != nil {
			return err
		}
	}
	if super.ids, err = s.putIndexed(ids, nil); err != nil {
		return err
	}
	if super.flags = flagNoXattrs; len(s.xattrs.sets) > 0 {
		super.flags = 0
		if super.xattrs, err = s.putXattrs(pack); err != nil {
			return err
		}
	}
	return s.finish(&super)
}

func (s *writer) putNode(n *node, inodes, dirs *table) error {
	var err error
	if n.xattr, err = s.xattrs.add(n.e.Xattrs); err != nil {
		return err
	}
	var l listing
	if n.e.Type == tree.Dir {
		if l, err = dirs.list(n); err != nil {
			return err
		}
	}
	b, err := s.inode(n, l)
	if err != nil {
		return err
	}
	n.block, n.offset, err = inodes.add(b)
	return err
}

// list adds the names of a directory to the table.
func (t *table) list(n *node) (listing, error) {
	names, heads, err := n.names()
	if err != nil {
		return listing{}, err
	}
	l := listing{size: len(names)}
	first := len(t.starts)
	if l.block, l.offset, err = t.add(names); err != nil {
		return l, err
	}
	last := 0
	for _, h := range heads {
		k := (int(l.offset) + int(h.at)) / metadataSize
		if k == last || len(l.index) == 0xffff {
			continue
		}
		last = k
		// The block that is being filled begins where the packed ones end.
		if h.block = uint32(len(t.out)); first+k < len(t.starts) {
			h.block = uint32(t.starts[first+k])
		}
		l.index = append(l.index, h)
	}
	return l, nil
}

// superblock is what the superblock says beside the counts.
type superblock struct {
	inodes, dirs, fragments, ids, xattrs, exports int64
	flags                                         uint16
}

// finish writes the superblock (squashfs_super_block) and the padding.
func (s *writer) finish(sb *superblock) error {
	used := s.pos
	le := binary.LittleEndian
	root := s.byPath["."]
	var b []byte
	b = le.AppendUint32(b, magic)
	b = le.AppendUint32(b, uint32(len(s.nodes)))
	b = le.AppendUint32(b, seconds(s.o.Epoch))
	b = le.AppendUint32(b, uint32(s.o.BlockSize))
	b = le.AppendUint32(b, uint32(len(s.fragments)))
	b = le.AppendUint16(b, uint16(s.o.Compressor))
	b = le.AppendUint16(b, uint16(bits.TrailingZeros(uint(s.o.BlockSize))))
	b = le.AppendUint16(b, sb.flags)
	b = le.AppendUint16(b, uint16(len(s.ids)))
	b = le.AppendUint16(b, 4)
	b = le.AppendUint16(b, 0)
	b = le.AppendUint64(b, uint64(root.block)<<16|uint64(root.offset))
	b = le.AppendUint64(b, uint64(used))
	for _, at := range []int64{sb.ids, sb.xattrs, sb.inodes, sb.dirs, sb.fragments, sb.exports} {
		b = le.AppendUint64(b, uint64(at))
	}
	if _, err := s.WriteAt(b, s.at); err != nil {
		return err
	}
	return s.append(make([]byte, (padding-used%padding)%padding))
}

// xattrTable holds each set of attributes once.
type xattrTable struct {
	values table
	sets   []xattrSet
	known  map[string]uint32
}

// xattrSet is squashfs_xattr_id.
type xattrSet struct {
	block  uint32
	offset uint16
	count  uint32
	size   uint32
}

// xattrPrefixes have numbers in place of their names.
var xattrPrefixes = []string{"user.", "trusted.", "security."}

// add returns the number of a set of attributes, or none for an empty one.
func (x *xattrTable) add(list []tree.Xattr) (uint32, error) {
	var b []byte
	var set xattrSet
	for _, a := range list {
		for kind, prefix := range xattrPrefixes {
			name, ok := strings.CutPrefix(a.Name, prefix)
			if !ok {
				continue
			}
			if len(name) > 0xffff {
				return 0, fmt.Errorf("%w: an attribute's name of %d bytes", ErrLimit, len(name))
			}
			b = binary.LittleEndian.AppendUint16(b, uint16(kind))
			b = binary.LittleEndian.AppendUint16(b, uint16(len(name)))
			b = append(b, name...)
			b = binary.LittleEndian.AppendUint32(b, uint32(len(a.Value)))
			b = append(b, a.Value...)
			set.count++
			// What listxattr(2) gives: names with their prefixes, and a zero.
			set.size += uint32(len(a.Name) + 1)
		}
	}
	if set.count == 0 {
		return none, nil
	}
	if i, ok := x.known[string(b)]; ok {
		return i, nil
	}
	var err error
	if set.block, set.offset, err = x.values.add(b); err != nil {
		return 0, err
	}
	i := uint32(len(x.sets))
	x.sets, x.known[string(b)] = append(x.sets, set), i
	return i, nil
}

// putXattrs writes the attributes, which must be the last of the filesystem.
func (s *writer) putXattrs(pack packer) (int64, error) {
	values, err := s.put(&s.xattrs.values)
	if err != nil {
		return 0, err
	}
	sets := &table{pack: pack}
	for _, x := range s.xattrs.sets {
		var b []byte
		b = binary.LittleEndian.AppendUint64(b, uint64(x.block)<<16|uint64(x.offset))
		b = binary.LittleEndian.AppendUint32(b, x.count)
		if _, _, err := sets.add(binary.LittleEndian.AppendUint32(b, x.size)); err != nil {
			return 0, err
		}
	}
	var head []byte
	head = binary.LittleEndian.AppendUint64(head, uint64(values))
	head = binary.LittleEndian.AppendUint32(head, uint32(len(s.xattrs.sets)))
	return s.putIndexed(sets, append(head, 0, 0, 0, 0))
}
