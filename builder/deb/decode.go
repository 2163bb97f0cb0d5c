package deb

import (
	"bufio"
	"compress/bzip2"
	"fmt"
	"io"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"

	"cloudy/builder/xz"
)

// maxWindow bounds the history that a zstd frame may ask for: `zstd --ultra
// -22 --long=27`, the most that a plain decoder accepts.
const maxWindow = 128 << 20

// decoders are the decompressors of a Reader, kept for the next file because
// their tables and windows are large.
type decoders struct {
	xz   *xz.Reader
	zstd *zstd.Decoder
	gzip *gzip.Reader
	buf  *bufio.Reader
}

// open returns a reader of the uncompressed bytes of r, by the suffix of a
// member's name ("", ".gz", ".xz", ".zst", ".bz2").
func (d *decoders) open(r io.Reader, suffix string) (io.Reader, error) {
	if d.buf == nil {
		d.buf = bufio.NewReaderSize(nil, 64<<10)
	}
	d.buf.Reset(r)
	r = d.buf
	var err error
	switch suffix {
	case "":
		return r, nil
	case ".xz":
		if d.xz == nil {
			d.xz, err = xz.NewReader(r)
		} else {
			err = d.xz.Reset(r)
		}
		return d.xz, err
	case ".zst":
		if d.zstd == nil {
			d.zstd, err = zstd.NewReader(r, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true), zstd.WithDecoderMaxWindow(maxWindow))
		} else {
			err = d.zstd.Reset(r)
		}
		return d.zstd, err
	case ".gz":
		if d.gzip == nil {
			d.gzip, err = gzip.NewReader(r)
		} else {
			err = d.gzip.Reset(r)
		}
		return d.gzip, err
	case ".bz2":
		return bzip2.NewReader(r), nil
	}
	return nil, fmt.Errorf("unknown compression %q", suffix)
}

// Close frees the memory of the decoders.
func (d *decoders) Close() {
	if d.zstd != nil {
		d.zstd.Close()
	}
	*d = decoders{}
}
