package tinc

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"cloudy/firstboot/durable"
)

// Watched is a supervisor for a daemon that is not root: systemd runs tincd,
// as the same user, and needs not be asked. A path unit starts it as soon as
// there is a tinc.conf, Restart=always brings it back, and without a tinc.conf
// it stays away. What is left are signals.
type Watched struct {
	Network Network // Dir is used
	PIDFile string  // that tincd writes
}

// pid returns tincd's process, or 0.
func (w Watched) pid() int {
	data, err := os.ReadFile(w.PIDFile)
	if err != nil {
		return 0
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(data)))
	if err != nil || pid < 2 {
		return 0
	}
	// The file of one that was killed stays; its number may be another's.
	line, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
	if err != nil || !strings.Contains(filepath.Base(strings.Split(string(line), "\x00")[0]), "tincd") {
		return 0
	}
	return pid
}

// startLimit is how long systemd may take to start tincd again.
const startLimit = 15 * time.Second

// Ensure waits until systemd has started tincd.
func (w Watched) Ensure(ctx context.Context) error { return w.wait(ctx, 0) }

// wait returns when there is a tincd that is not the old one.
func (w Watched) wait(ctx context.Context, old int) error {
	for deadline := time.Now().Add(startLimit); ; {
		if pid := w.pid(); pid != 0 && pid != old {
			return nil
		}
		if time.Now().After(deadline) {
			return errors.New("tincd is not started: look at cloudy-mesh.path and cloudy-mesh.service")
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(100 * time.Millisecond):
		}
	}
}

// Restart ends tincd and waits for the next one.
func (w Watched) Restart(ctx context.Context) error {
	pid := w.pid()
	if pid != 0 {
		if err := syscall.Kill(pid, syscall.SIGTERM); err != nil && !errors.Is(err, syscall.ESRCH) {
			return fmt.Errorf("end tincd: %w", err)
		}
	}
	return w.wait(ctx, pid)
}

// Reload sends SIGHUP.
func (w Watched) Reload(context.Context) error {
	pid := w.pid()
	if pid == 0 {
		return nil // it will read everything when it starts
	}
	if err := syscall.Kill(pid, syscall.SIGHUP); err != nil && !errors.Is(err, syscall.ESRCH) {
		return fmt.Errorf("reload tincd: %w", err)
	}
	return nil
}

// Stop takes tinc.conf away and ends tincd.
func (w Watched) Stop(ctx context.Context) error {
	if err := durable.Remove(filepath.Join(w.Network.Dir, "tinc.conf")); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	for i := 0; ; i++ {
		pid := w.pid()
		if pid == 0 {
			return nil
		}
		sig := syscall.SIGTERM
		if i >= 50 {
			sig = syscall.SIGKILL
		}
		if err := syscall.Kill(pid, sig); err != nil && !errors.Is(err, syscall.ESRCH) {
			return fmt.Errorf("end tincd: %w", err)
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(100 * time.Millisecond):
		}
	}
}
