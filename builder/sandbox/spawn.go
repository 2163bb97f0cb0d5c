package sandbox

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

func timevalDuration(tv unix.Timeval) time.Duration { return time.Duration(tv.Nano()) }

// shape gives the calling, locked thread, and so what it starts, the network,
// a host name of its own, and limited capabilities.
func (p *initProc) shape(network bool, hostname string) error {
	if p.mode != ModePlain {
		if !network { // a new thread has the host's
			if err := unix.Setns(p.offline, unix.CLONE_NEWNET); err != nil {
				return fmt.Errorf("enter network namespace: %w", err)
			}
		}
		if hostname != "" {
			if err := unix.Unshare(unix.CLONE_NEWUTS); err != nil {
				return fmt.Errorf("new host name: %w", err)
			}
			if err := unix.Sethostname([]byte(hostname)); err != nil {
				return fmt.Errorf("set host name: %w", err)
			}
		}
	}
	if p.setup.Privileged {
		return nil
	}
	return limitCaps()
}

// run starts a command. Its end is reported by reap.
func (p *initProc) run(id uint64, r *runRequest, files []*os.File) error {
	if r == nil || r.Stdio > len(files) {
		return errors.New("malformed request")
	}
	binds, err := bindFiles(r.Binds, files[r.Stdio:])
	if err != nil {
		return err
	}
	network := p.setup.Network || r.Network
	done := make(chan error)
	if len(binds) == 0 && network == p.setup.Network && r.Hostname == "" {
		p.jobs <- func() { done <- p.start(id, r, files[:r.Stdio], nil) }
		return <-done
	}
	var bounds []*bound
	go func() {
		runtime.LockOSThread() // never unlocked: the thread ends with the goroutine
		bounds, err = p.startApart(id, r, files[:r.Stdio], binds, network)
		done <- err
	}()
	if err := <-done; err != nil {
		p.unbind(bounds) // on this thread, where nothing is mounted over the targets
		return err
	}
	return nil
}

// startApart starts a command from a thread made for it. It returns the binds that are in force, also with an error.
func (p *initProc) startApart(id uint64, r *runRequest, stdio []*os.File, binds []bindSource, network bool) ([]*bound, error) {
	var bounds []*bound
	if len(binds) > 0 {
		if p.mode != ModePlain {
			if err := unix.Unshare(unix.CLONE_NEWNS); err != nil {
				return nil, fmt.Errorf("new mount namespace: %w", err)
			}
		}
		for _, b := range binds {
			bd, err := p.bind(b)
			if err != nil {
				return bounds, err
			}
			bounds = append(bounds, bd)
		}
	}
	err := p.shape(network, r.Hostname)
	if err == nil {
		err = p.start(id, r, stdio, bounds)
	}
	return bounds, err
}

// start forks and executes from the calling thread.
func (p *initProc) start(id uint64, r *runRequest, stdio []*os.File, bounds []*bound) error {
	if len(r.Args) == 0 {
		return errors.New("no program given")
	}
	dir := r.Dir
	if dir == "" {
		dir = "/"
	}
	exe, err := lookPath(r.Args[0], dir, r.Env)
	if err != nil {
		return err
	}
	sys := &syscall.SysProcAttr{Setsid: true}
	var fds []uintptr
	for _, f := range stdio {
		fds = append(fds, f.Fd())
	}
	if r.TTY {
		master, slave, err := openTTY(r.Rows, r.Cols)
		if err != nil {
			return err
		}
		defer master.Close()
		defer slave.Close()
		fds = append([]uintptr{slave.Fd(), slave.Fd(), slave.Fd()}, fds...)
		sys.Setctty, sys.Ctty = true, 0
		if err := p.wire.send(message{ID: id, Kind: kindTTY}, master); err != nil {
			return err
		}
	}
	p.mu.Lock() // until the child is known, so that reap cannot miss it
	defer p.mu.Unlock()
	pid, err := syscall.ForkExec(exe, r.Args, &syscall.ProcAttr{Dir: dir, Env: r.Env, Files: fds, Sys: sys})
	if err != nil {
		if errors.Is(err, syscall.ENOEXEC) {
			return fmt.Errorf("%s: %w (a program for another architecture, or a script without #!)", exe, err)
		}
		return &fs.PathError{Op: "run", Path: exe, Err: err}
	}
	j := &job{id: id, pid: pid, bound: bounds}
	p.running[pid], p.byID[id] = j, j
	return nil
}

// lookPath finds a program as execvp does, by the command's own PATH.
func lookPath(name, dir string, env []string) (string, error) {
	if strings.Contains(name, "/") {
		return name, nil
	}
	for _, kv := range env {
		list, ok := strings.CutPrefix(kv, "PATH=")
		if !ok {
			continue
		}
		for _, d := range filepath.SplitList(list) {
			file := path.Join(dir, d, name)
			if path.IsAbs(d) {
				file = path.Join(d, name)
			}
			if fi, err := os.Stat(file); err == nil && fi.Mode().IsRegular() && fi.Mode()&0o111 != 0 {
				return file, nil
			}
		}
	}
	return "", fmt.Errorf("%s: no such program in the root: %w", name, syscall.ENOENT)
}
