package report

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"strings"

	"cloudy/builder/disk/ext4"
	"cloudy/builder/disk/fat"
	"cloudy/builder/disk/iso9660"
	"cloudy/builder/disk/squashfs"
	"cloudy/builder/tree"
)

// filesystem tells what is in the part of a disk at [start, start+size), and
// reads it where it can; nil when nothing is known there.
func (o *Opened) filesystem(ctx context.Context, disk io.ReaderAt, start, size int64) (*Filesystem, error) {
	part := io.NewSectionReader(disk, start, size)
	fs := probe(part, size)
	if fs == nil {
		return nil, ctx.Err()
	}
	switch {
	case strings.HasPrefix(fs.Type, "ext"):
		img, err := ext4.Open(disk, start)
		if err != nil {
			fs.Problem = err.Error()
			break
		}
		t, err := img.Tree(ctx)
		if err != nil {
			if ctx.Err() != nil {
				return nil, ctx.Err()
			}
			fs.Problem = err.Error()
			break
		}
		root := &Root{Tree: t, Content: func(e *tree.Entry) (io.ReadCloser, error) {
			r, err := img.File(e.Path)
			if err != nil {
				return nil, err
			}
			return io.NopCloser(r), nil
		}}
		if fs.Contents, err = o.add(root); err != nil {
			fs.Problem = err.Error()
		}
	case fs.Type == "squashfs":
		var t *tree.Tree
		img, err := squashfs.Open(disk, start)
		if err == nil {
			t, err = img.Tree(ctx)
		}
		if err == nil {
			fs.Contents, err = o.add(RootOf(t))
		}
		if err != nil {
			fs.Problem = err.Error()
		}
		return fs, ctx.Err()
	case fs.Type == "iso9660":
		return fs, o.readISO(ctx, fs, part)
	case fs.Type == "vfat":
		fs.Contents, fs.Problem = readFAT(part)
		if fs.Contents != nil {
			fs.Used = fs.Contents.Size
		}
	}
	return fs, nil
}

// readISO sums up a CD, and reads the squashfs on live ones.
func (o *Opened) readISO(ctx context.Context, fs *Filesystem, r io.ReaderAt) error {
	list, err := iso9660.List(r)
	if err != nil {
		fs.Problem = err.Error()
		return nil
	}
	fs.Contents = &Contents{Files: len(list)}
	for _, e := range list {
		if e.Dir {
			continue
		}
		fs.Contents.Size += e.Size
		magic := make([]byte, 4)
		if _, err := r.ReadAt(magic, e.Offset); err != nil || string(magic) != "hsqs" {
			continue
		}
		inner, err := o.filesystem(ctx, r, e.Offset, e.Size)
		if err != nil {
			return err
		}
		if inner != nil {
			fs.Inside = append(fs.Inside, Inner{e.Path, inner})
		}
	}
	return nil
}

// readFAT sums up a FAT filesystem, which never is a root.
func readFAT(r io.ReaderAt) (c *Contents, problem string) {
	f, err := fat.Open(r)
	if err != nil {
		return nil, err.Error()
	}
	list, err := f.Entries()
	if err != nil {
		return nil, err.Error()
	}
	c = &Contents{Files: len(list)}
	for _, e := range list {
		c.Size += e.Size
	}
	return c, ""
}

// probe reads superblocks. Offsets are those of each format's documentation;
// util-linux's libblkid looks at the same ones.
func probe(r io.ReaderAt, size int64) *Filesystem {
	b := make([]byte, 68<<10)
	n, err := r.ReadAt(b, 0)
	if err != nil && err != io.EOF {
		return nil
	}
	if n < 512 {
		return nil
	}
	b = b[:n]
	le16 := func(at int) uint16 { return binary.LittleEndian.Uint16(b[at:]) }
	le32 := func(at int) uint64 { return uint64(binary.LittleEndian.Uint32(b[at:])) }
	le64 := func(at int) int64 { return int64(binary.LittleEndian.Uint64(b[at:])) }
	is := func(at int, s string) bool { return len(b) >= at+len(s) && string(b[at:at+len(s)]) == s }
	switch {
	case is(1024+56, "\x53\xef") && len(b) >= 2048: // ext2, 3, 4: struct ext4_super_block at 1024
		return probeExt(b[1024:2048])
	case is(0, "hsqs") && len(b) >= 96: // squashfs: struct squashfs_super_block
		return &Filesystem{Type: "squashfs", Size: size, Used: le64(40)}
	case is(0, "XFSB") && len(b) >= 200: // xfs: struct xfs_dsb, big-endian
		block, blocks := int64(binary.BigEndian.Uint32(b[4:])), int64(binary.BigEndian.Uint64(b[8:]))
		free := int64(binary.BigEndian.Uint64(b[144:]))
		return &Filesystem{Type: "xfs", UUID: uuidText(b[32:48]), Label: text(b[108:120]), Size: block * blocks, Used: block * (blocks - free)}
	case is(65536+64, "_BHRfS_M") && len(b) >= 65536+0x22b+64: // btrfs: struct btrfs_super_block at 64 KiB
		return &Filesystem{Type: "btrfs", UUID: uuidText(b[65536+32 : 65536+48]), Label: text(b[65536+0x12b : 65536+0x12b+64]), Size: le64(65536 + 0x70), Used: le64(65536 + 0x78)}
	case is(1024, "\xe2\xe1\xf5\xe0") && len(b) >= 1024+128: // erofs: struct erofs_super_block at 1024
		return &Filesystem{Type: "erofs", UUID: uuidText(b[1024+48 : 1024+64]), Label: text(b[1024+64 : 1024+80]), Size: int64(le32(1024+36)) << (b[1024+12] & 31)}
	case is(0, "LUKS\xba\xbe"):
		return &Filesystem{Type: "crypto_LUKS", UUID: text(b[168:208]), Size: size}
	case is(4096-10, "SWAPSPACE2") && len(b) >= 1024+68: // struct swap_header_v1_2
		return &Filesystem{Type: "swap", UUID: uuidText(b[1036:1052]), Label: text(b[1052:1068]), Size: size}
	case is(32769, "CD001") && len(b) >= 32768+190: // ECMA-119, 8.4: the primary volume descriptor
		return &Filesystem{Type: "iso9660", Label: text(b[32768+40 : 32768+72]), Size: int64(le32(32768+80)) * int64(le16(32768+128))}
	case le16(510) == 0xaa55 && (is(54, "FAT") || is(82, "FAT32")):
		return probeFAT(b, size)
	}
	return nil
}

func probeExt(sb []byte) *Filesystem {
	le32 := func(at int) int64 { return int64(binary.LittleEndian.Uint32(sb[at:])) }
	const (
		hasJournal = 0x4   // in feature_compat
		bit64      = 0x80  // in feature_incompat
		ext4Only   = 0x2c0 // extents, 64bit, flex_bg in feature_incompat
		ext4OnlyRO = 0x478 // huge_file, gdt_csum, dir_nlink, extra_isize, metadata_csum in feature_ro_compat
	)
	compat, incompat, ro := le32(92), le32(96), le32(100)
	fs := &Filesystem{Type: "ext2", UUID: uuidText(sb[104:120]), Label: text(sb[120:136])}
	switch {
	case incompat&ext4Only != 0 || ro&ext4OnlyRO != 0:
		fs.Type = "ext4"
	case compat&hasJournal != 0:
		fs.Type = "ext3"
	}
	blocks, free, block := le32(4), le32(12), int64(1024)<<(le32(24)&15)
	if incompat&bit64 != 0 {
		blocks, free = blocks|le32(0x150)<<32, free|le32(0x158)<<32
	}
	fs.Size, fs.Used = blocks*block, (blocks-free)*block
	return fs
}

func probeFAT(b []byte, size int64) *Filesystem {
	at := 39 // of the serial number in FAT12 and FAT16; the label follows
	if string(b[82:87]) == "FAT32" {
		at = 67
	}
	fs := &Filesystem{Type: "vfat", Size: size, Label: text(b[at+4 : at+15])}
	fs.UUID = fmt.Sprintf("%02X%02X-%02X%02X", b[at+3], b[at+2], b[at+1], b[at])
	if fs.Label == "NO NAME" {
		fs.Label = ""
	}
	return fs
}

// text is a field filled up with zeros or blanks; what is not printable goes.
func text(b []byte) string {
	b, _, _ = bytes.Cut(b, []byte{0})
	return strings.TrimSpace(strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f || r == 0xfffd {
			return -1
		}
		return r
	}, string(b)))
}

func uuidText(b []byte) string {
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[0:4], b[4:6], b[6:8], b[8:10], b[10:16])
}

// readMBR reads the table of a master boot record; nil when it is none. A FAT
// boot sector has the same signature, but no sane table where one would be.
func readMBR(b []byte, size int64) *Table {
	if b[510] != 0x55 || b[511] != 0xaa || string(b[54:57]) == "FAT" || string(b[82:85]) == "FAT" {
		return nil
	}
	t := &Table{Kind: "mbr", ID: fmt.Sprintf("%08x", binary.LittleEndian.Uint32(b[440:])), Partitions: []Partition{}}
	for i := range 4 {
		e := b[446+16*i : 446+16*(i+1)]
		if e[0]&0x7f != 0 {
			return nil
		}
		start, sectors := int64(binary.LittleEndian.Uint32(e[8:])), int64(binary.LittleEndian.Uint32(e[12:]))
		if e[4] == 0 || sectors == 0 {
			continue
		}
		p := Partition{Number: i + 1, Type: mbrTypeName(e[4]), Start: start * 512, Size: sectors * 512}
		if p.Start+p.Size > size {
			t.Problem = fmt.Sprintf("partition %d ends behind the end of the disk", i+1)
		}
		t.Partitions = append(t.Partitions, p)
	}
	if len(t.Partitions) == 0 {
		return nil
	}
	return t
}

// mbrTypeName names the partition types that Linux disks have.
func mbrTypeName(t byte) string {
	if name, ok := map[byte]string{
		0x05: "extended", 0x06: "FAT16", 0x07: "NTFS or exFAT", 0x0b: "FAT32", 0x0c: "FAT32 (LBA)", 0x0e: "FAT16 (LBA)", 0x0f: "extended (LBA)",
		0x82: "Linux swap", 0x83: "Linux", 0x8e: "Linux LVM", 0xcd: "ISO 9660", 0xee: "GPT protective", 0xef: "EFI system", 0xfd: "Linux RAID",
	}[t]; ok {
		return name
	}
	return fmt.Sprintf("0x%02x", t)
}

// gptTypeName names the partition types of Linux disks (UEFI specification
// 2.10, table 5.7, and the Discoverable Partitions Specification).
func gptTypeName(id string) string {
	if name, ok := map[string]string{
		"21686148-6449-6E6F-744E-656564454649": "BIOS boot",
		"C12A7328-F81F-11D2-BA4B-00A0C93EC93B": "EFI system",
		"0FC63DAF-8483-4772-8E79-3D69D8477DE4": "Linux",
		"4F68BCE3-E8CD-4DB1-96E7-FBCAF984B709": "Linux root (x86-64)",
		"B921B045-1DF0-41C3-AF44-4C6F280D3FAE": "Linux root (ARM64)",
		"69DAD710-2CE4-4E3C-B16C-21A1D49ABED3": "Linux root (ARM)",
		"44479540-F297-41B2-9AF7-D131D5F0458A": "Linux root (x86)",
		"BC13C2FF-59E6-4262-A352-B275FD6F7172": "Linux extended boot",
		"0657FD6D-A4AB-43C4-84E5-0933C84B4F4F": "Linux swap",
		"933AC7E1-2EB4-4F13-B844-0E14E2AEF915": "Linux home",
		"E6D6D379-F507-44C2-A23C-238F2A3DF928": "Linux LVM",
		"EBD0A0A2-B9E5-4433-87C0-68B6B72699C7": "basic data",
	}[strings.ToUpper(id)]; ok {
		return name
	}
	return strings.ToUpper(id)
}
