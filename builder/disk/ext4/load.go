package ext4

import (
	"fmt"

	"cloudy/builder/tree"
)

// A loader holds the content of one job, with the content of each entry at a
// whole block.
type loader struct {
	buf []byte // chunk and one byte more, to see that a file goes on
}

// A run is what goes to one place on the disk: the bytes from up to to of the
// job's buffer.
type run struct {
	from, to int
	block    uint64
}

// read fills the buffer. It does not touch anything shared.
func (l *loader) read(p *plan, j job) error {
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
		}
		pos += int(divUp(uint64(n), BlockSize)) * BlockSize
	}
	return nil
}

// readFile reads n bytes from byte at of the file into the buffer at pos,
// filled up with zeros to a whole block.
func (l *loader) readFile(e *tree.Entry, at, n int64, last bool, pos int) error {
	blocks := int(divUp(uint64(n), BlockSize))
	dst := l.buf[pos : pos+int(n)]
	if last {
		dst = l.buf[pos : pos+int(n)+1]
	}
	got, err := e.ReadAt(dst, at)
	if err != nil {
		return fmt.Errorf("ext4: %s: %w", e.Path, err)
	}
	if int64(got) != n {
		return fmt.Errorf("ext4: %s: content does not have the %d bytes that the tree says", e.Path, e.Size)
	}
	clear(l.buf[pos+int(n) : pos+blocks*BlockSize])
	return nil
}

// add notes that the blocks of the buffer from b on go to s.
func (j *job) add(b int, s span) {
	from, to := b*BlockSize, (b+int(s.n))*BlockSize
	if k := len(j.runs) - 1; k >= 0 {
		r := &j.runs[k]
		if r.to == from && r.block+uint64(r.to-r.from)/BlockSize == s.start {
			r.to = to
			return
		}
	}
	j.runs = append(j.runs, run{from: from, to: to, block: s.start})
}

func (l *loader) write(d device, runs []run) error {
	for _, r := range runs {
		if err := d.writeBlock(l.buf[r.from:r.to], r.block); err != nil {
			return err
		}
	}
	return nil
}
