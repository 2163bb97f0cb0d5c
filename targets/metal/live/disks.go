package live

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// disks finds the machine's.
type disks struct {
	sys, dev, mounts string // "/sys", "/dev", "/proc/self/mounts"
	medium           string // the device that the program was started from
	need             int64  // bytes that the system takes
}

// disk is one that the system could be installed to, or why it cannot.
type disk struct {
	name, path string // "sda", "/dev/sda"
	model      string
	size       int64
	used       bool // there is something on it
	refused    string
}

func (d disk) describe() string {
	size := fmt.Sprintf("%.1f GB", float64(d.size)/1e9)
	if d.model == "" {
		return size
	}
	return d.model + ", " + size
}

// choose is the disk of a name, or the only one there is for "auto".
func (d *disks) choose(name string) (disk, error) {
	list, err := d.list()
	if err != nil {
		return disk{}, err
	}
	if name == "auto" {
		free := slices.DeleteFunc(slices.Clone(list), func(x disk) bool { return x.refused != "" })
		if len(free) == 1 {
			return free[0], nil
		}
		return disk{}, fmt.Errorf("%s=auto wants exactly one disk that can be installed to, and there are %d:\n%s", paramInstall, len(free), text(list))
	}
	// Names under /dev/disk are links.
	path, err := filepath.EvalSymlinks(name)
	if err != nil {
		return disk{}, fmt.Errorf("%w; there are:\n%s", err, text(list))
	}
	for _, x := range list {
		if x.path != path {
			continue
		}
		if x.refused != "" {
			return disk{}, fmt.Errorf("%s: %s", name, x.refused)
		}
		return x, nil
	}
	return disk{}, fmt.Errorf("%s is no disk; there are:\n%s", name, text(list))
}

func text(list []disk) string {
	var b strings.Builder
	for _, x := range list {
		fmt.Fprintf(&b, "  %s  %s  %s\n", x.path, x.describe(), x.refused)
	}
	return b.String()
}

// list lists all disks but those that never hold a system.
func (d *disks) list() ([]disk, error) {
	names, err := os.ReadDir(filepath.Join(d.sys, "block"))
	if err != nil {
		return nil, err
	}
	var out []disk
	for _, e := range names {
		n := e.Name()
		if slices.ContainsFunc([]string{"loop", "ram", "zram", "dm-", "md", "sr", "fd", "nbd"}, func(p string) bool { return strings.HasPrefix(n, p) }) {
			continue
		}
		x := disk{name: n, path: filepath.Join(d.dev, n)}
		sectors, _ := strconv.ParseInt(d.attribute(n, "size"), 10, 64)
		x.size = sectors * 512 // whatever the disk's own sectors are
		x.model = d.attribute(n, "device/model")
		// Virtual disks have the number of the PCI vendor for a name.
		if v := d.attribute(n, "device/vendor"); !strings.HasPrefix(v, "0x") {
			x.model = strings.TrimSpace(v + " " + x.model)
		}
		if x.model == "" {
			x.model = d.attribute(n, "device/name") // of MMC cards
		}
		x.refused = d.refuse(x)
		x.used = inUse(x.path)
		out = append(out, x)
	}
	return out, nil
}

func (d *disks) attribute(disk, name string) string {
	data, err := os.ReadFile(filepath.Join(d.sys, "block", disk, name))
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(data))
}

// refuse says why a disk must not be written to; empty when it may.
func (d *disks) refuse(x disk) string {
	parts := d.parts(x.name)
	for _, p := range parts {
		if filepath.Join(d.dev, p) == d.medium {
			return "this is what the machine was started from"
		}
	}
	switch {
	case x.size == 0:
		return "there is no medium in it"
	case d.attribute(x.name, "ro") == "1":
		return "it is read-only"
	case x.size < d.need:
		return fmt.Sprintf("it is too small: the system takes %.1f GB", float64(d.need)/1e9)
	case d.attribute(x.name, "queue/logical_block_size") != "" && d.attribute(x.name, "queue/logical_block_size") != "512":
		return "its sectors are not of 512 bytes"
	}
	mounted, err := os.ReadFile(d.mounts)
	if err != nil {
		return err.Error()
	}
	for _, p := range parts {
		for line := range strings.Lines(string(mounted)) {
			if f := strings.Fields(line); len(f) > 1 && f[0] == filepath.Join(d.dev, p) {
				return "it is mounted at " + f[1]
			}
		}
		holders, _ := os.ReadDir(filepath.Join(d.sys, "class/block", p, "holders"))
		if len(holders) > 0 {
			return "it is in use by " + holders[0].Name()
		}
	}
	return ""
}

// parts are a disk and its partitions.
func (d *disks) parts(name string) []string {
	out := []string{name}
	list, _ := os.ReadDir(filepath.Join(d.sys, "block", name))
	for _, e := range list {
		if _, err := os.Stat(filepath.Join(d.sys, "block", name, e.Name(), "partition")); err == nil {
			out = append(out, e.Name())
		}
	}
	return out
}

// inUse says whether the beginning of a disk has anything in it: partition
// tables and filesystems all have.
func inUse(path string) bool {
	f, err := os.Open(path)
	if err != nil {
		return true
	}
	defer f.Close()
	b := make([]byte, 1<<20)
	n, err := f.ReadAt(b, 0)
	if err != nil && !errors.Is(err, io.EOF) {
		return true
	}
	return slices.ContainsFunc(b[:n], func(c byte) bool { return c != 0 })
}

// open opens a disk for nobody else: the kernel refuses one that is mounted or
// part of something.
func (d disk) open() (*os.File, error) {
	f, err := os.OpenFile(d.path, os.O_RDWR|unix.O_EXCL, 0)
	if errors.Is(err, unix.EBUSY) {
		return nil, fmt.Errorf("%s is in use", d.path)
	}
	return f, err
}
