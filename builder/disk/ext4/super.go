package ext4

import "cloudy/builder/disk/sparse"

// Features, as dumpe2fs names them.
const (
	compatHasJournal  = 0x4
	compatExtAttr     = 0x8
	compatResizeInode = 0x10
	compatDirIndex    = 0x20

	incompatFiletype = 0x2
	incompatExtents  = 0x40
	incompat64bit    = 0x80
	incompatFlexBG   = 0x200

	roSparseSuper  = 0x1
	roLargeFile    = 0x2
	roHugeFile     = 0x8
	roDirNlink     = 0x20
	roExtraIsize   = 0x40
	roMetadataCsum = 0x400
)

// Flags of a group.
const (
	groupInodeUninit = 1 // no inode in use: the inode bitmap is not there
	groupBlockUninit = 2 // no block in use but for the group's own metadata
	groupInodeZeroed = 4 // nothing left to initialise lazily
)

// writeGroups writes what sums up all the rest: bitmaps, group descriptors
// and superblocks.
func (w *writer) writeGroups() (Usage, error) {
	u := Usage{Blocks: w.g.blocks, Inodes: w.g.inodes(), FreeInodes: w.g.inodes() - uint64(w.p.lastInode)}
	for _, f := range w.g.fixed {
		u.Fixed = append(u.Fixed, sparse.Extent{Offset: int64(f.start) * BlockSize, Length: int64(f.n) * BlockSize})
	}
	table := make([]byte, w.g.gdt*BlockSize)
	out := sink{d: w.dev}
	used := usedBlocks{fixed: w.g.fixed, pos: w.alloc.pos}
	for i := range w.g.groups {
		d := table[i*descSize : (i+1)*descSize]
		free, err := w.writeGroup(i, d, &used, &out)
		if err != nil {
			return u, err
		}
		u.FreeBlocks += free
	}
	if err := out.flush(); err != nil {
		return u, err
	}
	super := w.super(u)
	for i := range w.g.groups {
		if !hasSuper(uint64(i)) {
			continue
		}
		b := make([]byte, BlockSize, BlockSize+len(table))
		sb := b[:1024]
		if i == 0 {
			sb = b[1024:2048] // behind the boot sectors
		}
		copy(sb, super)
		if i > 0 {
			// libext2fs marks copies as not cleanly unmounted, so that
			// whoever needs one checks the filesystem.
			le.PutUint16(sb[0x3a:], 0)
			le.PutUint16(sb[0x5a:], uint16(i))
		}
		le.PutUint32(sb[0x3fc:], checksum(^uint32(0), sb[:0x3fc]))
		if err := w.dev.writeBlock(append(b, table...), uint64(i)*blocksPerGroup); err != nil {
			return u, err
		}
	}
	return u, nil
}

// writeGroup writes the bitmaps of group i, as far as it has any, and fills
// in its descriptor. It returns the number of free blocks.
func (w *writer) writeGroup(i int, d []byte, used *usedBlocks, out *sink) (uint64, error) {
	g := w.g
	place := g.groups[i]
	first, end := uint64(i)*blocksPerGroup, g.groupEnd(i)
	flags := uint16(groupInodeZeroed)

	blocks := make([]byte, BlockSize)
	n := used.fill(blocks, first, end)
	setBits(blocks, int(end-first), blocksPerGroup)
	free := end - first - n
	// Only what the kernel puts into the bitmap by itself may be in use.
	uninit := n == g.superSpan(i).n && i < len(g.groups)-1
	var blockSum uint32
	if uninit {
		flags |= groupBlockUninit
	} else {
		blockSum = checksum(w.seed, blocks)
		if err := out.write(blocks, int64(place.blockBitmap)*BlockSize); err != nil {
			return 0, err
		}
	}

	per := g.inodesPerGroup
	inodes := min(w.p.lastInode-min(w.p.lastInode, uint32(i)*per), per)
	var inodeSum uint32
	if inodes == 0 {
		flags |= groupInodeUninit
	} else {
		bitmap := make([]byte, BlockSize)
		setBits(bitmap, 0, int(inodes))
		setBits(bitmap, int(per), 8*BlockSize)
		inodeSum = checksum(w.seed, bitmap[:per/8])
		if err := out.write(bitmap, int64(place.inodeBitmap)*BlockSize); err != nil {
			return 0, err
		}
	}

	put32 := func(lo, hi int, v uint64) {
		le.PutUint32(d[lo:], uint32(v))
		le.PutUint32(d[hi:], uint32(v>>32))
	}
	put16 := func(lo, hi int, v uint32) {
		le.PutUint16(d[lo:], uint16(v))
		le.PutUint16(d[hi:], uint16(v>>16))
	}
	put32(0x00, 0x20, place.blockBitmap)
	put32(0x04, 0x24, place.inodeBitmap)
	put32(0x08, 0x28, place.inodeTable)
	put16(0x0c, 0x2c, uint32(free))
	put16(0x0e, 0x2e, per-inodes)
	put16(0x10, 0x30, w.dirsIn[i])
	le.PutUint16(d[0x12:], flags)
	put16(0x18, 0x38, blockSum)
	put16(0x1a, 0x3a, inodeSum)
	put16(0x1c, 0x32, per-inodes) // never used
	sum := checksum(checksum32(w.seed, uint32(i)), d)
	le.PutUint16(d[0x1e:], uint16(sum))
	return free, nil
}

// usedBlocks walks over the blocks in use, group after group.
type usedBlocks struct {
	fixed []span
	pos   uint64 // all before it are in use
}

// fill sets the bits of the blocks in use within first and end, and returns
// their number.
func (u *usedBlocks) fill(b []byte, first, end uint64) uint64 {
	n := uint64(0)
	free := first // end of what is set
	set := func(from, to uint64) {
		from, to = max(from, free), min(to, end)
		if from < to {
			setBits(b, int(from-first), int(to-first))
			n += to - from
			free = to
		}
	}
	set(first, u.pos)
	for len(u.fixed) > 0 && u.fixed[0].start < end {
		set(u.fixed[0].start, u.fixed[0].end())
		if u.fixed[0].end() > end {
			break // goes on in the next group
		}
		u.fixed = u.fixed[1:]
	}
	return n
}

// setBits sets the bits from from up to to.
func setBits(b []byte, from, to int) {
	for ; from < to && from%8 != 0; from++ {
		b[from/8] |= 1 << (from % 8)
	}
	for ; from+8 <= to; from += 8 {
		b[from/8] = 0xff
	}
	for ; from < to; from++ {
		b[from/8] |= 1 << (from % 8)
	}
}

// super returns the superblock (struct ext4_super_block) but for its
// checksum.
func (w *writer) super(u Usage) []byte {
	b := make([]byte, 1024)
	g, o := w.g, w.o
	put64 := func(lo, hi int, v uint64) {
		le.PutUint32(b[lo:], uint32(v))
		le.PutUint32(b[hi:], uint32(v>>32))
	}
	putTime := func(lo, hi int, v int64) {
		le.PutUint32(b[lo:], uint32(v))
		b[hi] = byte(v >> 32)
	}
	compat := uint32(compatExtAttr | compatDirIndex)
	if g.journal.n > 0 {
		compat |= compatHasJournal
	}
	if g.reservedGDT > 0 {
		compat |= compatResizeInode
	}
	epoch := max(o.Epoch.Unix(), 0)

	le.PutUint32(b[0x00:], uint32(u.Inodes))
	put64(0x04, 0x150, u.Blocks)
	put64(0x08, 0x154, g.reserved)
	put64(0x0c, 0x158, u.FreeBlocks)
	le.PutUint32(b[0x10:], uint32(u.FreeInodes))
	le.PutUint32(b[0x18:], 2) // block size: 1024<<2
	le.PutUint32(b[0x1c:], 2) // cluster size
	le.PutUint32(b[0x20:], blocksPerGroup)
	le.PutUint32(b[0x24:], blocksPerGroup)
	le.PutUint32(b[0x28:], g.inodesPerGroup)
	putTime(0x30, 0x274, epoch)   // last write
	le.PutUint16(b[0x36:], 65535) // mounts between checks: no limit
	le.PutUint16(b[0x38:], 0xef53)
	le.PutUint16(b[0x3a:], 1)   // cleanly unmounted
	le.PutUint16(b[0x3c:], 1)   // on errors: continue
	putTime(0x40, 0x277, epoch) // last check
	le.PutUint32(b[0x4c:], 1)   // dynamic revision
	le.PutUint32(b[0x54:], lostFoundInode)
	le.PutUint16(b[0x58:], inodeSize)
	le.PutUint32(b[0x5c:], compat)
	le.PutUint32(b[0x60:], incompatFiletype|incompatExtents|incompat64bit|incompatFlexBG)
	le.PutUint32(b[0x64:], roSparseSuper|roLargeFile|roHugeFile|roDirNlink|roExtraIsize|roMetadataCsum)
	copy(b[0x68:], o.UUID[:])
	copy(b[0x78:0x88], o.Label)
	le.PutUint16(b[0xce:], uint16(g.reservedGDT))
	copy(b[0xec:], o.HashSeed[:])
	b[0xfc] = hashHalfMD4
	le.PutUint16(b[0xfe:], descSize)
	le.PutUint32(b[0x100:], 0xc) // mount options: user_xattr, acl
	putTime(0x108, 0x276, epoch) // created
	le.PutUint16(b[0x15c:], extraSize)
	le.PutUint16(b[0x15e:], extraSize)
	le.PutUint32(b[0x160:], 1) // directory hash with signed characters
	b[0x174] = 4               // 1<<4 groups in a flex group
	b[0x175] = 1               // checksums are crc32c
	le.PutUint32(b[0x248:], uint32(g.fixedBlocks))
	if j := w.journal; j != nil {
		le.PutUint32(b[0xe0:], journalInode)
		b[0xfd] = 1 // a copy of its mapping follows
		copy(b[0x10c:], j.data[:])
		le.PutUint32(b[0x10c+60:], uint32(j.size>>32))
		le.PutUint32(b[0x10c+64:], uint32(j.size))
	}
	return b
}
