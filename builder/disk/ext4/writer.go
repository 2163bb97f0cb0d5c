package ext4

import (
	"context"
	"fmt"
	"io"
	"math"

	"cloudy/builder/tree"
)

// writer writes one filesystem. Blocks and inodes are given out in the order
// of the tree before anything is written, so the result does not depend on who
// was faster: what sums it all up stands in front, and Options.Follow sees it
// first. Only reading and writing of file content goes on side by side (see
// content.go).
type writer struct {
	dev   device // of metadata: notes
	meta  *notes
	out   device // what is written to
	o     Options
	p     *plan
	g     *geometry
	seed  uint32 // of all metadata checksums
	alloc allocator

	inodes  sink             // the inode tables
	dirs    map[int]dirPlace // by entry
	dirsIn  []uint32         // number of directories by group
	journal *inode

	list []extent // of the file whose content is being placed
}

func newWriter(w io.WriterAt, off int64, o Options, p *plan, g *geometry) *writer {
	meta := &notes{}
	d := device{w: meta}
	return &writer{
		dev: d, meta: meta, out: device{w, off}, o: o, p: p, g: g,
		seed:   checksum(^uint32(0), o.UUID[:]),
		alloc:  allocator{used: g.fixed, end: g.blocks},
		inodes: sink{d: d},
		dirs:   make(map[int]dirPlace),
		dirsIn: make([]uint32, len(g.groups)),
	}
}

// dirPlace is a directory that has been written.
type dirPlace struct {
	list   []extent
	blocks uint64
	hashed bool
}

func (w *writer) write(ctx context.Context) (Usage, error) {
	if err := w.writeDirectories(ctx); err != nil {
		return Usage{}, err
	}
	if err := w.writeReserved(); err != nil {
		return Usage{}, err
	}
	jobs, err := w.layContent(ctx)
	if err != nil {
		return Usage{}, err
	}
	if err := w.inodes.flush(); err != nil {
		return Usage{}, err
	}
	u, err := w.writeGroups()
	if err != nil {
		return u, err
	}
	meta := w.meta.sorted()
	for _, n := range meta {
		if err := w.out.writeAt(n.data, n.at); err != nil {
			return u, err
		}
	}
	var f *follower
	if w.o.Follow != nil {
		f = &follower{each: w.o.Follow, off: w.out.off, rest: meta}
	}
	if err := w.writeContent(ctx, jobs, w.out, f); err != nil {
		return u, err
	}
	if f != nil {
		f.metadata(math.MaxInt64)
	}
	return u, nil
}

// next takes one block.
func (w *writer) next() (uint64, error) {
	s, ok := w.alloc.take(1)
	if !ok {
		return 0, fmt.Errorf("ext4: planned %d blocks for the tree, and they are used up", w.p.blocks())
	}
	return s.start, nil
}

// place takes n blocks, calls put for each run of them, in order, and adds
// their mapping from logical on to list.
func (w *writer) place(list []extent, logical, n uint64, put func(s span) error) ([]extent, error) {
	for n > 0 {
		s, ok := w.alloc.take(n)
		if !ok {
			_, err := w.next()
			return nil, err
		}
		list = appendExtents(list, logical, s)
		if err := put(s); err != nil {
			return nil, err
		}
		logical += s.n
		n -= s.n
	}
	return list, nil
}

// writeDirectories writes all directories in one piece, behind the inode
// tables of the first groups.
func (w *writer) writeDirectories(ctx context.Context) error {
	out := sink{d: w.dev}
	for i, e := range w.p.entries {
		if e.Type != tree.Dir {
			continue
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		d, err := w.p.directory(i)
		if err != nil {
			return err
		}
		data := d.encode(w.seed)
		list, err := w.place(nil, 0, uint64(d.blocks()), func(s span) error {
			part := data[:s.n*BlockSize]
			data = data[len(part):]
			return out.write(part, int64(s.start)*BlockSize)
		})
		if err != nil {
			return err
		}
		w.dirs[i] = dirPlace{list, uint64(d.blocks()), d.hashed()}
	}
	return out.flush()
}

// putInode writes an inode that is complete into the inode table. Numbers
// must come in ascending order.
func (w *writer) putInode(number uint32, n *inode) error {
	group := (number - 1) / w.g.inodesPerGroup
	if n.mode&0xf000 == modeTypes[tree.Dir] {
		w.dirsIn[group]++
	}
	at := int64(w.g.groups[group].inodeTable)*BlockSize + int64((number-1)%w.g.inodesPerGroup)*inodeSize
	return w.inodes.write(n.encode(nil, number, w.seed), at)
}

// putUnused writes a reserved inode that is not in use: zeros and their
// checksum.
func (w *writer) putUnused(number uint32) error {
	b := make([]byte, inodeSize)
	le.PutUint16(b[0x7c:], uint16(checksum(inodeSeed(w.seed, number), b)))
	return w.inodes.write(b, int64(w.g.groups[0].inodeTable)*BlockSize+int64(number-1)*inodeSize)
}

// putMapping gives the inode its extents, and returns how many blocks they
// take outside of it.
func (w *writer) putMapping(n *inode, number uint32, list []extent) (uint64, error) {
	return encodeExtents(&n.data, list, inodeSeed(w.seed, number), w.next, func(at uint64, b []byte) error {
		return w.dev.writeBlock(b, at)
	})
}

// putEntry completes the inode of entry i, whose content is mapped by list,
// and writes it. attrs is its attribute block and where that goes.
func (w *writer) putEntry(i int, list []extent, attrs xattrs, attrBlock uint64) error {
	e, number := w.p.entries[i], w.p.inode[i]
	n := newInode(e, w.p.links[i], w.o.Epoch)
	n.inline = attrs.inline
	if attrs.block != nil {
		n.acl = attrBlock
		n.blocks++
	}
	if e.Type == tree.Dir || e.Type == tree.File || e.Type == tree.Symlink && len(e.Link) >= fastLink {
		n.flags |= flagExtents
		for _, x := range list {
			n.blocks += uint64(x.n)
		}
		more, err := w.putMapping(n, number, list)
		if err != nil {
			return err
		}
		n.blocks += more
	}
	if e.Type == tree.Dir {
		d := w.dirs[i]
		n.size = d.blocks * BlockSize
		if d.hashed {
			n.flags |= flagIndex
		}
	}
	return w.putInode(number, n)
}

// writeReserved writes the inodes up to lost+found.
func (w *writer) writeReserved() error {
	lostFound, _ := findEntry(w.p.entries, lostFoundName)
	for number := uint32(1); number <= lostFoundInode; number++ {
		var err error
		switch number {
		case rootInode:
			err = w.putDirectory(0)
		case lostFoundInode:
			err = w.putDirectory(lostFound)
		case resizeInode:
			err = w.writeResizeInode()
		case journalInode:
			err = w.writeJournal()
		default:
			err = w.putUnused(number)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// putDirectory writes the inode, and the attribute block, of a directory.
func (w *writer) putDirectory(i int) error {
	attrs, err := encodeXattrs(w.p.entries[i])
	if err != nil {
		return err
	}
	var at uint64
	if attrs.block != nil {
		if at, err = w.next(); err != nil {
			return err
		}
		finishXattrBlock(attrs.block, at, w.seed)
		if err := w.dev.writeBlock(attrs.block, at); err != nil {
			return err
		}
	}
	return w.putEntry(i, w.dirs[i].list, attrs, at)
}

// writeResizeInode writes inode 7, which owns the descriptor blocks in
// reserve: its double indirect block lists those after the superblock, and
// each of those lists its copies in the other groups
// (ext2fs_create_resize_inode).
func (w *writer) writeResizeInode() error {
	if w.g.reservedGDT == 0 {
		return w.putUnused(resizeInode)
	}
	n := &inode{mode: modeTypes[tree.File] | 0o600, links: 1, mtime: w.o.Epoch, epoch: w.o.Epoch}
	n.size = (pointers*pointers + pointers + 12) * BlockSize
	var backups []uint32
	for i := 1; i < len(w.g.groups); i++ {
		if hasSuper(uint64(i)) {
			backups = append(backups, uint32(i)*blocksPerGroup)
		}
	}
	at, err := w.next()
	if err != nil {
		return err
	}
	top := make([]byte, BlockSize)
	first := 1 + w.g.gdt
	lists := make([]byte, w.g.reservedGDT*BlockSize)
	for i := range w.g.reservedGDT {
		le.PutUint32(top[4*((w.g.gdt+i)%pointers):], uint32(first+i))
		for k, b := range backups {
			le.PutUint32(lists[i*BlockSize+uint64(4*k):], b+uint32(first+i))
		}
	}
	if len(backups) > 0 {
		if err := w.dev.writeBlock(lists, first); err != nil {
			return err
		}
	}
	if err := w.dev.writeBlock(top, at); err != nil {
		return err
	}
	n.blocks = 1 + w.g.reservedGDT*uint64(1+len(backups))
	le.PutUint32(n.data[4*13:], uint32(at))
	return w.putInode(resizeInode, n)
}

// writeJournal writes inode 8 and the superblock of the empty journal
// (journal_superblock_t of jbd2.h).
func (w *writer) writeJournal() error {
	j := w.g.journal
	if j.n == 0 {
		return w.putUnused(journalInode)
	}
	n := &inode{mode: modeTypes[tree.File] | 0o600, links: 1, size: j.n * BlockSize, flags: flagExtents, mtime: w.o.Epoch, epoch: w.o.Epoch}
	more, err := w.putMapping(n, journalInode, appendExtents(nil, 0, j))
	if err != nil {
		return err
	}
	n.blocks = j.n + more
	w.journal = n
	b := make([]byte, BlockSize)
	be.PutUint32(b[0x00:], 0xc03b3998) // JBD2_MAGIC_NUMBER
	be.PutUint32(b[0x04:], 4)          // superblock of version 2
	be.PutUint32(b[0x0c:], BlockSize)
	be.PutUint32(b[0x10:], uint32(j.n))
	be.PutUint32(b[0x14:], 1) // first block of the log
	be.PutUint32(b[0x18:], 1) // first commit expected
	copy(b[0x30:], w.o.UUID[:])
	be.PutUint32(b[0x40:], 1) // one filesystem uses it
	if err := w.dev.writeBlock(b, j.start); err != nil {
		return err
	}
	return w.putInode(journalInode, n)
}
