package ext4

import (
	"context"
	"runtime"
	"sync"

	"golang.org/x/sync/errgroup"

	"cloudy/builder/tree"
)

const (
	jobBlocks  = chunk / BlockSize
	jobEntries = 1024
)

// A job is a piece of the tree whose content is read into one buffer: some
// entries in a row, or a chunk of one large file. Jobs are read and written
// side by side, but blocks and inodes are given out in their order, so that
// the result does not depend on which goroutine was faster.
type job struct {
	from, to int   // entries; to == from+1 for a chunk
	at, n    int64 // the chunk's place in the file in bytes, when n > 0
	last     bool  // the job has the end of its entries

	turn <-chan struct{} // closed when all jobs before have their blocks
	done chan<- struct{} // to be closed when this one has
}

// jobs deals out the jobs of a plan.
type jobs struct {
	mu   sync.Mutex
	p    *plan
	i    int   // next entry
	at   int64 // where in a large file
	turn chan struct{}
}

func (q *jobs) next() (job, bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for q.i < len(q.p.entries) && q.skip(q.i) {
		q.i++
	}
	if q.i == len(q.p.entries) {
		return job{}, false
	}
	done := make(chan struct{})
	j := job{from: q.i, turn: q.turn, done: done}
	q.turn = done

	if e := q.p.entries[q.i]; contentSize(e) > chunk {
		j.to = q.i + 1
		j.at, j.n = q.at, min(chunk, e.Size-q.at)
		q.at += j.n
		if j.last = q.at == e.Size; j.last {
			q.i, q.at = j.to, 0
		}
		return j, true
	}
	j.last = true
	blocks := uint64(0)
	for ; q.i < len(q.p.entries) && q.i-j.from < jobEntries; q.i++ {
		if q.skip(q.i) {
			continue
		}
		size := contentSize(q.p.entries[q.i])
		blocks += divUp(uint64(size), BlockSize)
		if size > chunk || blocks > jobBlocks {
			break
		}
	}
	j.to = q.i
	return j, true
}

// skip tells whether entry i has no inode of its own, or has it already.
func (q *jobs) skip(i int) bool {
	return q.p.entries[i].Type == tree.Hardlink || q.p.inode[i] <= lostFoundInode
}

// contentSize is the number of bytes that go into data blocks of a file or a
// symlink.
func contentSize(e *tree.Entry) int64 {
	switch {
	case e.Type == tree.File:
		return e.Size
	case e.Type == tree.Symlink && len(e.Link) >= fastLink:
		return int64(len(e.Link))
	}
	return 0
}

// writeContent writes all that has an inode after lost+found's.
func (w *writer) writeContent(ctx context.Context) error {
	start := make(chan struct{})
	close(start)
	q := &jobs{p: w.p, turn: start}
	group, ctx := errgroup.WithContext(ctx)
	for range min(max(runtime.GOMAXPROCS(0), 2), 4) {
		group.Go(func() error {
			l := &loader{buf: make([]byte, chunk+1)}
			for {
				j, ok := q.next()
				if !ok || ctx.Err() != nil {
					return ctx.Err()
				}
				if err := l.read(w.p, j); err != nil {
					return err
				}
				select {
				case <-j.turn:
				case <-ctx.Done():
					return ctx.Err()
				}
				if err := w.placeJob(j, l); err != nil {
					return err
				}
				close(j.done)
				if err := l.write(w.dev); err != nil {
					return err
				}
			}
		})
	}
	return group.Wait()
}

// placeJob gives the entries of a job their blocks and writes their inodes.
// The content itself is only noted in l.runs, to be written when the next job
// may already go on.
func (w *writer) placeJob(j job, l *loader) error {
	pos := 0
	for i := j.from; i < j.to; i++ {
		e := w.p.entries[i]
		if e.Type == tree.Hardlink || w.p.inode[i] <= lostFoundInode {
			continue
		}
		if j.at == 0 {
			w.list = w.dirs[i].list // nil if it is not a directory
		}
		n := j.n
		if n == 0 {
			n = contentSize(e)
		}
		blocks := int(divUp(uint64(n), BlockSize))
		if err := w.placeBlocks(l, uint64(j.at/BlockSize), pos/BlockSize, blocks); err != nil {
			return err
		}
		pos += blocks * BlockSize
		if !j.last {
			continue
		}
		attrs, err := encodeXattrs(e)
		if err != nil {
			return err
		}
		var attrBlock uint64
		if attrs.block != nil {
			if attrBlock, err = w.next(); err != nil {
				return err
			}
			finishXattrBlock(attrs.block, attrBlock, w.seed)
			l.runs = append(l.runs, run{extra: attrs.block, block: attrBlock})
		}
		if err := w.putEntry(i, w.list, attrs, attrBlock); err != nil {
			return err
		}
	}
	return nil
}

// placeBlocks gives blocks to what stands in the buffer from block first on,
// and notes where each goes. Holes get none.
func (w *writer) placeBlocks(l *loader, logical uint64, first, n int) error {
	for b := first; b < first+n; {
		if l.holes[b] {
			b++
			continue
		}
		end := b + 1
		for end < first+n && !l.holes[end] {
			end++
		}
		var err error
		w.list, err = w.place(w.list, logical+uint64(b-first), uint64(end-b), func(s span) error {
			l.add(b, s)
			b += int(s.n)
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}
