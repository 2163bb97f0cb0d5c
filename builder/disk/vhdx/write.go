package vhdx

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/google/uuid"

	"cloudy/builder/disk/sparse"
)

// Options for Write.
type Options struct {
	ID uuid.UUID // of the disk

	// Progress is called with the number of bytes of the source that were
	// dealt with since the last call, and with the number of all of them.
	Progress func(n, total int64)
}

// ErrTooBig is a disk that the format has no room for.
var ErrTooBig = errors.New("vhdx: the disk is too big")

// Write writes src as an image to w, which it expects to be empty, and returns
// the image's length in bytes. Holes and blocks of zeros take no room; zeros
// within blocks are not written, so that they are holes of the image. The image
// depends on nothing but the bytes of src and the options.
func Write(ctx context.Context, w io.WriterAt, src *os.File, o Options) (int64, error) {
	n, err := write(ctx, w, src, o)
	if err != nil {
		return 0, fmt.Errorf("vhdx: %w", err)
	}
	return n, nil
}

func write(ctx context.Context, w io.WriterAt, src *os.File, o Options) (int64, error) {
	info, err := src.Stat()
	if err != nil {
		return 0, err
	}
	size := info.Size()
	if size == 0 || size%sector != 0 {
		return 0, fmt.Errorf("a disk of %d bytes is not in sectors of %d", size, sector)
	}
	if size > maxSize {
		return 0, fmt.Errorf("%w: %d bytes, at most 64 TiB", ErrTooBig, size)
	}
	runs, err := sparse.Runs(src, blockSize)
	if err != nil {
		return 0, err
	}
	blocks := (size + blockSize - 1) / blockSize
	bat := make([]byte, (batIndex(blocks-1)+1)*8)
	batSize := (int64(len(bat)) + mib - 1) / mib * mib
	pos, total := batAt+batSize, int64(0)
	for _, r := range runs {
		total += r.Length
	}
	buf := make([]byte, blockSize)
	for _, r := range runs {
		for at := r.Offset; at < r.End(); at += blockSize {
			if err := ctx.Err(); err != nil {
				return 0, err
			}
			clear(buf)
			if _, err := src.ReadAt(buf[:min(blockSize, size-at)], at); err != nil && !errors.Is(err, io.EOF) {
				return 0, err
			}
			if !sparse.Zero(buf) {
				if err := sparse.WriteAt(w, buf, pos); err != nil {
					return 0, err
				}
				binary.LittleEndian.PutUint64(bat[batIndex(at/blockSize)*8:], uint64(pos)|fullyPresent)
				pos += blockSize
			}
			if o.Progress != nil {
				o.Progress(blockSize, total)
			}
		}
	}
	table := regions(batSize)
	for _, part := range []struct {
		at   int64
		data []byte
	}{
		{batAt, bat},
		{metadataAt, metadata(size, o.ID)},
		{regionAt1, table}, {regionAt2, table},
		{headerAt1, header(1, o.ID)}, {headerAt2, header(2, o.ID)},
		{0, identifier()},
	} {
		if _, err := w.WriteAt(part.data, part.at); err != nil {
			return 0, err
		}
	}
	return pos, nil
}
