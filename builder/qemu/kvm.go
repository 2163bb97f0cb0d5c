package qemu

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"time"
)

const kvmDevice = "/dev/kvm"

// probeTime is how long the guest of a probe may take. It takes a third of a
// second where KVM works.
const probeTime = 5 * time.Second

// probeSector is a boot sector that says "kvm" on the first serial port.
func probeSector() []byte {
	b := make([]byte, 512)
	copy(b, []byte{
		0xba, 0xf8, 0x03, // mov dx, 0x3f8
		0xb0, 'k', 0xee, 0xb0, 'v', 0xee, 0xb0, 'm', 0xee, // mov al, c; out dx, al
		0xf4, 0xeb, 0xfd, // hlt, for ever
	})
	b[510], b[511] = 0x55, 0xaa
	return b
}

// accelerator chooses KVM where it can be used. A /dev/kvm that opens is not
// enough: in a virtual machine whose host nests badly QEMU aborts with it, or
// the guest stands still. So a guest of one sector has a try.
func (c *Config) accelerator(ctx context.Context) string {
	const kvm, tcg = "kvm", "tcg"
	if c.Arch != runtime.GOARCH || !usable(kvmDevice) {
		return tcg
	}
	if c.Arch != "amd64" {
		return kvm
	}
	dir, err := os.MkdirTemp("", "cloudy-kvm-")
	if err != nil {
		return tcg
	}
	defer os.RemoveAll(dir)
	disk := filepath.Join(dir, "probe.raw")
	if err := os.WriteFile(disk, probeSector(), 0o600); err != nil {
		return tcg
	}
	probe := Config{Disk: disk, Arch: c.Arch, Accel: kvm, MemoryMB: 32, CPUs: 1, Root: c.Root, Run: c.Run}
	if err := Boot(ctx, probe, "kvm", probeTime); err != nil {
		return tcg
	}
	return kvm
}

// Accelerator says which accelerator machines of this host's architecture
// get, "kvm" or "tcg", and why, in a few words for a person.
func Accelerator(ctx context.Context) (accel, why string) {
	c, _, err := Config{}.resolve()
	switch {
	case err != nil:
		return "", err.Error()
	case !usable(kvmDevice):
		return "tcg", "/dev/kvm is not there, or not for this user: machines are emulated and slow"
	}
	if accel = c.accelerator(ctx); accel == "tcg" {
		return accel, "/dev/kvm is there but does not work: machines are emulated and slow"
	}
	return accel, fmt.Sprintf("machines run on %s by hardware", c.Arch)
}
