package qemu

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"

	"cloudy/builder/fail"
)

// machine is how QEMU is told about an architecture.
type machine struct {
	program string // qemu-system-
	pkg     string // Debian's package of it
	board   string
	tcgCPU  string
	code    map[Firmware][]string // file names, best first
	vars    map[Firmware][]string
	efiPkg  string
}

func machines() map[string]machine {
	return map[string]machine{
		"amd64": {
			program: "qemu-system-x86_64", pkg: "qemu-system-x86", board: "q35", tcgCPU: "max", efiPkg: "ovmf",
			code: map[Firmware][]string{
				UEFI:       {"OVMF_CODE_4M.fd", "OVMF_CODE.4m.fd", "OVMF_CODE.fd"},
				SecureBoot: {"OVMF_CODE_4M.secboot.fd", "OVMF_CODE_4M.ms.fd", "OVMF_CODE.secboot.fd"},
			},
			vars: map[Firmware][]string{
				UEFI:       {"OVMF_VARS_4M.fd", "OVMF_VARS.4m.fd", "OVMF_VARS.fd"},
				SecureBoot: {"OVMF_VARS_4M.ms.fd", "OVMF_VARS.ms.fd", "OVMF_VARS.secboot.fd"},
			},
		},
		"arm64": {
			program: "qemu-system-aarch64", pkg: "qemu-system-arm", board: "virt", tcgCPU: "cortex-a72", efiPkg: "qemu-efi-aarch64",
			code: map[Firmware][]string{
				UEFI:       {"AAVMF_CODE.no-secboot.fd", "AAVMF_CODE.fd", "QEMU_EFI-pflash.raw"},
				SecureBoot: {"AAVMF_CODE.secboot.fd", "AAVMF_CODE.ms.fd"},
				UBoot:      {"u-boot.bin"},
				// The card has its own.
				RaspberryPi: {},
			},
			vars: map[Firmware][]string{
				UEFI:       {"AAVMF_VARS.fd", "vars-template-pflash.raw"},
				SecureBoot: {"AAVMF_VARS.ms.fd"},
			},
		},
	}
}

// pkgOf is Debian's package of a firmware.
func (m machine) pkgOf(f Firmware) string {
	if f == UBoot {
		return "u-boot-qemu"
	}
	return m.efiPkg
}

// firmwareDirs are where distributions keep UEFI for virtual machines.
func firmwareDirs() []string {
	return []string{"usr/share/OVMF", "usr/share/AAVMF", "usr/share/edk2/ovmf", "usr/share/edk2/x64", "usr/share/edk2/aarch64", "usr/share/edk2-ovmf/x64", "usr/lib/u-boot/qemu_arm64"}
}

// resolve fills in the defaults.
func (c Config) resolve() (Config, machine, error) {
	if c.Arch == "" {
		c.Arch = runtime.GOARCH
	}
	m, ok := machines()[c.Arch]
	if !ok {
		return c, m, fail.Mark(fail.User, fmt.Errorf("no virtual machine for architecture %q (amd64, arm64)", c.Arch))
	}
	if c.Firmware == "" {
		c.Firmware = BIOS
		if c.Arch != "amd64" {
			c.Firmware = UEFI
		}
	}
	if c.Firmware != BIOS && m.code[c.Firmware] == nil || c.Firmware == BIOS && c.Arch != "amd64" {
		return c, m, fail.Mark(fail.User, fmt.Errorf("no firmware %q for %s", c.Firmware, c.Arch))
	}
	if c.Firmware == RaspberryPi {
		c.Accel = "tcg"
	}
	if c.Format == "" {
		c.Format = strings.TrimPrefix(filepath.Ext(c.Disk), ".")
	}
	if c.MemoryMB == 0 {
		c.MemoryMB = 1024
	}
	if c.CPUs == 0 {
		c.CPUs = 2
	}
	return c, m, nil
}

func usable(path string) bool {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return false
	}
	f.Close()
	return true
}

// arguments is QEMU's command line. dir is where files of the machine go.
func (c *Config) arguments(ctx context.Context, m machine, dir string) ([]string, error) {
	if c.Firmware == RaspberryPi {
		return c.raspberryArguments(dir)
	}
	board := m.board
	if c.Firmware == SecureBoot && c.Arch == "amd64" {
		// Only code in system management mode may write the variables.
		board += ",smm=on"
	}
	args := []string{
		"-machine", board, "-m", strconv.Itoa(c.MemoryMB), "-smp", strconv.Itoa(c.CPUs),
		"-nodefaults", "-device", "virtio-rng-pci",
	}
	args = append(args, c.drives()...)
	switch c.Accel {
	case "kvm":
		args = append(args, "-accel", "kvm", "-cpu", "host")
	default:
		args = append(args, "-accel", "tcg,thread=multi", "-cpu", c.tcgCPU(ctx, m))
	}
	net, err := c.network()
	if err != nil {
		return nil, err
	}
	card := "virtio-net-pci,netdev=net,romfile=" // without a boot ROM: the disk is what boots
	if c.MAC != "" {
		card += ",mac=" + c.MAC
	}
	args = append(args, "-netdev", net, "-device", card)
	for _, name := range slices.Sorted(maps.Keys(c.Credentials)) {
		// SMBIOS strings of the vendor (SMBIOS specification, 7.12).
		args = append(args, "-smbios", "type=11,value=io.systemd.credential.binary:"+name+"="+base64.StdEncoding.EncodeToString([]byte(c.Credentials[name])))
	}
	if c.Terminal {
		args = append(args, "-nographic", "-serial", "mon:stdio")
	} else {
		args = append(args, "-display", "none", "-monitor", "none", "-serial", "stdio")
	}
	if !c.Reboot {
		args = append(args, "-no-reboot")
	}
	fw, err := c.firmware(m, dir)
	if err != nil {
		return nil, err
	}
	return append(append(args, fw...), c.Extra...), nil
}

// network is the value of -netdev; ports that are to be chosen are.
func (c *Config) network() (string, error) {
	if c.Netdev != "" {
		return c.Netdev, nil
	}
	net := "user,id=net"
	for i := range c.Forwards {
		f := &c.Forwards[i]
		if f.Host == 0 {
			var err error
			if f.Host, err = freePort(); err != nil {
				return "", err
			}
		}
		net += fmt.Sprintf(",hostfwd=tcp:127.0.0.1:%d-:%d", f.Host, f.Guest)
	}
	return net, nil
}

// drives are the arguments for all disks.
func (c *Config) drives() []string {
	var args []string
	usb, scsi := false, false
	for i, d := range append([]Drive{{c.Disk, c.Format, c.Attach, c.Snapshot}}, c.Drives...) {
		id, boot := fmt.Sprintf("disk%d", i), ""
		if i == 0 {
			boot = ",bootindex=0"
		}
		mode := "snapshot=" + onOff(d.Snapshot) + ",discard=unmap"
		device := "virtio-blk-pci"
		switch d.Attach {
		case USB:
			if !usb {
				args = append(args, "-device", "qemu-xhci")
				usb = true
			}
			device = "usb-storage"
		case CD:
			mode, device = "readonly=on", "ide-cd"
			if c.Arch != "amd64" {
				if !scsi {
					args = append(args, "-device", "virtio-scsi-pci")
					scsi = true
				}
				device = "scsi-cd"
			}
		}
		args = append(args, "-drive", fmt.Sprintf("if=none,id=%s,format=%s,%s,file=%s", id, d.Format, mode, comma(d.File)),
			"-device", device+",drive="+id+boot)
	}
	return args
}

// comma doubles commas, as QEMU's options want file names.
func comma(s string) string { return strings.ReplaceAll(s, ",", ",,") }

func onOff(b bool) string {
	if b {
		return "on"
	}
	return "off"
}

var versionPattern = regexp.MustCompile(`version (\d+)\.`)

// tcgCPU is the processor that is emulated. Up to QEMU 7 the emulation of
// cmpxchg16b returns wrong flags now and then, and kernels from 6.12 on
// panic; without it they do not.
func (c *Config) tcgCPU(ctx context.Context, m machine) string {
	if c.Arch != "amd64" {
		return m.tcgCPU
	}
	var out bytes.Buffer
	err := c.Run(ctx, Program{Args: []string{m.program, "--version"}, Stdout: &out})
	if v := versionPattern.FindSubmatch(out.Bytes()); err == nil && v != nil {
		if major, err := strconv.Atoi(string(v[1])); err == nil && major < 8 {
			return "qemu64,-cx16"
		}
	}
	return m.tcgCPU
}

// firmware gives the machine its UEFI, with variables of its own in dir.
func (c *Config) firmware(m machine, dir string) ([]string, error) {
	if c.Firmware == BIOS {
		return nil, nil
	}
	code, err := c.find(m, m.code[c.Firmware])
	if err != nil {
		return nil, err
	}
	if c.Firmware == UBoot {
		return []string{"-bios", c.inside(code)}, nil
	}
	template, err := c.find(m, m.vars[c.Firmware])
	if err != nil {
		return nil, err
	}
	vars := filepath.Join(dir, "vars.fd")
	if err := copyFile(vars, template); err != nil {
		return nil, fmt.Errorf("copy UEFI variables: %w", err)
	}
	args := []string{
		"-drive", "if=pflash,unit=0,format=raw,readonly=on,file=" + comma(c.inside(code)),
		"-drive", "if=pflash,unit=1,format=raw,file=" + comma(vars),
	}
	if c.Firmware == SecureBoot && c.Arch == "amd64" {
		args = append(args, "-global", "driver=cfi.pflash01,property=secure,value=on")
	}
	return args, nil
}

// find looks for one of the names in the firmware folders, best name first.
func (c *Config) find(m machine, names []string) (string, error) {
	for _, name := range names {
		for _, dir := range firmwareDirs() {
			p := filepath.Join("/", c.Root, dir, name)
			if _, err := os.Stat(p); err == nil {
				return p, nil
			}
		}
	}
	return "", fail.WithHint(fail.Host, fmt.Errorf("no firmware for virtual machines (%s)", strings.Join(names, ", ")), fmt.Sprintf("install the package %q", m.pkgOf(c.Firmware)))
}

// inside is a path under Root as programs that run there see it.
func (c *Config) inside(p string) string {
	if c.Root == "" {
		return p
	}
	if rel, err := filepath.Rel(c.Root, p); err == nil {
		return "/" + rel
	}
	return p
}

func copyFile(to, from string) error {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, in)
	return errors.Join(err, out.Close())
}

// freePort asks the kernel for a port that nobody listens on.
func freePort() (int, error) {
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		return 0, fmt.Errorf("find a free port: %w", err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port, nil
}
