// Package ext4 writes a tree.Tree as a complete, read-write ext4 filesystem,
// and reads ext4 images back. It needs no root, loop device or mke2fs, and
// the same tree and options give the same bytes on any host and any number of
// cores.
//
// What it writes is what mke2fs 1.47 makes by default, without the features
// that older kernels and GRUB do not know (orphan_file, metadata_csum_seed):
// a journal, extents, hashed directories, metadata checksums, 64-bit block
// numbers, flexible block groups, and descriptor blocks in reserve so that
// the mounted filesystem can grow. Nothing is left to the kernel's lazy
// initialisation.
//
// The on-disk format is documented in the kernel's
// Documentation/filesystems/ext4; names in comments are those of
// fs/ext4/ext4.h.
package ext4

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"cloudy/builder/disk/sparse"
	"cloudy/builder/fail"
	"cloudy/builder/tree"
)

// BlockSize is the size of a block in bytes. It is the only one that is
// written: the page size of all targets, and what mke2fs takes from 512 MiB on.
const BlockSize = 4096

// Options say what filesystem to make around the tree.
type Options struct {
	UUID     [16]byte // must not be all zero; also seeds the checksums
	HashSeed [16]byte // seed of the directory hash; all zero means the kernel's constants
	Label    string   // at most 16 bytes

	// Size of the filesystem in bytes, of which whole blocks are used. As with
	// mke2fs, a last block group too small to be of use is left out.
	Size int64

	// Epoch is the time of creation, of the last write and of the last check,
	// and the change and birth time of every inode. The zero Time means 1970.
	Epoch time.Time

	ReservedPercent int // share of the blocks kept for root, 0 to 50 (mke2fs: 5)

	// BytesPerInode asks for an inode for so many bytes, at least 1024; 0
	// means 16384. There are always enough inodes for the tree.
	BytesPerInode int64

	// GrowTo is the size in bytes up to which the mounted filesystem can be
	// grown. 0 means 1024 times Size as with mke2fs, and at least 1 TiB.
	GrowTo int64

	// Content is what Scan found in the tree; nil if it has not been asked.
	Content *Content

	// Follow, if set, is shown all that is written, in ascending order and one
	// call at a time; what lies between is zeros. It must not keep p. The
	// offset is that in w.
	Follow func(p []byte, off int64)
}

// Usage is what a written filesystem holds, in blocks of BlockSize bytes.
type Usage struct {
	Blocks, FreeBlocks uint64
	Inodes, FreeInodes uint64

	// Fixed is where the superblocks, the tables and the journal are, in bytes
	// of the filesystem. Their zeros count: who leaves zeros out when copying
	// the image to a medium that has been used must not leave out these.
	Fixed []sparse.Extent
}

// TooSmallError says that the tree does not fit into Options.Size.
type TooSmallError struct {
	Size   int64 // bytes asked for
	Needed int64 // bytes of the smallest filesystem that holds the tree, without free space
}

func (e *TooSmallError) Error() string {
	return fmt.Sprintf("ext4: the tree needs a filesystem of %d bytes, more than the %d given", e.Needed, e.Size)
}

// ErrUnsupported marks a tree that ext4 cannot hold: a name or an attribute
// too long, a device number out of range, too many links.
var ErrUnsupported = errors.New("not possible in ext4")

// Write writes t as a filesystem that begins at byte off of w. What is never
// written to must read as zero, so w is a sparse file that is new, cut to off
// and extended again, or discarded there; the caller gives it its length of
// at least off+o.Size. Blocks of zeros in files of at least 4 MiB become
// holes. Who copies the image to a medium that has been used must write its
// holes too, or discard them: with the same UUID, old blocks of the journal
// would pass for new ones.
//
// t must be sorted and complete: every entry but "." needs its directory.
// A missing "." or "lost+found" is added. A file whose content is not exactly
// Entry.Size long is an error. A zero MTime means o.Epoch. The error for a
// size that is too small is a *TooSmallError that says what is needed.
//
// Write reads large files twice, unless o.Content knows their holes, and calls
// w.WriteAt from several goroutines at a time.
func Write(ctx context.Context, w io.WriterAt, off int64, t *tree.Tree, o Options) (Usage, error) {
	o, err := o.checked()
	if err != nil {
		return Usage{}, err
	}
	p, err := newPlan(t, o)
	if err != nil {
		return Usage{}, err
	}
	if o.Content == nil {
		if o.Content, err = Scan(ctx, t); err != nil {
			return Usage{}, err
		}
	}
	p.useContent(o.Content)
	g, ok := newGeometry(o, p.inodes())
	if !ok || g.free() < p.blocks() {
		return Usage{}, tooSmall(p, o)
	}
	return newWriter(w, off, o, p, g).write(ctx)
}

// MinSize returns the smallest Options.Size, in whole MiB, at which Write
// holds t with free bytes left for ordinary users. It reads the large
// files of the tree to find their holes unless o.Content has them. o.Size is not looked at.
func MinSize(ctx context.Context, t *tree.Tree, o Options, free int64) (int64, error) {
	o.Size = minimumSize
	o, err := o.checked()
	if err != nil {
		return 0, err
	}
	p, err := newPlan(t, o)
	if err != nil {
		return 0, err
	}
	if o.Content == nil {
		if o.Content, err = Scan(ctx, t); err != nil {
			return 0, err
		}
	}
	p.useContent(o.Content)
	return p.minSize(o, free)
}

const (
	minimumSize = 1 << 20
	// The resize inode lists blocks with 32-bit numbers.
	maximumSize = BlockSize << 32
)

func (o Options) checked() (Options, error) {
	if o.UUID == [16]byte{} {
		return o, errors.New("ext4: no UUID given")
	}
	if len(o.Label) > 16 {
		return o, fail.Mark(fail.User, fmt.Errorf("ext4: label %q is longer than 16 bytes", o.Label))
	}
	if o.ReservedPercent < 0 || o.ReservedPercent > 50 {
		return o, fail.Mark(fail.User, fmt.Errorf("ext4: %d percent reserved is not within 0 and 50", o.ReservedPercent))
	}
	if o.BytesPerInode == 0 {
		o.BytesPerInode = 16384
	}
	if o.BytesPerInode < 1024 {
		return o, fail.Mark(fail.User, fmt.Errorf("ext4: %d bytes per inode is less than 1024", o.BytesPerInode))
	}
	if o.Epoch.IsZero() {
		o.Epoch = time.Unix(0, 0)
	}
	if o.Size >= maximumSize {
		return o, fail.Mark(fail.User, fmt.Errorf("ext4: %d bytes is more than the 16 TiB supported", o.Size))
	}
	return o, nil
}

func tooSmall(p *plan, o Options) error {
	needed, err := p.minSize(o, 0)
	if err != nil {
		return err
	}
	return fail.WithHint(fail.User, &TooSmallError{Size: o.Size, Needed: needed},
		fmt.Sprintf("give the root filesystem at least %d MiB, and some more to work with", (needed+1<<20-1)>>20))
}
