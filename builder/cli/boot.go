package cli

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"cloudy/builder/fail"
	"cloudy/builder/lock"
	"cloudy/builder/plan"
	"cloudy/builder/qemu"
	"cloudy/builder/recipe"
	"cloudy/builder/sandbox"
	"cloudy/builder/tools"
)

// bootFlags are the flags of the verbs that boot an image.
type bootFlags struct {
	out, memory string
	cpus        int
	hostQEMU    bool

	format, attach string
}

func (f *bootFlags) add(c *cobra.Command) {
	c.Flags().StringVarP(&f.out, "out", "o", "out", "`folder` of the images")
	c.Flags().StringVarP(&f.memory, "memory", "m", "1G", "memory of the machine: a `size` such as 512M or 2G")
	c.Flags().IntVar(&f.cpus, "cpus", 2, "`number` of processors")
	c.Flags().StringVar(&f.format, "format", "", "which of the image's files to boot: "+strings.Join(diskFormats(), ", ")+" (default: the first of these that it has)")
	c.Flags().StringVar(&f.attach, "attach", "", "how the machine sees it: as a disk (virtio), a USB stick (usb) or a CD (cd; what an iso is by default)")
	mustComplete(c, "format", diskFormats())
	mustComplete(c, "attach", attachments())
	c.Flags().BoolVar(&f.hostQEMU, "host-qemu", false, "use the QEMU of this machine instead of the builder's own")
}

// bootable is an image that can be started.
type bootable struct {
	name   string            // as the user gave it
	image  *recipe.Image     // nil for a file
	board  string            // that the SD card is for; empty for other disks
	boot   []string          // the firmwares that the target is made for; empty when unknown
	disks  map[string]string // files by their formats
	format string            // of the one that is booted
	config qemu.Config       // without a disk
}

// prepare builds the image that arg names, if it is not a file, and what is
// needed to boot it. done closes what it opened.
func (a *App) prepare(c *cobra.Command, args []string, f *bootFlags) (b *bootable, done func(), err error) {
	for _, flag := range []struct {
		name, value string
		choices     []string
	}{{"format", f.format, diskFormats()}, {"attach", f.attach, attachments()}} {
		if flag.value != "" {
			if err := oneOf(flag.name, flag.value, flag.choices); err != nil {
				return nil, nil, err
			}
		}
	}
	sb, err := sandbox.Enter(c.Context(), sandbox.EnterOptions{})
	if err != nil {
		return nil, nil, err
	}
	b = &bootable{name: defaultImage, disks: map[string]string{}}
	if len(args) > 0 {
		b.name = args[0]
	}
	b.config = qemu.Config{Arch: a.Flags.Arch, CPUs: f.cpus}
	if b.config.MemoryMB, err = megabytes(f.memory); err != nil {
		return nil, nil, fail.Mark(fail.User, fmt.Errorf("--memory=%s: %w", f.memory, err))
	}
	var chosen []selection
	if isDiskFile(b.name) {
		b.disks[diskFormat(b.name)] = b.name
	} else if chosen, err = a.chooseBootable(c.Context(), b, f.format); err != nil {
		return nil, nil, err
	}
	e, done, err := a.engine(c.Context(), sb, f.out)
	if err != nil {
		return nil, nil, err
	}
	log := &scriptLog{dir: f.out}
	defer log.Close()
	if len(chosen) > 0 {
		e.Scripts = log
	}
	ctx, end := a.Progress(c.Context())
	var unpacked func()
	if err = a.prepareParts(ctx, e, b, chosen, f); err == nil {
		unpacked, err = b.ready(ctx)
	}
	end(err, log.Path())
	if err != nil {
		done()
		return nil, nil, err
	}
	closeEngine := done // done itself is what is returned
	return b, func() { unpacked(); closeEngine() }, nil
}

func (a *App) prepareParts(ctx context.Context, e *plan.Engine, b *bootable, chosen []selection, f *bootFlags) error {
	made, err := a.make(ctx, e, chosen)
	if err != nil {
		return err
	}
	for _, m := range made {
		b.disks[m.Format] = m.Path
	}
	if err := b.pick(f.format, f.attach); err != nil {
		return err
	}
	if f.hostQEMU {
		return nil
	}
	if e.Sandbox.Mode() == sandbox.ModePlain {
		return fail.WithHint(fail.Host, errors.New("QEMU in a root of its own needs namespaces, which this container forbids"),
			"install QEMU here and use --host-qemu")
	}
	set := tools.ForMachine(b.config.Arch)
	pinned, err := a.pinnedTools(set)
	if err != nil {
		return err
	}
	t, err := tools.Root(ctx, e, set, pinned)
	if err != nil {
		return fmt.Errorf("%w (--host-qemu uses the QEMU of this machine)", err)
	}
	b.config.Root, b.config.Run = t.Dir(), t.QEMU
	return nil
}

// pinnedTools is the entry of a set of tools in the lock file, or nil.
func (a *App) pinnedTools(set tools.Set) (*lock.Image, error) {
	file, err := lock.Load(a.lockPath())
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return file.Images[lock.Key(set.Image(), HostArch())], nil
}

// isDiskFile tells the file of an image from the name of one.
func isDiskFile(name string) bool {
	if diskFormat(name) == "" {
		return false
	}
	st, err := os.Stat(name)
	return err == nil && !st.IsDir()
}

// notDisk is what is wrong with a name that is rather a file's than an
// image's; nil for an image's.
func notDisk(name string) error {
	st, err := os.Stat(name)
	switch {
	case err == nil && st.Mode().IsRegular() && strings.ContainsAny(name, "./"):
		return fail.WithHint(fail.User, fmt.Errorf("%s is no disk image by its name", name), "names of disk images end in ."+strings.Join(diskFormats(), ", ."))
	case err != nil && (diskFormat(name) != "" || strings.Contains(name, "/")):
		return fail.WithHint(fail.User, fmt.Errorf("there is no file %s", name), `"cloudy build" makes images, and "cloudy show" lists those that the recipe has`)
	}
	return nil
}

// chooseBootable finds the image and its target, "vm" when none is said.
func (a *App) chooseBootable(ctx context.Context, b *bootable, format string) ([]selection, error) {
	if err := notDisk(b.name); err != nil {
		return nil, err
	}
	m, err := a.Module(ctx)
	if err != nil {
		return nil, err
	}
	if !strings.Contains(b.name, ":") {
		b.name += ":vm"
	}
	chosen, err := a.choose(m, []string{b.name})
	if err != nil {
		return nil, err
	}
	b.image = chosen[0].image
	target := chosen[0].targets[0]
	if !contains(bootTargets(), target.Name) {
		return nil, fail.WithHint(fail.User, fmt.Errorf("%s is no disk image to boot", b.name),
			"a machine boots the targets "+strings.Join(bootTargets(), ", "))
	}
	if have := target.Strings("formats"); format != "" && !contains(have, format) {
		return nil, noFormat(format, b.name, have)
	}
	b.boot = target.Strings("boot")
	if target.Name == "sdcard" {
		b.board = target.String("board")
		if len(b.possible()) == 0 {
			return nil, fail.WithHint(fail.User, fmt.Errorf("%s: no machine here is like the board %s", b.name, b.board),
				"cards for raspberry-pi and virt can be tried; the built-in image takes --var board=virt")
		}
	}
	return chosen, nil
}

// bootTargets are the targets whose artefacts are disks of a machine.
func bootTargets() []string { return []string{"vm", "metal", "sdcard"} }

// firmwares are the ways of booting by the names that flags have.
func firmwares() map[string]qemu.Firmware {
	return map[string]qemu.Firmware{"bios": qemu.BIOS, "uefi": qemu.UEFI, "secure-boot": qemu.SecureBoot, "u-boot": qemu.UBoot, "raspberry-pi": qemu.RaspberryPi}
}

// possible lists the firmwares that the image is made for, the simplest first.
func (b *bootable) possible() []string {
	var out []string
	switch b.board {
	case "":
	case "virt":
		return []string{"u-boot"}
	case "raspberry-pi":
		return []string{"raspberry-pi"}
	default:
		return nil
	}
	can := func(fw string) bool { return len(b.boot) == 0 || slices.Contains(b.boot, fw) }
	if can("bios") && b.config.Arch == "amd64" {
		out = append(out, "bios")
	}
	if can("uefi") {
		out = append(out, "uefi", "secure-boot")
	}
	return out
}

// megabytes reads a size of memory: a number of MiB, or one with M or G.
func megabytes(s string) (int, error) {
	digits := strings.TrimRight(strings.TrimSuffix(strings.TrimSuffix(s, "iB"), "B"), "MG")
	n, err := strconv.Atoi(digits)
	if err != nil || n <= 0 || n > 1<<20 {
		return 0, errors.New("want a size such as 512M or 2G")
	}
	if strings.Contains(s, "G") {
		n <<= 10
	}
	return n, nil
}
