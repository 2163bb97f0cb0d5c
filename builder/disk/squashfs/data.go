package squashfs

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"runtime"

	"github.com/klauspost/compress/zlib"
	"github.com/klauspost/compress/zstd"
	"golang.org/x/sync/errgroup"

	"cloudy/builder/tree"
)

// content is where a file's bytes are.
type content struct {
	start    int64    // of the first block; the others follow it
	sizes    []uint32 // of the packed blocks; 0 is a block of zeros
	fragment uint32   // a file below the block size is part of a shared block, or none
	offset   uint32   // in the fragment
	sparse   int64    // bytes in blocks of zeros
}

// fragment is a block that several small files share.
type fragment struct {
	start int64
	size  uint32
}

// packer packs a block into dst when that makes it smaller, else returns nil.
type packer func(dst, data []byte) ([]byte, error)

func newPacker(o *Options) (packer, error) {
	switch o.Compressor {
	case Zstd:
		// The kernel's window is a block (fs/squashfs/zstd_wrapper.c).
		enc, err := zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1), zstd.WithEncoderLevel(zstd.SpeedDefault),
			zstd.WithWindowSize(max(o.BlockSize, metadataSize)), zstd.WithEncoderCRC(false), zstd.WithSingleSegment(true))
		if err != nil {
			return nil, err
		}
		return func(dst, data []byte) ([]byte, error) { return smaller(enc.EncodeAll(data, dst[:0]), data), nil }, nil
	case Gzip:
		w, err := zlib.NewWriterLevel(io.Discard, zlib.DefaultCompression)
		if err != nil {
			return nil, err
		}
		return func(dst, data []byte) ([]byte, error) {
			b := bytes.NewBuffer(dst[:0])
			w.Reset(b)
			if _, err := w.Write(data); err != nil {
				return nil, err
			}
			if err := w.Close(); err != nil {
				return nil, err
			}
			return smaller(b.Bytes(), data), nil
		}, nil
	}
	return nil, fmt.Errorf("squashfs: unknown compressor %d", o.Compressor)
}

func smaller(packed, data []byte) []byte {
	if len(packed) < len(data) {
		return packed
	}
	return nil
}

// block is a data block on its way through a worker.
type block struct {
	data   []byte
	packed []byte // nil when it is stored as it is
	put    func(pos int64, size uint32)
	ready  chan error
}

// pipeline is the way of the blocks: read in order, packed side by side,
// written in order.
type pipeline struct {
	order, work chan *block
	free        chan []byte
	tail        []byte // the fragment that is being filled
}

// data writes the content of all files.
func (s *writer) data(ctx context.Context) error {
	workers := runtime.GOMAXPROCS(0)
	p := &pipeline{
		order: make(chan *block, 2*workers), work: make(chan *block), free: make(chan []byte, 4*workers),
	}
	for range cap(p.free) {
		p.free <- nil
	}
	g, ctx := errgroup.WithContext(ctx)
	for range workers {
		pack, err := newPacker(&s.o)
		if err != nil {
			return err
		}
		g.Go(func() error {
			for b := range p.work {
				var err error
				b.packed, err = pack(make([]byte, 0, len(b.data)), b.data)
				b.ready <- err
			}
			return nil
		})
	}
	g.Go(func() error {
		defer close(p.order)
		defer close(p.work)
		return s.read(ctx, p)
	})
	g.Go(func() error {
		for b := range p.order {
			if err := s.putBlock(ctx, b); err != nil {
				return err
			}
			p.free <- b.data[:0]
		}
		return nil
	})
	return g.Wait()
}

func (s *writer) putBlock(ctx context.Context, b *block) error {
	select {
	case err := <-b.ready:
		if err != nil {
			return err
		}
	case <-ctx.Done():
		return ctx.Err()
	}
	out, size := b.packed, uint32(len(b.packed))
	if out == nil {
		out, size = b.data, uint32(len(b.data))|storedData
	}
	b.put(s.pos, size)
	return s.append(out)
}

// send hands a block over.
func (p *pipeline) send(ctx context.Context, b *block) error {
	b.ready = make(chan error, 1)
	for _, to := range []chan *block{p.work, p.order} {
		select {
		case to <- b:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

func (p *pipeline) buffer(ctx context.Context, size int) ([]byte, error) {
	select {
	case b := <-p.free:
		if b == nil {
			b = make([]byte, 0, size)
		}
		return b[:0], nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// read sends the blocks of all files.
func (s *writer) read(ctx context.Context, p *pipeline) error {
	for i := range s.t.Entries {
		e := &s.t.Entries[i]
		if e.Type != tree.File {
			continue
		}
		c := &content{fragment: none}
		s.files[e.Path] = c
		if e.Size == 0 {
			continue
		}
		if err := s.readFile(ctx, p, e, c); err != nil {
			return fmt.Errorf("%s: %w", e.Path, err)
		}
		if s.o.Copied != nil {
			s.o.Copied(e.Size)
		}
	}
	return s.flush(ctx, p)
}

func (s *writer) readFile(ctx context.Context, p *pipeline, e *tree.Entry, c *content) error {
	r, err := e.Open()
	if err != nil {
		return err
	}
	defer r.Close()
	bs := s.o.BlockSize
	if e.Size < int64(bs) {
		return s.readTail(ctx, p, r, e, c)
	}
	c.sizes = make([]uint32, (e.Size+int64(bs)-1)/int64(bs))
	first := true
	for i := range c.sizes {
		buf, err := p.buffer(ctx, bs)
		if err != nil {
			return err
		}
		buf = buf[:min(int64(bs), e.Size-int64(i)*int64(bs))]
		if _, err := io.ReadFull(r, buf); err != nil {
			return fmt.Errorf("shorter than %d bytes: %w", e.Size, err)
		}
		if isZero(buf) {
			c.sparse += int64(len(buf))
			p.free <- buf
			continue
		}
		begins := first
		first = false
		b := &block{data: buf, put: func(pos int64, size uint32) {
			if begins {
				c.start = pos
			}
			c.sizes[i] = size
		}}
		if err := p.send(ctx, b); err != nil {
			return err
		}
	}
	return atEnd(r)
}

// readTail puts a small file into the fragment that is being filled.
func (s *writer) readTail(ctx context.Context, p *pipeline, r io.Reader, e *tree.Entry, c *content) error {
	if len(p.tail)+int(e.Size) > s.o.BlockSize {
		if err := s.flush(ctx, p); err != nil {
			return err
		}
	}
	if p.tail == nil {
		var err error
		if p.tail, err = p.buffer(ctx, s.o.BlockSize); err != nil {
			return err
		}
	}
	at := len(p.tail)
	p.tail = p.tail[:at+int(e.Size)]
	if _, err := io.ReadFull(r, p.tail[at:]); err != nil {
		return fmt.Errorf("shorter than %d bytes: %w", e.Size, err)
	}
	// The fragment gets its number when it is sent.
	c.fragment, c.offset = uint32(len(s.fragments)), uint32(at)
	return atEnd(r)
}

// flush sends the fragment.
func (s *writer) flush(ctx context.Context, p *pipeline) error {
	if len(p.tail) == 0 {
		return nil
	}
	f := &fragment{}
	s.fragments = append(s.fragments, f)
	b := &block{data: p.tail, put: func(pos int64, size uint32) { f.start, f.size = pos, size }}
	p.tail = nil
	return p.send(ctx, b)
}

func atEnd(r io.Reader) error {
	var one [1]byte
	if n, _ := r.Read(one[:]); n > 0 {
		return fmt.Errorf("longer than announced")
	}
	return nil
}

// isZero tells whether a block has no other byte than 0.
func isZero(b []byte) bool {
	return len(b) > 0 && b[0] == 0 && bytes.Equal(b[:len(b)-1], b[1:])
}
