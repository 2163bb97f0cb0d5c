package vmdk

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"sync"

	"github.com/klauspost/compress/zlib"
)

// ErrInvalid says that an image is damaged or is none that this package reads.
var ErrInvalid = errors.New("invalid vmdk image")

// Image is the virtual disk of a stream-optimised image. It is safe for
// concurrent use.
type Image struct {
	r         io.ReaderAt
	size      int64
	directory []uint32

	mu     sync.Mutex
	tables map[uint32][]byte // that were read, by their sectors
	last   int64             // the grain that is in buf
	buf    []byte
}

// maxDirectory bounds the directory in entries: that of 2 TiB.
const maxDirectory = maxSize / (grainSize * tableEntries)

// Open reads the header and the directory of a stream-optimised image of a
// length in bytes. Other kinds are an ErrInvalid.
func Open(r io.ReaderAt, length int64) (*Image, error) {
	h := make([]byte, sector)
	if _, err := r.ReadAt(h, 0); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	le := binary.LittleEndian
	if le.Uint32(h) != magic || le.Uint32(h[hdrFlags:])&(1<<16|1<<17) != 1<<16|1<<17 || le.Uint16(h[hdrCompress:]) != deflate {
		return nil, fmt.Errorf("%w: it is not stream-optimised", ErrInvalid)
	}
	if le.Uint64(h[hdrDirectory:]) == atEnd {
		// The footer stands before the mark of the end.
		if _, err := r.ReadAt(h, length-2*sector); err != nil || le.Uint32(h) != magic {
			return nil, fmt.Errorf("%w: no footer", ErrInvalid)
		}
	}
	capacity, at := le.Uint64(h[hdrCapacity:]), le.Uint64(h[hdrDirectory:])
	if le.Uint64(h[hdrGrain:]) != grainSectors || le.Uint32(h[hdrTableLen:]) != tableEntries || capacity == 0 || capacity > maxSize/sector || at > 1<<32 {
		return nil, fmt.Errorf("%w: %d sectors in grains of %d", ErrInvalid, capacity, le.Uint64(h[hdrGrain:]))
	}
	im := &Image{r: r, size: int64(capacity) * sector, last: -1, tables: map[uint32][]byte{}, buf: make([]byte, grainSize)}
	n := (im.size + grainSize*tableEntries - 1) / (grainSize * tableEntries)
	if n > maxDirectory {
		return nil, fmt.Errorf("%w: %d tables", ErrInvalid, n)
	}
	d := make([]byte, 4*n)
	if _, err := r.ReadAt(d, int64(at)*sector); err != nil {
		return nil, fmt.Errorf("%w: directory: %w", ErrInvalid, err)
	}
	for ; len(d) > 0; d = d[4:] {
		im.directory = append(im.directory, le.Uint32(d))
	}
	return im, nil
}

// Size is the size of the virtual disk in bytes.
func (im *Image) Size() int64 { return im.size }

// ReadAt reads the virtual disk.
func (im *Image) ReadAt(p []byte, off int64) (n int, err error) {
	if off < 0 {
		return 0, errors.New("vmdk: negative offset")
	}
	im.mu.Lock()
	defer im.mu.Unlock()
	for n < len(p) && off < im.size {
		grain, within := off/grainSize, off%grainSize
		part := p[n:min(int64(len(p)), int64(n)+min(grainSize-within, im.size-off))]
		if err := im.load(grain); err != nil {
			return n, fmt.Errorf("vmdk grain %d: %w", grain, err)
		}
		copy(part, im.buf[within:])
		n += len(part)
		off += int64(len(part))
	}
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

// load brings a grain into buf.
func (im *Image) load(grain int64) error {
	if im.last == grain {
		return nil
	}
	im.last = -1
	clear(im.buf)
	at := uint32(0)
	if t := im.directory[grain/tableEntries]; t != 0 {
		table := im.tables[t]
		if table == nil {
			table = make([]byte, tableSize)
			if _, err := im.r.ReadAt(table, int64(t)*sector); err != nil {
				return fmt.Errorf("%w: table: %w", ErrInvalid, err)
			}
			if len(im.tables) > 1024 {
				clear(im.tables)
			}
			im.tables[t] = table
		}
		at = binary.LittleEndian.Uint32(table[grain%tableEntries*4:])
	}
	if at > 1 { // 1 is zeros by name
		var mark [12]byte
		if _, err := im.r.ReadAt(mark[:], int64(at)*sector); err != nil {
			return fmt.Errorf("%w: %w", ErrInvalid, err)
		}
		n := binary.LittleEndian.Uint32(mark[8:])
		if binary.LittleEndian.Uint64(mark[:]) != uint64(grain)*grainSectors || n > 2*grainSize {
			return fmt.Errorf("%w: its marker is another one's", ErrInvalid)
		}
		packed := make([]byte, n)
		if _, err := im.r.ReadAt(packed, int64(at)*sector+int64(len(mark))); err != nil {
			return fmt.Errorf("%w: %w", ErrInvalid, err)
		}
		z, err := zlib.NewReader(bytes.NewReader(packed))
		if err != nil {
			return fmt.Errorf("%w: %w", ErrInvalid, err)
		}
		defer z.Close()
		if _, err := io.ReadFull(z, im.buf[:min(grainSize, im.size-grain*grainSize)]); err != nil {
			return fmt.Errorf("%w: %w", ErrInvalid, err)
		}
	}
	im.last = grain
	return nil
}
