package squashfs

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/bits"
	"sync"

	"github.com/klauspost/compress/zlib"
	"github.com/klauspost/compress/zstd"

	"cloudy/builder/xz"
)

// ErrInvalid means that a filesystem is not what the format says, or is
// packed in a way that is not known.
var ErrInvalid = errors.New("no squashfs that can be read")

// xzID is in images of others; the writer has no use for it.
const xzID = 4

// maxTable bounds what is read of one table or inode, in bytes. The largest
// inode is that of a file of 2 TiB in blocks of 128 KiB.
const maxTable = 64 << 20

// Image is a filesystem that is read.
type Image struct {
	r  io.ReaderAt
	at int64

	blockSize int
	inodes    uint32
	root      uint64 // place of its inode
	tables    superblock
	unpack    func(packed []byte, limit int) ([]byte, error)

	ids       []byte
	fragments []byte
	xattrSets []byte
	xattrs    int64 // where the attributes of the sets are

	mu     sync.Mutex
	blocks map[int64]metadata // those that were read last
	shared struct {           // the fragment that was read last
		number uint32
		data   []byte
	}
}

// metadata is a block of a table.
type metadata struct {
	data []byte
	next int64
}

// Open reads the superblock and the tables of the filesystem at an offset of
// r. What is wrong with it is an ErrInvalid.
func Open(r io.ReaderAt, at int64) (*Image, error) {
	b := make([]byte, superblockSize)
	if _, err := r.ReadAt(b, at); err != nil {
		return nil, fmt.Errorf("squashfs: read the superblock: %w", err)
	}
	le := binary.LittleEndian
	im := &Image{r: r, at: at, blockSize: int(le.Uint32(b[12:])), inodes: le.Uint32(b[4:]), root: le.Uint64(b[32:]), blocks: map[int64]metadata{}}
	im.shared.number = none
	if le.Uint32(b) != magic || le.Uint16(b[28:]) != 4 || im.blockSize < 4096 || im.blockSize > 1<<20 || bits.OnesCount(uint(im.blockSize)) != 1 {
		return nil, fmt.Errorf("%w: not version 4.0", ErrInvalid)
	}
	for i, to := range []*int64{&im.tables.ids, &im.tables.xattrs, &im.tables.inodes, &im.tables.dirs, &im.tables.fragments} {
		*to = int64(le.Uint64(b[48+8*i:]))
	}
	var err error
	if im.unpack, err = unpacker(Compressor(le.Uint16(b[20:]))); err != nil {
		return nil, err
	}
	if im.ids, err = im.table(im.tables.ids, int64(le.Uint16(b[26:]))*4); err != nil {
		return nil, fmt.Errorf("table of ids: %w", err)
	}
	if im.fragments, err = im.table(im.tables.fragments, int64(le.Uint32(b[16:]))*16); err != nil {
		return nil, fmt.Errorf("table of fragments: %w", err)
	}
	if im.tables.xattrs == noTable {
		return im, nil
	}
	head := make([]byte, 16) // squashfs_xattr_id_table
	if err := im.readAt(head, im.tables.xattrs); err != nil {
		return nil, fmt.Errorf("table of attributes: %w", err)
	}
	im.xattrs = int64(le.Uint64(head))
	if im.xattrSets, err = im.table(im.tables.xattrs+16, int64(le.Uint32(head[8:]))*16); err != nil {
		return nil, fmt.Errorf("table of attributes: %w", err)
	}
	return im, nil
}

func unpacker(c Compressor) (func(packed []byte, limit int) ([]byte, error), error) {
	switch c {
	case Gzip:
		return func(packed []byte, limit int) ([]byte, error) {
			z, err := zlib.NewReader(bytes.NewReader(packed))
			if err != nil {
				return nil, err
			}
			return io.ReadAll(io.LimitReader(z, int64(limit)+1))
		}, nil
	case xzID:
		return func(packed []byte, limit int) ([]byte, error) { return xz.Decode(packed, int64(limit)) }, nil
	case Zstd:
		dec, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(1<<20))
		return func(packed []byte, limit int) ([]byte, error) { return dec.DecodeAll(packed, nil) }, err
	}
	return nil, fmt.Errorf("%w: packed by compressor %d", ErrInvalid, c)
}

// readAt fills p from a place in the filesystem.
func (im *Image) readAt(p []byte, pos int64) error {
	if pos < 0 {
		return fmt.Errorf("%w: a place before the beginning", ErrInvalid)
	}
	if n, err := im.r.ReadAt(p, im.at+pos); n < len(p) {
		return fmt.Errorf("%w: read at %d: %w", ErrInvalid, pos, err)
	}
	return nil
}

// packed reads and unpacks n bytes at pos into at most limit.
func (im *Image) packed(pos int64, n int, stored bool, limit int) ([]byte, error) {
	if n > limit {
		return nil, fmt.Errorf("%w: a block of %d bytes", ErrInvalid, n)
	}
	b := make([]byte, n)
	if err := im.readAt(b, pos); err != nil || stored {
		return b, err
	}
	out, err := im.unpack(b, limit)
	if err != nil {
		return nil, fmt.Errorf("%w: unpack the block at %d: %w", ErrInvalid, pos, err)
	}
	if len(out) > limit {
		return nil, fmt.Errorf("%w: the block at %d unpacks to more than %d bytes", ErrInvalid, pos, limit)
	}
	return out, nil
}

// metadata returns the block of a table at pos.
func (im *Image) metadata(pos int64) (metadata, error) {
	im.mu.Lock()
	defer im.mu.Unlock()
	if m, ok := im.blocks[pos]; ok {
		return m, nil
	}
	head := make([]byte, 2)
	if err := im.readAt(head, pos); err != nil {
		return metadata{}, err
	}
	size := binary.LittleEndian.Uint16(head)
	n := int(size &^ storedMetadata)
	data, err := im.packed(pos+2, n, size&storedMetadata != 0, metadataSize)
	if err != nil {
		return metadata{}, err
	}
	if len(im.blocks) >= 1024 { // 8 MiB
		clear(im.blocks)
	}
	m := metadata{data, pos + 2 + int64(n)}
	im.blocks[pos] = m
	return m, nil
}

// table reads a table of size bytes that lies in blocks, whose places stand
// at index.
func (im *Image) table(index, size int64) ([]byte, error) {
	if size > maxTable {
		return nil, fmt.Errorf("%w: a table of %d bytes", ErrInvalid, size)
	}
	var out []byte
	for at := index; int64(len(out)) < size; at += 8 {
		place := make([]byte, 8)
		if err := im.readAt(place, at); err != nil {
			return nil, err
		}
		m, err := im.metadata(int64(binary.LittleEndian.Uint64(place)))
		if err != nil {
			return nil, err
		}
		if len(m.data) == 0 {
			return nil, fmt.Errorf("%w: an empty block in a table", ErrInvalid)
		}
		out = append(out, m.data...)
	}
	return out[:size], nil
}

// cursor reads on in a table.
type cursor struct {
	im   *Image
	next int64 // the block after buf
	buf  []byte
}

// cursor begins at a place as inodes and directories name it: a block from
// the beginning of the table on, and an offset in what it unpacks to.
func (im *Image) cursor(table int64, block uint64, offset int) (*cursor, error) {
	c := &cursor{im: im, next: table + int64(block)}
	_, err := c.take(offset)
	return c, err
}

// take returns the next n bytes.
func (c *cursor) take(n int) ([]byte, error) {
	if n > maxTable {
		return nil, fmt.Errorf("%w: %d bytes in a table", ErrInvalid, n)
	}
	for len(c.buf) < n {
		m, err := c.im.metadata(c.next)
		if err != nil {
			return nil, err
		}
		if len(m.data) == 0 {
			return nil, fmt.Errorf("%w: an empty block in a table", ErrInvalid)
		}
		c.buf, c.next = append(c.buf[:len(c.buf):len(c.buf)], m.data...), m.next
	}
	out := c.buf[:n]
	c.buf = c.buf[n:]
	return out, nil
}
