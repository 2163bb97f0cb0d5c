// Package sparse finds the parts of a file that hold data.
package sparse

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"iter"
	"os"
	"slices"

	"golang.org/x/sys/unix"
)

// Extent is a range of bytes.
type Extent struct {
	Offset, Length int64
}

// End is the offset of the first byte behind the extent.
func (e Extent) End() int64 { return e.Offset + e.Length }

// Extents lists the parts of f that are not holes, in order. What lies
// between them reads as zeros. On a filesystem that does not know holes (see
// lseek(2), SEEK_DATA) it is one extent. It moves the file's offset.
func Extents(f *os.File) ([]Extent, error) { return ExtentsFrom(f, 0) }

// ExtentsFrom is Extents for what lies behind the byte at.
func ExtentsFrom(f *os.File, at int64) ([]Extent, error) {
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	size := info.Size()
	var out []Extent
	for at < size {
		start, err := f.Seek(at, unix.SEEK_DATA)
		if errors.Is(err, unix.ENXIO) { // no data behind at
			break
		}
		if errors.Is(err, unix.EINVAL) {
			return append(out, Extent{at, size - at}), nil
		}
		if err != nil {
			return nil, fmt.Errorf("find data in %s: %w", f.Name(), err)
		}
		end, err := f.Seek(start, unix.SEEK_HOLE)
		if err != nil {
			return nil, fmt.Errorf("find holes in %s: %w", f.Name(), err)
		}
		out = append(out, Extent{start, end - start})
		at = end
	}
	return out, nil
}

// Runs lists the parts of f with data as runs of whole blocks of the given
// size that do not touch each other. The last may reach behind the file's end.
func Runs(f *os.File, block int64) ([]Extent, error) {
	extents, err := Extents(f)
	if err != nil {
		return nil, err
	}
	for i, e := range extents {
		start := e.Offset / block * block
		extents[i] = Extent{start, (e.End()+block-1)/block*block - start}
	}
	return Merge(extents), nil
}

// Merge sorts extents and joins those that touch or overlap. The list that it
// is given may be changed.
func Merge(list []Extent) []Extent {
	slices.SortFunc(list, func(a, b Extent) int { return cmp.Compare(a.Offset, b.Offset) })
	var out []Extent
	for _, e := range list {
		if n := len(out); n > 0 && out[n-1].End() >= e.Offset {
			out[n-1].Length = max(e.End(), out[n-1].End()) - out[n-1].Offset
			continue
		}
		out = append(out, e)
	}
	return out
}

// Split cuts extents into pieces of at most n bytes.
func Split(list []Extent, n int64) iter.Seq[Extent] {
	return func(yield func(Extent) bool) {
		for _, e := range list {
			for at := e.Offset; at < e.End(); at += n {
				if !yield(Extent{at, min(n, e.End()-at)}) {
					return
				}
			}
		}
	}
}

// Read returns the bytes of r in the extent, in buf where it has room. Behind
// the end of r are zeros.
func (e Extent) Read(r io.ReaderAt, buf []byte) ([]byte, error) {
	buf = slices.Grow(buf[:0], int(e.Length))[:e.Length]
	n, err := r.ReadAt(buf, e.Offset)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	clear(buf[n:])
	return buf, nil
}

// Zero says whether b has something in it and nothing but zeros: its first
// byte is one, and each of the others is the same as the one before.
func Zero(b []byte) bool { return len(b) > 0 && b[0] == 0 && bytes.Equal(b[1:], b[:len(b)-1]) }

// WriteAt writes b but for its pages of zeros, which stay what they are: holes
// of a new file.
func WriteAt(w io.WriterAt, b []byte, off int64) error {
	const page = 4096
	for start := 0; start < len(b); {
		end := start
		for end < len(b) && !Zero(b[end:min(end+page, len(b))]) {
			end += page
		}
		end = min(end, len(b))
		if end > start {
			if _, err := w.WriteAt(b[start:end], off+int64(start)); err != nil {
				return err
			}
		}
		start = end + page
	}
	return nil
}
