package gpt

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"io"
	"slices"
	"unicode/utf16"

	"github.com/google/uuid"
)

// Fields of the header (UEFI table 5.5).
const (
	signature  = "EFI PART"
	headerSize = 92
	hdrSize    = 12
	hdrCRC     = 16
	hdrMyLBA   = 24
	hdrGUID    = 56
	hdrArray   = 72
	hdrCount   = 80
	hdrEntry   = 84
	hdrPartCRC = 88
)

// Read reads the table of a disk of size bytes: the first one, or the backup
// at the end when the first is damaged. Anything else is an ErrInvalid or an
// error of r.
func Read(r io.ReaderAt, size int64) (*Table, error) {
	t, err := readAt(r, size, 1)
	if err == nil {
		return t, nil
	}
	if backup, berr := readAt(r, size, size/Sector-1); berr == nil {
		return backup, nil
	}
	return nil, err
}

func readAt(r io.ReaderAt, size, lba int64) (*Table, error) {
	le := binary.LittleEndian
	if lba < 1 || size < 3*Sector {
		return nil, fmt.Errorf("%w: disk of %d bytes", ErrInvalid, size)
	}
	h := make([]byte, Sector)
	if _, err := r.ReadAt(h, lba*Sector); err != nil {
		return nil, fmt.Errorf("read partition table: %w", err)
	}
	if string(h[:8]) != signature || le.Uint32(h[hdrSize:]) != headerSize || le.Uint64(h[hdrMyLBA:]) != uint64(lba) {
		return nil, fmt.Errorf("%w: no header in sector %d", ErrInvalid, lba)
	}
	sum := le.Uint32(h[hdrCRC:])
	le.PutUint32(h[hdrCRC:], 0)
	if crc32.ChecksumIEEE(h[:headerSize]) != sum {
		return nil, fmt.Errorf("%w: header in sector %d is damaged", ErrInvalid, lba)
	}
	n, each, at := int64(le.Uint32(h[hdrCount:])), int64(le.Uint32(h[hdrEntry:])), le.Uint64(h[hdrArray:])
	if n < 1 || n > 1024 || each != entrySize || at > uint64(size/Sector) {
		return nil, fmt.Errorf("%w: %d entries of %d bytes in sector %d", ErrInvalid, n, each, at)
	}
	array := make([]byte, n*each)
	if _, err := r.ReadAt(array, int64(at)*Sector); err != nil {
		return nil, fmt.Errorf("read partition entries: %w", err)
	}
	if crc32.ChecksumIEEE(array) != le.Uint32(h[hdrPartCRC:]) {
		return nil, fmt.Errorf("%w: entries in sector %d are damaged", ErrInvalid, at)
	}
	t := &Table{GUID: guid(h[hdrGUID:]), DiskSize: size}
	for i := range int(n) {
		e := array[i*entrySize:][:entrySize]
		p := Partition{Number: i + 1, Type: guid(e), GUID: guid(e[16:]), Attributes: le.Uint64(e[48:])}
		if p.Type == uuid.Nil {
			continue
		}
		first, last := le.Uint64(e[32:]), le.Uint64(e[40:])
		if first > last || last >= uint64(size/Sector) {
			return nil, fmt.Errorf("%w: partition %d has sectors %d to %d", ErrInvalid, p.Number, first, last)
		}
		p.Start, p.Size = int64(first)*Sector, int64(last-first+1)*Sector
		var name []uint16
		for u := range slices.Chunk(e[56:], 2) {
			c := le.Uint16(u)
			if c == 0 {
				break
			}
			name = append(name, c)
		}
		p.Name = string(utf16.Decode(name))
		t.Partitions = append(t.Partitions, p)
	}
	return t, nil
}

// guid decodes a GUID, whose first three fields are little-endian on disk
// (UEFI appendix A).
func guid(b []byte) (id uuid.UUID) {
	copy(id[:], b[:16])
	slices.Reverse(id[0:4])
	slices.Reverse(id[4:6])
	slices.Reverse(id[6:8])
	return id
}
