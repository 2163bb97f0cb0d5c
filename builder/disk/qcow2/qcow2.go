// Package qcow2 writes compressed qcow2 images, version 3, from sparse files,
// and reads qcow2 images. The format is that of QEMU's docs/interop/qcow2.rst
// (qcow2.txt before QEMU 10).
package qcow2

import "errors"

const (
	magic       = 0x514649fb // "QFI\xfb"
	clusterBits = 16
	clusterSize = 1 << clusterBits
	l2Entries   = clusterSize / 8
	refOrder    = 4                           // reference counts of 16 bits
	refEntries  = clusterSize * 8 >> refOrder // in one block of them

	headerLength = 112
	incompatComp = 1 << 3 // the compression type is not zlib

	entryCopied     = 1 << 63 // the cluster's reference count is one
	entryCompressed = 1 << 62
	// A compressed entry has an offset of bytes in the lower bits and above it
	// the number of 512-byte sectors that it reaches into behind its first.
	compressedShift = 62 - (clusterBits - 8)
	compressedUnit  = 512
)

// Offsets of the header's fields.
const (
	hdrVersion     = 4
	hdrBackingOff  = 8
	hdrClusterBits = 20
	hdrSize        = 24
	hdrCrypt       = 32
	hdrL1Size      = 36
	hdrL1Offset    = 40
	hdrRefOffset   = 48
	hdrRefClusters = 56
	hdrIncompat    = 72
	hdrRefOrder    = 96
	hdrLength      = 100
	hdrCompression = 104
)

// ErrInvalid says that an image is damaged or uses what this package does not know.
var ErrInvalid = errors.New("invalid qcow2 image")

// Compression is how clusters are compressed.
type Compression string

// The compressions. QEMU reads Zstd from version 5.1 (2020) on, which the zero
// value is.
const (
	Zstd Compression = "zstd"
	Zlib Compression = "zlib"
	None Compression = "none" // clusters are stored as they are
)

// Values of the header's compression type.
const (
	typeZlib = 0
	typeZstd = 1
)
