package report

import (
	"bytes"
	"compress/bzip2"
	"compress/gzip"
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"

	"github.com/klauspost/compress/zstd"
	"github.com/pierrec/lz4/v4"

	"cloudy/builder/xz"
)

// headSize is how much of a file detection looks at: as far as the volume
// descriptor of an ISO at 32 KiB.
const headSize = 33 << 10

// magic is a kind of file and the bytes that tell it.
type magic struct {
	kind   string
	offset int
	bytes  string
}

// magics are the kinds in the order of looking: what wraps others first.
func magics() []magic {
	return []magic{
		{"gzip", 0, "\x1f\x8b"},
		{"xz", 0, "\xfd7zXZ\x00"},
		{"zstd", 0, "\x28\xb5\x2f\xfd"},
		{"bzip2", 0, "BZh"},
		{"lz4", 0, "\x04\x22\x4d\x18"},
		{"lz4", 0, "\x02\x21\x4c\x18"}, // the legacy frame, of kernels and initrds
		{"qcow2", 0, "QFI\xfb"},
		{"vmdk", 0, "KDMV"},
		{"vhdx", 0, "vhdxfile"},
		{"cpio", 0, "070701"},
		{"cpio", 0, "070702"},
		{"tar", 257, "ustar"},
		{"iso9660", 32769, "CD001"},
	}
}

// Compressed says whether kind wraps another file.
func Compressed(kind string) bool {
	return slices.Contains([]string{"gzip", "xz", "zstd", "bzip2", "lz4"}, kind)
}

// Detect tells the kind of a file by its content; "raw" is a disk, a
// filesystem or anything else. size is the file's, in bytes.
func Detect(r io.ReaderAt, size int64) (string, error) {
	head := make([]byte, headSize)
	n, err := r.ReadAt(head, 0)
	if err != nil && err != io.EOF {
		return "", err
	}
	kind := detectHead(head[:n])
	if kind == "raw" && size >= 512 {
		// A VHD with a fixed size has its only mark in the last sector.
		tail := make([]byte, 8)
		if _, err := r.ReadAt(tail, size-512); err == nil && string(tail) == "conectix" {
			return "vhd", nil
		}
	}
	return kind, nil
}

func detectHead(head []byte) string {
	for _, m := range magics() {
		if len(head) >= m.offset+len(m.bytes) && string(head[m.offset:m.offset+len(m.bytes)]) == m.bytes {
			return m.kind
		}
	}
	return "raw"
}

// Decompress opens what is in r, of a kind that Compressed knows. The returned
// function frees memory alone.
func Decompress(r io.Reader, kind string) (io.Reader, func(), error) {
	nothing := func() {}
	switch kind {
	case "gzip":
		z, err := gzip.NewReader(r)
		return z, nothing, err
	case "xz":
		z, err := xz.NewReader(r)
		return z, nothing, err
	case "zstd":
		z, err := zstd.NewReader(r, zstd.WithDecoderMaxMemory(256<<20), zstd.WithDecoderConcurrency(1))
		if err != nil {
			return nil, nothing, err
		}
		return z, z.Close, nil
	case "bzip2":
		return bzip2.NewReader(r), nothing, nil
	case "lz4":
		return lz4.NewReader(r), nothing, nil
	}
	return nil, nothing, fmt.Errorf("compression %q is not known", kind)
}

// unwrap decompresses f. An archive inside is read on the way, and done is
// true; anything else goes to a sparse file, which is returned.
func (o *Opened) unwrap(ctx context.Context, f *os.File, kind string, opts OpenOptions) (inner *os.File, done bool, err error) {
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return nil, false, err
	}
	z, free, err := Decompress(&ctxReader{ctx, f}, kind)
	if err != nil {
		return nil, false, err
	}
	defer free()
	head := make([]byte, headSize)
	n, err := fill(z, head)
	if err != nil && err != io.EOF {
		return nil, false, fmt.Errorf("%s: %w", kind, err)
	}
	whole := io.MultiReader(bytes.NewReader(head[:n]), z)
	switch detectHead(head[:n]) {
	case "tar":
		return nil, true, o.openTar(ctx, whole, opts)
	case "cpio":
		return nil, true, o.openCPIO(ctx, whole)
	}
	out, err := os.Create(filepath.Join(o.spool, "unwrapped-"+strconv.Itoa(len(o.Compression))))
	if err != nil {
		return nil, false, err
	}
	o.closers = append(o.closers, out)
	if err := copySparse(out, whole); err != nil {
		return nil, false, fmt.Errorf("%s: %w", kind, err)
	}
	return out, false, nil
}

// Unpack writes what is in a compressed file to out, with holes for zeros. The
// kind of compression is told by the content; data that is not compressed is
// copied.
func Unpack(ctx context.Context, out, in *os.File) error {
	info, err := in.Stat()
	if err != nil {
		return err
	}
	kind, err := Detect(in, info.Size())
	if err != nil {
		return err
	}
	if _, err := in.Seek(0, io.SeekStart); err != nil {
		return err
	}
	var r io.Reader = &ctxReader{ctx, in}
	if Compressed(kind) {
		z, free, err := Decompress(r, kind)
		if err != nil {
			return fmt.Errorf("%s: %w", in.Name(), err)
		}
		defer free()
		r = z
	}
	if err := copySparse(out, r); err != nil {
		return fmt.Errorf("unpack %s: %w", in.Name(), err)
	}
	return nil
}

// copySparse copies and leaves blocks of zeros out.
func copySparse(f *os.File, r io.Reader) error {
	block, zero := make([]byte, 64<<10), make([]byte, 64<<10)
	var at int64
	for {
		n, err := fill(r, block)
		if n > 0 && !bytes.Equal(block[:n], zero[:n]) {
			if _, err := f.WriteAt(block[:n], at); err != nil {
				return err
			}
		}
		at += int64(n)
		if err == io.EOF {
			return f.Truncate(at)
		}
		if err != nil {
			return err
		}
	}
}

// fill reads until b is full or r ends, which is io.EOF. Unlike io.ReadFull it
// leaves io.ErrUnexpectedEOF to mean that r itself is cut short.
func fill(r io.Reader, b []byte) (n int, err error) {
	for n < len(b) && err == nil {
		var m int
		m, err = r.Read(b[n:])
		n += m
	}
	if n == len(b) {
		err = nil
	}
	return n, err
}

// ctxReader ends with its context.
type ctxReader struct {
	ctx context.Context
	r   io.Reader
}

func (c *ctxReader) Read(p []byte) (int, error) {
	if err := c.ctx.Err(); err != nil {
		return 0, err
	}
	return c.r.Read(p)
}
