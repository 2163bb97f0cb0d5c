package sandbox

import (
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// scriptCaps are the capabilities that programs in a session can have. dpkg
// and maintainer scripts need them to own, change and make files of any kind,
// to become other users and to use the session's own network and processes.
// What is left out reaches the machine: mounting, modules, the clock, raw
// devices, kernel settings.
var scriptCaps = []int{
	unix.CAP_CHOWN, unix.CAP_DAC_OVERRIDE, unix.CAP_DAC_READ_SEARCH, unix.CAP_FOWNER, unix.CAP_FSETID,
	unix.CAP_KILL, unix.CAP_SETGID, unix.CAP_SETUID, unix.CAP_SETPCAP, unix.CAP_LINUX_IMMUTABLE,
	unix.CAP_NET_BIND_SERVICE, unix.CAP_NET_BROADCAST, unix.CAP_NET_RAW, unix.CAP_IPC_LOCK, unix.CAP_IPC_OWNER,
	unix.CAP_SYS_CHROOT, unix.CAP_SYS_PTRACE, unix.CAP_SYS_NICE, unix.CAP_SYS_RESOURCE, unix.CAP_MKNOD,
	unix.CAP_LEASE, unix.CAP_AUDIT_WRITE, unix.CAP_SETFCAP,
}

// limitCaps narrows what programs started by the calling thread can have to
// scriptCaps. The thread itself keeps its rights.
func limitCaps() error {
	for c := 0; c <= unix.CAP_LAST_CAP; c++ {
		if slices.Contains(scriptCaps, c) {
			continue
		}
		if err := unix.Prctl(unix.PR_CAPBSET_DROP, uintptr(c), 0, 0, 0); err != nil && err != unix.EINVAL { // EINVAL: unknown to this kernel
			return fmt.Errorf("drop capability %d: %w", c, err)
		}
	}
	return nil
}

// hasCap says whether this process has capability c in effect.
func hasCap(c int) bool {
	data, err := os.ReadFile("/proc/thread-self/status")
	if err != nil {
		return false
	}
	for line := range strings.Lines(string(data)) {
		if v, ok := strings.CutPrefix(line, "CapEff:"); ok {
			n, err := strconv.ParseUint(strings.TrimSpace(v), 16, 64)
			return err == nil && n&(1<<c) != 0
		}
	}
	return false
}
