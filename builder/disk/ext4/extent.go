package ext4

const (
	maxExtent   = 32768 // blocks of an initialised extent
	maxFileSize = (1<<32 - 1) * BlockSize

	extentMagic = 0xf30a
	rootExtents = 4                     // entries in i_block
	leafExtents = (BlockSize - 16) / 12 // entries in a block, with header and checksum
)

// An extent maps n blocks of a file from logical on to the disk.
type extent struct {
	logical uint32
	n       uint32
	start   uint64
}

// appendExtents adds the mapping of s at logical, to the last extent where it
// continues that.
func appendExtents(list []extent, logical uint64, s span) []extent {
	if k := len(list); k > 0 {
		last := &list[k-1]
		if uint64(last.logical)+uint64(last.n) == logical && last.start+uint64(last.n) == s.start {
			n := min(s.n, maxExtent-uint64(last.n))
			last.n += uint32(n)
			logical += n
			s = span{s.start + n, s.n - n}
		}
	}
	for s.n > 0 {
		n := min(s.n, maxExtent)
		list = append(list, extent{uint32(logical), uint32(n), s.start})
		logical += n
		s = span{s.start + n, s.n - n}
	}
	return list
}

// extentBlocksBound is the most blocks of extents that a file of so many
// blocks needs because of its length and of fixed metadata in its way. Holes
// pay for theirs: each frees a block and adds an extent at most.
func extentBlocksBound(blocks uint64) uint64 {
	if blocks < maxExtent/2 {
		return 0 // cannot meet more than three pieces of metadata
	}
	return 3 + blocks/maxExtent*2/leafExtents
}

// encodeExtents fills i_block. Where four entries do not suffice it asks alloc
// for a block and hands it to put; it returns how many.
func encodeExtents(data *[60]byte, list []extent, seed uint32, alloc func() (uint64, error), put func(uint64, []byte) error) (uint64, error) {
	used := uint64(0)
	depth := 0
	for len(list) > rootExtents {
		var upper []extent
		for len(list) > 0 {
			part := list[:min(leafExtents, len(list))]
			list = list[len(part):]
			at, err := alloc()
			if err != nil {
				return 0, err
			}
			b := make([]byte, BlockSize)
			putExtents(b, part, depth, leafExtents)
			le.PutUint32(b[BlockSize-4:], checksum(seed, b[:BlockSize-4]))
			if err := put(at, b); err != nil {
				return 0, err
			}
			used++
			upper = append(upper, extent{logical: part[0].logical, start: at})
		}
		list = upper
		depth++
	}
	putExtents(data[:], list, depth, rootExtents)
	return used, nil
}

// putExtents writes an ext4_extent_header and the entries: ext4_extent at
// depth 0, ext4_extent_idx above.
func putExtents(b []byte, list []extent, depth, limit int) {
	le.PutUint16(b, extentMagic)
	le.PutUint16(b[2:], uint16(len(list)))
	le.PutUint16(b[4:], uint16(limit))
	le.PutUint16(b[6:], uint16(depth))
	for i, x := range list {
		r := b[12+12*i:]
		le.PutUint32(r, x.logical)
		if depth == 0 {
			le.PutUint16(r[4:], uint16(x.n))
			le.PutUint16(r[6:], uint16(x.start>>32))
			le.PutUint32(r[8:], uint32(x.start))
		} else {
			le.PutUint32(r[4:], uint32(x.start))
			le.PutUint16(r[8:], uint16(x.start>>32))
		}
	}
}
