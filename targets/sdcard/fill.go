package sdcard

import (
	"fmt"
	"path"
	"regexp"
	"slices"
	"strings"

	"cloudy/builder/fail"
	"cloudy/builder/tree"
)

// seedName is the file that a node looks for on its boot partition
// (firstboot/seed); every PC can write it.
const seedName = "cloudy.txt"

const seedText = "Paste the invitation of a member of your mesh into this file, on a line of its own,\r\n" +
	"and put the card into its board. The node takes it at its first boot.\r\n"

// fill makes both filesystems' trees.
func (c *card) fill() error {
	words := c.words()
	boot := (&tree.Tree{}).Edit(c.Epoch)
	boot.Dir(".")
	for _, cp := range c.b.Copies {
		if err := c.copy(boot, cp, words); err != nil {
			return err
		}
	}
	for _, f := range c.b.FATFiles {
		boot.Text(path.Clean(f.Path), words.Replace(f.Content), 0o644)
	}
	boot.Text(seedName, seedText, 0o644)
	c.boot = boot.Tree()

	// What hooks of packages put where the FAT partition will be mounted
	// would be hidden there and take space.
	mount := strings.Trim(c.b.FATMount, "/")
	root := c.Root.Without(func(e *tree.Entry) bool { return strings.HasPrefix(e.Path, mount+"/") }).Edit(c.Epoch)
	root.Dir(mount)
	for _, f := range c.b.Files {
		root.Text(strings.Trim(path.Clean(f.Path), "/"), words.Replace(f.Content), 0o644)
	}
	if c.b.Extlinux {
		root.Text("boot/extlinux/extlinux.conf", words.Replace(c.extlinux()), 0o644)
	}
	// Mounting a FAT asks for these one by one, and fails when a busy machine
	// is slow to load one; the seed would not be found.
	root.Text("usr/lib/modules-load.d/cloudy-card.conf", "vfat\nnls_cp437\nnls_ascii\n", 0o644)
	if err := c.fstab(root); err != nil {
		return err
	}
	if c.o.Grow && c.b.Scheme == MBR {
		if err := c.grow(root); err != nil {
			return err
		}
	}
	c.root = root.Tree()
	return nil
}

// copy copies files of the root, and folders with all that is in them, onto
// the FAT partition.
func (c *card) copy(boot *tree.Editor, cp Copy, words *strings.Replacer) error {
	for _, glob := range cp.From {
		glob = words.Replace(glob)
		pattern := globPattern(glob)
		found := false
		for i := range c.Root.Entries {
			e := &c.Root.Entries[i]
			if !pattern.MatchString("/" + e.Path) {
				continue
			}
			found = true
			if err := c.copyEntry(boot, e.Path, path.Join(cp.To, path.Base(e.Path))); err != nil {
				return err
			}
		}
		if !found && !cp.Optional {
			return fail.WithHint(fail.User, fmt.Errorf("the root has no %s, which board %s copies onto its FAT partition (%q)", glob, c.b.Name, cp.Name), c.similar(glob))
		}
	}
	return nil
}

func (c *card) copyEntry(boot *tree.Editor, from, to string) error {
	e, err := c.Root.Lookup(from)
	if err != nil {
		return err
	}
	switch {
	case e == nil: // a link to nowhere
	case e.Type == tree.File:
		boot.Copy(to, e)
	case e.Type == tree.Dir:
		boot.Dir(to)
		for i := range c.Root.Entries {
			if p := c.Root.Entries[i].Path; path.Dir(p) == e.Path && p != "." {
				if err := c.copyEntry(boot, p, path.Join(to, path.Base(p))); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// globPattern is a path with "*" for any characters but "/".
func globPattern(glob string) *regexp.Regexp {
	return regexp.MustCompile("^" + strings.ReplaceAll(regexp.QuoteMeta(path.Clean(glob)), `\*`, `[^/]*`) + "$")
}

// extlinux is U-Boot's configuration (its doc/usage/cmd/sysboot.rst, the Boot
// Loader Specification's older brother).
func (c *card) extlinux() string {
	fdt := "fdtdir /usr/lib/linux-image-@boot.version@/"
	if c.b.DeviceTree != "" {
		fdt = "fdt /usr/lib/linux-image-@boot.version@/" + c.b.DeviceTree
	}
	return "# Written when the card was made; u-boot-menu writes it anew after a kernel's upgrade.\n" +
		"default debian\ntimeout 10\n\nlabel debian\n\tmenu label Debian GNU/Linux\n" +
		"\tlinux /boot/@boot.kernel@\n\tinitrd /boot/@boot.initrd@\n\t" + fdt + "\n\tappend @boot.arguments@\n"
}

// fstab writes /etc/fstab where there is none but an empty one.
func (c *card) fstab(root *tree.Editor) error {
	old, err := c.Root.Lookup("etc/fstab")
	if err != nil {
		return err
	}
	if old != nil && old.Type == tree.File {
		text, err := old.Text()
		if err != nil {
			return err
		}
		if slices.ContainsFunc(strings.Split(text, "\n"), func(line string) bool {
			line = strings.TrimSpace(line)
			return line != "" && line[0] != '#'
		}) {
			return nil
		}
	}
	options := "errors=remount-ro,noatime"
	if c.o.Grow {
		options += ",x-systemd.growfs"
	}
	root.Text("etc/fstab", fmt.Sprintf("UUID=%s / ext4 %s 0 1\nUUID=%s %s vfat umask=0077,nofail 0 2\n",
		c.ID("sdcard root filesystem"), options, c.fat.UUID(), c.b.FATMount), 0o644)
	return nil
}
