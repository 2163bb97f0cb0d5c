package sandbox

import (
	"fmt"
	"unsafe"

	"golang.org/x/sys/unix"
)

// syncCalls are the system calls that only wait for a disk, by architecture
// of the caller (the kernel's syscall tables). A root that is being built is
// thrown away after a crash, so they are answered with success. msync is not
// among them: unwinders use it to ask whether an address is mapped.
var syncCalls = []struct {
	arch  uint32
	calls []uint32
}{
	// fsync, fdatasync, sync, syncfs, sync_file_range
	{unix.AUDIT_ARCH_X86_64, []uint32{74, 75, 162, 306, 277}},
	{unix.AUDIT_ARCH_I386, []uint32{118, 148, 36, 344, 314}},
	{unix.AUDIT_ARCH_AARCH64, []uint32{82, 83, 81, 267, 84}},
	{unix.AUDIT_ARCH_ARM, []uint32{118, 148, 36, 373, 341}},
	{unix.AUDIT_ARCH_RISCV64, []uint32{82, 83, 81, 267, 84}},
}

// syncFilter is the filter as classic BPF. Each architecture is one block:
//
//	if arch != A goto next block
//	load the call's number
//	if nr == C1 goto answer ... if nr == Cn goto answer
//	allow
//	answer: errno 0
func syncFilter() []unix.SockFilter {
	const (
		ld   = unix.BPF_LD | unix.BPF_W | unix.BPF_ABS
		jeq  = unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K
		ret  = unix.BPF_RET | unix.BPF_K
		nr   = 0 // offsets in struct seccomp_data, linux/seccomp.h
		arch = 4
	)
	f := []unix.SockFilter{{Code: ld, K: arch}}
	for _, a := range syncCalls {
		n := uint8(len(a.calls))
		f = append(f,
			unix.SockFilter{Code: jeq, K: a.arch, Jf: n + 3},
			unix.SockFilter{Code: ld, K: nr})
		for i, c := range a.calls {
			f = append(f, unix.SockFilter{Code: jeq, K: c, Jt: n - uint8(i)})
		}
		f = append(f,
			unix.SockFilter{Code: ret, K: unix.SECCOMP_RET_ALLOW},
			unix.SockFilter{Code: ret, K: unix.SECCOMP_RET_ERRNO})
	}
	return append(f, unix.SockFilter{Code: ret, K: unix.SECCOMP_RET_ALLOW})
}

// freeSync makes fsync and its family cost nothing in all threads of this
// process and in all that it starts. It needs CAP_SYS_ADMIN in the process's
// user namespace: the other way, no_new_privs, would break setuid programs.
func freeSync() error {
	f := syncFilter()
	prog := unix.SockFprog{Len: uint16(len(f)), Filter: &f[0]}
	// SPEC_ALLOW: kernels before 5.16 would otherwise slow down every process
	// with a filter (speculative store bypass mitigation).
	flags := uintptr(unix.SECCOMP_FILTER_FLAG_TSYNC | unix.SECCOMP_FILTER_FLAG_SPEC_ALLOW)
	r, _, errno := unix.Syscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, flags, uintptr(unsafe.Pointer(&prog)))
	if errno != 0 {
		return fmt.Errorf("seccomp filter: %w", errno)
	}
	if r != 0 {
		return fmt.Errorf("seccomp filter: thread %d did not take it", r)
	}
	return nil
}
