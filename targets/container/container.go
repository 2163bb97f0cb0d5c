// Package container is what the targets for system containers have in common:
// a root without what belongs to a machine, and archives of it.
package container

import (
	"fmt"
	"io"
	"path"
	"slices"
	"strings"
	"time"

	"cloudy/builder/tree"
)

// machineID makes systemd treat the next boot as the first one (machine-id(5)).
const machineID = "uninitialized\n"

// Root is a copy of a root filesystem that is being made fit for a container.
type Root struct {
	from    *tree.Tree
	epoch   time.Time
	removed []string
	added   []tree.Entry
}

// New returns a copy of t without kernel, boot loader, modules, device nodes
// and anything below the kernel's own filesystems, without disks in
// /etc/fstab, and with the machine id of a first boot. t stays as it is.
func New(t *tree.Tree, epoch time.Time) *Root {
	r := &Root{from: t, epoch: epoch}
	for i := range t.Entries {
		if p := t.Entries[i].Path; machinePart(p) {
			r.Remove(p)
		}
	}
	r.Remove("var/lib/dbus/machine-id")
	if t.Find("etc") != nil {
		r.put(tree.Entry{Path: "etc/machine-id", Type: tree.File, Mode: 0o444, Data: []byte(machineID)})
	}
	if text, ok := r.Read("etc/fstab"); ok {
		r.Text("etc/fstab", withoutDisks(text))
	}
	return r
}

// machinePart tells whether a path is of use to a machine alone. Folders that
// stand for a mount point or belong to a package stay, empty.
func machinePart(p string) bool {
	dir, name, found := strings.Cut(p, "/")
	if !found {
		return strings.HasPrefix(p, "vmlinuz") || strings.HasPrefix(p, "initrd.img")
	}
	switch dir {
	case "dev", "proc", "sys", "run", "boot":
		return true
	case "usr", "lib":
		if dir == "usr" {
			name, found = strings.CutPrefix(name, "lib/")
		}
		return found && strings.HasPrefix(name, "modules/")
	}
	return false
}

// withoutDisks leaves out the lines of an fstab(5) that name a disk.
func withoutDisks(fstab string) string {
	var b strings.Builder
	for line := range strings.Lines(fstab) {
		fields := strings.Fields(line)
		if len(fields) > 1 {
			disk := strings.HasPrefix(fields[0], "/dev/") || fields[1] == "/" || fields[1] == "/boot" || fields[1] == "none" || fields[1] == "swap"
			tag, _, tagged := strings.Cut(fields[0], "=")
			if !strings.HasPrefix(fields[0], "#") && (disk || tagged && tag == strings.ToUpper(tag)) {
				continue
			}
		}
		b.WriteString(line)
	}
	return b.String()
}

// Remove leaves out a path with all below it.
func (r *Root) Remove(p string) {
	r.removed = append(r.removed, p)
	r.added = slices.DeleteFunc(r.added, func(e tree.Entry) bool { return e.Path == p || strings.HasPrefix(e.Path, p+"/") })
}

// Text puts in a file of root's with mode 0644, with the folders above it.
func (r *Root) Text(name, content string) {
	r.put(tree.Entry{Path: name, Type: tree.File, Mode: 0o644, Data: []byte(content)})
}

// Script is Text for a file that can be executed.
func (r *Root) Script(name, content string) {
	r.put(tree.Entry{Path: name, Type: tree.File, Mode: 0o755, Data: []byte(content)})
}

// Link puts in a symbolic link.
func (r *Root) Link(name, target string) {
	r.put(tree.Entry{Path: name, Type: tree.Symlink, Mode: 0o777, Link: target})
}

func (r *Root) put(e tree.Entry) {
	for dir := path.Dir(e.Path); dir != "."; dir = path.Dir(dir) {
		if r.from.Find(dir) == nil {
			r.added = append(r.added, tree.Entry{Path: dir, Type: tree.Dir, Mode: 0o755, MTime: r.epoch})
		}
	}
	e.MTime, e.Size = r.epoch, int64(len(e.Data))
	r.added = append(r.added, e)
}

// Has tells whether the root that came in has a path, with the folders bin,
// sbin and lib also below /usr.
func (r *Root) Has(p string) bool {
	return r.from.Find(p) != nil || r.from.Find("usr/"+p) != nil
}

// Read returns the content of a file of the root that came in.
func (r *Root) Read(p string) (string, bool) { return Read(r.from, p) }

// Read returns the content of a regular file; it follows no symbolic links.
func Read(t *tree.Tree, p string) (string, bool) {
	e := t.Find(p)
	if e != nil && e.Type == tree.Hardlink {
		e = t.Find(e.Link)
	}
	if e == nil || e.Type != tree.File {
		return "", false
	}
	f, err := e.Open()
	if err != nil {
		return "", false
	}
	defer f.Close()
	b, err := io.ReadAll(f)
	return string(b), err == nil
}

// Tree returns the result.
func (r *Root) Tree() *tree.Tree {
	out := r.from.Apply(r.removed, r.added)
	// A hard link whose file went away takes its place; later ones name it.
	instead := map[string]string{}
	for i := range out.Entries {
		e := &out.Entries[i]
		if e.Type != tree.Hardlink || out.Find(e.Link) != nil {
			continue
		}
		if p, ok := instead[e.Link]; ok {
			e.Link = p
			continue
		}
		file := *r.from.Find(e.Link)
		instead[e.Link], file.Path = e.Path, e.Path
		*e = file
	}
	return out
}

// Hosts is hosts(5) for a machine of a name, when what the root has in its
// place names nothing but the machine itself. Otherwise ok is false.
func (r *Root) Hosts(name string) (text string, ok bool) {
	has, _ := r.Read("etc/hosts")
	for line := range strings.Lines(has) {
		line, _, _ = strings.Cut(line, "#")
		fields := strings.Fields(line)
		if len(fields) > 0 && !strings.HasPrefix(fields[0], "127.") && !strings.HasPrefix(fields[0], "::1") &&
			!strings.HasPrefix(fields[0], "ff") && !strings.HasPrefix(fields[0], "fe") {
			return "", false
		}
	}
	return "127.0.0.1\tlocalhost\n127.0.1.1\t" + name + "\n::1\tlocalhost ip6-localhost ip6-loopback\nff02::1\tip6-allnodes\nff02::2\tip6-allrouters\n", true
}

// Below returns the tree as it is named inside a folder: "etc" as
// "rootfs/etc".
func Below(dir string, t *tree.Tree) *tree.Tree {
	out := &tree.Tree{Entries: make([]tree.Entry, len(t.Entries))}
	for i, e := range t.Entries {
		if e.Type == tree.Hardlink {
			e.Link = path.Join(dir, e.Link)
		}
		e.Path = path.Join(dir, e.Path)
		out.Entries[i] = e
	}
	out.Sort()
	return out
}

// Files is a tree of text files of root's, with the folders they are in and
// no root directory.
func Files(epoch time.Time, files map[string]string) *tree.Tree {
	r := &Root{from: &tree.Tree{}, epoch: epoch}
	for name, content := range files {
		r.Text(name, content)
	}
	return r.Tree()
}

// Machine is the name that uname(2) gives to machines of a Debian
// architecture, which is what LXC and Incus call it.
func Machine(arch string) (string, error) {
	names := map[string]string{
		"amd64": "x86_64", "arm64": "aarch64", "i386": "i686", "armhf": "armv7l", "armel": "armv6l",
		"riscv64": "riscv64", "ppc64el": "ppc64le", "s390x": "s390x",
	}
	if n := names[arch]; n != "" {
		return n, nil
	}
	return "", fmt.Errorf("no containers for architecture %q", arch)
}

// Release is what a root says about its distribution.
type Release struct {
	ID       string // "debian"
	Version  string // "13"; empty before the release
	Codename string // "trixie"
	Name     string // "Debian GNU/Linux 13 (trixie)"
}

// ReleaseOf reads os-release(5).
func ReleaseOf(t *tree.Tree) Release {
	text, ok := Read(t, "usr/lib/os-release")
	if !ok {
		text, _ = Read(t, "etc/os-release")
	}
	v := map[string]string{}
	for line := range strings.Lines(text) {
		if key, value, ok := strings.Cut(strings.TrimSpace(line), "="); ok {
			v[key] = strings.Trim(value, `"'`)
		}
	}
	r := Release{v["ID"], v["VERSION_ID"], v["VERSION_CODENAME"], v["PRETTY_NAME"]}
	if r.ID == "" {
		r.ID, r.Name = "debian", "Debian"
	}
	return r
}
