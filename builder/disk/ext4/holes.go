package ext4

import (
	"bytes"
	"context"
	"fmt"
	"runtime"
	"sync/atomic"

	"golang.org/x/sync/errgroup"

	"cloudy/builder/tree"
)

// Content is what Scan knows of the content of a tree's large files: which of
// their blocks are zeros, and so take no room.
type Content struct {
	holes map[*tree.Entry]blockSet // of files that have some
}

// blockSet is a set of block numbers.
type blockSet []uint64

func (b blockSet) has(n uint64) bool { return n/64 < uint64(len(b)) && b[n/64]>>(n%64)&1 != 0 }

// large says whether holes are looked for in a file, from 4 MiB on. The zeros in
// the other files of a root, one block in some hundreds, are not worth reading
// all of them once more. The choice must depend on the tree alone: it decides
// sizes of disks.
func large(e *tree.Entry) bool { return e.Type == tree.File && e.Size >= largeFile }

const largeFile = 4 << 20 // bytes

// Scan reads all files of t of at least 4 MiB, on all cores. A file among them
// whose content is not exactly Entry.Size long is an error.
func Scan(ctx context.Context, t *tree.Tree) (*Content, error) {
	holes := make([]blockSet, len(t.Entries))
	var next atomic.Int64
	group, ctx := errgroup.WithContext(ctx)
	for range runtime.GOMAXPROCS(0) {
		group.Go(func() error {
			l := &loader{buf: make([]byte, chunk+1)}
			for {
				i := int(next.Add(1)) - 1
				if i >= len(t.Entries) {
					return nil
				}
				e := &t.Entries[i]
				if !large(e) || e.Size > maxFileSize { // newPlan refuses the latter
					continue
				}
				var err error
				if holes[i], err = l.scan(ctx, e); err != nil {
					return err
				}
			}
		})
	}
	if err := group.Wait(); err != nil {
		return nil, err
	}
	c := &Content{holes: map[*tree.Entry]blockSet{}}
	for i, b := range holes {
		if b != nil {
			c.holes[&t.Entries[i]] = b
		}
	}
	return c, nil
}

var zeroBlock [BlockSize]byte

// scan finds the holes of one file; nil if it has none.
func (l *loader) scan(ctx context.Context, e *tree.Entry) (blockSet, error) {
	var out blockSet
	for at := int64(0); at < e.Size; at += chunk {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		n := min(chunk, e.Size-at)
		if err := l.readFile(e, at, n, at+n == e.Size, 0); err != nil {
			return nil, err
		}
		for b := range divUp(uint64(n), BlockSize) {
			if bytes.Equal(l.buf[b*BlockSize:(b+1)*BlockSize], zeroBlock[:]) {
				if out == nil {
					out = make(blockSet, divUp(divUp(uint64(e.Size), BlockSize), 64))
				}
				block := uint64(at)/BlockSize + b
				out[block/64] |= 1 << (block % 64)
			}
		}
	}
	return out, nil
}

// checkHoles says whether the content of a job in the buffer still is zeros
// where no block was given to it.
func (l *loader) checkHoles(p *plan, j job) error {
	at := 0
	check := func(to int) error {
		for ; at < to; at += BlockSize {
			if !bytes.Equal(l.buf[at:at+BlockSize], zeroBlock[:]) {
				return fmt.Errorf("ext4: %s: content changed while it was read", p.entries[j.from].Path)
			}
		}
		return nil
	}
	for _, r := range j.runs {
		if err := check(r.from); err != nil {
			return err
		}
		at = r.to
	}
	return check(j.blocks * BlockSize)
}

// useContent counts what the large files really need.
func (p *plan) useContent(c *Content) {
	p.fileBlocks = 0
	for _, e := range p.entries {
		if e.Type != tree.File {
			continue
		}
		blocks := divUp(uint64(e.Size), BlockSize)
		if !large(e) {
			p.fileBlocks += blocks
			continue
		}
		holes := c.holes[e]
		used, pieces, hole := uint64(0), uint64(0), true
		for b := range blocks {
			is := holes.has(b)
			if !is {
				used++
				if hole {
					pieces++
				}
			}
			hole = is
		}
		p.fileBlocks += used + extentBlocksBound(blocks)
		if pieces > rootExtents-3 {
			p.fileBlocks += 2 + pieces/(leafExtents-1)
		}
	}
}
