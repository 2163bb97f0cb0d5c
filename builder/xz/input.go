package xz

import (
	"encoding/binary"
	"io"
)

const (
	// inputSize holds the largest LZMA2 chunk (64 KiB of data and 6 bytes of
	// header) beside what is left of the one before it.
	inputSize = 128 << 10
	// inputPad bytes after the window may be read, though not used, by the
	// decoder. One symbol decodes at most 22 modelled and 26 direct bits and
	// each takes at most one byte, so 48 would do.
	inputPad = 64
)

// input is a window over the source: buf[r:w] is what has been read from the
// source but not yet used.
type input struct {
	src  io.Reader
	buf  []byte // inputSize + inputPad bytes
	r, w int
	err  error // what the source answered last, kept until the window is used up
	gone int64 // bytes of the source before buf[0]
}

func (in *input) reset(src io.Reader) {
	if in.buf == nil {
		in.buf = make([]byte, inputSize+inputPad)
	}
	in.src, in.r, in.w, in.err, in.gone = src, 0, 0, nil, 0
}

// offset returns the number of source bytes that have been used.
func (in *input) offset() int64 { return in.gone + int64(in.r) }

// fill makes at least n bytes available at buf[r:w], moving them to the front
// if need be. It returns io.EOF if the source ended with nothing left and
// io.ErrUnexpectedEOF if it ended with fewer than n bytes.
func (in *input) fill(n int) error {
	if in.w-in.r >= n {
		return nil
	}
	if in.r+n > inputSize || in.r == in.w {
		copy(in.buf, in.buf[in.r:in.w])
		in.gone += int64(in.r)
		in.w -= in.r
		in.r = 0
	}
	for empty := 0; in.w-in.r < n; {
		if in.err != nil {
			if in.err == io.EOF && in.w > in.r {
				return io.ErrUnexpectedEOF
			}
			return in.err
		}
		k, err := in.src.Read(in.buf[in.w:inputSize])
		in.w += k
		in.err = err
		if k == 0 && err == nil {
			if empty++; empty == 100 {
				return io.ErrNoProgress
			}
		}
	}
	return nil
}

// next returns the next n bytes and marks them as used. The slice is valid
// until the next call of fill or next. A source that ends is always
// unexpected here.
func (in *input) next(n int) ([]byte, error) {
	if err := in.fill(n); err != nil {
		return nil, unexpected(err)
	}
	b := in.buf[in.r : in.r+n]
	in.r += n
	return b, nil
}

func (in *input) byte() (byte, error) {
	b, err := in.next(1)
	if err != nil {
		return 0, err
	}
	return b[0], nil
}

func (in *input) uint32() (uint32, error) {
	b, err := in.next(4)
	if err != nil {
		return 0, err
	}
	return binary.LittleEndian.Uint32(b), nil
}

// unexpected turns the end of the source into an error.
func unexpected(err error) error {
	if err == io.EOF {
		return io.ErrUnexpectedEOF
	}
	return err
}
