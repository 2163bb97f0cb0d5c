package vm

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"

	"golang.org/x/sync/errgroup"

	"cloudy/builder/disk/ext4"
	"cloudy/builder/disk/fat"
	"cloudy/builder/disk/qcow2"
	"cloudy/builder/fail"
	"cloudy/builder/progress"
	"cloudy/targets"
)

// write makes the raw image, and what else was asked for from it. All of it
// gets its names in the end.
func (b *build) write(ctx context.Context) (_ []targets.Artefact, err error) {
	raw, err := targets.Create(b.path(Raw))
	if err != nil {
		return nil, err
	}
	defer raw.Discard()
	step := progress.Begin(ctx, "disk image", 0, progress.Bytes)
	if err := step.End(b.disk(ctx, raw)); err != nil {
		return nil, err
	}
	var packed *targets.Output
	g, gctx := errgroup.WithContext(ctx)
	if slices.Contains(b.o.Formats, Raw) {
		g.Go(func() error { _, err := raw.Hash(gctx); return err })
	}
	if slices.Contains(b.o.Formats, QCOW2) {
		if packed, err = targets.Create(b.path(QCOW2)); err != nil {
			return nil, err
		}
		defer packed.Discard()
		g.Go(func() error {
			step := progress.Begin(gctx, "qcow2", 0, progress.Bytes)
			known := false
			if err := qcow2.Write(gctx, packed, raw.File, qcow2.Options{Progress: func(n, total int64) {
				if !known {
					step.Grow(total)
					known = true
				}
				step.Add(n)
			}}); err != nil {
				return step.End(err)
			}
			_, err := packed.Hash(gctx)
			return step.End(err)
		})
	}
	if err := g.Wait(); err != nil {
		return nil, err
	}
	var out []targets.Artefact
	for _, format := range slices.Compact(slices.Sorted(slices.Values(b.o.Formats))) {
		file, a := raw, targets.Artefact{Format: Raw, MediaType: "application/vnd.cloudy.disk.raw"}
		if format == QCOW2 {
			file, a = packed, targets.Artefact{Format: QCOW2, MediaType: "application/vnd.cloudy.disk.qcow2"}
		}
		a.Usage = b.usage(format)
		a, err := file.Commit(ctx, a)
		if err != nil {
			return nil, errors.Join(err, targets.Remove(out))
		}
		out = append(out, a)
	}
	return out, nil
}

func (b *build) path(format string) string {
	return filepath.Join(b.OutDir, b.BaseName+"."+format)
}

// usage is the line that says how to boot the image.
func (b *build) usage(format string) string {
	name := b.BaseName + "." + format
	if b.Arch == "arm64" {
		return fmt.Sprintf("qemu-system-aarch64 -M virt -cpu cortex-a72 -m 1G -nographic -bios QEMU_EFI.fd -drive file=%s,format=%s,if=virtio", name, format)
	}
	return fmt.Sprintf("qemu-system-x86_64 -accel kvm -accel tcg -m 1G -nographic -drive file=%s,format=%s,if=virtio", name, format)
}

// disk writes the partition table, the filesystems and the boot code.
func (b *build) disk(ctx context.Context, f *targets.Output) error {
	if err := f.Truncate(b.table.DiskSize); err != nil {
		return fail.Mark(fail.Host, fmt.Errorf("make a disk image of %d bytes: %w", b.table.DiskSize, err))
	}
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
