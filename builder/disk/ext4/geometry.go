package ext4

import (
	"cmp"
	"slices"
)

const (
	blocksPerGroup = 8 * BlockSize // as many as a bitmap block has bits
	inodeSize      = 256
	inodesPerBlock = BlockSize / inodeSize
	descSize       = 64 // with the 64bit feature
	descsPerBlock  = BlockSize / descSize
	pointers       = BlockSize / 4 // block numbers in an indirect block
	flexGroups     = 16            // groups whose bitmaps and inode tables stand together

	rootInode      = 2
	resizeInode    = 7
	journalInode   = 8
	lostFoundInode = 11 // the first that is not reserved
)

// A span is a run of blocks.
type span struct{ start, n uint64 }

func (s span) end() uint64 { return s.start + s.n }

// groupPlace says where the metadata of a group is.
type groupPlace struct{ blockBitmap, inodeBitmap, inodeTable uint64 }

// geometry is the fixed part of a filesystem: where the superblocks, the
// descriptors, the bitmaps, the inode tables and the journal are.
type geometry struct {
	blocks         uint64
	reserved       uint64 // blocks for root only
	inodesPerGroup uint32
	gdt            uint64 // blocks of group descriptors
	reservedGDT    uint64 // blocks for more of them
	groups         []groupPlace
	metadata       []span // sorted: all of the above
	journal        span
	fixed          []span // metadata and journal, sorted and merged
	fixedBlocks    uint64
}

// newGeometry lays out a filesystem of o.Size bytes with at least the given
// number of inodes. It returns false when the size is too small for that.
func newGeometry(o Options, inodes uint64) (*geometry, bool) {
	g := &geometry{blocks: uint64(max(o.Size, 0)) / BlockSize}
	for {
		if g.blocks < 64 {
			return nil, false
		}
		n := divUp(g.blocks, blocksPerGroup)
		most := min(n*8*BlockSize, 1<<31)
		inodes := max(inodes, min(g.blocks*BlockSize/uint64(o.BytesPerInode), most))
		perGroup := divUp(divUp(inodes, n), inodesPerBlock) * inodesPerBlock
		if perGroup > 8*BlockSize {
			return nil, false
		}
		g.inodesPerGroup = uint32(perGroup)
		g.groups = make([]groupPlace, n)
		g.gdt = divUp(n, descsPerBlock)
		g.reservedGDT = reservedGDT(g.blocks, g.gdt, o.GrowTo)

		// The last group must be worth it; this is mke2fs's rule.
		overhead := 2 + g.tableBlocks()
		if hasSuper(n - 1) {
			overhead += 1 + g.gdt + g.reservedGDT
		}
		rest := g.blocks % blocksPerGroup
		if rest == 0 || rest >= overhead+50 {
			break
		}
		g.blocks -= rest
	}
	g.reserved = g.blocks * uint64(o.ReservedPercent) / 100
	if !g.place() {
		return nil, false
	}
	return g, g.placeJournal()
}

// reservedGDT is the number of descriptor blocks in reserve
// (calc_reserved_gdt_blocks of libext2fs, with a higher floor: an image of
// some hundred MiB goes onto a disk of any size).
func reservedGDT(blocks, gdt uint64, growTo int64) uint64 {
	limit := uint64(growTo) / BlockSize
	if growTo <= 0 {
		limit = max(1024*blocks, 1<<40/BlockSize)
	}
	limit = min(limit, 1<<32-1)
	all := divUp(divUp(limit, blocksPerGroup), descsPerBlock)
	if all <= gdt {
		return 0
	}
	return min(all-gdt, pointers)
}

func (g *geometry) tableBlocks() uint64 { return uint64(g.inodesPerGroup) / inodesPerBlock }

// groupEnd is the block after the last of group i.
func (g *geometry) groupEnd(i int) uint64 { return min(uint64(i+1)*blocksPerGroup, g.blocks) }

// superSpan is the superblock copy, the descriptors and the reserve at the
// start of group i; it is empty in groups without them.
func (g *geometry) superSpan(i int) span {
	start := uint64(i) * blocksPerGroup
	if !hasSuper(uint64(i)) {
		return span{start, 0}
	}
	return span{start, 1 + g.gdt + g.reservedGDT}
}

// hasSuper tells whether a group has a copy of the superblock
// (sparse_super: groups 0, 1 and the powers of 3, 5 and 7).
func hasSuper(group uint64) bool {
	if group <= 1 {
		return true
	}
	for _, base := range []uint64{3, 5, 7} {
		n := base
		for n < group {
			n *= base
		}
		if n == group {
			return true
		}
	}
	return false
}

// place puts the bitmaps and inode tables of each flex group at the start of
// its first group, as mke2fs does, and around the superblock copies of the
// following groups where they reach so far.
func (g *geometry) place() bool {
	for i := range g.groups {
		if s := g.superSpan(i); s.n > 0 {
			g.metadata = append(g.metadata, s)
		}
	}
	for first := 0; first < len(g.groups); first += flexGroups {
		pos := g.superSpan(first).end()
		flex := g.groups[first:min(first+flexGroups, len(g.groups))]
		for i := range flex {
			flex[i].blockBitmap = pos + uint64(i)
			flex[i].inodeBitmap = pos + flexGroups + uint64(i)
		}
		g.metadata = append(g.metadata, span{pos, uint64(len(flex))}, span{pos + flexGroups, uint64(len(flex))})
		pos += 2 * flexGroups
		for i := range flex {
			table := span{pos, g.tableBlocks()}
			next := int(table.end()-1) / blocksPerGroup // a table spans two groups at most
			if s := g.superSpan(next); next > first && s.n > 0 && s.start < table.end() && table.start < s.end() {
				table.start = s.end()
			}
			flex[i].inodeTable = table.start
			g.metadata = append(g.metadata, table)
			pos = table.end()
		}
		if pos > g.blocks {
			return false
		}
	}
	g.metadata = merge(g.metadata)
	return true
}

// placeJournal puts the journal at the end of the first gap that holds it in
// one piece, so that directories come before it, next to the inode tables.
func (g *geometry) placeJournal() bool {
	g.fixed = g.metadata
	if n := journalBlocks(g.blocks); n > 0 {
		a := allocator{used: g.metadata, end: g.blocks}
		for {
			gap, ok := a.take(g.blocks)
			if !ok {
				return false
			}
			if gap.n >= n+64 || (gap.n >= n && gap.start > blocksPerGroup) {
				g.journal = span{gap.end() - n, n}
				break
			}
		}
		g.fixed = merge(append(slices.Clone(g.metadata), g.journal))
	}
	for _, s := range g.fixed {
		g.fixedBlocks += s.n
	}
	return true
}

// journalBlocks is the size of the journal (ext2fs_default_journal_size).
func journalBlocks(blocks uint64) uint64 {
	switch {
	case blocks < 2048:
		return 0
	case blocks < 32768:
		return 1024
	case blocks < 256<<10:
		return 4096
	case blocks < 512<<10:
		return 8192
	case blocks < 4096<<10:
		return 16384
	case blocks < 8192<<10:
		return 32768
	case blocks < 16384<<10:
		return 65536
	case blocks < 32768<<10:
		return 131072
	}
	return 262144
}

// free is the number of blocks for the tree.
func (g *geometry) free() uint64 { return g.blocks - g.fixedBlocks }

func (g *geometry) inodes() uint64 { return uint64(len(g.groups)) * uint64(g.inodesPerGroup) }

// merge sorts spans and joins those that touch.
func merge(spans []span) []span {
	slices.SortFunc(spans, func(a, b span) int { return cmp.Compare(a.start, b.start) })
	out := spans[:0]
	for _, s := range spans {
		if n := len(out); n > 0 && out[n-1].end() == s.start {
			out[n-1].n += s.n
			continue
		}
		out = append(out, s)
	}
	return out
}

// An allocator hands out the free blocks in ascending order. All that lies
// before pos is in use, all behind it is free but for the fixed spans: no
// bitmap is needed until the end.
type allocator struct {
	used []span // sorted
	pos  uint64
	end  uint64
}

// take returns the next run of at most n blocks, or false at the end.
func (a *allocator) take(n uint64) (span, bool) {
	limit := a.end
	for len(a.used) > 0 {
		if a.pos < a.used[0].start {
			limit = a.used[0].start
			break
		}
		a.pos = a.used[0].end()
		a.used = a.used[1:]
	}
	if a.pos >= limit {
		return span{}, false
	}
	s := span{a.pos, min(n, limit-a.pos)}
	a.pos += s.n
	return s, true
}

func divUp(a, b uint64) uint64 { return (a + b - 1) / b }
