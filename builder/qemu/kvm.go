package qemu

import (
	"context"
	"os"
	"os/exec"
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

// KVMFails says that machines of this host get no KVM although its device is
// there, by starting one with the host's QEMU. Where that is missing nobody
// knows, and it says no.
func KVMFails(ctx context.Context) bool {
	c, m, err := Config{}.resolve()
	if err != nil || !usable(kvmDevice) {
		return false
	}
	if _, err := exec.LookPath(m.program); err != nil {
		return false
	}
	return c.accelerator(ctx) == "tcg"
}
