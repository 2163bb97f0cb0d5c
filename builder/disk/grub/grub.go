// Package grub makes GRUB's boot code for PC BIOS out of the files of
// Debian's grub-pc-bin: it links core.img as `grub-mkimage -O i386-pc` does
// and writes it to a disk as grub-bios-setup does, without either program,
// a mount or a device.
//
// The formats are those of GRUB 2 (util/mkimage.c, util/setup.c,
// include/grub/offsets.h and include/grub/kernel.h of its sources, 2.06 and
// 2.12). A core image is, in this order:
//
//	diskboot.img            one sector that loads the rest by a blocklist
//	lzma_decompress.img     real mode to protected mode, LZMA decoder
//	LZMA( kernel.img flat | module info | modules, config, prefix )
package grub

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
)

// sector is GRUB_DISK_SECTOR_SIZE in bytes.
const sector = 512

// Dir is where grub-pc-bin keeps its files, relative to the root.
const Dir = "usr/lib/grub/i386-pc"

// ErrTooBig says that an image does not fit into its place in memory or on
// the disk.
var ErrTooBig = errors.New("grub image too big")

// Files returns the content of one file of Dir ("boot.img", "ext2.mod").
type Files func(name string) ([]byte, error)

// Options say what goes into a core image.
type Options struct {
	Modules []string // with their dependencies; the order decides the order of initialisation
	Config  string   // the early configuration, run before the prefix is used
	Prefix  string   // where normal mode looks for modules and grub.cfg: "(,gpt3)/boot/grub"
}

// Image is boot code that belongs together.
type Image struct {
	Boot []byte // boot.img, 512 bytes, as in the package
	Core []byte // core.img, padded to whole sectors, its blocklist as from grub-mkimage
}

// Build links an image. An error of files comes back wrapped, so that a
// caller finds fs.ErrNotExist in it when the package is missing.
func Build(files Files, o Options) (*Image, error) {
	boot, err := files("boot.img")
	if err != nil {
		return nil, fmt.Errorf("grub boot.img: %w", err)
	}
	if len(boot) != sector || boot[0x1fe] != 0x55 || boot[0x1ff] != 0xaa {
		return nil, errors.New("grub boot.img: not a boot sector of 512 bytes")
	}
	payload, err := link(files, o)
	if err != nil {
		return nil, err
	}
	core, err := wrap(files, payload)
	if err != nil {
		return nil, err
	}
	return &Image{Boot: boot, Core: core}, nil
}

// Offsets in boot.img and diskboot.img (include/grub/i386/pc/boot.h).
const (
	bootKernelSector = 0x5c  // GRUB_BOOT_MACHINE_KERNEL_SECTOR, u64: where core.img begins
	bootDrive        = 0x64  // GRUB_BOOT_MACHINE_BOOT_DRIVE, u8: 0xff means the drive the BIOS booted from
	bootDriveCheck   = 0x66  // GRUB_BOOT_MACHINE_DRIVE_CHECK: a jump over the repair of a wrong drive number
	bootBPBEnd       = 0x5a  // GRUB_BOOT_MACHINE_BPB_END: 3..0x5a belongs to a filesystem
	bootWindowsNT    = 0x1b8 // GRUB_BOOT_MACHINE_WINDOWS_NT_MAGIC: disk signature, then the partition table
	blockStart       = 0x1f4 // last struct grub_pc_bios_boot_blocklist of diskboot.img: u64 start
	blockLen         = 0x1fc // u16 sectors
	blockSeg         = 0x1fe // u16 segment
	blockSegWant     = 0x820 // GRUB_BOOT_I386_PC_KERNEL_SEG + one sector
)

// Disk is what an image is installed on: a file, or a part of one.
type Disk interface {
	ReadAt(p []byte, off int64) (int, error)
	WriteAt(p []byte, off int64) (int, error)
}

// Install writes the image: the core to the sectors from lba on (a BIOS boot
// partition of the given number of 512-byte sectors), the boot sector into
// the code area of the MBR. Disk signature and partition table stay as they
// are.
func (im *Image) Install(d Disk, lba, sectors int64) error {
	core := bytes.Clone(im.Core)
	n := int64(len(core) / sector)
	if n > sectors {
		return fmt.Errorf("%w: core.img takes %d sectors, its partition has %d", ErrTooBig, n, sectors)
	}
	binary.LittleEndian.PutUint64(core[blockStart:], uint64(lba)+1)
	binary.LittleEndian.PutUint16(core[blockLen:], uint16(n-1))

	mbr := make([]byte, sector)
	if _, err := d.ReadAt(mbr, 0); err != nil {
		return fmt.Errorf("read the master boot record: %w", err)
	}
	boot := bytes.Clone(im.Boot)
	binary.LittleEndian.PutUint64(boot[bootKernelSector:], uint64(lba))
	boot[bootDrive] = 0xff
	// Two NOPs: some BIOSes hand over a wrong drive number for a hard disk;
	// grub-bios-setup enables the repair in the same way for all but floppies.
	boot[bootDriveCheck], boot[bootDriveCheck+1] = 0x90, 0x90
	copy(mbr[:3], boot[:3])
	copy(mbr[bootBPBEnd:bootWindowsNT], boot[bootBPBEnd:bootWindowsNT])
	mbr[0x1fe], mbr[0x1ff] = 0x55, 0xaa

	if _, err := d.WriteAt(core, lba*sector); err != nil {
		return fmt.Errorf("write core.img: %w", err)
	}
	if _, err := d.WriteAt(mbr, 0); err != nil {
		return fmt.Errorf("write the master boot record: %w", err)
	}
	return nil
}
