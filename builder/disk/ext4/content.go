package ext4

import (
	"context"
	"errors"
	"sync"

	"cloudy/builder/inorder"
	"cloudy/builder/tree"
)

const (
	jobBlocks  = chunk / BlockSize
	jobEntries = 1024
)

// A job is a piece of the tree whose content is read into one buffer: some
// entries in a row, or a chunk of one large file. Blocks and inodes are given
// out in the order of the jobs; then they are read and written side by side.
type job struct {
	from, to int   // entries; to == from+1 for a chunk
	at, n    int64 // the chunk's place in the file in bytes, when n > 0
	last     bool  // the job has the end of its entries

	runs   []run // where it goes
	blocks int   // of the buffer
}

// jobs deals out the jobs of a plan.
type jobs struct {
	p  *plan
	i  int   // next entry
	at int64 // where in a large file
}

func (q *jobs) next() (job, bool) {
	for q.i < len(q.p.entries) && q.skip(q.i) {
		q.i++
	}
	if q.i == len(q.p.entries) {
		return job{}, false
	}
	j := job{from: q.i}
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

// layContent gives blocks to the content of all that has an inode after
// lost+found's, and writes the inodes. What is to be written where is noted in
// the jobs.
func (w *writer) layContent(ctx context.Context) ([]job, error) {
	var list []job
	q := &jobs{p: w.p}
	for {
		j, ok := q.next()
		if !ok {
			return list, nil
		}
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		if err := w.placeJob(&j); err != nil {
			return nil, err
		}
		list = append(list, j)
	}
}

// writeContent reads and writes the content of the jobs, several at a time,
// but shows it to o.Follow in order.
func (w *writer) writeContent(ctx context.Context, list []job, dev device, follow *follower) error {
	type content struct {
		loader
		job
	}
	var writing sync.Mutex // the kernel lets in one at a time, and would have the others spin
	return inorder.Work[content]{
		Worker: func() (func(*content) error, error) {
			return func(c *content) error {
				if err := errors.Join(c.read(w.p, c.job), c.checkHoles(w.p, c.job)); err != nil {
					return err
				}
				writing.Lock()
				defer writing.Unlock()
				return c.write(dev, c.runs)
			}, nil
		},
		Take: func(c *content) error {
			if follow != nil {
				follow.show(c.buf, c.runs)
			}
			return nil
		},
	}.Run(ctx, func(l *inorder.Line[content]) error {
		for _, j := range list {
			c, err := l.Next()
			if err != nil {
				return err
			}
			if c.job = j; c.buf == nil {
				c.buf = make([]byte, chunk+1)
			}
			if err := l.Send(c); err != nil {
				return err
			}
		}
		return nil
	})
}

// placeJob gives the entries of a job their blocks and writes their inodes.
// The content itself is only noted in j.runs.
func (w *writer) placeJob(j *job) error {
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
		if err := w.placeBlocks(j, e, uint64(j.at/BlockSize), pos/BlockSize, blocks); err != nil {
			return err
		}
		pos += blocks * BlockSize
		j.blocks = pos / BlockSize
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
			if err := w.dev.writeBlock(attrs.block, attrBlock); err != nil {
				return err
			}
		}
		if err := w.putEntry(i, w.list, attrs, attrBlock); err != nil {
			return err
		}
	}
	return nil
}

// placeBlocks gives blocks to n blocks of an entry, from block logical of it
// on, that will stand in the job's buffer from block first on, and notes where
// each goes. Holes get none.
func (w *writer) placeBlocks(j *job, e *tree.Entry, logical uint64, first, n int) error {
	holes := w.o.Content.holes[e]
	for b := 0; b < n; {
		if holes.has(logical + uint64(b)) {
			b++
			continue
		}
		end := b + 1
		for end < n && !holes.has(logical+uint64(end)) {
			end++
		}
		var err error
		w.list, err = w.place(w.list, logical+uint64(b), uint64(end-b), func(s span) error {
			j.add(first+b, s)
			b += int(s.n)
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}
