package machine

import (
	"fmt"
	"slices"
	"strings"

	"cloudy/builder/deb"
	"cloudy/builder/disk/grub"
	"cloudy/builder/fail"
	"cloudy/builder/tree"
)

// kernel names the kernel and its initial RAM disk for GRUB, from the root of
// the filesystem.
type kernel struct {
	version string // "6.12.0-cloud-amd64"
	initrd  bool
	links   bool // Debian's /vmlinuz and /initrd.img are there, and follow upgrades
}

// findKernel takes the kernel of Debian's symbolic links, else the newest.
func findKernel(t *tree.Tree) (kernel, error) {
	const prefix = "boot/vmlinuz-"
	var k kernel
	for i := range t.Entries {
		v, ok := strings.CutPrefix(t.Entries[i].Path, prefix)
		if ok && !strings.Contains(v, "/") && (k.version == "" || deb.CompareVersions(v, k.version) > 0) {
			k.version = v
		}
	}
	if k.version == "" {
		return k, fail.WithHint(fail.User, fmt.Errorf("the root has no kernel (/%s*)", prefix), `add a kernel to the image: the package "linux-image-cloud-amd64" for virtual machines, "linux-image-amd64" for any`)
	}
	linked, err := t.Lookup("vmlinuz")
	if err != nil {
		return k, err
	}
	if linked != nil && linked.Type == tree.File {
		if v, ok := strings.CutPrefix(linked.Path, prefix); ok {
			k.version, k.links = v, true
		}
	}
	initrd, err := t.Lookup("boot/initrd.img-" + k.version)
	if err != nil {
		return k, err
	}
	k.initrd = initrd != nil
	return k, nil
}

// rootArg is how the kernel finds the root: a filesystem's UUID takes an
// initial RAM disk to be understood.
func (b *Disk) rootArg() string {
	if b.kernel.initrd {
		return "root=UUID=" + rootUUID(b)
	}
	return "root=PARTUUID=" + b.rootPt.GUID.String()
}

func rootUUID(b *Disk) string { return b.id("root filesystem").String() }

// cmdline is the kernel's command line behind root=.
func (b *Disk) cmdline() string { return strings.Join(kernelArgs(b.o, b.a, b.KernelArgs), " ") }

func kernelArgs(o Options, a arch, more []string) []string {
	var args []string
	for _, c := range o.Console {
		args = append(args, "console="+c)
	}
	return slices.Concat(args, a.args, more)
}

// addBoot puts what makes the root boot into the tree: GRUB's configuration
// and modules, the core image and the ESP, /etc/fstab. What the root has of
// its own stays.
func (b *Disk) addBoot() error {
	ed := b.Root.Edit(b.Epoch)
	if e, err := b.Root.Lookup("boot/grub/grub.cfg"); err != nil {
		return err
	} else if e == nil {
		ed.Text("boot/grub/grub.cfg", b.grubConfig(), 0o644)
	}
	if e, err := b.Root.Lookup("usr/sbin/update-grub"); err != nil {
		return err
	} else if e != nil {
		ed.Text("etc/default/grub.d/50-cloudy.cfg", b.grubDefaults(), 0o644)
	}
	if b.has(BIOS) {
		if err := b.addBIOS(ed); err != nil {
			return err
		}
	}
	if b.has(UEFI) {
		if err := b.addESP(); err != nil {
			return err
		}
		ed.Dir("boot/efi")
	}
	if err := b.addFstab(ed); err != nil {
		return err
	}
	b.tree = ed.Tree()
	return nil
}

// grubConfig is /boot/grub/grub.cfg, for both firmwares. It follows Debian's
// links, so that a new kernel is booted without another configuration.
func (b *Disk) grubConfig() string {
	var s strings.Builder
	p := func(format string, args ...any) { fmt.Fprintf(&s, format+"\n", args...) }
	p("# Written by Cloudy. `update-grub` replaces it by Debian's own.")
	p("%s", grubTerminal)
	p("set default=0")
	p("set timeout=1")
	p("search --no-floppy --fs-uuid --set=root %s", rootUUID(b))
	p("set linux=/boot/vmlinuz-%s", b.kernel.version)
	p("set initrd=/boot/initrd.img-%s", b.kernel.version)
	if b.kernel.links {
		p("if [ -e /vmlinuz ]; then")
		p("  set linux=/vmlinuz")
		p("  set initrd=/initrd.img")
		p("fi")
	}
	p("if [ ! -e $linux ]; then")
	p("  for k in /boot/vmlinuz-*; do set linux=$k; done")
	p("  for k in /boot/initrd.img-*; do set initrd=$k; done")
	p("fi")
	entry := func(title, more string) {
		p("menuentry %q {", title)
		p("  linux $linux %s ro %s", b.rootArg(), strings.TrimSpace(b.cmdline()+" "+more))
		if b.kernel.initrd {
			p("  initrd $initrd")
		}
		p("}")
	}
	entry("Debian GNU/Linux", "")
	entry("Debian GNU/Linux (rescue)", "systemd.unit=rescue.target")
	return s.String()
}

// grubTerminal lets GRUB talk on the screen and on the serial line.
const grubTerminal = `# On UEFI the firmware's console is the serial one too, where there is one.
if [ "$grub_platform" = pc ]; then
  if serial --unit=0 --speed=115200; then
    terminal_input console serial
    terminal_output console serial
  fi
fi`

// grubDefaults keep the kernel's arguments and the serial console when
// somebody runs update-grub in the image.
func (b *Disk) grubDefaults() string {
	return fmt.Sprintf("GRUB_TIMEOUT=1\nGRUB_CMDLINE_LINUX=%q\nGRUB_TERMINAL=\"console serial\"\nGRUB_SERIAL_COMMAND=\"serial --unit=0 --speed=115200\"\n", b.cmdline())
}

// biosModules is what GRUB needs to reach its other modules on the root.
func biosModules() []string { return []string{"biosdisk", "part_gpt", "ext2", "search_fs_uuid"} }

const biosPackage = "grub-pc-bin"

// addBIOS links the core image and copies the modules that grub-install copies.
func (b *Disk) addBIOS(ed *tree.Editor) error {
	files, err := grubFiles(b.Root)
	if err != nil {
		return err
	}
	b.core, err = grub.Build(files, grub.Options{
		Modules: biosModules(),
		Config:  fmt.Sprintf("search.fs_uuid %s root hd0,gpt%d\nset prefix=($root)/boot/grub\n", rootUUID(b), rootNumber),
		Prefix:  fmt.Sprintf("(,gpt%d)/boot/grub", rootNumber),
	})
	if err != nil {
		return err
	}
	if int64(len(b.core.Core)) > biosSize {
		return fmt.Errorf("%w for a BIOS boot partition of %d bytes", grub.ErrTooBig, biosSize)
	}
	copyModules(ed, b.Root)
	return nil
}

// grubFiles are the files of GRUB for BIOS in a root.
func grubFiles(root *tree.Tree) (grub.Files, error) {
	if _, err := file(root, grub.Dir+"/kernel.img", biosPackage); err != nil {
		return nil, err
	}
	return func(name string) ([]byte, error) {
		e, err := file(root, grub.Dir+"/"+name, biosPackage)
		if err != nil {
			return nil, err
		}
		return e.Read()
	}, nil
}

// copyModules copies what GRUB loads by itself.
func copyModules(ed *tree.Editor, root *tree.Tree) {
	for i := range root.Entries {
		e := &root.Entries[i]
		name, ok := strings.CutPrefix(e.Path, grub.Dir+"/")
		if ok && e.Type == tree.File && (strings.HasSuffix(name, ".mod") || strings.HasSuffix(name, ".lst")) {
			ed.Copy("boot/grub/i386-pc/"+name, e)
		}
	}
}

// addESP makes the EFI system partition.
func (b *Disk) addESP() error {
	ed := (&tree.Tree{}).Edit(b.Epoch)
	if err := signedChain(ed, b.Root, b.a); err != nil {
		return err
	}
	ed.Text(grubEFIConfig, fmt.Sprintf("search.fs_uuid %s root\nset prefix=($root)'/boot/grub'\nconfigfile $prefix/grub.cfg\n", rootUUID(b)), 0o644)
	for name, content := range b.o.ESP {
		ed.Text(name, content, 0o644)
	}
	b.esp = ed.Tree()
	return nil
}

// grubEFIConfig is where GRUB's signed image looks for its configuration, on
// the filesystem that it was loaded from.
const grubEFIConfig = "EFI/debian/grub.cfg"

// signedChain adds Debian's signed boot chain under the name that firmware
// looks for on any disk, and under Debian's own as grub-install leaves it there.
func signedChain(ed *tree.Editor, root *tree.Tree, a arch) error {
	shim, err := file(root, "usr/lib/shim/shim"+a.efi+".efi.signed", "shim-signed")
	if err != nil {
		return err
	}
	mok, err := file(root, "usr/lib/shim/mm"+a.efi+".efi.signed", "shim-signed")
	if err != nil {
		return err
	}
	signed, err := file(root, a.grubEFI+"/grub"+a.efi+".efi.signed", a.signed)
	if err != nil {
		return err
	}
	for _, dir := range []string{"EFI/BOOT/", "EFI/debian/"} {
		name := dir + "shim" + a.efi + ".efi"
		if dir == "EFI/BOOT/" {
			name = dir + "BOOT" + strings.ToUpper(a.efi) + ".EFI"
		}
		ed.Copy(name, shim)
		ed.Copy(dir+"grub"+a.efi+".efi", signed)
		ed.Copy(dir+"mm"+a.efi+".efi", mok)
	}
	return nil
}

// addFstab writes /etc/fstab where there is none but an empty one, such as debootstrap and mmdebstrap leave.
func (b *Disk) addFstab(ed *tree.Editor) error {
	if e, err := b.Root.Lookup("etc/fstab"); err != nil {
		return err
	} else if e != nil && e.Type == tree.File {
		old, err := e.Text()
		if err != nil {
			return err
		}
		if !unconfigured(old) {
			return nil
		}
	}
	options := "errors=remount-ro"
	if b.o.Grow {
		options += ",x-systemd.growfs"
	}
	s := fmt.Sprintf("UUID=%s / ext4 %s 0 1\n", rootUUID(b), options)
	if b.has(UEFI) {
		s += fmt.Sprintf("UUID=%s /boot/efi vfat umask=0077,nofail 0 1\n", b.fat.UUID())
	}
	ed.Text("etc/fstab", s, 0o644)
	return nil
}

// unconfigured says whether an fstab has nothing but comments.
func unconfigured(s string) bool {
	return !slices.ContainsFunc(strings.Split(s, "\n"), func(line string) bool {
		line = strings.TrimSpace(line)
		return line != "" && line[0] != '#'
	})
}
