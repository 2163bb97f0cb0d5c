// Package vm makes disk images for virtual machines, in the formats of their
// hypervisors.
package vm

import (
	"context"
	"errors"
	"fmt"
	"slices"

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
	o, err := targets.OptionsOf[Options]("vm", v)
	if err != nil {
		return nil, machine.Options{}, err
	}
	formats, err := targets.Formats("vm", o.Formats, Formats(), QCOW2)
	if slices.Contains(formats, OVA) && archName != "amd64" {
		err = fail.WithHint(fail.User, fmt.Errorf("vm: no ova for %s", archName),
			"what imports it, VirtualBox and VMware, runs amd64; qcow2 and vmdk are for all")
	}
	m := machine.Options{Target: "vm", DiskSize: o.DiskSize, Headroom: o.Headroom, Boot: o.Boot, Grow: o.Grow, Console: o.Console}
	return formats, m, errors.Join(err, m.Check(archName))
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
