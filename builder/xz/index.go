package xz

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"hash"
	"hash/crc32"
)

// blockList is what the index of a stream must repeat: the sizes of its
// blocks. It keeps a digest of them, so its memory does not grow.
type blockList struct {
	count uint64
	sizes hash.Hash
}

func (l *blockList) reset() {
	l.count = 0
	if l.sizes == nil {
		l.sizes = sha256.New()
	}
	l.sizes.Reset()
}

// add appends a block of unpadded and uncompressed bytes (4.3).
func (l *blockList) add(unpadded, uncompressed uint64) {
	l.count++
	var b [16]byte
	binary.LittleEndian.PutUint64(b[:], unpadded)
	binary.LittleEndian.PutUint64(b[8:], uncompressed)
	l.sizes.Write(b[:])
}

// readIndex reads the index of a stream (4) after its indicator byte, and
// returns its size. It must list the blocks that were read.
func (r *Reader) readIndex() (int64, error) {
	start := r.in.offset() - 1
	crc := crc32.Update(0, crc32.IEEETable, []byte{0})
	number := func() (uint64, error) {
		var b [9]byte
		for i := range b {
			c, err := r.in.byte()
			if err != nil {
				return 0, err
			}
			b[i] = c
			if c < 0x80 {
				v, k := vli(b[:i+1])
				if k == 0 {
					break
				}
				crc = crc32.Update(crc, crc32.IEEETable, b[:i+1])
				return v, nil
			}
		}
		return 0, fmt.Errorf("%w: index", ErrCorrupt)
	}
	count, err := number()
	if err != nil {
		return 0, err
	}
	if count != r.blocks.count {
		return 0, fmt.Errorf("%w: index lists %d blocks of %d", ErrCorrupt, count, r.blocks.count)
	}
	r.listed.reset()
	for range count {
		unpadded, err := number()
		if err != nil {
			return 0, err
		}
		uncompressed, err := number()
		if err != nil {
			return 0, err
		}
		r.listed.add(unpadded, uncompressed)
	}
	if [32]byte(r.listed.sizes.Sum(nil)) != [32]byte(r.blocks.sizes.Sum(nil)) {
		return 0, fmt.Errorf("%w: index does not match the blocks", ErrCorrupt)
	}
	for (r.in.offset()-start)%4 != 0 {
		b, err := r.in.byte()
		if err != nil {
			return 0, err
		}
		if b != 0 {
			return 0, fmt.Errorf("%w: index padding", ErrCorrupt)
		}
		crc = crc32.Update(crc, crc32.IEEETable, []byte{0})
	}
	want, err := r.in.uint32()
	if err != nil {
		return 0, err
	}
	if crc != want {
		return 0, fmt.Errorf("%w: index", ErrCheck)
	}
	return r.in.offset() - start, nil
}
