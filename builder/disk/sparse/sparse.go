// Package sparse finds the parts of a file that hold data.
package sparse

import (
	"errors"
	"fmt"
	"os"

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
func Extents(f *os.File) ([]Extent, error) {
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	size := info.Size()
	var out []Extent
	for at := int64(0); at < size; {
		start, err := f.Seek(at, unix.SEEK_DATA)
		if errors.Is(err, unix.ENXIO) { // no data behind at
			break
		}
		if errors.Is(err, unix.EINVAL) {
			return []Extent{{0, size}}, nil
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
