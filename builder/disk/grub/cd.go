package grub

import (
	"encoding/binary"
	"errors"
	"fmt"
)

const (
	cdSector = 2048

	// The boot information table that cdboot.img loads the rest by: the sector
	// of the primary volume descriptor, that of the image, its length in bytes,
	// and the sum of all 32-bit words behind the table (as mkisofs's
	// -boot-info-table writes it).
	infoTable = 8
	infoEnd   = 64
	pvdSector = 16

	// hybridKernel is where boot_hybrid.img has the sector of the image that it
	// loads (GRUB_BOOT_MACHINE_KERNEL_SECTOR of its variant, as xorriso's
	// --grub2-mbr fills it in): behind cdboot.img.
	hybridKernel  = 0x1b0
	hybridSkipped = cdSector / sector
)

// CD is boot code for an El Torito image and for the master boot record of
// the same medium as a USB stick.
type CD struct {
	MBR   []byte // boot_hybrid.img
	Image []byte // cdboot.img and core.img
}

// BuildCD links an image for CD and USB stick, as `grub-mkimage -O
// i386-pc-eltorito` does.
func BuildCD(files Files, o Options) (*CD, error) {
	im, err := Build(files, o)
	if err != nil {
		return nil, err
	}
	head, err := files("cdboot.img")
	if err != nil {
		return nil, fmt.Errorf("grub cdboot.img: %w", err)
	}
	if len(head) != cdSector {
		return nil, errors.New("grub cdboot.img: not a boot image of 2048 bytes")
	}
	mbr, err := files("boot_hybrid.img")
	if err != nil {
		return nil, fmt.Errorf("grub boot_hybrid.img: %w", err)
	}
	if len(mbr) != sector {
		return nil, errors.New("grub boot_hybrid.img: not a boot sector of 512 bytes")
	}
	return &CD{MBR: mbr, Image: append(head, im.Core...)}, nil
}

// Place fills in where the image begins, in bytes from the medium's start.
func (c *CD) Place(at int64) error {
	if at%cdSector != 0 {
		return fmt.Errorf("grub: a boot image at byte %d is not on a sector", at)
	}
	le, lba := binary.LittleEndian, uint64(at/sector)
	// The loader behind cdboot.img is for the stick: what it loads follows it.
	le.PutUint64(c.Image[cdSector+blockStart:], lba+hybridSkipped+1)
	le.PutUint32(c.Image[infoTable:], pvdSector)
	le.PutUint32(c.Image[infoTable+4:], uint32(at/cdSector))
	le.PutUint32(c.Image[infoTable+8:], uint32(len(c.Image)))
	sum := uint32(0)
	for i := infoEnd; i+4 <= len(c.Image); i += 4 {
		sum += le.Uint32(c.Image[i:])
	}
	le.PutUint32(c.Image[infoTable+12:], sum)
	le.PutUint64(c.MBR[hybridKernel:], lba+hybridSkipped)
	return nil
}

// InstallMBR writes the boot code of a stick into the master boot record. Disk
// signature and partition table stay as they are.
func (c *CD) InstallMBR(d Disk) error {
	mbr := make([]byte, sector)
	if _, err := d.ReadAt(mbr, 0); err != nil {
		return fmt.Errorf("read the master boot record: %w", err)
	}
	copy(mbr[:bootWindowsNT], c.MBR)
	mbr[0x1fe], mbr[0x1ff] = 0x55, 0xaa
	if _, err := d.WriteAt(mbr, 0); err != nil {
		return fmt.Errorf("write the master boot record: %w", err)
	}
	return nil
}
