package machine

import (
	"context"
	"encoding/binary"
	"fmt"
	"slices"

	"github.com/google/uuid"

	"cloudy/builder/disk/ext4"
	"cloudy/builder/disk/fat"
	"cloudy/builder/disk/gpt"
	"cloudy/builder/disk/grub"
	"cloudy/builder/fail"
	"cloudy/builder/tree"
	"cloudy/targets"
)

const (
	mib             = 1 << 20
	defaultHeadroom = 256 * mib
	minHeadroom     = 16 * mib // of a disk whose size was given
	biosSize        = 1 * mib
	espSize         = 64 * mib
)

// Partition numbers as Debian's cloud images have them: the root is 1 though
// it lies last, where it can grow.
const (
	rootNumber = 1
	biosNumber = 14
	espNumber  = 15
)

func architectures() map[string]arch {
	return map[string]arch{
		"amd64": {
			boot: []string{BIOS, UEFI}, efi: "x64", grubEFI: "usr/lib/grub/x86_64-efi-signed", signed: "grub-efi-amd64-signed",
			root: gpt.RootAMD64, serial: "ttyS0,115200",
			// An emulated timer on a busy host fails the kernel's test of it, and
			// the kernel panics; on KVM it leaves the test out by itself.
			args: []string{"no_timer_check"},
		},
		"arm64": {
			boot: []string{UEFI}, efi: "aa64", grubEFI: "usr/lib/grub/arm64-efi-signed", signed: "grub-efi-arm64-signed",
			root: gpt.RootARM64, serial: "ttyAMA0,115200",
		},
	}
}

// Disk is a disk that is planned: all that can fail for the user's reasons has
// been done, and nothing is written yet.
type Disk struct {
	*targets.Request
	o Options
	a arch

	tree *tree.Tree // the root with what makes it boot
	esp  *tree.Tree // nil without UEFI
	core *grub.Image

	table                 gpt.Table
	bios, espPart, rootPt gpt.Partition // zero where there is none
	ext4                  ext4.Options
	fat                   fat.Options
	kernel                kernel
}

func (b *Disk) has(firmware string) bool { return slices.Contains(b.o.Boot, firmware) }

// Plan does all that can fail for the user's reasons before a byte is
// written. The options are checked first. A root without a kernel or without
// the boot loaders' packages, and a disk that is too small, are the user's
// errors.
func Plan(ctx context.Context, r *targets.Request, o Options) (*Disk, error) {
	o, a, err := o.check(r.Arch)
	if err != nil {
		return nil, err
	}
	b := &Disk{Request: r, o: o, a: a}
	return b, b.prepare(ctx)
}

// Size is the size of the disk in bytes.
func (b *Disk) Size() int64 { return b.table.DiskSize }

func (b *Disk) prepare(ctx context.Context) error {
	var err error
	if b.kernel, err = findKernel(b.Root); err != nil {
		return err
	}
	b.ids()
	if err := b.addBoot(); err != nil {
		return err
	}
	if b.ext4.Content, err = ext4.Scan(ctx, b.tree); err != nil {
		return err
	}
	return b.plan(ctx)
}

// ids derives the ids of filesystems and partitions.
func (b *Disk) ids() {
	b.ext4 = ext4.Options{UUID: b.id("root filesystem"), HashSeed: b.id("root hash seed"), Label: "root", Epoch: b.Epoch, ReservedPercent: 1}
	serial := b.id("esp")
	b.fat = fat.Options{Size: espSize, Label: "ESP", Serial: binary.BigEndian.Uint32(serial[:]), Epoch: b.Epoch}
	b.table.GUID = b.id("disk")
	b.rootPt = gpt.Partition{Number: rootNumber, Name: "root", Type: uuid.MustParse(b.a.root), GUID: b.id("root partition")}
	if b.o.Grow {
		b.rootPt.Attributes = gpt.GrowFlag
	}
}

// id is an id of this kind of disk: two kinds that are made of one root and
// meet in one machine must not be taken for each other.
func (b *Disk) id(name string) uuid.UUID { return b.ID(b.o.Target + " " + name) }

// plan lays out the partitions: BIOS boot, ESP, root to the end.
func (b *Disk) plan(ctx context.Context) error {
	next := int64(gpt.Align)
	if b.has(BIOS) {
		b.bios = gpt.Partition{Number: biosNumber, Name: "bios", Type: uuid.MustParse(gpt.BIOSBoot), GUID: b.id("bios partition"), Start: next, Size: biosSize}
		next = b.bios.End()
	}
	if b.has(UEFI) {
		b.espPart = gpt.Partition{Number: espNumber, Name: "esp", Type: uuid.MustParse(gpt.ESP), GUID: b.id("esp partition"), Start: next, Size: espSize}
		b.fat.Hidden = uint32(next / gpt.Sector)
		next = b.espPart.End()
	}
	b.rootPt.Start = next
	if b.o.DiskSize == 0 {
		size, err := ext4.MinSize(ctx, b.tree, b.ext4, b.o.Headroom)
		if err != nil {
			return err
		}
		b.o.DiskSize = next + align(size) + gpt.Tail
	} else if err := b.checkSize(ctx, next); err != nil {
		return err
	}
	b.rootPt.Size = b.o.DiskSize - gpt.Tail - next
	b.ext4.Size = b.rootPt.Size
	b.table.DiskSize = b.o.DiskSize
	for _, p := range []gpt.Partition{b.rootPt, b.bios, b.espPart} {
		if p.Number != 0 {
			b.table.Partitions = append(b.table.Partitions, p)
		}
	}
	return b.table.Validate()
}

// checkSize says what a disk that is too small would need.
func (b *Disk) checkSize(ctx context.Context, rootStart int64) error {
	size, err := ext4.MinSize(ctx, b.tree, b.ext4, minHeadroom)
	if err != nil {
		return err
	}
	if need := rootStart + align(size) + gpt.Tail; b.o.DiskSize < need {
		return fail.WithHint(fail.User, fmt.Errorf("a disk of %d MiB is too small for its content", b.o.DiskSize/mib),
			fmt.Sprintf("set disk_size to at least %d MiB, or leave it out", need/mib))
	}
	return nil
}

func align(n int64) int64 { return (n + gpt.Align - 1) / gpt.Align * gpt.Align }

// errNoFile says which file of a root is missing, and which package has it.
func errNoFile(path, pkg string) error {
	return fail.WithHint(fail.User, fmt.Errorf("the root has no /%s", path), fmt.Sprintf("add the package %q to the image", pkg))
}
