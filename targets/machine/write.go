package machine

import (
	"context"
	"io"

	"cloudy/builder/disk/ext4"
	"cloudy/builder/disk/fat"
	"cloudy/builder/disk/gpt"
	"cloudy/builder/disk/sparse"
)

// Medium is what a disk is written to: a new sparse file of Size bytes, or a
// device whose old content reads as zeros.
type Medium interface {
	io.ReaderAt
	io.WriterAt
}

// Follower is a Medium that is hashed while it is written, as targets.Output
// is.
type Follower interface {
	FollowTo(ctx context.Context, end int64) error
	Follow(p []byte, off int64)
}

// Follow returns what is to be shown all that is written from start on, in
// order, when everything before start is there; nil if nobody wants it.
func Follow(ctx context.Context, f Medium, start int64) (func(p []byte, off int64), error) {
	if w, ok := f.(Follower); ok {
		return w.Follow, w.FollowTo(ctx, start)
	}
	return nil, nil
}

// Write writes the partition table, the filesystems and the boot code. It
// returns the parts whose zeros count: who copies the disk to a medium that has
// been used, and leaves zeros out, must not leave out those.
func (b *Disk) Write(ctx context.Context, f Medium) ([]sparse.Extent, error) {
	if err := b.table.Write(f); err != nil {
		return nil, err
	}
	if b.core != nil {
		if err := b.core.Install(f, b.bios.Start/gpt.Sector, b.bios.Size/gpt.Sector); err != nil {
			return nil, err
		}
	}
	front := b.rootPt.Start // up to where the partitions before the root are empty
	if b.esp != nil {
		u, err := fat.Write(ctx, f, b.espPart.Start, b.esp, b.fat)
		if err != nil {
			return nil, err
		}
		front = b.espPart.End() - u.Free*int64(u.ClusterSize)
	}
	o := b.ext4
	var err error
	if o.Follow, err = Follow(ctx, f, b.rootPt.Start); err != nil {
		return nil, err
	}
	u, err := ext4.Write(ctx, f, b.rootPt.Start, b.tree, o)
	if err != nil {
		return nil, err
	}
	zeros := []sparse.Extent{{Offset: 0, Length: front}}
	for _, e := range u.Fixed {
		zeros = append(zeros, sparse.Extent{Offset: b.rootPt.Start + e.Offset, Length: e.Length})
	}
	return append(zeros, sparse.Extent{Offset: b.rootPt.End(), Length: b.Size() - b.rootPt.End()}), nil
}
