package qcow2

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"sync"

	"github.com/klauspost/compress/flate"
	"github.com/klauspost/compress/zstd"
)

// Limits of the reader.
const (
	maxL1      = 32 << 20 // bytes, as in QEMU
	maxCluster = 21       // bits: 2 MiB, as in QEMU
	maxTables  = 16 << 20 // bytes of tables that are kept
)

// Image is the virtual disk of an image. It is safe for concurrent use.
type Image struct {
	r    io.ReaderAt
	size int64
	bits uint
	zstd bool
	l1   []uint64

	mu      sync.Mutex
	l2      map[uint64][]byte // tables that were read, by offset
	decoder *zstd.Decoder
	last    int64 // the cluster that is in buf
	buf     []byte
}

// Open reads the header and the first table of an image without a backing
// file, encryption, external data or subclusters. Anything else is an
// ErrInvalid.
func Open(r io.ReaderAt) (*Image, error) {
	h := make([]byte, headerLength)
	if _, err := r.ReadAt(h, 0); err != nil && !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("read qcow2 header: %w", err)
	}
	be := binary.BigEndian
	version := be.Uint32(h[hdrVersion:])
	if be.Uint32(h) != magic || version < 2 || version > 3 {
		return nil, fmt.Errorf("%w: no header of version 2 or 3", ErrInvalid)
	}
	if version == 2 {
		clear(h[hdrIncompat:]) // fields of version 3
	}
	im := &Image{r: r, size: int64(be.Uint64(h[hdrSize:])), bits: uint(be.Uint32(h[hdrClusterBits:])), last: -1, l2: map[uint64][]byte{}}
	// Bit 0 (dirty) concerns the reference counts, which reading does not need.
	incompat := be.Uint64(h[hdrIncompat:]) &^ 1
	im.zstd = incompat&incompatComp != 0 && be.Uint32(h[hdrLength:]) > hdrCompression && h[hdrCompression] == typeZstd
	switch {
	case be.Uint64(h[hdrBackingOff:]) != 0:
		return nil, fmt.Errorf("%w: it has a backing file", ErrInvalid)
	case be.Uint32(h[hdrCrypt:]) != 0:
		return nil, fmt.Errorf("%w: it is encrypted", ErrInvalid)
	case incompat&^incompatComp != 0 || incompat&incompatComp != 0 && !im.zstd:
		return nil, fmt.Errorf("%w: it has unknown features %#x", ErrInvalid, incompat)
	case im.bits < 9 || im.bits > maxCluster || im.size < 0:
		return nil, fmt.Errorf("%w: clusters of 2^%d bytes, size %d", ErrInvalid, im.bits, im.size)
	}
	n := int64(be.Uint32(h[hdrL1Size:]))
	span := int64(1) << (2*im.bits - 3) // bytes of the disk that a table of the second level covers
	if n*8 > maxL1 || n < im.size/span {
		return nil, fmt.Errorf("%w: table of %d entries for %d bytes", ErrInvalid, n, im.size)
	}
	table := make([]byte, n*8)
	if _, err := r.ReadAt(table, int64(be.Uint64(h[hdrL1Offset:])&^(1<<63))); err != nil {
		return nil, fmt.Errorf("read qcow2 table: %w", err)
	}
	for ; len(table) > 0; table = table[8:] {
		im.l1 = append(im.l1, be.Uint64(table))
	}
	if im.zstd {
		var err error
		if im.decoder, err = zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(1<<(maxCluster+1))); err != nil {
			return nil, err
		}
	}
	return im, nil
}

// Size is the size of the virtual disk in bytes.
func (im *Image) Size() int64 { return im.size }

// ReadAt reads the virtual disk.
func (im *Image) ReadAt(p []byte, off int64) (n int, err error) {
	if off < 0 {
		return 0, errors.New("qcow2: negative offset")
	}
	im.mu.Lock()
	defer im.mu.Unlock()
	for n < len(p) && off < im.size {
		within := off & (1<<im.bits - 1)
		part := p[n:min(int64(len(p)), int64(n)+min(1<<im.bits-within, im.size-off))]
		if err := im.read(part, off>>im.bits, within); err != nil {
			return n, fmt.Errorf("qcow2 cluster at %d: %w", off-within, err)
		}
		n += len(part)
		off += int64(len(part))
	}
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

const offsetMask = 1<<56 - 1<<9 // bits 9 to 55 of an entry

// read reads a part of one cluster.
func (im *Image) read(p []byte, cluster, within int64) error {
	entry, err := im.entry(cluster)
	if err != nil {
		return err
	}
	switch {
	case entry&entryCompressed != 0:
		if im.last != cluster {
			im.last = -1
			if err := im.unpack(entry); err != nil {
				return err
			}
			im.last = cluster
		}
		copy(p, im.buf[within:])
		return nil
	case entry&1 != 0 || entry&offsetMask == 0: // zeros, or nothing
		clear(p)
		return nil
	}
	_, err = im.r.ReadAt(p, int64(entry&offsetMask)+within)
	return err
}

// entry finds the entry of a cluster in the tables.
func (im *Image) entry(cluster int64) (uint64, error) {
	i := cluster >> (im.bits - 3)
	if i >= int64(len(im.l1)) || im.l1[i]&offsetMask == 0 {
		return 0, nil
	}
	at := im.l1[i] & offsetMask
	table := im.l2[at]
	if table == nil {
		if len(im.l2) >= maxTables>>im.bits+1 {
			clear(im.l2)
		}
		table = make([]byte, 1<<im.bits)
		if _, err := im.r.ReadAt(table, int64(at)); err != nil {
			return 0, err
		}
		im.l2[at] = table
	}
	return binary.BigEndian.Uint64(table[cluster&(1<<(im.bits-3)-1)*8:]), nil
}

// unpack decompresses a cluster into buf.
func (im *Image) unpack(entry uint64) error {
	shift := 62 - (im.bits - 8)
	at := int64(entry & (1<<shift - 1))
	sectors := int64(entry&^(entryCopied|entryCompressed)>>shift) + 1
	packed := make([]byte, sectors*compressedUnit-at%compressedUnit)
	n, err := im.r.ReadAt(packed, at)
	if err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	var r io.Reader = flate.NewReader(bytes.NewReader(packed[:n]))
	if im.zstd {
		if err := im.decoder.Reset(bytes.NewReader(packed[:n])); err != nil {
			return err
		}
		r = im.decoder
	}
	if im.buf == nil {
		im.buf = make([]byte, 1<<im.bits)
	}
	// What is behind the compressed bytes belongs to the next cluster.
	if _, err := io.ReadFull(r, im.buf); err != nil {
		return fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	return nil
}
