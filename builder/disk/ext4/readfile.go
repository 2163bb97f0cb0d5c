package ext4

import (
	"cmp"
	"fmt"
	"io"
	"slices"
)

const (
	flagEncrypt    = 0x800
	flagEAInode    = 0x200000
	flagInlineData = 0x10000000
)

// content is the data of an inode, by its extents.
type content struct {
	m    *Image
	size int64
	list []extent // sorted; without those that are not written yet
}

// content reads the extent tree of an inode.
func (m *Image) content(raw []byte) (*content, error) {
	flags := le.Uint32(raw[0x20:])
	size := uint64(le.Uint32(raw[0x04:])) | uint64(le.Uint32(raw[0x6c:]))<<32
	if flags&(flagEncrypt|flagInlineData|flagEAInode) != 0 || flags&flagExtents == 0 && size > 0 {
		return nil, fmt.Errorf("content is not in extents (flags %#x): %w", flags, ErrUnsupported)
	}
	if size > 1<<32*uint64(m.blockSize) {
		return nil, fmt.Errorf("size of %d: %w", size, ErrCorrupt)
	}
	c := &content{m: m, size: int64(size)}
	if size == 0 {
		return c, nil
	}
	if err := c.node(raw[0x28:0x28+60], -1, map[uint64]bool{}); err != nil {
		return nil, err
	}
	slices.SortFunc(c.list, func(a, b extent) int { return cmp.Compare(a.logical, b.logical) })
	for i := 1; i < len(c.list); i++ {
		if p := c.list[i-1]; uint64(p.logical)+uint64(p.n) > uint64(c.list[i].logical) {
			return nil, fmt.Errorf("extents overlap: %w", ErrCorrupt)
		}
	}
	return c, nil
}

// node adds the extents of a node of the tree, and of those below. No block
// is a node twice, so that a corrupt tree ends.
func (c *content) node(b []byte, depth int, seen map[uint64]bool) error {
	count, at := int(le.Uint16(b[2:])), int(le.Uint16(b[6:]))
	if le.Uint16(b) != extentMagic || 12+12*count > len(b) || at > 5 || depth >= 0 && at != depth-1 {
		return fmt.Errorf("extent tree: %w", ErrCorrupt)
	}
	for i := range count {
		r := b[12+12*i:]
		logical := le.Uint32(r)
		if at == 0 {
			n := uint32(le.Uint16(r[4:]))
			start := uint64(le.Uint16(r[6:]))<<32 | uint64(le.Uint32(r[8:]))
			if n > maxExtent {
				continue // allocated, but never written: reads as zero
			}
			if n == 0 || start == 0 || start+uint64(n) > c.m.blocks {
				return fmt.Errorf("extent: %w", ErrCorrupt)
			}
			c.list = append(c.list, extent{logical, n, start})
			continue
		}
		block := uint64(le.Uint16(r[8:]))<<32 | uint64(le.Uint32(r[4:]))
		if seen[block] {
			return fmt.Errorf("extent tree: %w", ErrCorrupt)
		}
		seen[block] = true
		child := make([]byte, c.m.blockSize)
		if err := c.m.block(child, block); err != nil {
			return err
		}
		if err := c.node(child, at, seen); err != nil {
			return err
		}
	}
	return nil
}

// ReadAt implements io.ReaderAt.
func (c *content) ReadAt(p []byte, off int64) (int, error) {
	if off < 0 || off >= c.size {
		return 0, io.EOF
	}
	var err error
	if int64(len(p)) > c.size-off {
		p, err = p[:c.size-off], io.EOF
	}
	done := 0
	for done < len(p) {
		n, start := c.find(off + int64(done))
		part := p[done:min(int64(len(p)), int64(done)+n)]
		if start < 0 {
			clear(part)
		} else if err := readFull(c.m.r, part, start); err != nil {
			return done, err
		}
		done += len(part)
	}
	return done, err
}

// find returns where on the disk byte off of the file is, or -1 in a hole,
// and for how many bytes that holds.
func (c *content) find(off int64) (n, start int64) {
	bs := c.m.blockSize
	logical := off / bs
	i, ok := slices.BinarySearchFunc(c.list, logical, func(x extent, l int64) int { return cmp.Compare(int64(x.logical), l) })
	if !ok {
		i--
	}
	if i >= 0 {
		x := c.list[i]
		if end := (int64(x.logical) + int64(x.n)) * bs; off < end {
			return end - off, c.m.off + int64(x.start)*bs + off - int64(x.logical)*bs
		}
	}
	if i+1 < len(c.list) {
		return int64(c.list[i+1].logical)*bs - off, -1
	}
	return c.size - off, -1
}
