package squashfs

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"slices"

	"github.com/klauspost/compress/zlib"
	"github.com/klauspost/compress/zstd"

	"cloudy/builder/disk/sparse"
	"cloudy/builder/inorder"
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
	packed []byte // as it is written
	size   uint32 // in the format's words
	put    func(pos int64, size uint32)
}

// pipeline hands blocks to the workers.
type pipeline struct {
	line  *inorder.Line[block]
	tail  *block // the fragment that is being filled
	spare *block // one that was not sent
}

// buffer returns a block with n bytes of data to be filled.
func (p *pipeline) buffer(n int) (b *block, err error) {
	if b, p.spare = p.spare, nil; b == nil {
		if b, err = p.line.Next(); err != nil {
			return nil, err
		}
	}
	b.data = slices.Grow(b.data[:0], n)[:n]
	return b, nil
}

// data writes the content of all files.
func (s *writer) data(ctx context.Context) error {
	return inorder.Work[block]{
		Worker: func() (func(*block) error, error) {
			pack, err := newPacker(&s.o)
			return func(b *block) error { return b.pack(pack) }, err
		},
		Take: func(b *block) error {
			b.put(s.pos, b.size)
			return s.append(b.packed)
		},
	}.Run(ctx, func(l *inorder.Line[block]) error { return s.read(&pipeline{line: l}) })
}

func (b *block) pack(pack packer) error {
	b.packed = slices.Grow(b.packed[:0], len(b.data))
	packed, err := pack(b.packed, b.data)
	if err != nil {
		return err
	}
	if packed == nil {
		b.packed, b.size = append(b.packed[:0], b.data...), uint32(len(b.data))|storedData
		return nil
	}
	b.packed, b.size = packed, uint32(len(packed))
	return nil
}

// read sends the blocks of all files.
func (s *writer) read(p *pipeline) error {
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
		if err := s.readFile(p, e, c); err != nil {
			return fmt.Errorf("%s: %w", e.Path, err)
		}
		if s.o.Copied != nil {
			s.o.Copied(e.Size)
		}
	}
	return s.flush(p)
}

func (s *writer) readFile(p *pipeline, e *tree.Entry, c *content) error {
	r, err := e.Open()
	if err != nil {
		return err
	}
	defer r.Close()
	bs := s.o.BlockSize
	if e.Size < int64(bs) {
		return s.readTail(p, r, e, c)
	}
	c.sizes = make([]uint32, (e.Size+int64(bs)-1)/int64(bs))
	first := true
	for i := range c.sizes {
		b, err := p.buffer(bs)
		if err != nil {
			return err
		}
		b.data = b.data[:min(int64(bs), e.Size-int64(i)*int64(bs))]
		if _, err := io.ReadFull(r, b.data); err != nil {
			return fmt.Errorf("shorter than %d bytes: %w", e.Size, err)
		}
		if sparse.Zero(b.data) {
			c.sparse += int64(len(b.data))
			p.spare = b
			continue
		}
		begins := first
		first = false
		b.put = func(pos int64, size uint32) {
			if begins {
				c.start = pos
			}
			c.sizes[i] = size
		}
		if err := p.line.Send(b); err != nil {
			return err
		}
	}
	return atEnd(r)
}

// readTail puts a small file into the fragment that is being filled.
func (s *writer) readTail(p *pipeline, r io.Reader, e *tree.Entry, c *content) error {
	if p.tail != nil && len(p.tail.data)+int(e.Size) > s.o.BlockSize {
		if err := s.flush(p); err != nil {
			return err
		}
	}
	if p.tail == nil {
		var err error
		if p.tail, err = p.buffer(s.o.BlockSize); err != nil {
			return err
		}
		p.tail.data = p.tail.data[:0]
	}
	at := len(p.tail.data)
	p.tail.data = p.tail.data[:at+int(e.Size)]
	if _, err := io.ReadFull(r, p.tail.data[at:]); err != nil {
		return fmt.Errorf("shorter than %d bytes: %w", e.Size, err)
	}
	// The fragment gets its number when it is sent.
	c.fragment, c.offset = uint32(len(s.fragments)), uint32(at)
	return atEnd(r)
}

// flush sends the fragment.
func (s *writer) flush(p *pipeline) error {
	b := p.tail
	if b == nil {
		return nil
	}
	f := &fragment{}
	s.fragments = append(s.fragments, f)
	b.put = func(pos int64, size uint32) { f.start, f.size = pos, size }
	p.tail = nil
	return p.line.Send(b)
}

func atEnd(r io.Reader) error {
	var one [1]byte
	if n, _ := r.Read(one[:]); n > 0 {
		return fmt.Errorf("longer than announced")
	}
	return nil
}
