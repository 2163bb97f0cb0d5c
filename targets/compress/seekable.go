package compress

import (
	"encoding/binary"
	"io"
	"runtime"
)

// Magic numbers of the seekable format (zstd's contrib/seekable_format,
// zstd_seekable_compression_format.md 0.1.0): the frames are followed by a
// skippable one, which ordinary decoders pass over, with a table of them.
const (
	skippableMagic = 0x184D2A5E
	seekableMagic  = 0x8F92EAB1
)

// NewSeekable is NewWriter for zstd with a table of the frames at the end, by
// which a reader finds any part without decoding what is before it.
func NewSeekable(w io.Writer) (io.WriteCloser, error) {
	c, err := Zstd.codec()
	if err != nil {
		return nil, err
	}
	s := &seekable{out: w, chunk: c.chunk}
	s.WriteCloser, err = c.newWriter(frames{s}, runtime.GOMAXPROCS(0))
	return s, err
}

type seekable struct {
	io.WriteCloser
	out   io.Writer
	chunk int
	total int64    // bytes of input
	sizes []uint32 // of the frames
}

func (s *seekable) Write(p []byte) (int, error) {
	n, err := s.WriteCloser.Write(p)
	s.total += int64(n)
	return n, err
}

// frames counts what the pool writes: each chunk's frame in one piece.
type frames struct{ s *seekable }

func (f frames) Write(p []byte) (int, error) {
	f.s.sizes = append(f.s.sizes, uint32(len(p)))
	return f.s.out.Write(p)
}

func (s *seekable) Close() error {
	if err := s.WriteCloser.Close(); err != nil {
		return err
	}
	le := binary.LittleEndian
	b := le.AppendUint32(nil, skippableMagic)
	b = le.AppendUint32(b, uint32(8*len(s.sizes)+9))
	left := s.total
	for _, n := range s.sizes {
		size := min(left, int64(s.chunk))
		left -= size
		b = le.AppendUint32(le.AppendUint32(b, n), uint32(size))
	}
	b = le.AppendUint32(b, uint32(len(s.sizes)))
	b = append(b, 0) // no checksums of frames: the frames have their own
	_, err := s.out.Write(le.AppendUint32(b, seekableMagic))
	return err
}
