package metal

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/google/uuid"

	"cloudy/builder/disk/fat"
	"cloudy/builder/disk/gpt"
	"cloudy/builder/disk/iso9660"
	"cloudy/builder/disk/squashfs"
	"cloudy/builder/fail"
	"cloudy/builder/progress"
	"cloudy/builder/tree"
	"cloudy/targets"
	"cloudy/targets/machine"
	"cloudy/targets/metal/live"
)

// Places on the medium.
const (
	fileSystem = "live/root.squashfs"
	fileESP    = "boot/efi.img"
	fileBIOS   = "boot/grub/eltorito.img"
)

const mib = 1 << 20

// espNumber is the number of the EFI system partition on a stick.
const espNumber = 1

// medium is one ISO on its way.
type medium struct {
	*targets.Request
	o    Options
	id   string // the volume set's name, by which it finds itself
	boot *machine.LiveMedium
	tree *tree.Tree
	esp  fat.Options
}

// buildISO makes the hybrid ISO. It boots from CD by El Torito and from a stick
// by the boot code and the partition table in front, by BIOS and by UEFI.
func buildISO(ctx context.Context, r *targets.Request, o Options, mo machine.Options) ([]targets.Artefact, error) {
	m := &medium{Request: r, o: o, id: r.ID("metal medium").String()}
	if err := m.plan(mo); err != nil {
		return nil, err
	}
	out, err := targets.Create(r.OutDir + "/" + r.BaseName + ".iso")
	if err != nil {
		return nil, err
	}
	defer out.Discard()
	step := progress.Begin(ctx, "iso", r.Root.Size(), progress.Bytes)
	if err := step.End(m.write(ctx, out, step.Add)); err != nil {
		return nil, err
	}
	a, err := out.Commit(ctx, targets.Artefact{
		Format: ISO, MediaType: "application/vnd.cloudy.iso",
		Usage: fmt.Sprintf("cloudy flash %s.iso /dev/sdX, or burn it", r.BaseName),
	})
	if err != nil {
		return nil, err
	}
	return []targets.Artefact{a}, nil
}

// plan does all that can fail for the user's reasons.
func (m *medium) plan(mo machine.Options) error {
	mark := "live/" + m.id
	start := []string{"boot=cloudy"}
	menu := []machine.Entry{
		{Title: "Live: " + m.Image, Args: append(start, m.o.Arguments...)},
		{Title: "Install " + m.Image + " to a disk", Args: append(start, "cloudy.install")},
		{Title: "Live: " + m.Image + " (rescue)", Args: append(start, "systemd.unit=rescue.target")},
	}
	if slices.ContainsFunc(m.o.Arguments, func(a string) bool { return strings.HasPrefix(a, "cloudy.install") }) {
		menu[0].Title = "Install " + m.Image
		menu = append(menu, machine.Entry{Title: "Live: " + m.Image, Args: start})
	}
	var err error
	if m.boot, err = machine.PlanMedium(m.Request, mo, machine.MediumFiles{
		Mark: mark, Kernel: "live/vmlinuz", Initrds: []string{"live/initrd", "live/cloudy.cpio"},
	}, menu); err != nil {
		return err
	}
	if m.o.Live == nil {
		return fail.WithHint(fail.Host, fmt.Errorf("there is no program to start a live system for %s", m.Arch), "build cloudy with \"make build\", which puts it in")
	}
	program, err := m.o.Live.Read()
	if err != nil {
		return err
	}
	ram, err := ramDisk(m.Root, m.boot.Version, program, live.Config{
		ID: m.id, Image: m.Image, Arch: m.Arch, KernelArgs: m.KernelArgs, Boot: mo.Boot, Grow: mo.Grow, Epoch: m.Epoch,
	})
	if err != nil {
		return err
	}
	add := func(name string, e *tree.Entry) tree.Entry {
		out := *e
		out.Path, out.Mode, out.UID, out.GID, out.Xattrs = name, 0o644, 0, 0, nil
		return out
	}
	data := func(name string, b []byte) tree.Entry {
		return tree.Entry{Path: name, Type: tree.File, Mode: 0o644, MTime: m.Epoch, Size: int64(len(b)), Data: b}
	}
	extra := []tree.Entry{
		{Path: ".", Type: tree.Dir, Mode: 0o755, MTime: m.Epoch}, {Path: "live", Type: tree.Dir, Mode: 0o755, MTime: m.Epoch},
		add("live/vmlinuz", m.boot.Kernel), add("live/initrd", m.boot.Initrd), data("live/cloudy.cpio", ram), data(mark, []byte(m.Image+"\n")),
	}
	m.tree = m.boot.Files.Apply(nil, extra)
	if m.boot.ESP == nil {
		return nil
	}
	serial := m.ID("metal medium esp")
	m.esp = fat.Options{Label: "ESP", Serial: binary.BigEndian.Uint32(serial[:]), Epoch: m.Epoch}
	if m.esp.Size, err = fat.MinSize(m.boot.ESP, mib); err != nil {
		return err
	}
	m.esp.Size = (m.esp.Size + mib - 1) / mib * mib
	return nil
}

// write writes the volume, and the partition table and boot code in front of it.
func (m *medium) write(ctx context.Context, f *targets.Output, done func(int64)) error {
	o := iso9660.Options{
		Volume: volumeName(m.Image), Set: m.id, Epoch: m.Epoch, Tail: gpt.Tail,
		Application: func(im *iso9660.Image) []byte {
			at, _ := im.Find(fileSystem)
			return []byte(live.Root{Offset: at.Offset, Size: at.Size}.Text())
		},
	}
	if cd := m.boot.CD; cd != nil {
		o.Boot = append(o.Boot, iso9660.Boot{Platform: iso9660.BIOS, Path: fileBIOS, Load: 4})
		o.Placed = append(o.Placed, iso9660.Placed{Path: fileBIOS, Write: func(at int64) (int64, error) {
			if err := cd.Place(at); err != nil {
				return 0, err
			}
			_, err := f.WriteAt(cd.Image, at)
			return int64(len(cd.Image)), err
		}})
	}
	if m.boot.ESP != nil {
		o.Boot = append(o.Boot, iso9660.Boot{Platform: iso9660.UEFI, Path: fileESP})
		o.Placed = append(o.Placed, iso9660.Placed{Path: fileESP, Align: gpt.Align, Write: func(at int64) (int64, error) {
			m.esp.Hidden = uint32(at / gpt.Sector)
			_, err := fat.Write(ctx, f, at, m.boot.ESP, m.esp)
			return m.esp.Size, err
		}})
	}
	o.Placed = append(o.Placed, iso9660.Placed{Path: fileSystem, Align: gpt.Align, Write: func(at int64) (int64, error) {
		return squashfs.Write(ctx, f, at, m.Root, squashfs.Options{Epoch: m.Epoch, Copied: done})
	}})
	im, err := iso9660.Write(f, m.tree, o)
	if errors.Is(err, iso9660.ErrLimit) {
		return fail.WithHint(fail.User, err, "leave packages out of the image, or use the format raw.zst")
	}
	if err != nil {
		return err
	}
	if err := f.Truncate(im.Size); err != nil {
		return err
	}
	return m.partition(f, im)
}

// partition makes the medium a disk as well: firmware of UEFI finds the EFI
// system partition by the GPT, that of BIOS the boot code in the MBR.
func (m *medium) partition(f *targets.Output, im *iso9660.Image) error {
	t := gpt.Table{GUID: m.ID("metal medium disk"), DiskSize: im.Size}
	if esp, ok := im.Find(fileESP); ok {
		t.Partitions = []gpt.Partition{{
			Number: espNumber, Name: "esp", Type: uuid.MustParse(gpt.ESP), GUID: m.ID("metal medium esp partition"), Start: esp.Offset, Size: esp.Size,
		}}
	}
	if err := t.Write(f); err != nil {
		return err
	}
	if m.boot.CD == nil {
		return nil
	}
	if err := m.boot.CD.InstallMBR(f); err != nil {
		return err
	}
	// Some BIOSes start only disks with an active partition, and the protective
	// one must not be it (UEFI, 5.2.3): an entry of no type is.
	_, err := f.WriteAt(activeEntry, 446+16)
	return err
}

// activeEntry is an entry of the MBR: active, type 0, the disk's first sector.
var activeEntry = []byte{0x80, 0, 1, 0, 0, 0, 1, 0, 0, 0, 0, 0, 1, 0, 0, 0}

// volumeName is the name of the volume as a desktop shows it.
func volumeName(image string) string {
	s := strings.Map(func(r rune) rune {
		if r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' {
			return r
		}
		return '_'
	}, strings.ToUpper("cloudy_"+image))
	return s[:min(len(s), 32)]
}

// Program is the program that starts the live system, for one architecture.
type Program struct {
	SHA256 string                        // of its content; the medium depends on it
	Open   func() (io.ReadCloser, error) `json:"-"`
}

// Read returns the program's content.
func (p *Program) Read() ([]byte, error) {
	r, err := p.Open()
	if err != nil {
		return nil, err
	}
	b, err := io.ReadAll(r)
	return b, errors.Join(err, r.Close())
}
