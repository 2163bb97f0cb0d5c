package machine

import (
	"context"
	"io"

	"cloudy/builder/disk/ext4"
	"cloudy/builder/disk/fat"
)

// Medium is what a disk is written to: a new sparse file of Size bytes, or a
// device whose old content reads as zeros.
type Medium interface {
	io.ReaderAt
	io.WriterAt
}

// Write writes the partition table, the filesystems and the boot code.
func (b *Disk) Write(ctx context.Context, f Medium) error {
	if err := b.table.Write(f); err != nil {
		return err
	}
	if b.esp != nil {
		if _, err := fat.Write(ctx, f, b.espPart.Start, b.esp, b.fat); err != nil {
			return err
		}
	}
	if _, err := ext4.Write(ctx, f, b.rootPt.Start, b.tree, b.ext4); err != nil {
		return err
	}
	if b.core != nil {
		return b.core.Install(f, b.bios.Start/512, b.bios.Size/512)
	}
	return nil
}
