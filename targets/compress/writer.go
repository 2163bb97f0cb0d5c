package compress

import (
	"context"
	"io"

	"cloudy/builder/inorder"
)

// writer cuts what is written to it into chunks.
type writer struct {
	w     io.Writer
	size  int // of a chunk, bytes
	frame frame
	line  *inorder.Line[chunk]
	fill  *chunk // the one that is being filled
	any   bool   // a chunk was sent
	shut  bool
	err   error // what ended the stream
}

// chunk is a piece of the stream, and what becomes of it.
type chunk struct{ plain, packed []byte }

func (c codec) newWriter(w io.Writer) (*writer, error) {
	z := &writer{w: w, size: c.chunk}
	if c.frame != nil {
		z.frame = c.frame()
	}
	var err error
	z.line, err = inorder.Work[chunk]{
		Worker: func() (func(*chunk) error, error) {
			pack, err := c.newJob()
			return func(k *chunk) (err error) {
				k.packed, err = pack(k.packed[:0], k.plain)
				return err
			}, err
		},
		Take: func(k *chunk) error {
			_, err := w.Write(k.packed)
			if err == nil && z.frame.add != nil {
				err = z.frame.add(len(k.plain), k.packed)
			}
			return err
		},
		Spare: 1, // is filled while the workers pack; chunks are large
	}.Start(context.Background())
	if err != nil {
		return nil, err
	}
	_, z.err = w.Write(z.frame.head)
	return z, nil
}

// Write implements io.Writer. An error of the writer below may come late.
func (z *writer) Write(data []byte) (int, error) {
	n := 0
	for len(data) > 0 {
		if z.err == nil && z.shut {
			return n, io.ErrClosedPipe
		}
		if z.begin(); z.err != nil {
			return n, z.err
		}
		k := min(len(data), z.size-len(z.fill.plain))
		z.fill.plain = append(z.fill.plain, data[:k]...)
		data, n = data[k:], n+k
		if len(z.fill.plain) == z.size {
			z.send()
		}
	}
	return n, nil
}

// begin sees to it that there is a chunk to be filled.
func (z *writer) begin() {
	if z.fill != nil || z.err != nil {
		return
	}
	if z.fill, z.err = z.line.Next(); z.err != nil {
		return
	}
	if z.fill.plain == nil {
		z.fill.plain = make([]byte, 0, z.size)
	}
	z.fill.plain = z.fill.plain[:0]
}

func (z *writer) send() {
	z.err = z.line.Send(z.fill)
	z.fill, z.any = nil, true
}

// Close packs what is left and waits for everything to be written. Nothing at
// all becomes one empty frame, for an empty file is in none of the formats.
func (z *writer) Close() error {
	if z.shut {
		return z.err
	}
	z.shut = true
	if !z.any {
		z.begin()
	}
	if z.err == nil && z.fill != nil {
		z.send()
	}
	z.err = z.line.End(z.err)
	if z.err == nil && z.frame.tail != nil {
		_, z.err = z.w.Write(z.frame.tail())
	}
	return z.err
}
