package machine

import (
	"fmt"
	"strings"

	"cloudy/builder/disk/grub"
	"cloudy/builder/fail"
	"cloudy/builder/tree"
	"cloudy/targets"
)

// Entry is an entry of a medium's boot menu.
type Entry struct {
	Title string
	Args  []string // for the kernel, besides what every machine of this kind gets
}

// MediumFiles are the files of a medium that the boot loader knows of.
type MediumFiles struct {
	Mark    string // a file whose name no other medium has
	Kernel  string
	Initrds []string // loaded one after the other
}

// LiveMedium is what makes a read-only medium boot.
type LiveMedium struct {
	Version string      // of the kernel
	Kernel  *tree.Entry // in the root
	Initrd  *tree.Entry
	Files   *tree.Tree // GRUB's configuration and modules, to be put on the medium
	ESP     *tree.Tree // the EFI system partition; nil without UEFI
	CD      *grub.CD   // boot code for BIOS; nil without
}

// PlanMedium prepares a medium that boots the root's kernel. The options'
// sizes are not looked at. A root without a kernel or without the boot loaders'
// packages is the user's error.
func PlanMedium(r *targets.Request, o Options, f MediumFiles, menu []Entry) (*LiveMedium, error) {
	o, a, err := o.check(r.Arch)
	if err != nil {
		return nil, err
	}
	k, err := findKernel(r.Root)
	if err != nil {
		return nil, err
	}
	m := &LiveMedium{Version: k.version}
	if m.Kernel, err = file(r.Root, "boot/vmlinuz-"+k.version, "linux-image-"+r.Arch); err != nil {
		return nil, err
	}
	if m.Initrd, err = file(r.Root, "boot/initrd.img-"+k.version, "initramfs-tools"); err != nil {
		return nil, err
	}
	if scripts, err := r.Root.Lookup("usr/share/initramfs-tools/scripts/functions"); err != nil || scripts == nil {
		return nil, fail.WithHint(fail.User, fmt.Errorf("the initial RAM disk is none of initramfs-tools"), `a live medium needs the package "initramfs-tools"`)
	}
	var s strings.Builder
	fmt.Fprintf(&s, "# Written by Cloudy.\n%s\nset default=0\nset timeout=5\nsearch --no-floppy --file --set=root /%s\n", grubTerminal, f.Mark)
	for _, e := range menu {
		args := kernelArgs(o, a, append(e.Args[:len(e.Args):len(e.Args)], r.KernelArgs...))
		for i := range args {
			args[i] = quote(args[i])
		}
		fmt.Fprintf(&s, "menuentry %s {\n  linux /%s %s\n  initrd /%s\n}\n", quote(e.Title), f.Kernel, strings.Join(args, " "), strings.Join(f.Initrds, " /"))
	}
	find := fmt.Sprintf("search.file /%s root\nset prefix=($root)/boot/grub\n", f.Mark)
	ed := (&tree.Tree{}).Edit(r.Epoch)
	ed.Text("boot/grub/grub.cfg", s.String(), 0o644)
	for _, firmware := range o.Boot {
		switch firmware {
		case BIOS:
			files, err := grubFiles(r.Root)
			if err != nil {
				return nil, err
			}
			if m.CD, err = grub.BuildCD(files, grub.Options{
				Modules: []string{"biosdisk", "iso9660", "search_fs_file"}, Config: find, Prefix: "/boot/grub",
			}); err != nil {
				return nil, err
			}
			copyModules(ed, r.Root)
		case UEFI:
			esp := (&tree.Tree{}).Edit(r.Epoch)
			if err := signedChain(esp, r.Root, a); err != nil {
				return nil, err
			}
			// Started from a CD, GRUB looks on the CD; from a stick, on the partition.
			for _, e := range []*tree.Editor{esp, ed} {
				e.Text(grubEFIConfig, find+"configfile $prefix/grub.cfg\n", 0o644)
			}
			m.ESP = esp.Tree()
		}
	}
	m.Files = ed.Tree()
	return m, nil
}

// quote makes a word of GRUB's shell of any text (GRUB's manual, "Quoting"):
// nothing is special within single quotes.
func quote(s string) string {
	if s != "" && strings.Trim(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_=.,:/+@%") == "" {
		return s
	}
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}
