// Package compress packs a stream on all cores into zstd, gzip or xz.
//
// The stream is cut into chunks of a fixed size and each becomes a frame
// (zstd, RFC 8878 section 3.1), a member (gzip, RFC 1952 section 2.2) or a
// block (xz, "The .xz File Format" section 3) of its own; all three formats
// say that a file may have several one after the other. So the bytes depend
// on the content alone and not on how many cores there were.
package compress

import (
	"bytes"
	"errors"
	"fmt"
	"io"

	"github.com/klauspost/compress/flate"
	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"

	"cloudy/builder/xz"
)

// Format is a compression by its name in a recipe.
type Format string

// The formats.
const (
	None Format = "none"
	Zstd Format = "zstd"
	Gzip Format = "gzip"
	XZ   Format = "xz"
)

// Formats lists all of them.
func Formats() []Format { return []Format{Zstd, Gzip, XZ, None} }

// ErrUnknown is a format that is none of Formats.
var ErrUnknown = errors.New("unknown compression")

// Check says whether the format is known; its error is an ErrUnknown.
func (f Format) Check() error {
	if _, err := f.codec(); err != nil {
		return err
	}
	return nil
}

// Suffix is what file names in this format end with, with the dot; empty for None.
func (f Format) Suffix() string {
	c, _ := f.codec()
	return c.suffix
}

// MediaTypeSuffix is what the media type of something in this format ends
// with, for example "+zstd"; empty for None.
func (f Format) MediaTypeSuffix() string {
	if f == None {
		return ""
	}
	return "+" + string(f)
}

// codec is how one format packs a chunk.
type codec struct {
	suffix string
	chunk  int                    // bytes of input in a chunk
	newJob func() (packer, error) // one packer serves one chunk at a time
	frame  func() frame           // of one stream; nil for none
}

// frame is what a format wants around the packed chunks. Its functions are
// called one after the other.
type frame struct {
	head []byte
	add  func(chunk int, packed []byte) error // chunk is the size before packing
	tail func() []byte
}

// packer appends the packed form of a chunk to dst.
type packer func(dst, chunk []byte) ([]byte, error)

// Sizes of chunks. The longer, the less is lost at a chunk's start, and the
// more memory goes by: a chunk and its packed form for each worker. For zstd
// and xz a chunk is the window too.
const (
	zstdChunk = 4 << 20
	gzipChunk = 1 << 20 // the window is 32 KiB
	xzChunk   = xz.MaxBlock
)

func (f Format) codec() (codec, error) {
	switch f {
	case None:
		return codec{}, nil
	case Zstd:
		return codec{suffix: ".zst", chunk: zstdChunk, newJob: zstdPacker}, nil
	case Gzip:
		return codec{suffix: ".gz", chunk: gzipChunk, newJob: gzipPacker}, nil
	case XZ:
		return codec{suffix: ".xz", chunk: xzChunk, newJob: xzPacker, frame: xzFrame}, nil
	}
	return codec{}, fmt.Errorf("%w %q (zstd, gzip, xz, none)", ErrUnknown, string(f))
}

func zstdPacker() (packer, error) {
	// SpeedDefault is about what zstd -3 does.
	enc, err := zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1), zstd.WithEncoderLevel(zstd.SpeedDefault),
		zstd.WithWindowSize(zstdChunk), zstd.WithLowerEncoderMem(true))
	if err != nil {
		return nil, err
	}
	return func(dst, chunk []byte) ([]byte, error) { return enc.EncodeAll(chunk, dst), nil }, nil
}

func gzipPacker() (packer, error) {
	w, err := gzip.NewWriterLevel(io.Discard, flate.DefaultCompression)
	if err != nil {
		return nil, err
	}
	return func(dst, chunk []byte) ([]byte, error) {
		b := bytes.NewBuffer(dst)
		w.Reset(b)
		w.OS = 255 // "unknown", as compress/gzip has it
		if _, err := w.Write(chunk); err != nil {
			return nil, err
		}
		err := w.Close()
		return b.Bytes(), err
	}, nil
}

func xzPacker() (packer, error) {
	e := new(xz.Encoder)
	return func(dst, chunk []byte) ([]byte, error) { return e.Block(dst, chunk), nil }, nil
}

func xzFrame() frame {
	x := new(xz.Index)
	return frame{head: x.Header(), add: func(_ int, packed []byte) error { return x.Add(packed) }, tail: x.Footer}
}

// NewWriter returns a writer that packs into w with as many workers as there
// are cores to use. Close must be called in the end, also after an error, and
// does not close w; nothing is running any more when it returns.
func NewWriter(w io.Writer, f Format) (io.WriteCloser, error) {
	c, err := f.codec()
	if err != nil {
		return nil, err
	}
	if c.newJob == nil {
		return plain{w}, nil
	}
	return c.newWriter(w)
}

type plain struct{ io.Writer }

func (plain) Close() error { return nil }
