package ext4

import (
	"encoding/binary"
	"hash/crc32"
)

var (
	le = binary.LittleEndian
	be = binary.BigEndian // the journal's

	castagnoli = crc32.MakeTable(crc32.Castagnoli)
)

// checksum is the kernel's crc32c: without the inversions at both ends.
func checksum(seed uint32, p []byte) uint32 {
	return ^crc32.Update(^seed, castagnoli, p)
}

// checksum32 is checksum over a little-endian number.
func checksum32(seed, n uint32) uint32 {
	var b [4]byte
	le.PutUint32(b[:], n)
	return checksum(seed, b[:])
}

// inodeSeed begins the checksum of all that belongs to an inode: its number
// and its generation, which is always 0 here.
func inodeSeed(seed, inode uint32) uint32 { return checksum32(checksum32(seed, inode), 0) }
