// Package metal makes images for real machines: a disk image to be written to
// a USB stick, an SSD or a hard disk, which grows at its first boot, and a
// hybrid ISO that runs the system from CD or USB stick and installs it.
package metal

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"cloudy/targets"
	"cloudy/targets/machine"
)

// The formats.
const (
	Raw     = "raw"
	RawZstd = "raw.zst"
	RawXZ   = "raw.xz"
	RawGzip = "raw.gz"
	ISO     = "iso"
)

// Formats lists all of them.
func Formats() []string { return []string{Raw, RawZstd, RawXZ, RawGzip, ISO} }

// Options are the target's options in a recipe. The zero value means raw.zst,
// as large as its content needs, for all firmwares of the architecture.
type Options struct {
	Formats  []string
	DiskSize int64    // bytes, whole MiB; 0 is the content and Headroom
	Headroom int64    // bytes; 0 is 256 MiB
	Boot     []string // bios, uefi
	Grow     bool     // the root filesystem grows to its partition's size at boot

	// Arguments are for the kernel when the ISO's first entry starts it; with
	// cloudy.install among them it installs without a hand.
	Arguments []string
	Live      *Program // what starts the system of the ISO
}

// Target is the metal target.
type Target struct{}

var _ targets.Target = Target{}

// Name is "metal".
func (Target) Name() string { return "metal" }

// options fills in the defaults and checks.
func (Target) options(archName string, v any) (Options, machine.Options, error) {
	o, err := targets.OptionsOf[Options]("metal", v)
	if err != nil {
		return o, machine.Options{}, err
	}
	o.Formats, err = targets.Formats("metal", o.Formats, Formats(), RawZstd)
	m := machine.Options{Target: "metal", DiskSize: o.DiskSize, Headroom: o.Headroom, Boot: o.Boot, Grow: o.Grow}
	return o, m, errors.Join(err, m.Check(archName))
}

// Validate implements targets.Target.
func (t Target) Validate(archName string, options any) error {
	_, _, err := t.options(archName, options)
	return err
}

// Build implements targets.Target. A root without a kernel or without the
// boot loaders' packages, and a disk that is too small, are the user's errors.
func (t Target) Build(ctx context.Context, r targets.Request) ([]targets.Artefact, error) {
	o, m, err := t.options(r.Arch, r.Options)
	if err != nil {
		return nil, err
	}
	list, err := build(ctx, &r, o, m)
	if err != nil {
		return nil, fmt.Errorf("metal image %s: %w", r.Image, err)
	}
	return list, nil
}

// build makes the ISO and the disk, all or nothing.
func build(ctx context.Context, r *targets.Request, o Options, m machine.Options) (list []targets.Artefact, err error) {
	disks := slices.DeleteFunc(slices.Clone(o.Formats), func(f string) bool { return f == ISO })
	if len(disks) < len(o.Formats) {
		if list, err = buildISO(ctx, r, o, m); err != nil {
			return nil, err
		}
	}
	if len(disks) == 0 {
		return list, nil
	}
	disk, err := machine.Plan(ctx, r, m)
	if err == nil {
		var more []targets.Artefact
		more, err = disk.Build(ctx, machine.FlashFormats(r.BaseName, disks))
		list = append(list, more...)
	}
	if err != nil {
		return nil, errors.Join(err, targets.Remove(list))
	}
	return list, nil
}
