// Package vm makes disk images for virtual machines: a GUID partition table,
// an ext4 root, GRUB for BIOS and Debian's signed boot chain for UEFI with
// and without Secure Boot.
package vm

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"cloudy/builder/fail"
	"cloudy/targets"
)

// The formats and firmwares.
const (
	Raw   = "raw"
	QCOW2 = "qcow2"

	BIOS = "bios"
	UEFI = "uefi"
)

// Options are the target's options in a recipe. The zero value means a qcow2
// image that is as large as its content needs and boots on all firmwares of
// the architecture.
type Options struct {
	Formats  []string // raw, qcow2
	DiskSize int64    // bytes, whole MiB; 0 is the content and Headroom
	Boot     []string // bios, uefi
	Grow     bool     // the root filesystem grows to its partition's size at boot

	// Headroom is the free space of the root in bytes where DiskSize does not
	// say it; 0 is 256 MiB.
	Headroom int64

	// Console lists the kernel's consoles, the last of which is /dev/console;
	// empty is the screen and the architecture's serial port.
	Console []string
}

// Target is the vm target.
type Target struct{}

var _ targets.Target = Target{}

// Name is "vm".
func (Target) Name() string { return "vm" }

// arch is what differs between architectures.
type arch struct {
	boot    []string // firmwares that it can have
	efi     string   // suffix in the names of EFI programs
	grubEFI string   // directory of the signed GRUB
	signed  string   // its package
	root    string   // partition type of the root
	serial  string   // the serial console's name
	args    []string // for the kernel
}

// options fills in the defaults and checks.
func (Target) options(archName string, v any) (Options, arch, error) {
	o := Options{}
	switch v := v.(type) {
	case nil:
	case Options:
		o = v
	case *Options:
		o = *v
	default:
		return o, arch{}, fmt.Errorf("vm: options of type %T", v)
	}
	a, ok := architectures()[archName]
	if !ok {
		return o, a, fail.WithHint(fail.User, fmt.Errorf("vm: no image for architecture %q", archName), "the vm target is made for amd64 and arm64")
	}
	var errs []error
	if len(o.Formats) == 0 {
		o.Formats = []string{QCOW2}
	}
	for _, f := range o.Formats {
		if f != Raw && f != QCOW2 {
			errs = append(errs, fmt.Errorf("vm: unknown format %q (raw, qcow2)", f))
		}
	}
	if len(o.Boot) == 0 {
		o.Boot = a.boot
	}
	for _, b := range o.Boot {
		if !slices.Contains(a.boot, b) {
			errs = append(errs, fmt.Errorf("vm: %s does not boot by %q (%s)", archName, b, strings.Join(a.boot, ", ")))
		}
	}
	if o.DiskSize < 0 || o.DiskSize%mib != 0 {
		errs = append(errs, fmt.Errorf("vm: disk size of %d bytes is not in whole MiB", o.DiskSize))
	}
	if o.Headroom < 0 {
		errs = append(errs, fmt.Errorf("vm: headroom of %d bytes", o.Headroom))
	}
	if o.Headroom == 0 {
		o.Headroom = defaultHeadroom
	}
	if len(o.Console) == 0 {
		o.Console = []string{"tty0", a.serial}
	}
	return o, a, fail.Mark(fail.User, errors.Join(errs...))
}

// Validate implements targets.Target.
func (t Target) Validate(archName string, options any) error {
	_, _, err := t.options(archName, options)
	return err
}

// Build implements targets.Target. A root without a kernel or without the
// boot loaders' packages, and a disk that is too small, are the user's errors.
func (t Target) Build(ctx context.Context, r targets.Request) ([]targets.Artefact, error) {
	o, a, err := t.options(r.Arch, r.Options)
	if err != nil {
		return nil, err
	}
	b := &build{Request: &r, o: o, a: a}
	if err := b.prepare(ctx); err != nil {
		return nil, fmt.Errorf("vm image %s: %w", r.Image, err)
	}
	list, err := b.write(ctx)
	if err != nil {
		return nil, fmt.Errorf("vm image %s: %w", r.Image, err)
	}
	return list, nil
}
