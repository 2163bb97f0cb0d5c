// Package squashfs writes read-only squashfs 4.0 filesystems out of a tree, and
// reads them (Documentation/filesystems/squashfs.rst and fs/squashfs/squashfs_fs.h in
// Linux). Blocks are packed on all cores; the same tree always gives the same
// bytes.
package squashfs

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/bits"
	"time"

	"cloudy/builder/tree"
)

// Compressor is how blocks are packed.
type Compressor uint16

// The compressors, with their ids in the format.
const (
	Gzip Compressor = 1
	Zstd Compressor = 6
)

// Options say how a filesystem is written. The zero value is Zstd with
// blocks of 128 KiB.
type Options struct {
	Compressor Compressor
	BlockSize  int       // bytes, a power of two from 4 KiB to 1 MiB
	Epoch      time.Time // the time of making
	// Copied is told of the bytes of content that were read; nil for nobody.
	Copied func(n int64)
}

// ErrLimit is a tree that the format has no room for.
var ErrLimit = errors.New("not possible in squashfs")

const (
	magic          = 0x73717368 // "hsqs"
	superblockSize = 96
	metadataSize   = 8192 // a metadata block before packing
	padding        = 4096 // what mksquashfs pads to, for loop devices
	none           = 0xffffffff
	noTable        = -1 // all bits set

	storedData     = 1 << 24 // in the size of a data block: not packed
	storedMetadata = 1 << 15 // in the header of a metadata block: not packed

	flagNoXattrs = 0x0200
)

// writer is one filesystem on its way.
type writer struct {
	io.WriterAt
	at  int64 // where the filesystem begins
	pos int64 // within the filesystem
	o   Options
	t   *tree.Tree

	files     map[string]*content // by path, hard links left out
	fragments []*fragment
	ids       []uint32
	idIndex   map[uint32]uint16
	xattrs    xattrTable
	nodes     []*node
	byPath    map[string]*node
}

// Write writes the tree to w from the offset at on, and returns the length of
// the filesystem, which is whole blocks of 4 KiB. Access control lists are
// left out, because the format has none. What has no room in the format is an
// ErrLimit.
func Write(ctx context.Context, w io.WriterAt, at int64, t *tree.Tree, o Options) (int64, error) {
	if o.Compressor == 0 {
		o.Compressor = Zstd
	}
	if o.BlockSize == 0 {
		o.BlockSize = 128 << 10
	}
	if o.BlockSize < 4096 || o.BlockSize > 1<<20 || bits.OnesCount(uint(o.BlockSize)) != 1 {
		return 0, fmt.Errorf("squashfs: block size of %d bytes", o.BlockSize)
	}
	if _, err := newPacker(&o); err != nil {
		return 0, err
	}
	s := &writer{WriterAt: w, at: at, pos: superblockSize, o: o, t: t, files: map[string]*content{}, idIndex: map[uint32]uint16{}}
	if err := s.link(); err != nil {
		return 0, fmt.Errorf("squashfs: %w", err)
	}
	if err := s.data(ctx); err != nil {
		return 0, fmt.Errorf("squashfs: %w", err)
	}
	if err := s.metadata(ctx); err != nil {
		return 0, fmt.Errorf("squashfs: %w", err)
	}
	return s.pos, nil
}

// append writes at the end of what is there.
func (s *writer) append(p []byte) error {
	_, err := s.WriteAt(p, s.at+s.pos)
	s.pos += int64(len(p))
	return err
}

// id returns the place of a user or group in the table of ids.
func (s *writer) id(n uint32) (uint16, error) {
	if i, ok := s.idIndex[n]; ok {
		return i, nil
	}
	if len(s.ids) == 0xffff {
		return 0, fmt.Errorf("%w: more than 65535 users and groups", ErrLimit)
	}
	i := uint16(len(s.ids))
	s.ids, s.idIndex[n] = append(s.ids, n), i
	return i, nil
}

// seconds is a time in the format: 32 bits without a sign.
func seconds(t time.Time) uint32 {
	if t.IsZero() {
		return 0
	}
	return uint32(max(0, min(t.Unix(), 0xffffffff)))
}
