package live

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// medium is what the program was started from.
type medium struct {
	device string // "/dev/sr0"
	root   Root
}

// The primary volume descriptor and its fields (ECMA-119, 8.4), in bytes.
const (
	pvdAt    = 16 * 2048
	pvdSet   = 190
	pvdApp   = 883
	pvdField = 128
	pvdSize  = 2048
)

// readMedium says whether a volume is the medium of this name.
func readMedium(name, id string) (Root, bool) {
	f, err := os.Open(name)
	if err != nil {
		return Root{}, false // an empty drive is one
	}
	defer f.Close()
	b := make([]byte, pvdSize)
	if _, err := f.ReadAt(b, pvdAt); err != nil || string(b[1:6]) != "CD001" {
		return Root{}, false
	}
	var r Root
	if strings.TrimRight(string(b[pvdSet:pvdSet+pvdField]), " ") != id {
		return r, false
	}
	n, err := fmt.Sscanf(string(b[pvdApp:pvdApp+pvdField]), rootFormat, &r.Offset, &r.Size)
	return r, err == nil && n == 2 && r.Offset > 0 && r.Size > 0
}

// findMedium looks at all block devices until one is the medium.
func findMedium(ctx context.Context, id string) (*medium, error) {
	for {
		names, err := blockDevices("/sys/class/block")
		if err != nil {
			return nil, err
		}
		for _, n := range names {
			if r, ok := readMedium("/dev/"+n, id); ok {
				return &medium{"/dev/" + n, r}, nil
			}
		}
		select {
		case <-time.After(500 * time.Millisecond):
		case <-ctx.Done():
			return nil, fmt.Errorf("the medium %s has not appeared; there are: %s", id, strings.Join(names, " "))
		}
	}
}

// blockDevices lists disks before their partitions.
func blockDevices(dir string) ([]string, error) {
	list, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	var disks, parts []string
	for _, e := range list {
		n := e.Name()
		if slices.ContainsFunc([]string{"loop", "ram", "zram", "dm-", "md"}, func(p string) bool { return strings.HasPrefix(n, p) }) {
			continue
		}
		if _, err := os.Stat(filepath.Join(dir, n, "partition")); err == nil {
			parts = append(parts, n)
		} else {
			disks = append(disks, n)
		}
	}
	return append(disks, parts...), nil
}

// mount mounts the system that lies on the medium, read-only.
func (m *medium) mount(dir string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	loop, err := attach(m.device, m.root)
	if err != nil {
		return err
	}
	defer loop.Close() // the mount keeps it from going away
	return unix.Mount(loop.Name(), dir, "squashfs", unix.MS_RDONLY, "")
}

// attach makes a part of a device a block device of its own.
func attach(device string, r Root) (*os.File, error) {
	src, err := os.Open(device)
	if err != nil {
		return nil, err
	}
	defer src.Close()
	control, err := os.OpenFile("/dev/loop-control", os.O_RDWR, 0)
	if err != nil {
		return nil, err
	}
	defer control.Close()
	for {
		n, err := unix.IoctlRetInt(int(control.Fd()), unix.LOOP_CTL_GET_FREE)
		if err != nil {
			return nil, fmt.Errorf("find a free loop device: %w", err)
		}
		name := fmt.Sprintf("/dev/loop%d", n)
		loop, err := openWhenThere(name)
		if err != nil {
			return nil, err
		}
		err = unix.IoctlLoopConfigure(int(loop.Fd()), &unix.LoopConfig{
			Fd:   uint32(src.Fd()),
			Info: unix.LoopInfo64{Offset: uint64(r.Offset), Sizelimit: uint64(r.Size), Flags: unix.LO_FLAGS_READ_ONLY | unix.LO_FLAGS_AUTOCLEAR},
		})
		if errors.Is(err, unix.EBUSY) { // somebody else was faster
			loop.Close()
			continue
		}
		if err != nil {
			loop.Close()
			return nil, fmt.Errorf("set up %s: %w", name, err)
		}
		return loop, nil
	}
}

// openWhenThere opens a device that the kernel has just made.
func openWhenThere(name string) (*os.File, error) {
	for range 100 {
		f, err := os.OpenFile(name, os.O_RDWR, 0)
		if !errors.Is(err, fs.ErrNotExist) {
			return f, err
		}
		time.Sleep(50 * time.Millisecond)
	}
	return nil, fmt.Errorf("%s does not appear", name)
}

// loadModules loads the kernel modules in a folder in the order of their
// names. One that the kernel has already, or has no use for, is no error: what
// is missing shows where it is needed.
func loadModules(dir string) error {
	list, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	for _, e := range list {
		f, err := os.Open(filepath.Join(dir, e.Name()))
		if err != nil {
			return err
		}
		err = unix.FinitModule(int(f.Fd()), "", 0)
		f.Close()
		if err != nil && !errors.Is(err, unix.EEXIST) {
			fmt.Printf("cloudy: module %s: %v\n", e.Name(), err)
		}
	}
	return nil
}
