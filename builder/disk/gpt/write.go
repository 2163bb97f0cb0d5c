package gpt

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"

	"github.com/diskfs/go-diskfs/partition/gpt"
)

// Offsets in the protective MBR's only entry (UEFI table 5.4).
const (
	mbrEntry    = 446
	mbrStartCHS = mbrEntry + 1
	mbrEndCHS   = mbrEntry + 5
	mbrSectors  = mbrEntry + 12
)

// Write validates the table and writes it: protective MBR (bytes 0 to 445 of
// the disk stay), table and backup table. The same table is the same bytes.
func (t *Table) Write(d Disk) error {
	if err := t.Validate(); err != nil {
		return err
	}
	out := gpt.Table{LogicalSectorSize: Sector, PhysicalSectorSize: Sector, GUID: t.GUID.String(), ProtectiveMBR: true}
	for _, p := range t.Partitions {
		out.Partitions = append(out.Partitions, &gpt.Partition{
			Index: p.Number,
			Start: uint64(p.Start / Sector), End: uint64(p.End()/Sector - 1), Size: uint64(p.Size),
			Type: gpt.Type(p.Type.String()), Name: p.Name, GUID: p.GUID.String(), Attributes: p.Attributes,
		})
	}
	if err := out.Write(device{d}, t.DiskSize); err != nil {
		return fmt.Errorf("write partition table: %w", err)
	}
	// The library leaves the CHS fields zero and lets the size of a disk over
	// 2 TiB overflow; the specification fixes both.
	for _, fix := range []struct {
		off  int64
		data []byte
	}{
		{mbrStartCHS, []byte{0, 2, 0}},
		{mbrEndCHS, []byte{0xff, 0xff, 0xff}},
		{mbrSectors, binary.LittleEndian.AppendUint32(nil, uint32(min(t.DiskSize/Sector-1, math.MaxUint32)))},
	} {
		if _, err := d.WriteAt(fix.data, fix.off); err != nil {
			return fmt.Errorf("write protective MBR: %w", err)
		}
	}
	return nil
}

// device is a Disk as go-diskfs wants one. It has no Sync, so that the
// library does not wait for the disk after each of its writes.
type device struct{ Disk }

var errNoStream = errors.New("not a stream")

func (device) Stat() (fs.FileInfo, error)     { return nil, errNoStream }
func (device) Read([]byte) (int, error)       { return 0, errNoStream }
func (device) Close() error                   { return nil }
func (device) Seek(int64, int) (int64, error) { return 0, errNoStream }

var _ io.Seeker = device{}
