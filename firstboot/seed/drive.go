package seed

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// driveLabel is the label of a NoCloud drive, in capitals or not.
const driveLabel = "CIDATA"

// maxDriveFile bounds a file on the drive in bytes.
const maxDriveFile = 1 << 20

// drives returns the block devices that carry a NoCloud drive, with the type
// of their filesystem. It reads the labels itself: at this hour of the boot
// udev may not have made its links yet.
func drives() map[string]string {
	out := map[string]string{}
	list, _ := filepath.Glob("/sys/class/block/*")
	for _, dir := range list {
		name := filepath.Base(dir)
		if strings.HasPrefix(name, "ram") || strings.HasPrefix(name, "zram") {
			continue
		}
		dev := "/dev/" + name
		if kind := driveType(dev); kind != "" {
			out[dev] = kind
		}
	}
	return out
}

// driveType returns "iso9660" or "vfat" for a filesystem with the drive's
// label, and "" for anything else.
func driveType(path string) string {
	f, err := os.Open(path)
	if err != nil {
		return ""
	}
	defer f.Close()
	label := func(off int64, size int) string {
		b := make([]byte, size)
		if _, err := f.ReadAt(b, off); err != nil {
			return ""
		}
		return strings.ToUpper(strings.TrimRight(string(b), " \x00"))
	}
	// ECMA-119, section 8.4: the primary volume descriptor is sector 16,
	// its volume identifier 32 bytes at 40.
	if label(16*2048+1, 5) == "CD001" && label(16*2048+40, 32) == driveLabel {
		return "iso9660"
	}
	// Microsoft's FAT specification: signature at 510, label of FAT32 at 71,
	// of FAT12 and FAT16 at 43; the type's name is behind it.
	sign := make([]byte, 2)
	if _, err := f.ReadAt(sign, 510); err != nil || sign[0] != 0x55 || sign[1] != 0xaa {
		return ""
	}
	if strings.HasPrefix(label(82, 8), "FAT32") && label(71, 11) == driveLabel || strings.HasPrefix(label(54, 8), "FAT") && label(43, 11) == driveLabel {
		return "vfat"
	}
	return ""
}

// readDrive mounts the device, which nobody else sees for it is done in a
// folder of root's, reads the two files and unmounts it.
func readDrive(device, kind, tmp string) (user, meta []byte, err error) {
	if err := os.MkdirAll(tmp, 0o700); err != nil {
		return nil, nil, err
	}
	dir, err := os.MkdirTemp(tmp, "drive-")
	if err != nil {
		return nil, nil, err
	}
	defer os.Remove(dir)
	if err := unix.Mount(device, dir, kind, unix.MS_RDONLY|unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC, ""); err != nil {
		return nil, nil, fmt.Errorf("mount %s: %w", device, err)
	}
	defer func() {
		if e := unix.Unmount(dir, unix.MNT_DETACH); e != nil {
			err = errors.Join(err, fmt.Errorf("unmount %s: %w", device, e))
		}
	}()
	if user, err = readFolder(dir, "user-data"); err != nil {
		return nil, nil, err
	}
	if meta, err = readFolder(dir, "meta-data"); err != nil {
		return nil, nil, err
	}
	return user, meta, nil
}

// readFolder reads a file of the drive; a missing one is empty. FAT's names
// may come in capitals.
func readFolder(dir, name string) ([]byte, error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, err
	}
	defer root.Close()
	for _, n := range []string{name, strings.ToUpper(name)} {
		f, err := root.Open(n)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, err
		}
		defer f.Close()
		data, err := io.ReadAll(io.LimitReader(f, maxDriveFile))
		return bytes.TrimRight(data, "\x00"), err
	}
	return nil, nil
}

func (s Sources) drives() (devices []string, kinds map[string]string) {
	if kinds = s.Drives; kinds == nil && filepath.Clean(s.Root) == "/" {
		kinds = drives()
	}
	for d := range kinds {
		devices = append(devices, d)
	}
	slices.Sort(devices)
	return devices, kinds
}
