// Package vmdk writes stream-optimised VMDK images from sparse files. The
// format is that of VMware's "Virtual Disk Format 5.0", section "Stream-
// Optimized Compressed Sparse Extents": grains of 64 KiB, each compressed and
// with a marker before it, tables behind the grains that they find, and a
// footer that finds the tables.
package vmdk

import (
	"encoding/binary"
	"fmt"
	"strings"

	"github.com/google/uuid"
)

const (
	sector       = 512
	grainSectors = 128
	grainSize    = grainSectors * sector
	tableEntries = 512 // grains that one table finds
	tableSize    = tableEntries * 4

	magic   = 0x564d444b // "KDMV"
	version = 3
	// The newline check is valid, grains are compressed, there are markers.
	flags             = 1 | 1<<16 | 1<<17
	deflate           = 1         // compressAlgorithm
	atEnd             = 1<<64 - 1 // gdOffset: look into the footer
	newlines          = "\n \r\n"
	descriptorAt      = 1 // sectors
	descriptorSectors = 20
	overhead          = grainSectors // sectors before the first grain
)

// Offsets of SparseExtentHeader's fields.
const (
	hdrVersion    = 4
	hdrFlags      = 8
	hdrCapacity   = 12
	hdrGrain      = 20
	hdrDescriptor = 28
	hdrDescSize   = 36
	hdrTableLen   = 44
	hdrDirectory  = 56
	hdrOverhead   = 64
	hdrNewlines   = 73
	hdrCompress   = 77
)

// Types of markers.
const (
	markEnd       = 0
	markTable     = 1
	markDirectory = 2
	markFooter    = 3
)

// header is a SparseExtentHeader; directory is the sector of the grain
// directory.
func header(capacity, directory uint64) []byte {
	h := make([]byte, sector)
	le := binary.LittleEndian
	le.PutUint32(h, magic)
	le.PutUint32(h[hdrVersion:], version)
	le.PutUint32(h[hdrFlags:], flags)
	le.PutUint64(h[hdrCapacity:], capacity)
	le.PutUint64(h[hdrGrain:], grainSectors)
	le.PutUint64(h[hdrDescriptor:], descriptorAt)
	le.PutUint64(h[hdrDescSize:], descriptorSectors)
	le.PutUint32(h[hdrTableLen:], tableEntries)
	le.PutUint64(h[hdrDirectory:], directory)
	le.PutUint64(h[hdrOverhead:], overhead)
	copy(h[hdrNewlines:], newlines)
	le.PutUint16(h[hdrCompress:], deflate)
	return h
}

// marker is a metadata marker: the sectors of what follows, and its type.
func marker(sectors uint64, kind uint32) []byte {
	m := make([]byte, sector)
	binary.LittleEndian.PutUint64(m, sectors)
	binary.LittleEndian.PutUint32(m[12:], kind)
	return m
}

// descriptor is the text that names the disk. The geometry is what VMware
// takes for disks on SCSI controllers.
func descriptor(name string, capacity int64, id uuid.UUID) []byte {
	heads, sectors := int64(64), int64(32)
	switch size := capacity * sector; {
	case size > 2<<30:
		heads, sectors = 255, 63
	case size > 1<<30:
		heads = 128
	}
	var u []string
	for i, b := range id {
		sep := " "
		if i == 8 {
			sep = "-"
		}
		if i == 0 {
			sep = ""
		}
		u = append(u, fmt.Sprintf("%s%02x", sep, b))
	}
	text := fmt.Sprintf(`# Disk DescriptorFile
version=1
CID=%08x
parentCID=ffffffff
createType="streamOptimized"

# Extent description
RW %d SPARSE "%s"

# The Disk Data Base
#DDB

ddb.adapterType = "lsilogic"
ddb.geometry.cylinders = "%d"
ddb.geometry.heads = "%d"
ddb.geometry.sectors = "%d"
ddb.longContentID = "%x"
ddb.uuid = "%s"
ddb.virtualHWVersion = "13"
`, contentID(id), capacity, name, min(capacity/(heads*sectors), 65535), heads, sectors, id[:], strings.Join(u, ""))
	return append([]byte(text), make([]byte, max(0, descriptorSectors*sector-len(text)))...)
}

// contentID is the CID: anything but the two values that mean "none" and
// "never written" to VMware.
func contentID(id uuid.UUID) uint32 {
	n := binary.BigEndian.Uint32(id[12:])
	if n >= 0xfffffffe {
		return 1
	}
	return n
}
