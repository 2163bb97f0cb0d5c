package sandbox

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"syscall"

	"cloudy/builder/fail"

	"golang.org/x/sys/unix"
)

// Interpreter runs the programs of one architecture.
type Interpreter struct {
	Arch string // as Debian names it: "arm64"
	Path string // a statically linked emulator on the host: qemu-aarch64-static
}

// ErrNoBinfmt says that the kernel does not let a session have interpreters
// of its own (Linux before 6.7, or without binfmt_misc).
var ErrNoBinfmt = errors.New("programs of other architectures cannot be registered for a session")

// EmulationHint says what helps where ErrNoBinfmt is the case.
const EmulationHint = "use Linux 6.7 or later, or install qemu-user-binfmt (Debian 13) or qemu-user-static (before) on this machine, or build on a machine of that architecture"

// machine is how the ELF files of an architecture are known (elf(5), linux/elf-em.h).
type machine struct {
	class, number byte // EI_CLASS and e_machine
	big           bool // big endian
	qemu          string
}

var machines = map[string]machine{
	"amd64": {2, 62, false, "x86_64"}, "i386": {1, 3, false, "i386"}, "arm64": {2, 183, false, "aarch64"},
	"armhf": {1, 40, false, "arm"}, "armel": {1, 40, false, "arm"}, "riscv64": {2, 243, false, "riscv64"},
	"ppc64el": {2, 21, false, "ppc64le"}, "s390x": {2, 22, true, "s390x"},
}

// QEMUName is QEMU's name of an architecture, as in qemu-aarch64; empty for
// one that cannot be emulated.
func QEMUName(arch string) string { return machines[arch].qemu }

// binfmtRule is the line that makes the kernel run an architecture's programs
// by the interpreter (Documentation/admin-guide/binfmt-misc.rst). Flags: F
// opens it now, so that it need not be in the root; C keeps setuid programs
// setuid; P hands the program's own name on.
func binfmtRule(i Interpreter) (string, error) {
	m, ok := machines[i.Arch]
	if !ok {
		return "", fmt.Errorf("no emulation of architecture %q", i.Arch)
	}
	// e_ident with class and byte order, any ABI; e_type 2 or 3 (position independent); e_machine.
	magic := []byte{0x7f, 'E', 'L', 'F', m.class, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2, 0, m.number, 0}
	mask := []byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xfe, 0xff, 0xff, 0xff}
	if m.big {
		magic[5] = 2
		copy(magic[16:], []byte{0, 2, 0, m.number})
		mask[16], mask[17] = 0xff, 0xfe
	}
	hex := func(data []byte) string {
		var b strings.Builder
		for _, c := range data {
			fmt.Fprintf(&b, `\x%02x`, c)
		}
		return b.String()
	}
	// The first byte is the separator; a path does not have this one.
	const sep = "\x01"
	return sep + strings.Join([]string{"cloudy-" + i.Arch, "M", "", hex(magic), hex(mask), i.Path, "PFC"}, sep), nil
}

// register makes the interpreters known to this user namespace, and to it
// alone: since Linux 6.7 each can have its own instance of binfmt_misc. The
// instance lasts as long as its mount, so that is kept open for good.
func register(list []Interpreter) error {
	if len(list) == 0 {
		return nil
	}
	fs, err := detachedFS("binfmt_misc", 0)
	if err != nil {
		return fmt.Errorf("%w: mount binfmt_misc: %w", ErrNoBinfmt, err)
	}
	for _, i := range list {
		rule, err := binfmtRule(i)
		if err != nil {
			return err
		}
		fd, err := unix.Openat(fs, "register", unix.O_WRONLY|unix.O_CLOEXEC, 0)
		if err != nil {
			return fmt.Errorf("%w: %w", ErrNoBinfmt, err)
		}
		_, err = unix.Write(fd, []byte(rule))
		unix.Close(fd)
		if err != nil {
			return fmt.Errorf("register %s for programs of %s: %w", i.Path, i.Arch, err)
		}
	}
	return nil
}

// ownUserNS gives a process to be started a user namespace with the ids that
// we have, for what the kernel keeps by user namespace.
func ownUserNS(attr *syscall.SysProcAttr) error {
	ids := func(file string) ([]syscall.SysProcIDMap, error) {
		rows, err := identityMap(file)
		var m []syscall.SysProcIDMap
		for _, r := range rows {
			m = append(m, syscall.SysProcIDMap{ContainerID: r.Inside, HostID: r.Outside, Size: r.Count})
		}
		return m, err
	}
	var err1, err2 error
	attr.UidMappings, err1 = ids("/proc/self/uid_map")
	attr.GidMappings, err2 = ids("/proc/self/gid_map")
	attr.Cloneflags |= unix.CLONE_NEWUSER
	attr.GidMappingsEnableSetgroups = true
	return errors.Join(err1, err2)
}

// checkInterpreters sees to it that a mistake is reported as what it is.
func checkInterpreters(mode Mode, list []Interpreter) error {
	if len(list) > 0 && mode == ModePlain {
		return errPlainBinfmt()
	}
	for _, i := range list {
		if _, err := binfmtRule(i); err != nil {
			return fail.Mark(fail.User, err)
		}
		if _, err := os.Stat(i.Path); err != nil {
			return err
		}
	}
	return nil
}

func errPlainBinfmt() error { return fmt.Errorf("%w: it needs user namespaces", ErrNoBinfmt) }

// kernelBinfmt is nil when the kernel has a binfmt_misc for each user
// namespace (commit 21ca59b365c0, Linux 6.7).
func kernelBinfmt() error {
	var uts unix.Utsname
	if err := unix.Uname(&uts); err != nil {
		return err
	}
	var major, minor int
	fmt.Sscanf(unix.ByteSliceToString(uts.Release[:]), "%d.%d", &major, &minor)
	if major < 6 || major == 6 && minor < 7 {
		return fmt.Errorf("%w: needs Linux 6.7; this is %d.%d", ErrNoBinfmt, major, minor)
	}
	return nil
}
