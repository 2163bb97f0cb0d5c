package xz

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"hash/crc32"
)

// filterNames are the identifiers of the filters we answer with
// ErrUnsupported (The .xz File Format, 5.3).
var filterNames = map[uint64]string{
	0x03: "delta", 0x04: "x86 BCJ", 0x05: "PowerPC BCJ", 0x06: "IA-64 BCJ",
	0x07: "ARM BCJ", 0x08: "ARM Thumb BCJ", 0x09: "SPARC BCJ", 0x0a: "ARM64 BCJ",
	0x0b: "RISC-V BCJ",
}

const filterLZMA2 = 0x21

// unknown is the size of a block whose header does not tell it.
const unknown = -1

// blockHeader is what the header of a block says (3.1).
type blockHeader struct {
	headerSize   int
	compressed   int64 // bytes of LZMA2 data, or unknown
	uncompressed int64 // bytes, or unknown
	dictSize     int
}

// parseBlockHeader reads a whole header, from its size byte to its CRC32.
func parseBlockHeader(b []byte) (blockHeader, error) {
	h := blockHeader{headerSize: len(b), compressed: unknown, uncompressed: unknown}
	n := len(b) - 4
	if crc32.ChecksumIEEE(b[:n]) != binary.LittleEndian.Uint32(b[n:]) {
		return h, fmt.Errorf("%w: block header", ErrCheck)
	}
	flags, p := b[1], b[2:n]
	if flags&0x3c != 0 {
		return h, fmt.Errorf("%w: block flags %#x", ErrUnsupported, flags)
	}
	for _, size := range []struct {
		flag byte
		to   *int64
	}{{0x40, &h.compressed}, {0x80, &h.uncompressed}} {
		if flags&size.flag == 0 {
			continue
		}
		v, k := vli(p)
		if k == 0 || size.flag == 0x40 && v == 0 {
			return h, fmt.Errorf("%w: block size", ErrCorrupt)
		}
		*size.to, p = int64(v), p[k:]
	}
	for i := int(flags & 3); i >= 0; i-- {
		id, k := vli(p)
		size, j := vli(p[k:])
		if k == 0 || j == 0 || size > uint64(len(p)-k-j) {
			return h, fmt.Errorf("%w: filter flags", ErrCorrupt)
		}
		props := p[k+j:][:size]
		p = p[k+j+int(size):]
		if id != filterLZMA2 {
			name := filterNames[id]
			if name == "" {
				name = fmt.Sprintf("%#x", id)
			}
			return h, fmt.Errorf("%w: filter %s", ErrUnsupported, name)
		}
		if i != 0 || len(props) != 1 {
			return h, fmt.Errorf("%w: filter flags", ErrCorrupt)
		}
		dict, err := dictSize(props[0])
		if err != nil {
			return h, err
		}
		h.dictSize = dict
	}
	if len(bytes.Trim(p, "\x00")) != 0 {
		return h, fmt.Errorf("%w: block header padding", ErrUnsupported)
	}
	return h, nil
}

// dictSize decodes the dictionary size of LZMA2's properties (5.3.1).
func dictSize(b byte) (int, error) {
	if b > 40 {
		return 0, fmt.Errorf("%w: dictionary size %#x", ErrUnsupported, b)
	}
	size := (2 | uint64(b&1)) << (b/2 + 11)
	if size > MaxDict {
		return 0, fmt.Errorf("%w: %d MiB", ErrDict, size>>20)
	}
	return int(size), nil
}

// vli decodes a variable-length integer (1.2) at the start of p, and returns
// how many bytes it took, or 0 if it is malformed.
func vli(p []byte) (v uint64, n int) {
	for i, b := range p[:min(len(p), 9)] {
		v |= uint64(b&0x7f) << (7 * i)
		if b < 0x80 {
			if b == 0 && i > 0 {
				return 0, 0
			}
			return v, i + 1
		}
	}
	return 0, 0
}
