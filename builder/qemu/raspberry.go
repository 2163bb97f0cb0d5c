package qemu

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/bits"
	"os"
	"path/filepath"
	"strings"

	"cloudy/builder/disk/fat"
	"cloudy/builder/disk/mbr"
	"cloudy/builder/fail"
)

// The Raspberry Pi 3 Model B as QEMU has it. Its firmware runs on a processor
// that is not emulated, so what that does is done here: reading config.txt and
// what it names from the card's first partition, and telling the kernel its
// command line and a seed of random numbers.
const (
	raspberryBoard = "raspi3b"
	raspberryTree  = "bcm2837-rpi-3-b.dtb"
	// raspberryMAC is one of the Raspberry Pi Foundation: Linux calls the card
	// of such an address eth0, as it does on the board, and not usb0.
	raspberryMAC = "b8:27:eb:00:00:01"
)

// CardSize is the size in bytes of the smallest SD card that holds a disk:
// QEMU takes powers of two alone.
func CardSize(disk int64) int64 { return 1 << bits.Len64(uint64(disk-1)) }

// raspberryArguments is QEMU's command line for the board. Nothing of it can be
// plugged in but by USB.
func (c *Config) raspberryArguments(dir string) ([]string, error) {
	kernel, err := c.raspberryKernel(dir)
	if err != nil {
		return nil, err
	}
	net, err := c.network()
	if err != nil {
		return nil, err
	}
	mac := raspberryMAC
	if c.MAC != "" {
		mac = c.MAC
	}
	console := []string{"-monitor", "none", "-serial", "null", "-serial", "stdio"} // its second line is the header's
	if c.Terminal {
		console = []string{"-serial", "null", "-serial", "mon:stdio"}
	}
	args := append([]string{
		"-machine", raspberryBoard, "-accel", "tcg,thread=multi", "-display", "none",
		"-drive", fmt.Sprintf("if=sd,format=raw,snapshot=%s,file=%s", onOff(c.Snapshot), comma(c.Disk)),
		"-netdev", net, "-device", "usb-net,netdev=net,mac=" + mac,
	}, console...)
	if !c.Reboot {
		args = append(args, "-no-reboot")
	}
	return append(append(args, kernel...), c.Extra...), nil
}

// raspberryKernel has the machine start what the firmware would. dir is where
// files of the machine go.
func (c *Config) raspberryKernel(dir string) ([]string, error) {
	f, err := os.Open(c.Disk)
	if err != nil {
		return nil, fail.Mark(fail.User, err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, fail.Mark(fail.Host, err)
	}
	if size := CardSize(info.Size()); size != info.Size() {
		return nil, fail.Mark(fail.User, fmt.Errorf("%s has %d bytes, and cards in QEMU have a power of two, here %d", c.Disk, info.Size(), size))
	}
	files, err := raspberryFiles(f, info.Size())
	if err != nil {
		return nil, fail.Mark(fail.User, fmt.Errorf("%s is no card for a Raspberry Pi 3: %w", c.Disk, err))
	}
	seed := make([]byte, 64)
	rand.Read(seed)
	if files.tree, err = chosenProperty(files.tree, "rng-seed", seed); err != nil {
		return nil, fail.Mark(fail.User, fmt.Errorf("%s: %w", raspberryTree, err))
	}
	for name, data := range map[string][]byte{"kernel": files.kernel, "initramfs": files.initramfs, "tree": files.tree} {
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o600); err != nil {
			return nil, fail.Mark(fail.Host, err)
		}
	}
	at := func(name string) string { return filepath.Join(dir, name) }
	return []string{"-kernel", at("kernel"), "-initrd", at("initramfs"), "-dtb", at("tree"), "-append", files.arguments}, nil
}

// raspberryCard is what the firmware reads.
type raspberryCard struct {
	kernel, initramfs, tree []byte
	arguments               string
}

// raspberryFiles reads the first partition as the firmware does: config.txt
// names kernel and initramfs, cmdline.txt is for the kernel.
func raspberryFiles(r io.ReaderAt, size int64) (*raspberryCard, error) {
	table, err := mbr.Read(r, size)
	if err != nil {
		return nil, err
	}
	if len(table.Partitions) == 0 {
		return nil, errors.New("it has no partition")
	}
	p := table.Partitions[0]
	fsys, err := fat.Open(io.NewSectionReader(r, p.Start, p.Size))
	if err != nil {
		return nil, err
	}
	list, err := fsys.Entries()
	if err != nil {
		return nil, err
	}
	read := func(name string) ([]byte, error) {
		for _, e := range list {
			if e.Path == name && !e.Dir {
				in, err := fsys.Open(e)
				if err != nil {
					return nil, err
				}
				return io.ReadAll(in)
			}
		}
		return nil, fmt.Errorf("its first partition has no %q: %w", name, fs.ErrNotExist)
	}
	config, err := read("config.txt")
	if err != nil {
		return nil, err
	}
	var kernel, initramfs string
	for line := range strings.Lines(string(config)) {
		line = strings.TrimSpace(line)
		if v, ok := strings.CutPrefix(line, "kernel="); ok {
			kernel = v
		}
		if v, ok := strings.CutPrefix(line, "initramfs "); ok {
			initramfs = strings.TrimSpace(v)
		}
	}
	var c raspberryCard
	var arguments []byte
	for name, to := range map[string]*[]byte{kernel: &c.kernel, initramfs: &c.initramfs, raspberryTree: &c.tree, "cmdline.txt": &arguments} {
		if *to, err = read(name); err != nil {
			return nil, err
		}
	}
	c.arguments = strings.TrimSpace(string(arguments))
	return &c, nil
}
