package ext4

import (
	"time"

	"cloudy/builder/tree"
)

// File type bits of i_mode.
var modeTypes = map[tree.Type]uint32{
	tree.Fifo: 0x1000, tree.Char: 0x2000, tree.Dir: 0x4000, tree.Block: 0x6000, tree.File: 0x8000, tree.Symlink: 0xa000,
}

// Flags of an inode.
const (
	flagIndex   = 0x1000  // the directory is hashed
	flagExtents = 0x80000 // i_block is an extent tree
)

// inode is what goes into the inode table.
type inode struct {
	mode     uint32
	uid, gid uint32
	links    uint32
	size     uint64
	blocks   uint64 // of BlockSize, with those of attributes and extents
	flags    uint32
	mtime    time.Time
	epoch    time.Time // change and birth time
	data     [60]byte  // i_block
	acl      uint64    // attribute block
	inline   []byte    // attributes in the inode
}

// newInode fills in what the entry says.
func newInode(e *tree.Entry, links uint32, epoch time.Time) *inode {
	mtime := e.MTime
	if mtime.IsZero() {
		mtime = epoch
	}
	n := &inode{mode: modeTypes[e.Type] | e.Mode&0o7777, uid: e.UID, gid: e.GID, links: links, mtime: mtime, epoch: epoch}
	switch e.Type {
	case tree.Symlink:
		n.size = uint64(len(e.Link))
		if len(e.Link) < fastLink {
			copy(n.data[:], e.Link)
		}
	case tree.Char, tree.Block:
		// old_encode_dev and new_encode_dev of the kernel
		if e.Major < 256 && e.Minor < 256 {
			le.PutUint32(n.data[:], e.Major<<8|e.Minor)
		} else {
			le.PutUint32(n.data[4:], e.Minor&0xff|e.Major<<8|e.Minor>>8<<20)
		}
	case tree.File:
		n.size = uint64(e.Size)
	}
	if e.Type == tree.Dir && links > maxLinks {
		n.links = 1 // dir_nlink: too many to count
	}
	return n
}

// encode appends the inode with the given number to b.
func (n *inode) encode(b []byte, number, seed uint32) []byte {
	at := len(b)
	b = append(b, make([]byte, inodeSize)...)
	r := b[at:]
	le.PutUint16(r[0x00:], uint16(n.mode))
	le.PutUint16(r[0x02:], uint16(n.uid))
	le.PutUint32(r[0x04:], uint32(n.size))
	atime, atimeExtra := encodeTime(n.mtime)
	ctime, ctimeExtra := encodeTime(n.epoch)
	le.PutUint32(r[0x08:], atime)
	le.PutUint32(r[0x0c:], ctime)
	le.PutUint32(r[0x10:], atime)
	le.PutUint16(r[0x18:], uint16(n.gid))
	le.PutUint16(r[0x1a:], uint16(n.links))
	sectors := n.blocks * (BlockSize / 512)
	le.PutUint32(r[0x1c:], uint32(sectors))
	le.PutUint32(r[0x20:], n.flags)
	copy(r[0x28:0x64], n.data[:])
	le.PutUint32(r[0x68:], uint32(n.acl))
	le.PutUint32(r[0x6c:], uint32(n.size>>32))
	le.PutUint16(r[0x74:], uint16(sectors>>32))
	le.PutUint16(r[0x76:], uint16(n.acl>>32))
	le.PutUint16(r[0x78:], uint16(n.uid>>16))
	le.PutUint16(r[0x7a:], uint16(n.gid>>16))
	le.PutUint16(r[0x80:], extraSize)
	le.PutUint32(r[0x84:], ctimeExtra)
	le.PutUint32(r[0x88:], atimeExtra) // mtime's
	le.PutUint32(r[0x8c:], atimeExtra)
	le.PutUint32(r[0x90:], ctime) // birth
	le.PutUint32(r[0x94:], ctimeExtra)
	copy(r[128+extraSize:], n.inline)
	sum := checksum(inodeSeed(seed, number), r)
	le.PutUint16(r[0x7c:], uint16(sum))
	le.PutUint16(r[0x82:], uint16(sum>>16))
	return b
}

// encodeTime gives the seconds and the extra word, which has two more bits
// of the seconds and the nanoseconds (EXT4_EPOCH_BITS). Times outside the
// years 1901 to 2446 become the nearest that there is.
func encodeTime(t time.Time) (seconds, extra uint32) {
	const first, last = -1 << 31, 1<<34 - 1<<31 - 1
	s, ns := t.Unix(), uint32(t.Nanosecond())
	switch {
	case s < first:
		s, ns = first, 0
	case s > last:
		s, ns = last, 0
	}
	return uint32(s), uint32((s-int64(int32(s)))>>32)&3 | ns<<2
}
