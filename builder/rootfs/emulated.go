package rootfs

import (
	"errors"
	"slices"
	"strings"
	"syscall"

	"cloudy/builder/fail"
	"cloudy/builder/sandbox"
)

// emulated makes a crash in an emulator known as one: it may be the
// emulator's mistake as well as the program's.
func emulated(list []sandbox.Interpreter, err error) error {
	var se *ScriptError
	if len(list) == 0 || !errors.As(err, &se) || !se.crashed() {
		return err
	}
	se.Emulated = list[0].Arch
	return fail.WithHint(fail.Build, err, "try again; if it crashes each time, pin another version of the emulator (`cloudy lock`), or build this image on a machine of that architecture")
}

// crashed says whether a program ended by a signal that it gave itself: the
// script, or one that it called. The words are qemu-user's (linux-user/signal.c)
// and dpkg's.
func (e *ScriptError) crashed() bool {
	var exit *sandbox.ExitError
	if errors.As(e.Err, &exit) {
		switch exit.Signal {
		case syscall.SIGSEGV, syscall.SIGBUS, syscall.SIGILL, syscall.SIGABRT, syscall.SIGFPE, syscall.SIGTRAP:
			return true
		}
	}
	return slices.ContainsFunc(e.Output, func(line string) bool {
		return strings.Contains(line, "qemu: uncaught target signal") || strings.Contains(line, "was killed by signal (Segmentation fault)")
	})
}
