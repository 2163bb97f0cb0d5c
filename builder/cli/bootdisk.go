package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"cloudy/builder/fail"
	"cloudy/builder/progress"
	"cloudy/builder/qemu"
	"cloudy/builder/report"
)

// diskFormats are what a machine boots, the simplest first. Those with a
// compression behind the dot are unpacked for it.
func diskFormats() []string {
	return []string{"raw", "qcow2", "vmdk", "vhdx", "raw.zst", "raw.gz", "raw.xz", "iso"}
}

// diskFormat tells a disk's format by the name of its file; empty when the
// name is none of one.
func diskFormat(name string) string {
	for _, f := range slices.Backward(diskFormats()) { // the longest first
		if strings.HasSuffix(name, "."+f) {
			return f
		}
	}
	return ""
}

// pick chooses the file to boot among those of the image.
func (b *bootable) pick(wanted, attach string) error {
	var have []string
	for _, f := range diskFormats() {
		if b.disks[f] != "" {
			have = append(have, f)
		}
	}
	switch {
	case len(have) == 0:
		return fail.WithHint(fail.User, fmt.Errorf("%s is no disk image to boot", b.name),
			"give the target one of the formats "+strings.Join(diskFormats(), ", ")+", or name another target")
	case wanted == "":
		wanted = have[0]
	case !slices.Contains(have, wanted):
		return noFormat(wanted, b.name, have)
	}
	b.format = wanted
	b.config.Attach = qemu.Attach(attach)
	switch {
	case attach == "virtio":
		b.config.Attach = qemu.Virtio
	case attach == "" && wanted == "iso":
		b.config.Attach = qemu.CD
	}
	if attach == "cd" && wanted != "iso" {
		return fail.Mark(fail.User, fmt.Errorf("--attach=cd: %s is no CD image", filepath.Base(b.disks[wanted])))
	}
	return nil
}

func noFormat(wanted, name string, have []string) error {
	return fail.Mark(fail.User, fmt.Errorf("--format=%s: %s has %s", wanted, name, strings.Join(have, ", ")))
}

// attachments are the values of --attach.
func attachments() []string { return []string{"virtio", "usb", "cd"} }

// ready gives the disk to the machine's configuration, and unpacks it first
// where it is packed; done removes what was unpacked.
func (b *bootable) ready(ctx context.Context) (done func(), err error) {
	b.config.Disk, b.config.Format = b.disks[b.format], b.format
	plain, packed := strings.CutPrefix(b.format, "raw.")
	switch {
	case b.format == "iso":
		b.config.Format = "raw"
	case packed:
		dir, err := os.MkdirTemp("", "cloudy-disk-")
		if err != nil {
			return nil, fail.Mark(fail.Host, err)
		}
		done := func() { os.RemoveAll(dir) }
		to := filepath.Join(dir, strings.TrimSuffix(filepath.Base(b.config.Disk), "."+plain))
		step := progress.Begin(ctx, "unpack "+filepath.Base(b.config.Disk), 0, progress.Bytes)
		if err := step.End(unpackDisk(ctx, to, b.config.Disk)); err != nil {
			done()
			return nil, err
		}
		b.config.Disk, b.config.Format = to, "raw"
		return done, nil
	}
	return func() {}, nil
}

// with is the machine that boots by a firmware. Its disk is a card of a size
// that there is where the firmware wants that; done removes what was made for it.
func (b *bootable) with(firmware string) (c qemu.Config, done func(), err error) {
	c, done = b.config, func() {}
	c.Firmware = firmwares()[firmware]
	if c.Firmware != qemu.RaspberryPi {
		return c, done, nil
	}
	info, err := os.Stat(c.Disk)
	if err != nil {
		return c, done, fail.Mark(fail.User, err)
	}
	size := qemu.CardSize(info.Size())
	if size == info.Size() {
		return c, done, nil
	}
	dir, err := os.MkdirTemp("", "cloudy-card-")
	if err != nil {
		return c, done, fail.Mark(fail.Host, err)
	}
	done = func() { os.RemoveAll(dir) }
	card := filepath.Join(dir, filepath.Base(c.Disk))
	if err := errors.Join(copySparse(card, c.Disk), os.Truncate(card, size)); err != nil {
		done()
		return c, nil, fail.Mark(fail.Host, fmt.Errorf("make a card for the machine: %w", err))
	}
	c.Disk = card
	return c, done, nil
}

func unpackDisk(ctx context.Context, to, from string) error {
	in, err := os.Open(from)
	if err != nil {
		return fail.Mark(fail.User, err)
	}
	defer in.Close()
	out, err := os.Create(to)
	if err != nil {
		return fail.Mark(fail.Host, err)
	}
	err = report.Unpack(ctx, out, in)
	if cerr := out.Close(); err == nil && cerr != nil {
		err = fail.Mark(fail.Host, cerr)
	}
	return err
}
