package ext4

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"golang.org/x/sys/unix"

	"cloudy/builder/tree"
)

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
