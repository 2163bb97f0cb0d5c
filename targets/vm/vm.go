// Package vm makes disk images for virtual machines, in the formats of their
// hypervisors.
package vm

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"cloudy/builder/fail"
	"cloudy/targets"
	"cloudy/targets/machine"
)

// The formats.
const (
	Raw   = "raw"
	QCOW2 = "qcow2"
	VMDK  = "vmdk"
	VHDX  = "vhdx"
	OVA   = "ova"
)

// Formats lists all of them.
func Formats() []string { return []string{Raw, QCOW2, VMDK, VHDX, OVA} }

// Options are the target's options in a recipe. The zero value means a qcow2
// image that is as large as its content needs and boots on all firmwares of
// the architecture.
type Options struct {
	Formats  []string
	DiskSize int64    // bytes, whole MiB; 0 is the content and Headroom
	Headroom int64    // bytes; 0 is 256 MiB
	Boot     []string // bios, uefi
	Grow     bool     // the root filesystem grows to its partition's size at boot
	Console  []string // as in machine.Options
}

// Target is the vm target.
type Target struct{}

var _ targets.Target = Target{}

// Name is "vm".
func (Target) Name() string { return "vm" }

// options fills in the defaults and checks.
func (Target) options(archName string, v any) ([]string, machine.Options, error) {
	o := Options{}
	switch v := v.(type) {
	case nil:
	case Options:
		o = v
	default:
		return nil, machine.Options{}, fmt.Errorf("vm: options of type %T", v)
	}
	var errs []error
	if len(o.Formats) == 0 {
		o.Formats = []string{QCOW2}
	}
	for _, f := range o.Formats {
		if !slices.Contains(Formats(), f) {
			errs = append(errs, fail.Mark(fail.User, fmt.Errorf("vm: unknown format %q (%s)", f, strings.Join(Formats(), ", "))))
		}
		if f == OVA && archName != "amd64" {
			errs = append(errs, fail.WithHint(fail.User, fmt.Errorf("vm: no ova for %s", archName),
				"what imports it, VirtualBox and VMware, runs amd64; qcow2 and vmdk are for all"))
		}
	}
	m := machine.Options{Target: "vm", DiskSize: o.DiskSize, Headroom: o.Headroom, Boot: o.Boot, Grow: o.Grow, Console: o.Console}
	errs = append(errs, m.Check(archName))
	return slices.Compact(slices.Sorted(slices.Values(o.Formats))), m, errors.Join(errs...)
}

// Validate implements targets.Target.
func (t Target) Validate(archName string, options any) error {
	_, _, err := t.options(archName, options)
	return err
}

// Build implements targets.Target. A root without a kernel or without the
// boot loaders' packages, and a disk that is too small, are the user's errors.
func (t Target) Build(ctx context.Context, r targets.Request) ([]targets.Artefact, error) {
	names, o, err := t.options(r.Arch, r.Options)
	if err != nil {
		return nil, err
	}
	disk, err := machine.Plan(ctx, &r, o)
	if err != nil {
		return nil, fmt.Errorf("vm image %s: %w", r.Image, err)
	}
	list, err := disk.Build(ctx, formats(&r, names))
	if err != nil {
		return nil, fmt.Errorf("vm image %s: %w", r.Image, err)
	}
	return list, nil
}
