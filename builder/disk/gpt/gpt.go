// Package gpt writes and reads GUID partition tables (UEFI Specification
// 2.10, section 5.3) on disks with sectors of 512 bytes. go-diskfs encodes
// the table; it writes whatever it is told, so this package checks first.
package gpt

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"slices"
	"unicode/utf16"

	"github.com/google/uuid"
)

const (
	// Sector is the logical sector size in bytes.
	Sector = 512
	// Align is what every partition starts and ends on, in bytes: a multiple
	// of all erase and stripe sizes that matter, and what sfdisk, sgdisk and
	// Windows use.
	Align = 1 << 20

	entries      = 128
	entrySize    = 128
	arraySectors = entries * entrySize / Sector
	maxNameUnits = 36 // UTF-16 units, UEFI table 5.6

	// Tail is the room at the end of a disk that the backup table takes, in
	// bytes, rounded up to Align.
	Tail = Align
)

// Partition types. The ones for roots are those of the Discoverable
// Partitions Specification.
const (
	BIOSBoot  = "21686148-6449-6E6F-744E-656564454649"
	ESP       = "C12A7328-F81F-11D2-BA4B-00A0C93EC93B"
	Linux     = "0FC63DAF-8483-4772-8E79-3D69D8477DE4"
	RootAMD64 = "4F68BCE3-E8CD-4DB1-96E7-FBCAF984B709"
	RootARM64 = "B921B045-1DF0-41C3-AF44-4C6F280D3FAE"
	RootARM   = "69DAD710-2CE4-4E3C-B16C-21A1D49ABED3"
	RootX86   = "44479540-F297-41B2-9AF7-D131D5F0458A"
)

// GrowFlag is attribute bit 59 of a root partition: systemd grows the
// filesystem to the partition's size (Discoverable Partitions Specification).
const GrowFlag = 1 << 59

// ErrInvalid says that a table cannot be written, or that what was read is none.
var ErrInvalid = errors.New("invalid partition table")

// Partition is one entry.
type Partition struct {
	Number     int       // 1 to 128: the N of /dev/sdaN
	Name       string    // at most 36 UTF-16 units
	Type       uuid.UUID // one of the partition types
	GUID       uuid.UUID // the PARTUUID
	Start      int64     // bytes from the beginning of the disk
	Size       int64     // bytes
	Attributes uint64
}

// End is the offset of the first byte behind the partition.
func (p Partition) End() int64 { return p.Start + p.Size }

// Table is a partition table.
type Table struct {
	GUID       uuid.UUID
	DiskSize   int64 // bytes
	Partitions []Partition
}

// Validate returns all that is wrong with the table, or nil. Every error is
// an ErrInvalid.
func (t *Table) Validate() error {
	var errs []error
	bad := func(format string, args ...any) {
		errs = append(errs, fmt.Errorf("%w: "+format, append([]any{ErrInvalid}, args...)...))
	}
	if t.DiskSize%Sector != 0 || t.DiskSize < 2*Align+Tail {
		bad("disk of %d bytes", t.DiskSize)
	}
	if t.GUID == uuid.Nil {
		bad("no disk GUID")
	}
	last := t.DiskSize - (1+arraySectors)*Sector // first byte of the backup table
	guids := map[uuid.UUID]int{t.GUID: 0}
	numbers := map[int]bool{}
	for _, p := range t.Partitions {
		switch {
		case p.Number < 1 || p.Number > entries:
			bad("partition number %d", p.Number)
		case numbers[p.Number]:
			bad("partition %d is there twice", p.Number)
		}
		numbers[p.Number] = true
		if p.Type == uuid.Nil || p.GUID == uuid.Nil {
			bad("partition %d has no type or no GUID", p.Number)
		}
		if other, ok := guids[p.GUID]; ok {
			bad("partition %d has the GUID of partition %d", p.Number, other)
		}
		guids[p.GUID] = p.Number
		if n := len(utf16.Encode([]rune(p.Name))); n > maxNameUnits {
			bad("name of partition %d has %d UTF-16 units, at most %d", p.Number, n, maxNameUnits)
		}
		if p.Start%Align != 0 || p.Size%Sector != 0 || p.Size <= 0 {
			bad("partition %d: start %d or size %d is not aligned", p.Number, p.Start, p.Size)
		}
		if p.Start < Align || p.Size > last || p.Start > last-p.Size {
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

// Disk is what a table is written to.
type Disk interface {
	io.ReaderAt
	io.WriterAt
}
