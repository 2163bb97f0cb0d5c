package gpt

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"hash/crc32"
)

// Fields that Move changes (UEFI tables 5.3 and 5.5).
const (
	hdrAlternate  = 32
	hdrLastUsable = 48

	mbrFirst  = 446 // the first of four entries
	mbrSlot   = 16
	mbrType   = 4
	mbrSize   = 12
	protected = 0xee
)

// Move fits the table of an image to the larger disk that the image was copied
// to: the backup goes to the disk's end, and the protective MBR covers all of
// it. The partitions, whoever made them, stay as they are. size is the disk's,
// image the image's, in bytes. A disk without a table in its second sector is
// left alone, and moved is false.
func Move(d Disk, image, size int64) (moved bool, err error) {
	le := binary.LittleEndian
	head := make([]byte, 2*Sector)
	if _, err := d.ReadAt(head, 0); err != nil {
		return false, fmt.Errorf("read partition table: %w", err)
	}
	mbr, h := head[:Sector], head[Sector:]
	if string(h[:8]) != signature {
		return false, nil
	}
	if _, err := readAt(d, image, 1); err != nil {
		return false, err
	}
	array := make([]byte, int64(le.Uint32(h[hdrCount:]))*entrySize)
	if _, err := d.ReadAt(array, int64(le.Uint64(h[hdrArray:]))*Sector); err != nil {
		return false, fmt.Errorf("read partition entries: %w", err)
	}
	sectors := (int64(len(array)) + Sector - 1) / Sector
	last := size/Sector - 1
	if last-sectors <= int64(le.Uint64(h[hdrLastUsable:])) && int64(le.Uint64(h[hdrAlternate:])) == last {
		return true, nil // fits already
	}
	if last-sectors-1 < int64(le.Uint64(h[hdrLastUsable:])) {
		return false, fmt.Errorf("%w: the disk of %d bytes has no room for the backup", ErrInvalid, size)
	}
	// The old backup would be found by tools that look for one.
	old := int64(le.Uint64(h[hdrAlternate:]))
	stale := make([]byte, Sector)
	if _, err := d.ReadAt(stale, old*Sector); err == nil && string(stale[:8]) == signature && old != last {
		if _, err := d.WriteAt(make([]byte, Sector), old*Sector); err != nil {
			return false, err
		}
	}
	le.PutUint64(h[hdrAlternate:], uint64(last))
	le.PutUint64(h[hdrLastUsable:], uint64(last-sectors-1))
	seal(h)
	backup := bytes.Clone(h)
	le.PutUint64(backup[hdrMyLBA:], uint64(last))
	le.PutUint64(backup[hdrAlternate:], 1)
	le.PutUint64(backup[hdrArray:], uint64(last-sectors))
	seal(backup)
	for i := range 4 {
		if e := mbr[mbrFirst+i*mbrSlot:][:mbrSlot]; e[mbrType] == protected {
			le.PutUint32(e[mbrSize:], uint32(min(last, 1<<32-1)))
		}
	}
	// The backup first: there is always one whole table.
	for _, w := range []struct {
		b  []byte
		at int64
	}{{array, last - sectors}, {backup, last}, {head, 0}} {
		if _, err := d.WriteAt(w.b, w.at*Sector); err != nil {
			return false, fmt.Errorf("write partition table: %w", err)
		}
	}
	return true, nil
}

// seal computes a header's checksum.
func seal(h []byte) {
	binary.LittleEndian.PutUint32(h[hdrCRC:], 0)
	binary.LittleEndian.PutUint32(h[hdrCRC:], crc32.ChecksumIEEE(h[:headerSize]))
}
