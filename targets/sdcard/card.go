package sdcard

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"path"
	"slices"
	"strings"

	"github.com/google/uuid"

	"cloudy/builder/disk/ext4"
	"cloudy/builder/disk/fat"
	"cloudy/builder/disk/gpt"
	"cloudy/builder/disk/mbr"
	"cloudy/builder/disk/sparse"
	"cloudy/builder/fail"
	"cloudy/builder/tree"
	"cloudy/targets"
	"cloudy/targets/machine"
)

const (
	mib         = 1 << 20
	headroom    = 256 * mib // free space of a root whose size nobody said
	minHeadroom = 16 * mib  // of a card whose size was given

	fatNumber  = 1
	rootNumber = 2
)

// basicData is the type of a FAT partition that Windows shows (Microsoft's
// "basic data partition"); an ESP it hides.
const basicData = "EBD0A0A2-B9E5-4433-87C0-68B6B72699C7"

// legacyBootable is GPT's attribute for what U-Boot, as BIOS loaders, looks
// through first (UEFI table 5.8, bit 2).
const legacyBootable = 1 << 2

// rootTypes are GPT's types of roots (Discoverable Partitions Specification).
func rootTypes() map[string]string {
	return map[string]string{"arm64": gpt.RootARM64, "armhf": gpt.RootARM, "riscv64": "72EC70A6-CF74-40E6-BD49-4BDA08E8F224"}
}

// card is one card on its way.
type card struct {
	*targets.Request
	o Options
	b *Board

	kernel kernel
	root   *tree.Tree // with what the board adds
	boot   *tree.Tree // of the FAT partition
	blobs  []blob     // in order

	fat                fat.Options
	ext4               ext4.Options
	fatStart, rootFrom int64
	size               int64 // of the whole card
}

type blob struct {
	Blob
	entry *tree.Entry
}

// prepare does all that can fail for the user's reasons before a byte is written.
func (c *card) prepare(ctx context.Context) error {
	var err error
	if c.kernel, err = findKernel(c.Root); err != nil {
		return err
	}
	serial := c.ID("sdcard fat")
	c.fatStart = c.b.Start
	c.fat = fat.Options{
		Size: c.b.FATSize, Label: c.b.FATLabel, Serial: binary.BigEndian.Uint32(serial[:]), Hidden: uint32(c.fatStart / mbr.Sector), Epoch: c.Epoch,
	}
	c.ext4 = ext4.Options{UUID: c.ID("sdcard root filesystem"), HashSeed: c.ID("sdcard root hash seed"), Label: "root", Epoch: c.Epoch, ReservedPercent: 1}
	if err := c.findBlobs(); err != nil {
		return err
	}
	if err := c.fill(); err != nil {
		return err
	}
	return c.plan(ctx)
}

// findBlobs looks for the blobs and sees to it that each has its place.
func (c *card) findBlobs() error {
	for _, b := range c.b.Blobs {
		e, err := c.Root.Lookup(b.From)
		if err != nil {
			return err
		}
		if e == nil || e.Type != tree.File {
			return fail.WithHint(fail.User, fmt.Errorf("the root has no %s, the blob %q of board %s", b.From, b.Name, c.b.Name), c.similar(b.From))
		}
		c.blobs = append(c.blobs, blob{b, e})
	}
	slices.SortFunc(c.blobs, func(a, b blob) int { return int(a.Offset - b.Offset) })
	end, what := int64(mbr.Sector), "the partition table"
	if c.b.Scheme == GPT {
		end = 34 * gpt.Sector
	}
	for _, b := range c.blobs {
		if b.Offset < end {
			return fail.Mark(fail.User, fmt.Errorf("blob %q begins at byte %d, which is in %s", b.Name, b.Offset, what))
		}
		end, what = b.Offset+b.entry.Size, fmt.Sprintf("blob %q", b.Name)
	}
	if end > c.b.Start {
		return fail.WithHint(fail.User, fmt.Errorf("%s ends at byte %d, behind the beginning of the first partition at %d", what, end, c.b.Start), "let the first partition start later")
	}
	return nil
}

// similar names what there is beside a file that is missing.
func (c *card) similar(name string) string {
	dir := strings.Trim(path.Dir(name), "/")
	for dir != "." {
		if e, err := c.Root.Lookup(dir); err == nil && e != nil && e.Type == tree.Dir {
			var there []string
			for i := range c.Root.Entries {
				if p := c.Root.Entries[i].Path; path.Dir(p) == e.Path && len(there) < 12 {
					there = append(there, path.Base(p))
				}
			}
			return fmt.Sprintf("in /%s there is %s", dir, strings.Join(there, ", "))
		}
		dir = path.Dir(dir)
	}
	return "the package that has it is missing in the board's packages"
}

// plan lays out the partitions.
func (c *card) plan(ctx context.Context) error {
	c.rootFrom = c.fatStart + c.b.FATSize
	tail := int64(0)
	if c.b.Scheme == GPT {
		tail = gpt.Tail
	}
	c.size = c.o.DiskSize
	free := int64(headroom)
	if c.size != 0 {
		free = minHeadroom
	}
	var err error
	if c.ext4.Content, err = ext4.Scan(ctx, c.root); err != nil {
		return err
	}
	size, err := ext4.MinSize(ctx, c.root, c.ext4, free)
	if err != nil {
		return err
	}
	need := c.rootFrom + (size+mib-1)/mib*mib + tail
	if c.size == 0 {
		c.size = need
	}
	if c.size < need {
		return fail.WithHint(fail.User, fmt.Errorf("a card of %d MiB is too small for its content", c.size/mib),
			fmt.Sprintf("set disk_size to at least %d MiB, or leave it out", need/mib))
	}
	c.ext4.Size = c.size - tail - c.rootFrom
	return nil
}

// rootPartUUID is how the kernel names the root's partition.
func (c *card) rootPartUUID() string {
	if c.b.Scheme == GPT {
		return c.ID("sdcard root partition").String()
	}
	return c.mbr().PartUUID(rootNumber)
}

func (c *card) mbr() *mbr.Table {
	id := c.ID("sdcard disk")
	return &mbr.Table{
		Signature: binary.BigEndian.Uint32(id[:]) | 1, DiskSize: c.size, // never 0
		Partitions: []mbr.Partition{
			{Number: fatNumber, Type: mbr.FAT32LBA, Start: c.fatStart, Size: c.b.FATSize},
			{Number: rootNumber, Type: mbr.Linux, Bootable: c.b.Extlinux, Start: c.rootFrom, Size: c.ext4.Size},
		},
	}
}

func (c *card) gpt() *gpt.Table {
	root := gpt.Partition{
		Number: rootNumber, Name: "root", Type: uuid.MustParse(rootTypes()[c.Arch]), GUID: c.ID("sdcard root partition"),
		Start: c.rootFrom, Size: c.ext4.Size,
	}
	if c.o.Grow {
		root.Attributes |= gpt.GrowFlag
	}
	if c.b.Extlinux {
		root.Attributes |= legacyBootable
	}
	return &gpt.Table{GUID: c.ID("sdcard disk"), DiskSize: c.size, Partitions: []gpt.Partition{
		{Number: fatNumber, Name: "boot", Type: uuid.MustParse(basicData), GUID: c.ID("sdcard fat partition"), Start: c.fatStart, Size: c.b.FATSize},
		root,
	}}
}

// disk writes everything into a new sparse file. It returns the parts whose
// zeros count.
func (c *card) disk(ctx context.Context, f machine.Medium) ([]sparse.Extent, error) {
	var err error
	if c.b.Scheme == GPT {
		err = c.gpt().Write(f)
	} else {
		err = c.mbr().Write(f)
	}
	if err != nil {
		return nil, err
	}
	for _, b := range c.blobs {
		if err := b.write(f); err != nil {
			return nil, fmt.Errorf("blob %q: %w", b.Name, err)
		}
	}
	boot, err := fat.Write(ctx, f, c.fatStart, c.boot, c.fat)
	if err != nil {
		if errors.Is(err, fat.ErrFull) {
			err = fail.WithHint(fail.User, err, "give the board's firmware block a larger size")
		}
		return nil, fmt.Errorf("partition %s: %w", c.b.FATLabel, err)
	}
	o := c.ext4
	if o.Follow, err = machine.Follow(ctx, f, c.rootFrom); err != nil {
		return nil, err
	}
	root, err := ext4.Write(ctx, f, c.rootFrom, c.root, o)
	if err != nil {
		return nil, err
	}
	// Tables and all before the FAT's free clusters; an old boot loader left
	// in the gap would be found by the boot ROM.
	zeros := []sparse.Extent{{Offset: 0, Length: c.rootFrom - boot.Free*int64(boot.ClusterSize)}}
	for _, e := range root.Fixed {
		zeros = append(zeros, sparse.Extent{Offset: c.rootFrom + e.Offset, Length: e.Length})
	}
	end := c.rootFrom + c.ext4.Size
	return append(zeros, sparse.Extent{Offset: end, Length: c.size - end}), nil
}

func (b *blob) write(w io.WriterAt) error {
	r, err := b.entry.Open()
	if err != nil {
		return err
	}
	defer r.Close()
	n, err := io.Copy(io.NewOffsetWriter(w, b.Offset), r)
	if err == nil && n != b.entry.Size {
		err = io.ErrUnexpectedEOF
	}
	return err
}
