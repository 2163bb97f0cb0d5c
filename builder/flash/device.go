// Package flash writes disk images to cards, sticks and disks: it knows which
// device may be written, writes what the image needs and no more, reads it
// back, and fits the partition table to the device.
package flash

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"cloudy/builder/fail"
)

// Device is a whole disk as the kernel shows it (Documentation/ABI of
// /sys/block).
type Device struct {
	Path       string `json:"path"` // /dev/sdb
	Name       string `json:"name"` // sdb
	Model      string `json:"model,omitempty"`
	Transport  string `json:"transport,omitempty"` // usb, mmc, ata, nvme, virtio, loop; empty when unknown
	Size       int64  `json:"size"`                // bytes
	Sector     int64  `json:"sector"`              // bytes of a logical sector
	Removable  bool   `json:"removable"`           // the kernel says so, or it hangs on USB or is a card
	ReadOnly   bool   `json:"read_only,omitempty"`
	Partitions int    `json:"partitions"`
	// InUse says what the device is needed for now: mounts, swap, RAID and
	// the like; empty when it is free.
	InUse []string `json:"in_use,omitempty"`
}

// Host is where to look; the zero value is this machine.
type Host struct {
	Sys  string // "" is /sys
	Proc string // "" is /proc
	Dev  string // "" is /dev
}

func (h Host) sys(p ...string) string {
	return filepath.Join(append([]string{or(h.Sys, "/sys")}, p...)...)
}
func (h Host) proc(p ...string) string {
	return filepath.Join(append([]string{or(h.Proc, "/proc")}, p...)...)
}

func or(s, other string) string {
	if s == "" {
		return other
	}
	return s
}

// Devices lists the disks, by name. Empty drives, RAM disks and what is made
// of other disks (RAID, LVM) are left out.
func (h Host) Devices() ([]Device, error) {
	entries, err := os.ReadDir(h.sys("block"))
	if err != nil {
		return nil, fail.Mark(fail.Host, fmt.Errorf("list disks: %w", err))
	}
	uses, err := h.uses()
	if err != nil {
		return nil, err
	}
	var out []Device
	for _, e := range entries {
		name := e.Name()
		if d := h.device(name, uses); d.Size > 0 && !strings.HasPrefix(name, "ram") && !strings.HasPrefix(name, "zram") &&
			!strings.HasPrefix(name, "dm-") && !strings.HasPrefix(name, "md") {
			out = append(out, d)
		}
	}
	return out, nil
}

// Find returns the device of a path such as /dev/sdb or a link to it
// (/dev/disk/by-id). What is no whole disk is the user's error.
func (h Host) Find(path string) (Device, error) {
	real, err := filepath.EvalSymlinks(path)
	if err != nil {
		if errors.Is(err, os.ErrNotExist) && !strings.Contains(path, "/") {
			return Device{}, fail.WithHint(fail.User, fmt.Errorf("device %s: no such file", path), fmt.Sprintf("did you mean %q?", "/dev/"+path))
		}
		return Device{}, fail.WithHint(fail.User, fmt.Errorf("device %s: %w", path, err), `"cloudy flash" lists the devices that can be written`)
	}
	info, err := os.Stat(real)
	if err != nil {
		return Device{}, fail.Mark(fail.User, err)
	}
	if info.Mode()&os.ModeDevice == 0 || info.Mode()&os.ModeCharDevice != 0 {
		return Device{}, fail.WithHint(fail.User, fmt.Errorf("%s is not a disk", path), `"cloudy flash" lists the devices that can be written`)
	}
	name := filepath.Base(real)
	if parent := h.parent(name); parent != "" {
		return Device{}, fail.WithHint(fail.User, fmt.Errorf("%s is a partition", path), fmt.Sprintf("an image is written to the whole disk, which is /dev/%s", parent))
	}
	if _, err := os.Stat(h.sys("block", name)); err != nil {
		return Device{}, fail.Mark(fail.User, fmt.Errorf("%s is not a disk that the kernel lists", path))
	}
	uses, err := h.uses()
	if err != nil {
		return Device{}, err
	}
	d := h.device(name, uses)
	d.Path = real
	return d, nil
}

// parent is the disk of a partition, or empty.
func (h Host) parent(name string) string {
	found, _ := filepath.Glob(h.sys("block", "*", name, "partition"))
	if len(found) == 0 {
		return ""
	}
	return filepath.Base(filepath.Dir(filepath.Dir(found[0])))
}

// device reads what /sys says of a disk. What is not there stays empty.
func (h Host) device(name string, uses map[string][]string) Device {
	attr := func(p ...string) string {
		b, _ := os.ReadFile(h.sys(append([]string{"block", name}, p...)...))
		return strings.TrimSpace(string(b))
	}
	sectors, _ := strconv.ParseInt(attr("size"), 10, 64)
	d := Device{
		Path: filepath.Join(or(h.Dev, "/dev"), name), Name: name,
		Size:   sectors * 512, // whatever the logical sector is
		Sector: 512, ReadOnly: attr("ro") == "1", Removable: attr("removable") == "1",
	}
	if n, err := strconv.ParseInt(attr("queue", "logical_block_size"), 10, 64); err == nil && n > 0 {
		d.Sector = n
	}
	vendor := attr("device", "vendor")
	if strings.HasPrefix(vendor, "0x") { // a number of PCI or virtio
		vendor = ""
	}
	d.Model = strings.Join(strings.Fields(vendor+" "+attr("device", "model")), " ")
	if d.Model == "" {
		d.Model = attr("device", "name") // of a card
	}
	d.Transport = h.transport(name)
	switch d.Transport {
	case "usb", "mmc":
		// A USB disk calls itself fixed, a card in a built-in reader too. But
		// eMMC is soldered on.
		d.Removable = d.Removable || d.Transport == "usb" || attr("device", "type") == "SD"
	case "loop":
		d.Removable = false
	}
	names := []string{name}
	parts, _ := filepath.Glob(h.sys("block", name, "*", "partition"))
	d.Partitions = len(parts)
	for _, p := range parts {
		names = append(names, filepath.Base(filepath.Dir(p)))
	}
	slices.Sort(names)
	for _, n := range names {
		d.InUse = append(d.InUse, h.inUse(name, n, uses)...)
	}
	return d
}

// transport tells by the device's place in the tree of buses what it hangs on.
func (h Host) transport(name string) string {
	link, err := filepath.EvalSymlinks(h.sys("block", name))
	if err != nil {
		return ""
	}
	for _, t := range []struct{ part, name string }{
		{"/usb", "usb"}, {"/mmc_host/", "mmc"}, {"/nvme", "nvme"}, {"/virtio", "virtio"}, {"/ata", "ata"}, {"/virtual/block/loop", "loop"},
	} {
		if strings.Contains(link, t.part) {
			return t.name
		}
	}
	return ""
}
