package vhdx

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"

	"github.com/google/uuid"
)

// ErrInvalid says that an image is damaged or uses what this package does not
// read: a log that has to be replayed, a parent.
var ErrInvalid = errors.New("invalid vhdx image")

// Image is the virtual disk of an image. It is safe for concurrent use.
type Image struct {
	r     io.ReaderAt
	size  int64
	block int64 // bytes
	ratio int64
	bat   []byte
}

// Open reads the tables of an image.
func Open(r io.ReaderAt) (*Image, error) {
	le := binary.LittleEndian
	head, err := current(r)
	if err != nil {
		return nil, err
	}
	if !bytes.Equal(head[48:64], make([]byte, 16)) {
		return nil, fmt.Errorf("%w: its log has to be replayed; open it once with what wrote it", ErrInvalid)
	}
	table, err := read(r, regionAt1, regionSize)
	if err != nil {
		return nil, err
	}
	if string(table[:4]) != "regi" || !summed(table) {
		return nil, fmt.Errorf("%w: region table", ErrInvalid)
	}
	var bat, meta []byte
	for i := range min(le.Uint32(table[8:]), 2047) {
		e := table[16+32*i:]
		at, n := int64(le.Uint64(e[16:])), int64(le.Uint32(e[24:]))
		switch {
		case bytes.Equal(e[:16], guid(uuid.MustParse(idBAT))):
			bat, err = read(r, at, min(n, 64*mib))
		case bytes.Equal(e[:16], guid(uuid.MustParse(idMetadata))):
			meta, err = read(r, at, min(n, metadataSize))
		}
		if err != nil {
			return nil, err
		}
	}
	im := &Image{r: r, bat: bat}
	if err := im.metadata(meta); err != nil {
		return nil, err
	}
	blocks := (im.size + im.block - 1) / im.block
	if int64(len(bat))/8 < blocks+(blocks-1)/im.ratio {
		return nil, fmt.Errorf("%w: a table of %d bytes for %d blocks", ErrInvalid, len(bat), blocks)
	}
	return im, nil
}

// current is the header that counts.
func current(r io.ReaderAt) ([]byte, error) {
	var best []byte
	for _, at := range []int64{headerAt1, headerAt2} {
		h, err := read(r, at, headerSize)
		if err != nil {
			return nil, err
		}
		if string(h[:4]) != "head" || !summed(h) {
			continue
		}
		if best == nil || binary.LittleEndian.Uint64(h[8:]) > binary.LittleEndian.Uint64(best[8:]) {
			best = h
		}
	}
	if best == nil {
		return nil, fmt.Errorf("%w: no header", ErrInvalid)
	}
	return best, nil
}

func read(r io.ReaderAt, at, n int64) ([]byte, error) {
	if at < 0 || n < 0 {
		return nil, fmt.Errorf("%w: %d bytes at %d", ErrInvalid, n, at)
	}
	b := make([]byte, n)
	if _, err := r.ReadAt(b, at); err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	return b, nil
}

func summed(b []byte) bool {
	c := bytes.Clone(b)
	clear(c[4:8])
	return crc32.Checksum(c, castagnoli) == binary.LittleEndian.Uint32(b[4:])
}

func (im *Image) metadata(b []byte) error {
	le := binary.LittleEndian
	if len(b) < 64<<10 || string(b[:8]) != "metadata" {
		return fmt.Errorf("%w: no metadata", ErrInvalid)
	}
	logical := int64(0)
	for i := range min(int(le.Uint16(b[10:])), 2047) {
		e := b[32+32*i:]
		at, n := int64(le.Uint32(e[16:])), int64(le.Uint32(e[20:]))
		if n < 4 || at+n > int64(len(b)) {
			continue
		}
		item := b[at : at+n]
		switch {
		case bytes.Equal(e[:16], guid(uuid.MustParse(idFileParameters))) && n >= 8:
			im.block = int64(le.Uint32(item))
			if le.Uint32(item[4:])&2 != 0 {
				return fmt.Errorf("%w: it has a parent", ErrInvalid)
			}
		case bytes.Equal(e[:16], guid(uuid.MustParse(idDiskSize))) && n >= 8:
			im.size = int64(le.Uint64(item))
		case bytes.Equal(e[:16], guid(uuid.MustParse(idLogicalSector))):
			logical = int64(le.Uint32(item))
		}
	}
	if im.size <= 0 || im.size > maxSize || im.block < mib || im.block > 256*mib || im.block%mib != 0 || logical != 512 && logical != 4096 {
		return fmt.Errorf("%w: %d bytes in blocks of %d and sectors of %d", ErrInvalid, im.size, im.block, logical)
	}
	im.ratio = (1 << 23) * logical / im.block
	return nil
}

// Size is the size of the virtual disk in bytes.
func (im *Image) Size() int64 { return im.size }

// ReadAt reads the virtual disk.
func (im *Image) ReadAt(p []byte, off int64) (n int, err error) {
	if off < 0 {
		return 0, errors.New("vhdx: negative offset")
	}
	for n < len(p) && off < im.size {
		number, within := off/im.block, off%im.block
		part := p[n:min(int64(len(p)), int64(n)+min(im.block-within, im.size-off))]
		entry := binary.LittleEndian.Uint64(im.bat[(number+number/im.ratio)*8:])
		switch entry & 7 {
		case fullyPresent:
			if _, err := im.r.ReadAt(part, int64(entry>>20<<20)+within); err != nil {
				return n, fmt.Errorf("vhdx block %d: %w", number, err)
			}
		case 7:
			return n, fmt.Errorf("%w: block %d is partly in a parent", ErrInvalid, number)
		default:
			clear(part)
		}
		n += len(part)
		off += int64(len(part))
	}
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}
