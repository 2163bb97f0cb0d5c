package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// stageEnv tells this program, started by itself, to become another one.
const stageEnv = "CLOUDY_BENCH_STAGE"

// inside is where the work folder is in the peers' root.
const inside = "/bench"

// staged is the command line with which this program becomes another one: in
// a control group where procs is not "-", in a root where that is not "-".
func staged(procs, root, work string, argv []string) []string {
	return append([]string{"/proc/self/exe", procs, root, work}, argv...)
}

// reentered does what staged says; false means that this is the first start.
func reentered() (bool, error) {
	if os.Getenv(stageEnv) == "" {
		return false, nil
	}
	os.Unsetenv(stageEnv)
	procs, root, work, argv := os.Args[1], os.Args[2], os.Args[3], os.Args[4:]
	if procs != "-" {
		if err := os.WriteFile(procs, []byte("0"), 0); err != nil {
			return true, err
		}
	}
	if root != "-" {
		if err := enter(root, work); err != nil {
			return true, err
		}
	}
	path, err := exec.LookPath(argv[0])
	if err != nil {
		return true, err
	}
	return true, syscall.Exec(path, argv, os.Environ())
}

// isolate starts this program again in a mount namespace of its own, so that
// nothing stays mounted when it ends, however it ends.
func isolate() error {
	const isolated = "CLOUDY_BENCH_ISOLATED"
	if os.Getenv(isolated) != "" {
		return nil
	}
	self, err := os.Executable()
	if err != nil {
		return err
	}
	if err := newMounts(); err != nil {
		return err
	}
	return syscall.Exec(self, os.Args, append(os.Environ(), isolated+"=1"))
}

// newMounts gives this thread a mount namespace from which nothing gets out.
// exec makes it the whole process'.
func newMounts() error {
	runtime.LockOSThread()
	if err := unix.Unshare(unix.CLONE_NEWNS); err != nil {
		return fmt.Errorf("new mount namespace: %w", err)
	}
	return unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, "")
}

// enter makes a mount namespace with the root, the machine's /dev and the
// work folder, and nothing else of the host.
func enter(root, work string) error {
	if err := newMounts(); err != nil {
		return err
	}
	mount := func(source, at, kind string, flags uintptr, data string) error {
		target := filepath.Join(root, at)
		if err := os.MkdirAll(target, 0o755); err != nil {
			return err
		}
		if err := unix.Mount(source, target, kind, flags, data); err != nil {
			return fmt.Errorf("mount %s: %w", at, err)
		}
		return nil
	}
	err := errors.Join(
		unix.Mount(root, root, "", unix.MS_BIND, ""),
		mount("proc", "proc", "proc", 0, ""),
		// With the control groups, which systemd-nspawn looks for.
		mount("/sys", "sys", "", unix.MS_BIND|unix.MS_REC, ""),
		mount("/dev", "dev", "", unix.MS_BIND|unix.MS_REC, ""),
		// debos runs systemd-nspawn, which wants a /run that is no disk.
		mount("run", "run", "tmpfs", 0, "mode=755"),
		mount("tmp", "tmp", "tmpfs", 0, "mode=1777"),
		mount(work, inside, "", unix.MS_BIND, ""),
	)
	if err != nil {
		return err
	}
	if err := errors.Join(os.Chdir(root), unix.PivotRoot(".", "."), unix.Unmount(".", unix.MNT_DETACH), os.Chdir("/")); err != nil {
		return fmt.Errorf("enter %s: %w", root, err)
	}
	return nil
}

// cleanEnv is the environment of builders: nothing of the caller's gets into
// the roots that they make.
func cleanEnv(more ...string) []string {
	return append([]string{"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME=/root", "LC_ALL=C.UTF-8"}, more...)
}

// output runs a command that is not measured, in a root where that is not "-".
func output(root, work string, argv, env []string) (string, error) {
	line := staged("-", root, work, argv)
	cmd := exec.Command(line[0], line[1:]...)
	cmd.Env = append(slices.Clone(env), stageEnv+"=1")
	out, err := cmd.CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("%s: %w\n%s", strings.Join(argv, " "), err, out)
	}
	return string(out), nil
}
