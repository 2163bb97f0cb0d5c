package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"cloudy/builder/disk/sparse"
	"cloudy/builder/fail"
	"cloudy/builder/qemu"
)

// defaultPublish is the SSH of a machine whose ports nobody named.
const defaultPublish = "2222:22"

func (a *App) runCommand() *cobra.Command {
	var f bootFlags
	var publish []string
	var keep, bios, uefi, secure bool
	c := &cobra.Command{
		Use:     "run [IMAGE[:TARGET] | FILE]",
		GroupID: groupImage,
		Short:   "Boot an image in a virtual machine",
		Long: `Boot an image in QEMU, with its console in this terminal: Ctrl-A x ends the machine,
Ctrl-A c switches to QEMU's monitor and back. The image (by default the target "vm" of
the image "node") is built first if need be; the FILE of a disk image or an ISO is
taken as it is. A packed disk is unpacked for the machine.

What the machine writes is thrown away, and the image stays as it was built. With
--keep the machine gets a disk of its own beside the image, which the next run with
--keep boots again.

The machine reaches the network through this one. --publish makes ports of it
reachable at 127.0.0.1; port 22 is at 2222 when nothing is said.

QEMU and firmware are the builder's own (installed out of the Debian archive into its
store) unless --host-qemu is given.`,
		Example: "  cloudy run\n  cloudy run node --uefi --memory 2G --publish 2222:22 --publish 7000:7000\n  cloudy run out/node-amd64.qcow2 --keep",
		Args:    between(0, 1), ValidArgsFunction: a.CompleteTargets,
		RunE: func(c *cobra.Command, args []string) error {
			forwards, err := forwards(publish)
			if err != nil {
				return err
			}
			firmware, err := oneFirmware(bios, uefi, secure)
			if err != nil {
				return err
			}
			b, done, err := a.prepare(c, args, &f)
			if err != nil {
				return err
			}
			defer done()
			if firmware == "" {
				firmware = b.possible()[0]
			}
			config, remove, err := b.with(firmware)
			if err != nil {
				return err
			}
			defer remove()
			config.Terminal, config.Reboot, config.Snapshot, config.Forwards = true, true, !keep, forwards
			if keep {
				if config.Attach == qemu.CD {
					return fail.Mark(fail.User, errors.New("--keep: nothing can be written to a CD; --attach usb makes a stick of it"))
				}
				if config.Disk, err = a.keptDisk(b.beside(), config.Disk); err != nil {
					return err
				}
			}
			a.adviseLogin(b)
			return a.runMachine(c.Context(), b, config, firmware)
		},
	}
	f.add(c)
	c.Flags().StringArrayVarP(&publish, "publish", "p", nil, "make a port of the machine reachable, as `HOST:GUEST`; may be given several times (default "+defaultPublish+")")
	c.Flags().BoolVar(&keep, "keep", false, "keep what the machine writes, for the next run")
	c.Flags().BoolVar(&bios, "bios", false, "boot by BIOS")
	c.Flags().BoolVar(&uefi, "uefi", false, "boot by UEFI")
	c.Flags().BoolVar(&secure, "secure-boot", false, "boot by UEFI with Secure Boot on")
	return c
}

// oneFirmware is the firmware of the flags; empty when none is set.
func oneFirmware(bios, uefi, secure bool) (string, error) {
	var set []string
	for i, name := range []string{"bios", "uefi", "secure-boot"} {
		if []bool{bios, uefi, secure}[i] {
			set = append(set, name)
		}
	}
	switch len(set) {
	case 0:
		return "", nil
	case 1:
		return set[0], nil
	}
	return "", fail.Mark(fail.User, fmt.Errorf("--%s exclude each other", strings.Join(set, " and --")))
}

// forwards reads HOST:GUEST; without any, SSH is made reachable, at another
// port when the usual one is taken.
func forwards(publish []string) ([]qemu.Forward, error) {
	if len(publish) == 0 {
		f, err := forward(defaultPublish)
		if l, lerr := net.Listen("tcp4", fmt.Sprintf("127.0.0.1:%d", f.Host)); lerr == nil {
			l.Close()
		} else {
			f.Host = 0
		}
		return []qemu.Forward{f}, err
	}
	var out []qemu.Forward
	for _, p := range publish {
		f, err := forward(p)
		if err != nil {
			return nil, fail.Mark(fail.User, fmt.Errorf("--publish=%s: %w", p, err))
		}
		out = append(out, f)
	}
	return out, nil
}

func forward(s string) (qemu.Forward, error) {
	host, guest, ok := strings.Cut(s, ":")
	h, err1 := strconv.ParseUint(host, 10, 16)
	g, err2 := strconv.ParseUint(guest, 10, 16)
	if !ok || err1 != nil || err2 != nil || h == 0 || g == 0 {
		return qemu.Forward{}, errors.New("want HOST:GUEST, two ports, as 2222:22")
	}
	return qemu.Forward{Host: int(h), Guest: int(g)}, nil
}

// adviseLogin says so when nobody can log in.
func (a *App) adviseLogin(b *bootable) {
	if b.image == nil {
		return
	}
	for _, u := range b.image.Users {
		if u.PasswordHash != "" || u.NoPassword || len(u.SSHAuthorizedKeys) > 0 {
			return
		}
	}
	a.Warn(`no account of image %q has a password or an SSH key, so nobody can log in
  (the built-in recipe takes --var 'ssh_authorized_keys=["ssh-ed25519 ..."]')`, b.image.Name)
}

func (a *App) runMachine(ctx context.Context, b *bootable, c qemu.Config, firmware string) error {
	m, err := qemu.Start(ctx, c)
	if err != nil {
		return err
	}
	defer m.Stop()
	accel := map[string]string{"kvm": "KVM", "tcg": "emulated: slow"}[m.Accel]
	printf(a.Err, "%s: %s, %d MiB, %d processors, %s\n", c.Disk, firmware, c.MemoryMB, c.CPUs, accel)
	for _, f := range m.Forwards {
		how := ""
		if f.Guest == 22 {
			how = fmt.Sprintf(" (ssh -p %d root@127.0.0.1)", f.Host)
		}
		printf(a.Err, "  127.0.0.1:%d is its port %d%s\n", f.Host, f.Guest, how)
	}
	printf(a.Err, "  Ctrl-A x ends it; Ctrl-A c is QEMU's monitor\n")
	if err := m.Wait(ctx); err != nil {
		return fail.Mark(fail.Host, fmt.Errorf("virtual machine: %w", err))
	}
	return nil
}

// beside is the name of the disk as it would be called unpacked.
func (b *bootable) beside() string {
	if _, packed := strings.CutPrefix(b.format, "raw."); packed {
		return strings.TrimSuffix(b.disks[b.format], filepath.Ext(b.format))
	}
	return b.disks[b.format]
}

// keptDisk returns the machine's own disk beside the image, and makes it of
// the image where there is none.
func (a *App) keptDisk(image, content string) (string, error) {
	ext := filepath.Ext(image)
	path := strings.TrimSuffix(image, ext) + ".kept" + ext
	if strings.HasSuffix(strings.TrimSuffix(image, ext), ".kept") {
		path = image
	}
	if _, err := os.Stat(path); err == nil {
		printf(a.Err, "%s is the disk of an earlier run; remove it to begin anew\n", path)
		return path, nil
	}
	if err := copySparse(path, content); err != nil {
		return "", fail.Mark(fail.Host, fmt.Errorf("make a disk for the machine: %w", err))
	}
	return path, nil
}

// copySparse copies a file without its holes; the copy is whole or not there.
func copySparse(to, from string) (err error) {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	info, err := in.Stat()
	if err != nil {
		return err
	}
	out, err := os.CreateTemp(filepath.Dir(to), ".cloudy-disk-*")
	if err != nil {
		return err
	}
	defer os.Remove(out.Name()) // no longer there when all went well
	defer out.Close()
	if err := out.Truncate(info.Size()); err != nil {
		return err
	}
	data, err := sparse.Extents(in)
	if err != nil {
		return err
	}
	for _, e := range data {
		if _, err := io.Copy(io.NewOffsetWriter(out, e.Offset), io.NewSectionReader(in, e.Offset, e.Length)); err != nil {
			return err
		}
	}
	if err := errors.Join(out.Chmod(0o644), out.Close()); err != nil {
		return err
	}
	return os.Rename(out.Name(), to)
}
