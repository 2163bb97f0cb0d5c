package sandbox

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"syscall"

	"cloudy/builder/fail"

	"golang.org/x/sys/unix"
)

// Report is what a user of this machine can have from Enter and Open.
type Report struct {
	Mode Mode  // what Enter would choose, or has chosen; empty when nothing works
	Err  error // why there is none, or why it is only ModePlain; marked fail.Host with a hint

	UID            int       // who asks
	SubUIDs        []IDRange // subordinate ids; nil for root, who needs none
	SubGIDs        []IDRange
	SubUIDErr      error // too few of them; with a hint
	SubGIDErr      error
	NewUIDMap      string // path of the helper, or empty
	NewGIDMap      string
	NeedSubIDs     bool   // an ordinary user
	UserNamespaces error  // nil when they can be made and used; not tried as real root
	Overlay        error  // nil when overlayfs works on the directory asked about, in this mode
	Seccomp        error  // nil when syncs can be made free
	Proc           error  // nil when a fresh /proc can be mounted
	BinfmtMisc     error  // nil when foreign programs can be registered for ourselves alone
	KernelRelease  string // as uname -r prints it
}

// probeResult is what a process in the mode's namespace found; empty strings are good.
type probeResult struct {
	Overlay, Seccomp, Proc, Binfmt string
}

// Detect tries out what this machine allows, without changing anything. dir
// is an existing directory of the file system on which roots will lie.
func Detect(ctx context.Context, dir string) Report {
	r := Report{UID: os.Geteuid()}
	var uts unix.Utsname
	if unix.Uname(&uts) == nil {
		r.KernelRelease = unix.ByteSliceToString(uts.Release[:])
	}
	if st, ok := enteredState(); ok {
		r.Mode = st.mode
	} else if r.UID == 0 && hasCap(unix.CAP_SYS_ADMIN) {
		r.Mode = ModeRoot
	}
	if r.UID != 0 {
		r.NeedSubIDs = true
		r.SubUIDs, r.SubUIDErr = SubIDs("/etc/subuid", os.Getuid())
		r.SubGIDs, r.SubGIDErr = SubIDs("/etc/subgid", os.Getuid())
		r.NewUIDMap, _ = exec.LookPath("newuidmap")
		r.NewGIDMap, _ = exec.LookPath("newgidmap")
	}
	res, err := probe(ctx, r.Mode, dir)
	if r.Mode == ModeAuto {
		r.UserNamespaces = err
		if err == nil {
			r.Mode = ModeUserNS
		} else if r.Err = err; r.UID == 0 {
			if _, perr := enterPlain(); perr == nil {
				r.Mode = ModePlain
			}
		}
	}
	if err != nil {
		res = probeResult{"not tried", "not tried", "not tried", "not tried"}
	}
	for _, p := range []struct {
		to   *error
		text string
	}{{&r.Overlay, res.Overlay}, {&r.Seccomp, res.Seccomp}, {&r.Proc, res.Proc}, {&r.BinfmtMisc, res.Binfmt}} {
		if p.text != "" {
			*p.to = errors.New(p.text)
		}
	}
	return r
}

// probe runs probeMain in the namespaces that a session of the mode would have; without a mode, in a user namespace.
func probe(ctx context.Context, mode Mode, dir string) (probeResult, error) {
	var res probeResult
	var out bytes.Buffer
	args := []string{stageProbe, dir}
	var child *exec.Cmd
	if mode == ModeAuto {
		maps, err := newIDMaps()
		if err != nil {
			// Ids or helper are missing. Whether the kernel would allow it is worth knowing all the same.
			return res, err
		}
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		c, status, err := startMapped(ctx, maps, args, &out)
		if err != nil {
			return res, err
		}
		if err := hasArrived(c, status); err != nil {
			return res, err
		}
		child = c
	} else {
		child = &exec.Cmd{Path: "/proc/self/exe", Args: args, Stdout: &out, SysProcAttr: &syscall.SysProcAttr{}}
		if mode != ModePlain {
			child.SysProcAttr.Cloneflags = unix.CLONE_NEWNS | unix.CLONE_NEWPID | unix.CLONE_NEWIPC
		}
		if err := child.Start(); err != nil {
			return res, fail.Mark(fail.Host, fmt.Errorf("make namespaces: %w", err))
		}
	}
	if err := child.Wait(); err != nil {
		return res, fmt.Errorf("try out namespaces: %w", err)
	}
	if err := json.Unmarshal(out.Bytes(), &res); err != nil {
		return res, fmt.Errorf("try out namespaces: %w (does main call sandbox.Init?)", err)
	}
	return res, nil
}

// probeMain tries the things out and prints what it found.
func probeMain() int {
	if len(os.Args) != 2 {
		return 1
	}
	var res probeResult
	say := func(to *string, err error) {
		if err != nil {
			*to = err.Error()
		}
	}
	err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, "")
	if err != nil {
		err = fmt.Errorf("mounting is not allowed: %w", err)
		say(&res.Overlay, err)
		say(&res.Proc, err)
		say(&res.Binfmt, err)
	} else {
		say(&res.Overlay, probeOverlay(os.Args[1]))
		say(&res.Proc, probeFS("proc"))
		say(&res.Binfmt, probeBinfmt())
	}
	say(&res.Seccomp, freeSync())
	if err := json.NewEncoder(os.Stdout).Encode(res); err != nil {
		return 1
	}
	return 0
}

func probeFS(fsType string) error {
	fd, err := detachedFS(fsType, 0)
	if err != nil {
		return fmt.Errorf("mount %s: %w", fsType, err)
	}
	return unix.Close(fd)
}

// probeBinfmt says whether binfmt_misc can be had for one user namespace.
func probeBinfmt() error {
	if err := kernelBinfmt(); err != nil {
		return err
	}
	return probeFS("binfmt_misc")
}
