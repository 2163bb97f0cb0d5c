package ext4

import (
	"fmt"
	"slices"

	"cloudy/builder/tree"
)

// The type byte of a directory entry (filetype feature).
var fileTypes = map[tree.Type]byte{
	tree.File: 1, tree.Dir: 2, tree.Char: 3, tree.Block: 4, tree.Fifo: 5, tree.Symlink: 7,
}

const (
	dirTail   = 12 // ext4_dir_entry_tail: an unused entry that carries the checksum
	leafSpace = BlockSize - dirTail

	hashHalfMD4 = 1 // dx_root_info.hash_version, and the superblock's default

	// Leaves of a hashed directory are filled so far, that not every name
	// added later splits one.
	leafFill = leafSpace * 7 / 8

	// Entries of an index block: its header, and a tail of 8 bytes for the
	// checksum in place of the last entry (dx_root, dx_node, dx_tail).
	rootHeader = 12 + 12 + 8
	nodeHeader = 8
	rootLimit  = (BlockSize - rootHeader - 8) / 8
	nodeLimit  = (BlockSize - nodeHeader - 8) / 8
)

type dirName struct {
	name         string
	inode        uint32
	typ          byte
	major, minor uint32 // hash, of names in a hashed directory
}

// directory is the content of a directory: linear while it fits into one
// block, hashed (an htree) beyond.
type directory struct {
	inode, parent uint32
	names         []dirName
	minBlocks     int // of a linear directory

	leaves []int // of a hashed directory: the index of the first name in each leaf
	nodes  int   // of a hashed directory: index blocks below the root
}

func (d *directory) hashed() bool { return d.leaves != nil }

func (d *directory) blocks() int {
	if d.hashed() {
		return 1 + d.nodes + len(d.leaves)
	}
	return max(1, d.minBlocks)
}

// entryLen is the length of a directory entry, a multiple of 4.
func entryLen(name int) int { return (8 + name + 3) &^ 3 }

// pack decides the form of the directory, and sorts and splits the names of a
// hashed one.
func (d *directory) pack(seed [4]uint32) error {
	size := entryLen(1) + entryLen(2)
	for i := range d.names {
		size += entryLen(len(d.names[i].name))
	}
	if size <= leafSpace {
		return nil
	}
	for i := range d.names {
		n := &d.names[i]
		n.major, n.minor = halfMD4(n.name, seed)
	}
	slices.SortFunc(d.names, compareNames)
	fill := leafSpace + 1
	for i := range d.names {
		n := entryLen(len(d.names[i].name))
		if fill+n > leafFill {
			d.leaves = append(d.leaves, i)
			fill = 0
		}
		fill += n
	}
	if len(d.leaves) > rootLimit {
		d.nodes = (len(d.leaves) + nodeLimit - 1) / nodeLimit
	}
	if d.nodes > rootLimit {
		return fmt.Errorf("%d names in one directory: %w", len(d.names), ErrUnsupported)
	}
	return nil
}

// encode returns the blocks of the directory. seed is the filesystem's.
func (d *directory) encode(seed uint32) []byte {
	seed = inodeSeed(seed, d.inode)
	out := make([]byte, d.blocks()*BlockSize)
	block := func(i int) []byte { return out[i*BlockSize : (i+1)*BlockSize] }
	if !d.hashed() {
		b := block(0)
		at := putEntry(b, 0, d.inode, 2, ".")
		last := at
		at = putEntry(b, at, d.parent, 2, "..")
		finishLeaf(b, putNames(b, last, at, d.names), seed)
		for i := 1; i < d.blocks(); i++ {
			finishLeaf(block(i), 0, seed)
		}
		return out
	}

	firstLeaf := 1 + d.nodes
	index := make([]indexEntry, len(d.leaves))
	for i, from := range d.leaves {
		to := len(d.names)
		if i+1 < len(d.leaves) {
			to = d.leaves[i+1]
		}
		b := block(firstLeaf + i)
		finishLeaf(b, putNames(b, 0, 0, d.names[from:to]), seed)
		index[i] = indexEntry{hash: d.names[from].major, block: uint32(firstLeaf + i)}
		if from > 0 && d.names[from-1].major == d.names[from].major {
			index[i].hash |= 1 // the leaf goes on with the hash of the one before
		}
	}
	if d.nodes > 0 {
		var upper []indexEntry
		for i := range d.nodes {
			part := index[i*nodeLimit : min((i+1)*nodeLimit, len(index))]
			b := block(1 + i)
			le.PutUint16(b[4:], BlockSize) // the fake entry of dx_node spans the block
			putIndex(b, nodeHeader, nodeLimit, part, seed)
			upper = append(upper, indexEntry{hash: part[0].hash, block: uint32(1 + i)})
		}
		index = upper
	}
	d.encodeRoot(block(0), index, seed)
	return out
}

// encodeRoot writes dx_root: to a reader without htree support it is a block
// with the entries "." and "..".
func (d *directory) encodeRoot(b []byte, index []indexEntry, seed uint32) {
	putEntry(b, 0, d.inode, 2, ".")
	putEntry(b, 12, d.parent, 2, "..")
	le.PutUint16(b[12+4:], BlockSize-12)
	b[28] = hashHalfMD4
	b[29] = 8 // info_length
	if d.nodes > 0 {
		b[30] = 1 // indirect_levels
	}
	putIndex(b, rootHeader, rootLimit, index, seed)
}

type indexEntry struct{ hash, block uint32 }

// putIndex writes dx_entries at byte at, the first of which has the limit and
// the count in place of its hash, and the dx_tail after the last possible one.
func putIndex(b []byte, at, limit int, index []indexEntry, seed uint32) {
	for i, e := range index {
		le.PutUint32(b[at+8*i:], e.hash)
		le.PutUint32(b[at+8*i+4:], e.block)
	}
	le.PutUint16(b[at:], uint16(limit))
	le.PutUint16(b[at+2:], uint16(len(index)))
	sum := checksum(seed, b[:at+8*len(index)])
	sum = checksum(sum, make([]byte, 8)) // the empty tail
	le.PutUint32(b[at+8*limit+4:], sum)
}

// putEntry writes one entry at byte at of b and returns where the next goes.
func putEntry(b []byte, at int, inode uint32, typ byte, name string) int {
	n := entryLen(len(name))
	le.PutUint32(b[at:], inode)
	le.PutUint16(b[at+4:], uint16(n))
	b[at+6] = byte(len(name))
	b[at+7] = typ
	copy(b[at+8:], name)
	return at + n
}

// putNames writes the entries of names from byte at on, and stretches the
// last entry, which so far is that at byte last, to the end of the leaf.
func putNames(b []byte, last, at int, names []dirName) int {
	for i := range names {
		last = at
		at = putEntry(b, at, names[i].inode, names[i].typ, names[i].name)
	}
	return last
}

// finishLeaf stretches the entry at byte last over the rest of the leaf and
// adds the tail with the checksum.
func finishLeaf(b []byte, last int, seed uint32) {
	le.PutUint16(b[last+4:], uint16(leafSpace-last))
	tail := b[leafSpace:]
	le.PutUint16(tail[4:], dirTail)
	tail[7] = 0xde // EXT4_FT_DIR_CSUM
	le.PutUint32(tail[8:], checksum(seed, b[:leafSpace]))
}
