// Package vhdx writes dynamic VHDX images from sparse files. The format is
// that of Microsoft's [MS-VHDX], version 8: a file identifier, two headers,
// two region tables, a log (empty, for the file was closed in peace), the
// metadata, the block allocation table (BAT), and the blocks that have data.
package vhdx

import (
	"encoding/binary"
	"hash/crc32"
	"slices"
	"unicode/utf16"

	"github.com/google/uuid"
)

// Places of what stands at the file's beginning, in bytes (section 2.2).
const (
	mib = 1 << 20

	headerAt1 = 64 << 10
	headerAt2 = 128 << 10
	regionAt1 = 192 << 10
	regionAt2 = 256 << 10

	headerSize = 4 << 10
	regionSize = 64 << 10

	logAt        = 1 * mib
	logSize      = 1 * mib
	metadataAt   = 2 * mib
	metadataSize = 1 * mib
	batAt        = 3 * mib

	sector   = 512
	physical = 4096
	// BlockSize is the unit in which data is stored. It is the least that the
	// format has: what is empty takes the least room.
	blockSize = 1 * mib
	// A bitmap block of a differencing disk tells of 2^23 sectors; its entry in
	// the table stands behind those of the blocks that it is for (2.5).
	chunkRatio = (1 << 23) * sector / blockSize

	maxSize = 64 << 40 // bytes of disk

	fullyPresent = 6 // PAYLOAD_BLOCK_FULLY_PRESENT
)

// Ids of regions (2.2.3.2) and of metadata items (2.6.2).
const (
	idBAT      = "2DC27766-F623-4200-9D64-115E9BFD4A08"
	idMetadata = "8B7CA206-4790-4B9A-B8FE-575F050F886E"

	idFileParameters = "CAA16737-FA36-4D43-B3B6-33F0AA44E76B"
	idDiskSize       = "2FA54224-CD1B-4876-B211-5DBED83BF4B8"
	idDiskID         = "BECA12AB-B2E6-4523-93EF-C309E000C746"
	idLogicalSector  = "8141BF1D-A96F-4709-BA47-F233A8FAAB5F"
	idPhysicalSector = "CDA348C7-445D-4471-9CC9-E9885251C556"
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// sum puts the checksum at offset 4 of a structure, over all of it with that
// field zero.
func sum(b []byte) []byte {
	binary.LittleEndian.PutUint32(b[4:], 0)
	binary.LittleEndian.PutUint32(b[4:], crc32.Checksum(b, castagnoli))
	return b
}

// guid encodes an id, whose first three fields are little-endian on disk.
func guid(id uuid.UUID) []byte {
	b := slices.Clone(id[:])
	slices.Reverse(b[0:4])
	slices.Reverse(b[4:6])
	slices.Reverse(b[6:8])
	return b
}

// identifier is the file identifier (2.2.1).
func identifier() []byte {
	b := make([]byte, headerAt1)
	copy(b, "vhdxfile")
	for i, u := range utf16.Encode([]rune("Cloudy")) {
		binary.LittleEndian.PutUint16(b[8+2*i:], u)
	}
	return b
}

// header is one of the two headers (2.2.2); the one with the higher sequence
// number counts.
func header(sequence uint64, id uuid.UUID) []byte {
	b := make([]byte, headerSize)
	le := binary.LittleEndian
	copy(b, "head")
	le.PutUint64(b[8:], sequence)
	copy(b[16:], guid(id)) // FileWriteGuid
	copy(b[32:], guid(id)) // DataWriteGuid
	// The LogGuid stays zero: there is nothing to replay.
	le.PutUint16(b[66:], 1) // Version; LogVersion is 0
	le.PutUint32(b[68:], logSize)
	le.PutUint64(b[72:], logAt)
	return sum(b)
}

// regions is the region table (2.2.3).
func regions(batSize int64) []byte {
	b := make([]byte, regionSize)
	le := binary.LittleEndian
	copy(b, "regi")
	le.PutUint32(b[8:], 2)
	for i, r := range []struct {
		id       string
		at, size int64
	}{{idBAT, batAt, batSize}, {idMetadata, metadataAt, metadataSize}} {
		e := b[16+32*i:]
		copy(e, guid(uuid.MustParse(r.id)))
		le.PutUint64(e[16:], uint64(r.at))
		le.PutUint32(e[24:], uint32(r.size))
		le.PutUint32(e[28:], 1) // required
	}
	return sum(b)
}

// Flags of metadata items.
const (
	isVirtualDisk = 1 << 1
	isRequired    = 1 << 2
)

// metadata is the metadata table and its items (2.6).
func metadata(size int64, id uuid.UUID) []byte {
	const itemsAt = 64 << 10
	b := make([]byte, itemsAt+4096)
	le := binary.LittleEndian
	copy(b, "metadata")
	items := []struct {
		id    string
		flags uint32
		data  []byte
	}{
		{idFileParameters, isRequired, append(le.AppendUint32(nil, blockSize), 0, 0, 0, 0)},
		{idDiskSize, isVirtualDisk | isRequired, le.AppendUint64(nil, uint64(size))},
		{idDiskID, isVirtualDisk | isRequired, guid(id)},
		{idLogicalSector, isVirtualDisk | isRequired, le.AppendUint32(nil, sector)},
		{idPhysicalSector, isVirtualDisk | isRequired, le.AppendUint32(nil, physical)},
	}
	le.PutUint16(b[10:], uint16(len(items)))
	at := itemsAt
	for i, item := range items {
		e := b[32+32*i:]
		copy(e, guid(uuid.MustParse(item.id)))
		le.PutUint32(e[16:], uint32(at))
		le.PutUint32(e[20:], uint32(len(item.data)))
		le.PutUint32(e[24:], item.flags)
		at += copy(b[at:], item.data)
	}
	return b
}

// batIndex is the place of a block's entry in the table.
func batIndex(block int64) int64 { return block + block/chunkRatio }
