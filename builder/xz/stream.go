package xz

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
)

// streamFlags say that blocks have a CRC64, as xz's own have.
const streamFlags = "\x00\x04"

// Index is the frame around the blocks of one stream. Many blocks with an
// index, in place of many streams, let xz -T0 decode them side by side.
type Index struct {
	count   uint64
	records []byte
}

// Header is what comes before the first block (2.1.1).
func (*Index) Header() []byte {
	b := []byte(headerMagic + streamFlags)
	return binary.LittleEndian.AppendUint32(b, crc32.ChecksumIEEE(b[len(headerMagic):]))
}

// Add counts a block of an Encoder, of which it needs the header alone.
func (x *Index) Add(block []byte) error {
	if len(block) < blockHeaderSize {
		return fmt.Errorf("%w: block header", ErrCorrupt)
	}
	h, err := parseBlockHeader(block[:blockHeaderSize])
	if err != nil {
		return err
	}
	const crc64Size = 8
	x.count++
	x.records = binary.AppendUvarint(x.records, uint64(blockHeaderSize+h.compressed+crc64Size))
	x.records = binary.AppendUvarint(x.records, uint64(h.uncompressed))
	return nil
}

// Footer is what comes after the last block: the index (4) and the stream's
// footer (2.1.2).
func (x *Index) Footer() []byte {
	le := binary.LittleEndian
	b := append(binary.AppendUvarint([]byte{0}, x.count), x.records...)
	for len(b)%4 != 0 {
		b = append(b, 0)
	}
	b = le.AppendUint32(b, crc32.ChecksumIEEE(b))
	foot := append(le.AppendUint32(nil, uint32(len(b)/4-1)), streamFlags...)
	b = le.AppendUint32(b, crc32.ChecksumIEEE(foot))
	return append(append(b, foot...), footerMagic...)
}
