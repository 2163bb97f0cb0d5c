package xz

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
)

// MaxDict is the largest dictionary that is decoded, in bytes. xz -9 asks for
// 64 MiB.
const MaxDict = 128 << 20

const (
	headerMagic = "\xfd7zXZ\x00"
	footerMagic = "YZ"
)

// Reader decodes one or more concatenated .xz streams, or .lzma data. It is an io.Reader and
// an io.WriterTo; WriteTo hands out the dictionary in pieces of up to 128 KiB
// without a copy. All checks are verified.
//
// The memory of a Reader is its input window (128 KiB) and the dictionary with
// half as much again for output, which grows with the output and is kept by
// Reset. A Reader is not safe for concurrent use.
type Reader struct {
	in     input
	block  lzma2
	check  check
	blocks blockList // of this stream, as read
	listed blockList // and as its index has them

	out   []byte // decoded, not yet read
	err   error  // sticky
	state readerState

	kind     byte // check of this stream
	flags    [2]byte
	header   blockHeader
	start    int64 // of the block, in the source
	produced int64 // by the block
	left     int64 // of a .lzma file, or unknown
}

// readerState says what comes next in the source.
type readerState int

const (
	atStream  readerState = iota // a stream's header
	atBlock                      // a block's header or the index
	inBlock                      // chunks
	atPadding                    // zeros, another stream, or the end
	inLZMA                       // the data of a .lzma file
	atEnd                        // of a .lzma file
)

// NewReader returns a reader of what is in src's .xz streams. It reads the
// first stream's header: ErrFormat means that src is not an .xz file.
func NewReader(src io.Reader) (*Reader, error) {
	r := new(Reader)
	if err := r.Reset(src); err != nil {
		return nil, err
	}
	return r, nil
}

// Reset makes r read from src, as NewReader does, and keeps its buffers.
func (r *Reader) Reset(src io.Reader) error {
	r.in.reset(src)
	r.out, r.err, r.state = nil, nil, atStream
	r.err = r.streamHeader()
	return r.err
}

// Read implements io.Reader.
func (r *Reader) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	for len(r.out) == 0 {
		if r.err != nil {
			return 0, r.err
		}
		r.out, r.err = r.step()
	}
	n := copy(p, r.out)
	r.out = r.out[n:]
	return n, nil
}

// WriteTo implements io.WriterTo. The slices it writes are parts of the
// dictionary: w must not change or keep them.
func (r *Reader) WriteTo(w io.Writer) (int64, error) {
	var total int64
	for {
		if len(r.out) > 0 {
			n, err := w.Write(r.out)
			total += int64(n)
			if err == nil && n < len(r.out) {
				err = io.ErrShortWrite
			}
			r.out = r.out[n:]
			if err != nil {
				return total, err
			}
		}
		if r.err != nil {
			if r.err == io.EOF {
				return total, nil
			}
			return total, r.err
		}
		r.out, r.err = r.step()
	}
}

// step decodes a piece of output. It may return none before the end.
func (r *Reader) step() ([]byte, error) {
	switch r.state {
	case atStream:
		return nil, r.streamHeader()
	case atBlock:
		return nil, r.blockStart()
	case atPadding:
		return nil, r.padding()
	case inLZMA:
		return r.stepLZMA()
	case atEnd:
		return nil, io.EOF
	}
	out, err := r.block.step()
	if err == io.EOF {
		return nil, r.blockEnd()
	}
	if err != nil {
		return nil, err
	}
	r.produced += int64(len(out))
	if r.header.uncompressed != unknown && r.produced > r.header.uncompressed ||
		r.header.compressed != unknown && r.in.offset()-r.start > int64(r.header.headerSize)+r.header.compressed {
		return nil, fmt.Errorf("%w: block is larger than its header says", ErrCorrupt)
	}
	r.check.write(out)
	return out, nil
}

// streamHeader reads a stream header (2.1.1).
func (r *Reader) streamHeader() error {
	if err := r.in.fill(12); err != nil {
		if magic := r.in.buf[r.in.r:r.in.w]; errors.Is(err, io.ErrUnexpectedEOF) && !bytes.HasPrefix([]byte(headerMagic), magic[:min(len(magic), 6)]) {
			return ErrFormat
		}
		return unexpected(err)
	}
	b, _ := r.in.next(12)
	if string(b[:6]) != headerMagic {
		return ErrFormat
	}
	if crc32.ChecksumIEEE(b[6:8]) != binary.LittleEndian.Uint32(b[8:]) {
		return fmt.Errorf("%w: stream header", ErrCheck)
	}
	r.flags = [2]byte(b[6:8])
	if b[6] != 0 || b[7]&0xf0 != 0 {
		return fmt.Errorf("%w: stream flags %x", ErrUnsupported, b[6:8])
	}
	r.kind = b[7]
	if !r.check.begin(r.kind) {
		return fmt.Errorf("%w: check %d", ErrUnsupported, r.kind)
	}
	r.blocks.reset()
	r.state = atBlock
	return nil
}

// blockStart reads a block header, or the index and footer of the stream.
func (r *Reader) blockStart() error {
	r.start = r.in.offset()
	size, err := r.in.byte()
	if err != nil {
		return err
	}
	if size == 0 {
		return r.streamEnd()
	}
	n := (int(size) + 1) * 4
	rest, err := r.in.next(n - 1)
	if err != nil {
		return err
	}
	var b [1024]byte
	b[0] = size
	copy(b[1:], rest)
	if r.header, err = parseBlockHeader(b[:n]); err != nil {
		return err
	}
	r.check.begin(r.kind)
	r.produced = 0
	r.block.hint = int(min(max(r.header.uncompressed, 0), MaxDict))
	r.block.begin(&r.in, r.header.dictSize)
	r.state = inBlock
	return nil
}

// blockEnd verifies the sizes, padding and check of a block (3.3, 3.4).
func (r *Reader) blockEnd() error {
	size := r.in.offset() - r.start
	h := &r.header
	if h.compressed != unknown && size != int64(h.headerSize)+h.compressed ||
		h.uncompressed != unknown && r.produced != h.uncompressed {
		return fmt.Errorf("%w: block is smaller than its header says", ErrCorrupt)
	}
	pad, err := r.in.next(int(-size & 3))
	if err != nil {
		return err
	}
	if len(bytes.Trim(pad, "\x00")) != 0 {
		return fmt.Errorf("%w: block padding", ErrCorrupt)
	}
	var buf [32]byte
	want := r.check.sum(buf[:0])
	got, err := r.in.next(len(want))
	if err != nil {
		return err
	}
	if !bytes.Equal(got, want) {
		return fmt.Errorf("%w: block", ErrCheck)
	}
	r.blocks.add(uint64(size)+uint64(len(want)), uint64(r.produced))
	r.state = atBlock
	return nil
}

// streamEnd reads the index after its first byte, and the footer (2.1.2).
func (r *Reader) streamEnd() error {
	size, err := r.readIndex()
	if err != nil {
		return err
	}
	b, err := r.in.next(12)
	if err != nil {
		return err
	}
	if string(b[10:]) != footerMagic {
		return fmt.Errorf("%w: stream footer", ErrCorrupt)
	}
	if crc32.ChecksumIEEE(b[4:10]) != binary.LittleEndian.Uint32(b) {
		return fmt.Errorf("%w: stream footer", ErrCheck)
	}
	if [2]byte(b[8:10]) != r.flags || int64(binary.LittleEndian.Uint32(b[4:]))+1 != size/4 {
		return fmt.Errorf("%w: stream footer does not match", ErrCorrupt)
	}
	r.state = atPadding
	return nil
}

// padding skips the zeros after a stream (2.2), and returns io.EOF if nothing
// follows.
func (r *Reader) padding() error {
	for {
		err := r.in.fill(4)
		if err == io.EOF {
			return io.EOF
		}
		if err != nil {
			return fmt.Errorf("%w: after the stream", err)
		}
		if binary.LittleEndian.Uint32(r.in.buf[r.in.r:]) != 0 {
			r.state = atStream
			return nil
		}
		r.in.r += 4
	}
}
