package rootfs

import (
	"errors"
	"strings"
	"syscall"
	"testing"

	"cloudy/builder/fail"
	"cloudy/builder/sandbox"
)

func TestEmulated(t *testing.T) {
	arm := []sandbox.Interpreter{{Arch: "arm64", Path: "/qemu"}}
	for _, c := range []struct {
		name string
		err  error
		list []sandbox.Interpreter
		want bool
	}{
		{"qemu says so", &ScriptError{What: "configure x", Output: []string{"a", "qemu: uncaught target signal 11 (Segmentation fault) - core dumped"}, Err: errors.New("exit status 1")}, arm, true},
		{"the script itself", &ScriptError{What: "preinst of x", Err: &sandbox.ExitError{Signal: syscall.SIGSEGV}}, arm, true},
		{"stopped", &ScriptError{What: "preinst of x", Err: &sandbox.ExitError{Signal: syscall.SIGKILL}}, arm, false},
		{"its own failure", &ScriptError{What: "configure x", Output: []string{"no such user"}, Err: &sandbox.ExitError{Code: 1}}, arm, false},
		{"native", &ScriptError{What: "preinst of x", Err: &sandbox.ExitError{Signal: syscall.SIGSEGV}}, nil, false},
		{"no script", errors.New("disk full"), arm, false},
		{"nothing", nil, arm, false},
	} {
		err := emulated(c.list, c.err)
		if !errors.Is(err, c.err) {
			t.Errorf("%s: became %v", c.name, err)
		}
		if err == nil {
			continue
		}
		if got := strings.Contains(err.Error(), "a program of arm64 crashed under emulation by qemu-user"); got != c.want {
			t.Errorf("%s: %v", c.name, err)
		}
		if c.want && (fail.KindOf(err) != fail.Build || !strings.Contains(fail.HintOf(err), "emulator")) {
			t.Errorf("%s: kind %v, hint %q", c.name, fail.KindOf(err), fail.HintOf(err))
		}
	}
}
