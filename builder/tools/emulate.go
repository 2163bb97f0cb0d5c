package tools

import (
	"context"
	"fmt"
	"path/filepath"

	"cloudy/builder/fail"
	"cloudy/builder/lock"
	"cloudy/builder/plan"
	"cloudy/builder/sandbox"
)

// Emulation returns what an engine's Emulate asks: for an architecture that
// this machine does not run, the emulator out of the set User, registered for
// sessions alone. Where the kernel cannot do that (before Linux 6.7) the
// machine's own handler serves, if there is one. pinned finds the set's entry
// in a lock file, or nil.
func Emulation(e *plan.Engine, pinned func(Set) (*lock.Image, error)) func(context.Context, string) ([]sandbox.Interpreter, error) {
	return func(ctx context.Context, arch string) ([]sandbox.Interpreter, error) {
		if sandbox.RunsNatively(arch) {
			return nil, nil
		}
		name := sandbox.QEMUName(arch)
		if name == "" {
			return nil, fail.WithHint(fail.User, fmt.Errorf("programs of %s cannot be emulated", arch), "build on a machine of that architecture")
		}
		if err := sandbox.OwnInterpreters(e.Sandbox.Mode()); err != nil {
			if sandbox.HostEmulates(arch) {
				return nil, nil
			}
			return nil, fail.WithHint(fail.Host, fmt.Errorf("this machine does not run programs of %s: %w", arch, err), sandbox.EmulationHint)
		}
		l, err := pinned(User)
		if err != nil {
			return nil, err
		}
		t, err := Root(ctx, e, User, l)
		if err != nil {
			return nil, fmt.Errorf("get an emulator for %s: %w", arch, err)
		}
		return []sandbox.Interpreter{{Arch: arch, Path: filepath.Join(t.Dir(), "usr/bin/qemu-"+name)}}, nil
	}
}
