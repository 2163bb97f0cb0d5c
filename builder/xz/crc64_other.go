//go:build !amd64 || purego

package xz

import "hash/crc64"

func updateCRC64(crc uint64, table *crc64.Table, p []byte) uint64 {
	return crc64.Update(crc, table, p)
}
