// Package machine is what disks of whole machines have in common, virtual or
// real: a GUID partition table, an ext4 root, GRUB for BIOS and Debian's signed
// boot chain for UEFI with and without Secure Boot.
package machine

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"cloudy/builder/fail"
)

// The firmwares.
const (
	BIOS = "bios"
	UEFI = "uefi"
)

// Options say what disk is made of a root. The zero value of all but Target
// means one that is as large as its content needs and boots on all firmwares
// of the architecture.
type Options struct {
	Target   string   // name of the target, for messages and in ids
	DiskSize int64    // bytes, whole MiB; 0 is the content and Headroom
	Boot     []string // bios, uefi
	Grow     bool     // the root filesystem grows to its partition's size at boot

	// Headroom is the free space of the root in bytes where DiskSize does not
	// say it; 0 is 256 MiB.
	Headroom int64

	// Console lists the kernel's consoles, the last of which is /dev/console;
	// empty is the screen and the architecture's serial port.
	Console []string

	// ESP are further files of the EFI system partition, by their paths.
	ESP map[string]string
}

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

// Check says whether a disk can be made for an architecture with these
// options, without looking at a root. Its errors are the user's.
func (o Options) Check(archName string) error {
	_, _, err := o.check(archName)
	return err
}

// check fills in the defaults.
func (o Options) check(archName string) (Options, arch, error) {
	a, ok := architectures()[archName]
	if !ok {
		return o, a, fail.WithHint(fail.User, fmt.Errorf("%s: no image for architecture %q", o.Target, archName),
			fmt.Sprintf("the %s target is made for amd64 and arm64", o.Target))
	}
	var errs []error
	if len(o.Boot) == 0 {
		o.Boot = a.boot
	}
	for _, b := range o.Boot {
		if !slices.Contains(a.boot, b) {
			errs = append(errs, fmt.Errorf("%s: %s does not boot by %q (%s)", o.Target, archName, b, strings.Join(a.boot, ", ")))
		}
	}
	if o.DiskSize < 0 || o.DiskSize%mib != 0 {
		errs = append(errs, fmt.Errorf("%s: disk size of %d bytes is not in whole MiB", o.Target, o.DiskSize))
	}
	if o.Headroom < 0 {
		errs = append(errs, fmt.Errorf("%s: headroom of %d bytes", o.Target, o.Headroom))
	}
	if o.Headroom == 0 {
		o.Headroom = defaultHeadroom
	}
	if len(o.Console) == 0 {
		o.Console = []string{"tty0", a.serial}
	}
	return o, a, fail.Mark(fail.User, errors.Join(errs...))
}
