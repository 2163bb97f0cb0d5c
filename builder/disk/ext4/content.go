package ext4

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"sync"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"

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

// A loader holds the content of one job, with the content of each entry at a
// whole block.
type loader struct {
	buf   []byte // chunk and one byte more, to see that a file goes on
	holes [jobBlocks]bool
	runs  []run
}

// A run is what goes to one place on the disk: the bytes from up to to of the
// buffer, or a block beside it.
type run struct {
	from, to int
	extra    []byte
	block    uint64
}

// read fills the buffer. It does not touch anything shared.
func (l *loader) read(p *plan, j job) error {
	l.runs = l.runs[:0]
	if j.n > 0 {
		return l.readFile(p.entries[j.from], j.at, j.n, j.last, 0)
	}
	pos := 0
	for _, e := range p.entries[j.from:j.to] {
		var n int
		switch {
		case e.Type == tree.File:
			n = int(e.Size)
			if err := l.readFile(e, 0, e.Size, true, pos); err != nil {
				return err
			}
		case contentSize(e) > 0:
			n = len(e.Link)
			clear(l.buf[pos : pos+BlockSize])
			copy(l.buf[pos:], e.Link)
			l.holes[pos/BlockSize] = false
		}
		pos += int(divUp(uint64(n), BlockSize)) * BlockSize
	}
	return nil
}

var zeroBlock [BlockSize]byte

// readFile reads n bytes from byte at of the file into the buffer at pos, and
// finds the blocks that are holes.
func (l *loader) readFile(e *tree.Entry, at, n int64, last bool, pos int) error {
	blocks := int(divUp(uint64(n), BlockSize))
	dst := l.buf[pos : pos+int(n)]
	if last {
		dst = l.buf[pos : pos+int(n)+1]
	}
	got, err := readAt(e, dst, at)
	if err != nil {
		return fmt.Errorf("ext4: %s: %w", e.Path, err)
	}
	if int64(got) != n {
		return fmt.Errorf("ext4: %s: content does not have the %d bytes that the tree says", e.Path, e.Size)
	}
	clear(l.buf[pos+int(n) : pos+blocks*BlockSize])
	for b := range blocks {
		p := pos + b*BlockSize
		l.holes[p/BlockSize] = bytes.Equal(l.buf[p:p+BlockSize], zeroBlock[:])
	}
	return nil
}

// readAt fills dst with the content of e from byte at on, as far as it goes.
func readAt(e *tree.Entry, dst []byte, at int64) (int, error) {
	if e.Source == "" && e.Content == nil {
		if at > int64(len(e.Data)) {
			return 0, nil
		}
		return copy(dst, e.Data[at:]), nil
	}
	r, err := e.Open()
	if err != nil {
		return 0, err
	}
	defer r.Close()
	if f, ok := r.(*os.File); ok && at > 0 {
		// A large file may have large holes: nothing to read there.
		data, err := f.Seek(at, unix.SEEK_DATA)
		if errors.Is(err, unix.ENXIO) || err == nil && data >= at+int64(len(dst)) {
			info, err := f.Stat()
			if err != nil {
				return 0, err
			}
			n := int(min(max(info.Size()-at, 0), int64(len(dst))))
			clear(dst[:n])
			return n, nil
		}
		if _, err := f.Seek(at, io.SeekStart); err != nil {
			return 0, err
		}
	} else if _, err := io.CopyN(io.Discard, r, at); err != nil && err != io.EOF {
		return 0, err
	}
	n, err := io.ReadFull(r, dst)
	if err == io.EOF || err == io.ErrUnexpectedEOF {
		err = nil
	}
	return n, err
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

// add notes that the blocks of the buffer from b on go to s.
func (l *loader) add(b int, s span) {
	from, to := b*BlockSize, (b+int(s.n))*BlockSize
	if k := len(l.runs) - 1; k >= 0 {
		r := &l.runs[k]
		if r.extra == nil && r.to == from && r.block+uint64(r.to-r.from)/BlockSize == s.start {
			r.to = to
			return
		}
	}
	l.runs = append(l.runs, run{from: from, to: to, block: s.start})
}

func (l *loader) write(d device) error {
	for _, r := range l.runs {
		data := r.extra
		if data == nil {
			data = l.buf[r.from:r.to]
		}
		if err := d.writeBlock(data, r.block); err != nil {
			return err
		}
	}
	return nil
}

// scanHoles reads the large files and counts what they really need. The
// choice of files must not depend on anything but the tree: the result
// decides sizes of disks.
func (p *plan) scanHoles(ctx context.Context) error {
	p.fileBlocks = 0
	l := &loader{buf: make([]byte, chunk+1)}
	for _, e := range p.entries {
		if e.Type != tree.File {
			continue
		}
		blocks := divUp(uint64(e.Size), BlockSize)
		if e.Size <= chunk {
			p.fileBlocks += blocks
			continue
		}
		used, pieces, hole := uint64(0), uint64(0), true
		for at := int64(0); at < e.Size; at += chunk {
			if err := ctx.Err(); err != nil {
				return err
			}
			n := min(chunk, e.Size-at)
			if err := l.readFile(e, at, n, at+n == e.Size, 0); err != nil {
				return err
			}
			for b := range divUp(uint64(n), BlockSize) {
				if !l.holes[b] {
					used++
					if hole {
						pieces++
					}
				}
				hole = l.holes[b]
			}
		}
		p.fileBlocks += used + extentBlocksBound(blocks)
		if pieces > rootExtents-3 {
			p.fileBlocks += 2 + pieces/(leafExtents-1)
		}
	}
	return nil
}
