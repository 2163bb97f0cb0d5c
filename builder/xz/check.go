package xz

import (
	"crypto/sha256"
	"encoding/binary"
	"hash"
	"hash/crc32"
	"hash/crc64"
)

// The integrity checks of a block (The .xz File Format, 2.1.1.2).
const (
	checkNone   = 0x0
	checkCRC32  = 0x1
	checkCRC64  = 0x4
	checkSHA256 = 0xa
)

// check computes one of them over the output of a block.
type check struct {
	kind  byte
	crc32 uint32
	crc64 uint64
	sha   hash.Hash
	table *crc64.Table
}

// begin starts over with the check of that number, and reports whether it is
// a known one.
func (c *check) begin(kind byte) bool {
	c.kind, c.crc32, c.crc64 = kind, 0, 0
	switch kind {
	case checkNone, checkCRC32:
	case checkCRC64:
		if c.table == nil {
			c.table = crc64.MakeTable(crc64.ECMA)
		}
	case checkSHA256:
		if c.sha == nil {
			c.sha = sha256.New()
		}
		c.sha.Reset()
	default:
		return false
	}
	return true
}

func (c *check) write(p []byte) {
	switch c.kind {
	case checkCRC32:
		c.crc32 = crc32.Update(c.crc32, crc32.IEEETable, p)
	case checkCRC64:
		c.crc64 = updateCRC64(c.crc64, c.table, p)
	case checkSHA256:
		c.sha.Write(p)
	}
}

// sum appends the check as a stream stores it.
func (c *check) sum(b []byte) []byte {
	switch c.kind {
	case checkCRC32:
		return binary.LittleEndian.AppendUint32(b, c.crc32)
	case checkCRC64:
		return binary.LittleEndian.AppendUint64(b, c.crc64)
	case checkSHA256:
		return c.sha.Sum(b)
	}
	return b
}
