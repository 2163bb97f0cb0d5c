// Package mbr writes and reads the partition table in the first sector of a
// disk, with primary partitions alone. The format is the one that the UEFI
// Specification 2.10 describes in section 5.2.1.
package mbr

import (
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
)

// Types of partitions.
const (
	FAT32LBA = 0x0c
	Linux    = 0x83
)

// Sector is the size of a sector in bytes.
const Sector = 512

const (
	signatureAt = 440 // the disk's, from which Linux makes PARTUUIDs
	entriesAt   = 446
	entrySize   = 16
	maxEntries  = 4
	bootable    = 0x80
)

// ErrInvalid says that a table cannot be written, or that what was read is none.
var ErrInvalid = errors.New("invalid partition table")

// Partition is one entry.
type Partition struct {
	Number   int // 1 to 4
	Type     byte
	Bootable bool
	Start    int64 // bytes
	Size     int64 // bytes
}

// End is the offset of the first byte behind the partition.
func (p Partition) End() int64 { return p.Start + p.Size }

// Table is a partition table.
type Table struct {
	Signature  uint32 // not 0
	DiskSize   int64  // bytes
	Partitions []Partition
}

// PartUUID is how Linux names a partition (blkid's PARTUUID).
func (t *Table) PartUUID(number int) string { return fmt.Sprintf("%08x-%02x", t.Signature, number) }

// Validate returns all that is wrong with the table, or nil. Every error is
// an ErrInvalid.
func (t *Table) Validate() error {
	var errs []error
	bad := func(format string, args ...any) {
		errs = append(errs, fmt.Errorf("%w: "+format, append([]any{ErrInvalid}, args...)...))
	}
	if t.Signature == 0 {
		bad("no signature")
	}
	if t.DiskSize%Sector != 0 || t.DiskSize < 2*Sector {
		bad("disk of %d bytes", t.DiskSize)
	}
	seen := map[int]bool{}
	for _, p := range t.Partitions {
		switch {
		case p.Number < 1 || p.Number > maxEntries:
			bad("partition number %d", p.Number)
		case seen[p.Number]:
			bad("partition %d is there twice", p.Number)
		}
		seen[p.Number] = true
		if p.Type == 0 {
			bad("partition %d has no type", p.Number)
		}
		if p.Start%Sector != 0 || p.Size%Sector != 0 || p.Size <= 0 || p.Size/Sector > math.MaxUint32 || p.Start/Sector > math.MaxUint32 {
			bad("partition %d: start %d or size %d is not possible", p.Number, p.Start, p.Size)
		}
		if p.Start < Sector || p.Size > t.DiskSize || p.Start > t.DiskSize-p.Size {
			bad("partition %d: bytes %d+%d are outside of a disk of %d", p.Number, p.Start, p.Size, t.DiskSize)
		}
	}
	sorted := slices.SortedFunc(slices.Values(t.Partitions), func(a, b Partition) int { return cmp.Compare(a.Start, b.Start) })
	for i := 1; i < len(sorted); i++ {
		if a, b := sorted[i-1], sorted[i]; b.Start < a.End() {
			bad("partitions %d and %d overlap", a.Number, b.Number)
		}
	}
	return errors.Join(errs...)
}

// Write validates the table and writes it. Bytes 0 to 439, where boot code
// is, stay as they are.
func (t *Table) Write(w io.WriterAt) error {
	if err := t.Validate(); err != nil {
		return err
	}
	le := binary.LittleEndian
	b := make([]byte, Sector-signatureAt)
	le.PutUint32(b, t.Signature)
	for _, p := range t.Partitions {
		e := b[entriesAt-signatureAt+(p.Number-1)*entrySize:]
		if p.Bootable {
			e[0] = bootable
		}
		// Nobody who uses LBA reads CHS; this is how a place beyond its reach is written.
		copy(e[1:], []byte{0xfe, 0xff, 0xff})
		e[4] = p.Type
		copy(e[5:], []byte{0xfe, 0xff, 0xff})
		le.PutUint32(e[8:], uint32(p.Start/Sector))
		le.PutUint32(e[12:], uint32(p.Size/Sector))
	}
	b[len(b)-2], b[len(b)-1] = 0x55, 0xaa
	if _, err := w.WriteAt(b, signatureAt); err != nil {
		return fmt.Errorf("write partition table: %w", err)
	}
	return nil
}

// Read reads the table of a disk of size bytes. What is no table, or one with
// an entry outside of the disk, is an ErrInvalid; extended partitions are
// entries as any other.
func Read(r io.ReaderAt, size int64) (*Table, error) {
	b := make([]byte, Sector)
	if _, err := r.ReadAt(b, 0); err != nil {
		return nil, fmt.Errorf("read partition table: %w", err)
	}
	if b[510] != 0x55 || b[511] != 0xaa {
		return nil, fmt.Errorf("%w: no signature in the first sector", ErrInvalid)
	}
	le := binary.LittleEndian
	t := &Table{Signature: le.Uint32(b[signatureAt:]), DiskSize: size}
	for i := range maxEntries {
		e := b[entriesAt+i*entrySize:][:entrySize]
		if e[4] == 0 {
			continue
		}
		p := Partition{Number: i + 1, Type: e[4], Bootable: e[0] == bootable, Start: int64(le.Uint32(e[8:])) * Sector, Size: int64(le.Uint32(e[12:])) * Sector}
		if e[0]&^bootable != 0 || p.Start < Sector || p.Size == 0 || p.End() > size {
			return nil, fmt.Errorf("%w: entry %d", ErrInvalid, p.Number)
		}
		t.Partitions = append(t.Partitions, p)
	}
	return t, nil
}
