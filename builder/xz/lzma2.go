package xz

import (
	"fmt"
	"io"
)

// lzma2 decodes the chunks of one block (LZMA SDK, DOC/lzma.txt and the
// comment at the top of lzma2_decoder in the format's description): a control
// byte, sizes and properties as the control asks, data.
type lzma2 struct {
	lzma
	input *input

	left      int // bytes of output left in the chunk
	chunkEnd  int // where the chunk's input ends in input.buf
	stored    bool
	needDict  bool // the first chunk resets the dictionary
	needProps bool // and the first LZMA chunk after that brings properties
	size      int  // of the dictionary
}

// begin starts a block with a dictionary of size bytes.
func (d *lzma2) begin(in *input, size int) {
	d.input, d.size = in, size
	d.in = in.buf
	d.left, d.needDict, d.needProps = 0, true, true
	d.resetDict(size)
}

// step appends some output to buf[:pos]; all before pos must have been
// consumed, for it may move. It returns the new output, which is empty at the
// end of the block only (with io.EOF).
func (d *lzma2) step() ([]byte, error) {
	for d.left == 0 {
		if err := d.header(); err != nil {
			return nil, err
		}
	}
	n := min(d.room(d.left), d.left, stepSize)
	start := d.pos
	if d.stored {
		// Stored chunks are at most 64 KiB; their data need not be whole in
		// the window.
		if err := d.input.fill(1); err != nil {
			return nil, unexpected(err)
		}
		in := d.input
		n = copy(d.buf[start:start+n], in.buf[in.r:in.w])
		in.r += n
		d.pos += n
		d.left -= n
		return d.buf[start:d.pos], nil
	}
	d.inPos = d.input.r
	if st := d.decode(start+n, d.chunkEnd); st != statusLimit {
		return nil, fmt.Errorf("%w: LZMA distance", ErrCorrupt)
	}
	d.input.r = d.inPos
	if d.left -= d.pos - start; d.left == 0 {
		d.normalize()
		d.input.r = d.inPos
	}
	// The last symbol may have passed the chunk's end, in the output or input.
	if d.left < 0 || d.inPos > d.chunkEnd ||
		d.left == 0 && (d.inPos != d.chunkEnd || d.code != 0) ||
		d.pos == start {
		return nil, fmt.Errorf("%w: LZMA2 chunk size", ErrCorrupt)
	}
	return d.buf[start:d.pos], nil
}

// header reads a chunk's header, and makes its input whole in the window if it
// is compressed. It returns io.EOF for the end of the block.
func (d *lzma2) header() error {
	control, err := d.input.byte()
	if err != nil {
		return err
	}
	if control == 0 {
		return io.EOF
	}
	switch {
	case control >= 0xe0 || control == 1:
		d.needDict, d.needProps = false, true
		d.resetDict(d.size)
	case d.needDict:
		return fmt.Errorf("%w: LZMA2 without dictionary reset", ErrCorrupt)
	}
	if control < 0x80 {
		if control > 2 {
			return fmt.Errorf("%w: LZMA2 control byte", ErrCorrupt)
		}
		b, err := d.input.next(2)
		if err != nil {
			return err
		}
		d.stored, d.left = true, int(b[0])<<8+int(b[1])+1
		return nil
	}

	b, err := d.input.next(4)
	if err != nil {
		return err
	}
	d.stored = false
	d.left = int(control&0x1f)<<16 + int(b[0])<<8 + int(b[1]) + 1
	size := int(b[2])<<8 + int(b[3]) + 1
	switch {
	case control >= 0xc0:
		props, err := d.input.byte()
		if err != nil {
			return err
		}
		if err := d.setProps(props); err != nil {
			return fmt.Errorf("%w: LZMA2 properties", ErrCorrupt)
		}
		d.needProps = false
		d.resetState()
	case d.needProps:
		return fmt.Errorf("%w: LZMA2 without properties", ErrCorrupt)
	case control >= 0xa0:
		d.resetState()
	}
	if size < 5 {
		return fmt.Errorf("%w: LZMA2 chunk size", ErrCorrupt)
	}
	if err := d.input.fill(size); err != nil {
		return unexpected(err)
	}
	if err := d.initRange(d.input.buf[d.input.r:][:5]); err != nil {
		return fmt.Errorf("%w: LZMA2 range coder", err)
	}
	d.chunkEnd = d.input.r + size
	d.input.r += 5
	return nil
}
