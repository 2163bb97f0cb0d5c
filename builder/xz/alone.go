package xz

import (
	"encoding/binary"
	"fmt"
	"io"
)

// lzmaHeader is the size of the .lzma header (LZMA specification, "LZMA file
// format"): properties, dictionary size, uncompressed size.
const lzmaHeader = 13

// NewLZMAReader returns a reader of the .lzma ("LZMA alone") data in src. The
// format has no magic number and no checksum: ErrFormat is a guess, and what
// follows the data is not looked at.
func NewLZMAReader(src io.Reader) (*Reader, error) {
	r := new(Reader)
	if err := r.ResetLZMA(src); err != nil {
		return nil, err
	}
	return r, nil
}

// ResetLZMA is Reset for a source in the .lzma format.
func (r *Reader) ResetLZMA(src io.Reader) error {
	r.in.reset(src)
	r.out, r.state = nil, inLZMA
	r.err = r.startLZMA()
	return r.err
}

// startLZMA reads the header and the first bytes of the range coder.
func (r *Reader) startLZMA() error {
	b, err := r.in.next(lzmaHeader + 5)
	if err != nil {
		return err
	}
	d := &r.block
	if err := d.setProps(b[0]); err == ErrCorrupt || b[lzmaHeader] != 0 {
		return ErrFormat
	} else if err != nil {
		return fmt.Errorf("%w: LZMA properties %#x", err, b[0])
	}
	dict, size := uint64(binary.LittleEndian.Uint32(b[1:])), binary.LittleEndian.Uint64(b[5:])
	r.left = unknown
	if size != 1<<64-1 {
		if size >= 1<<38 { // what liblzma takes as a sign of another format
			return ErrFormat
		}
		r.left = int64(size)
		dict = min(dict, size)
	}
	if dict > MaxDict {
		return fmt.Errorf("%w: %d MiB", ErrDict, dict>>20)
	}
	d.resetState()
	d.in = r.in.buf
	d.hint = int(min(max(r.left, 0), MaxDict))
	d.resetDict(int(dict))
	if err := d.initRange(b[lzmaHeader:]); err != nil {
		return err
	}
	if r.left == 0 && d.code == 0 {
		r.state = atEnd
	}
	return nil
}

// stepLZMA decodes a piece of output, which may be empty.
func (r *Reader) stepLZMA() ([]byte, error) {
	in, d := &r.in, &r.block
	// Decode while a whole symbol is certain to be in the window, or, at the
	// end of the source, while no symbol takes the zeros after it.
	limit := 0
	switch err := in.fill(inputPad); err {
	case nil:
		limit = in.w - inputPad
	case io.EOF, io.ErrUnexpectedEOF:
		if in.err != io.EOF {
			return nil, err
		}
		limit = in.w
		clear(in.buf[in.w : in.w+inputPad])
	default:
		return nil, err
	}
	want := stepSize
	if r.left != unknown {
		// With nothing left there may still be an end marker, which is taken
		// for a symbol of no bytes.
		want = int(min(max(r.left, 1), stepSize))
	}
	n := min(d.room(want), want)
	start := d.pos
	d.inPos = in.r
	st := d.decode(start+n, limit)
	out := d.buf[start:d.pos]
	over := r.left != unknown && int64(len(out)) > r.left
	if r.left != unknown && !over {
		r.left -= int64(len(out))
	}
	ended := st == statusEnd
	if ended || r.left == 0 && !over {
		d.normalize()
		ended = ended || d.code == 0
	}
	in.r = d.inPos
	switch {
	case in.r > in.w:
		return nil, io.ErrUnexpectedEOF
	case st == statusDistance:
		return nil, fmt.Errorf("%w: LZMA distance", ErrCorrupt)
	case over, ended && (d.code != 0 || r.left > 0):
		return nil, fmt.Errorf("%w: LZMA size", ErrCorrupt)
	case ended:
		r.state = atEnd
	}
	return out, nil
}
