package tinc

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

// Supervisor runs tincd.
type Supervisor interface {
	// Ensure makes sure that tincd runs; idempotent.
	Ensure(ctx context.Context) error
	// Restart ends it, if it runs, and starts it.
	Restart(ctx context.Context) error
	// Reload makes it read its configuration again (SIGHUP).
	Reload(ctx context.Context) error
	// Stop ends it, and keeps it from coming back.
	Stop(ctx context.Context) error
}

// Systemd is a supervisor for nodes: a unit that is kept enabled, so that
// the mesh is up after a reboot whatever becomes of the agent.
type Systemd struct{ Unit string }

func (s Systemd) run(ctx context.Context, args ...string) error {
	out, err := exec.CommandContext(ctx, "systemctl", append(args, s.Unit)...).CombinedOutput()
	if err != nil {
		return fmt.Errorf("systemctl %s %s: %w: %s", strings.Join(args, " "), s.Unit, err, strings.TrimSpace(string(out)))
	}
	return nil
}

// Ensure enables and starts the unit.
func (s Systemd) Ensure(ctx context.Context) error { return s.run(ctx, "enable", "--now", "--quiet") }

// Restart restarts the unit.
func (s Systemd) Restart(ctx context.Context) error {
	if err := s.run(ctx, "enable", "--quiet"); err != nil {
		return err
	}
	return s.run(ctx, "restart")
}

// Reload reloads the unit.
func (s Systemd) Reload(ctx context.Context) error { return s.run(ctx, "reload-or-restart") }

// Stop stops and disables the unit.
func (s Systemd) Stop(ctx context.Context) error { return s.run(ctx, "disable", "--now", "--quiet") }

// Exec is a supervisor for where there is no systemd: tincd is a child of
// the agent and started again when it ends. It ends with the agent.
type Exec struct {
	Network Network // Dir, RunDir and Interface are used
	Log     *slog.Logger

	mu   sync.Mutex
	cmd  *exec.Cmd
	done chan struct{} // closed when cmd has ended
	stop bool
}

func (e *Exec) pidFile() string { return filepath.Join(e.Network.RunDir, "tincd.pid") }

// Ensure starts tincd unless it runs. One that an earlier agent left behind
// is ended first: its output and its end would go unseen.
func (e *Exec) Ensure(ctx context.Context) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.stop = false
	if e.cmd != nil {
		return nil
	}
	return e.start(ctx)
}

func (e *Exec) start(ctx context.Context) error {
	if err := e.endStray(ctx); err != nil {
		return err
	}
	if err := os.MkdirAll(e.Network.RunDir, 0o755); err != nil {
		return err
	}
	e.Network.ForgetReachable()
	log, err := os.OpenFile(filepath.Join(e.Network.RunDir, "tincd.log"), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o640)
	if err != nil {
		return err
	}
	defer log.Close()
	cmd := exec.Command("tincd", "-c", e.Network.Dir, "--pidfile="+e.pidFile(), "-D", "-d1")
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("start tincd: %w", err)
	}
	done := make(chan struct{})
	e.cmd, e.done = cmd, done
	go func() {
		err := cmd.Wait()
		e.mu.Lock()
		defer e.mu.Unlock()
		close(done)
		e.cmd = nil
		if e.stop {
			return
		}
		e.Log.Warn("tincd ended, starting it again", "error", err)
		time.AfterFunc(time.Second, func() {
			e.mu.Lock()
			defer e.mu.Unlock()
			if e.cmd == nil && !e.stop {
				if err := e.start(context.Background()); err != nil {
					e.Log.Error("tincd does not start", "error", err)
				}
			}
		})
	}()
	return nil
}

// endStray ends a tincd of this network that is nobody's child.
func (e *Exec) endStray(ctx context.Context) error {
	data, err := os.ReadFile(e.pidFile())
	if err != nil {
		return nil
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(data)))
	if err != nil || pid < 2 {
		return nil
	}
	ours := func() bool {
		line, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
		return err == nil && strings.Contains(string(line), "tincd\x00-c\x00"+e.Network.Dir+"\x00")
	}
	for i := 0; ours(); i++ {
		sig := syscall.SIGTERM
		if i >= 20 {
			sig = syscall.SIGKILL
		}
		if err := syscall.Kill(pid, sig); err != nil && !errors.Is(err, syscall.ESRCH) {
			return fmt.Errorf("end tincd %d: %w", pid, err)
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(100 * time.Millisecond):
		}
	}
	return os.Remove(e.pidFile())
}

// Restart ends tincd and starts it.
func (e *Exec) Restart(ctx context.Context) error {
	if err := e.Stop(ctx); err != nil {
		return err
	}
	return e.Ensure(ctx)
}

// Reload sends SIGHUP.
func (e *Exec) Reload(context.Context) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.cmd == nil {
		return nil // it will read everything when it starts
	}
	return e.cmd.Process.Signal(syscall.SIGHUP)
}

// Stop ends tincd.
func (e *Exec) Stop(ctx context.Context) error {
	e.mu.Lock()
	e.stop = true
	cmd, done := e.cmd, e.done
	e.mu.Unlock()
	if cmd == nil {
		return e.endStray(ctx)
	}
	cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-done:
	case <-time.After(3 * time.Second):
		cmd.Process.Kill()
		<-done
	}
	return nil
}
