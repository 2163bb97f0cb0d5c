// Package qemu boots disk images in QEMU: by BIOS, by UEFI and with Secure
// Boot on, with the serial console as a stream that can be waited on.
package qemu

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"runtime"
	"syscall"
	"time"
)

// Firmware is what starts the disk.
type Firmware string

// The firmwares. SecureBoot is UEFI with Microsoft's keys enrolled.
const (
	BIOS       Firmware = "bios"
	UEFI       Firmware = "uefi"
	SecureBoot Firmware = "secureboot"
	UBoot      Firmware = "u-boot" // boots cards for single-board computers
	// RaspberryPi boots the card of a Raspberry Pi 3 on QEMU's machine of that
	// name, which has four processors, 1 GiB, and a card whose size is CardSize.
	RaspberryPi Firmware = "raspberry-pi"
)

// Attach is how a machine sees a disk.
type Attach string

// The ways: a virtual disk, a USB stick, a CD that is in its drive.
const (
	Virtio Attach = ""
	USB    Attach = "usb"
	CD     Attach = "cd"
)

// Drive is a further disk of a machine.
type Drive struct {
	File, Format string
	Attach       Attach
	Snapshot     bool // what the guest writes is thrown away
}

// Forward is a TCP port of the host's 127.0.0.1 that leads to one of the
// guest. A Host of 0 is chosen by Start.
type Forward struct {
	Host, Guest int
}

// Config is a virtual machine. Only Disk is needed.
type Config struct {
	Disk     string
	Format   string  // raw, qcow2; empty is what the name ends in
	Snapshot bool    // what the guest writes is thrown away
	Attach   Attach  // how the machine sees the disk
	Drives   []Drive // further disks; the machine does not boot from them

	Arch     string // amd64, arm64; empty is that of the host
	Firmware Firmware
	MemoryMB int    // 0 is 1024
	CPUs     int    // 0 is 2
	Accel    string // kvm, tcg; empty is kvm where it can be used
	Forwards []Forward
	// Netdev is the machine's network in place of the host's by address
	// translation: a value of QEMU's option -netdev whose id is "net".
	Netdev string
	// MAC is the network card's address. Empty is QEMU's own, which is the
	// same in every machine.
	MAC string
	// Credentials are handed to the guest's systemd (systemd.system-credentials(7)).
	Credentials map[string]string
	Extra       []string // further arguments of QEMU

	// Reboot lets the guest reboot; else a reboot ends the machine, so that a
	// kernel panic with panic=-1 does too.
	Reboot bool

	// Terminal gives the guest's serial console and QEMU's monitor (Ctrl-A) to
	// the process's own standard streams. Nothing can be waited on then.
	Terminal bool
	// SerialLog gets all that the serial console says.
	SerialLog io.Writer
	// SerialInput is typed on the serial console.
	SerialInput io.Reader

	// Root is a folder with a QEMU of its own under usr/, as the firmware is
	// looked for there; empty is the host's. Run runs the programs of it.
	Root string
	Run  func(context.Context, Program) error
}

// Program is one run of a program of QEMU's.
type Program struct {
	Args []string // its name and the arguments
	// Files are what the arguments name outside of Root: files, folders and
	// devices of the host, to be there under the same absolute names.
	Files []string
	// Network says that the program opens ports on the host.
	Network bool
	// Terminal says that Stdin and Stdout may be a person's terminal, and that
	// the program is to end in peace, so that it leaves that as it was.
	Terminal       bool
	Stdin          io.Reader
	Stdout, Stderr io.Writer
}

// onHost runs a program of the host to its end.
func onHost(ctx context.Context, p Program) error {
	cmd := exec.CommandContext(ctx, p.Args[0], p.Args[1:]...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = p.Stdin, p.Stdout, p.Stderr
	cmd.WaitDelay = stopDelay
	if p.Terminal {
		// After WaitDelay it is killed.
		cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	}
	// QEMU must not outlive us, however we end. Whose death the signal watches
	// is this thread.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	err := cmd.Run()
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		if ws, ok := exit.Sys().(syscall.WaitStatus); ok && ws.Signaled() {
			return Crash(err, ws.Signal())
		}
	}
	return err
}

// Errors that a caller can tell apart.
var (
	ErrEnded   = errors.New("the virtual machine ended")
	ErrTimeout = errors.New("the virtual machine did not get there in time")
	// ErrCrashed says that QEMU died of a mistake of its own, whatever the
	// guest did. Run returns it (wrapped) for an abort or a segmentation fault.
	// Where processors are emulated on several threads that happens now and
	// then: the map of the memory changes under a processor that reads from a
	// device (QEMU's issue 1921). Another try mostly goes well.
	ErrCrashed = errors.New("QEMU crashed")
)

// Crash returns ErrCrashed around the error of a program that a signal ended,
// when the signal is one of those that a mistake in the program causes.
func Crash(err error, sig syscall.Signal) error {
	switch sig {
	case syscall.SIGABRT, syscall.SIGSEGV, syscall.SIGBUS, syscall.SIGILL, syscall.SIGFPE:
		return fmt.Errorf("%w: %w", ErrCrashed, err)
	}
	return err
}

// Boot starts a machine, waits until its console matches the pattern and
// ends it. The error of a machine that does not get there has the last lines
// of its console.
func Boot(ctx context.Context, c Config, pattern string, timeout time.Duration) error {
	m, err := Start(ctx, c)
	if err != nil {
		return err
	}
	defer m.Stop()
	_, err = m.WaitFor(ctx, pattern, timeout)
	return err
}
