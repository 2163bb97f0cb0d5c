package qemu

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"time"

	"cloudy/builder/fail"
)

// Machine is a virtual machine that runs.
type Machine struct {
	Forwards []Forward // with the ports that Start chose

	cmd    *exec.Cmd
	dir    string
	cancel context.CancelFunc
	out    console
	ended  chan struct{} // closed when QEMU has ended
	err    error         // then
}

// stopDelay is how long QEMU has to end before its output is cut off.
const stopDelay = 5 * time.Second

// Start runs QEMU. The machine ends with the context, at Stop, or by itself;
// Stop must be called in any case.
func Start(ctx context.Context, c Config) (_ *Machine, err error) {
	c, spec, err := c.resolve()
	if err != nil {
		return nil, err
	}
	if _, err := os.Stat(c.Disk); err != nil {
		return nil, fail.Mark(fail.User, fmt.Errorf("boot disk image: %w", err))
	}
	if c.Accel == "" {
		c.Accel = c.accelerator(ctx)
	}
	dir, err := os.MkdirTemp("", "cloudy-vm-")
	if err != nil {
		return nil, fail.Mark(fail.Host, err)
	}
	ctx, cancel := context.WithCancel(ctx)
	m := &Machine{dir: dir, cancel: cancel, ended: make(chan struct{})}
	defer func() {
		if err != nil {
			cancel()
			os.RemoveAll(dir)
		}
	}()
	args, err := c.arguments(ctx, spec, dir)
	if err != nil {
		return nil, err
	}
	m.Forwards = c.Forwards
	m.cmd = c.Command(ctx, spec.program, args...)
	m.cmd.WaitDelay = stopDelay
	if c.Terminal {
		// QEMU leaves the terminal as it found it when it may end in peace;
		// after WaitDelay it is killed.
		m.cmd.Cancel = func() error { return m.cmd.Process.Signal(syscall.SIGTERM) }
	}
	if m.cmd.SysProcAttr == nil {
		// QEMU must not outlive us, however we end.
		m.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	}
	var stderr tail
	if c.Terminal {
		m.cmd.Stdin, m.cmd.Stdout, m.cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	} else {
		m.out.log = c.SerialLog
		m.cmd.Stdin, m.cmd.Stdout, m.cmd.Stderr = c.SerialInput, &m.out, &stderr
	}
	if err := m.cmd.Start(); err != nil {
		err = fmt.Errorf("start the virtual machine: %w", err)
		if errors.Is(err, exec.ErrNotFound) {
			return nil, fail.WithHint(fail.Host, err, fmt.Sprintf("install the package %q", spec.pkg))
		}
		return nil, err
	}
	go func() {
		m.err = m.cmd.Wait()
		if text := strings.TrimSpace(string(stderr.b)); m.err != nil && text != "" {
			m.err = fmt.Errorf("%w: %s", m.err, text)
		}
		os.RemoveAll(dir)
		close(m.ended)
	}()
	return m, nil
}

// WaitFor waits until what the console says after the last match of WaitFor
// matches the pattern (a regular expression), and returns the match. The
// error is ErrEnded, ErrTimeout or the context's, with the console's last lines.
func (m *Machine) WaitFor(ctx context.Context, pattern string, timeout time.Duration) (string, error) {
	re, err := regexp.Compile(pattern)
	if err != nil {
		return "", err
	}
	timer := time.NewTimer(timeout)
	defer timer.Stop()
	for {
		changed := m.out.changed()
		if match, ok := m.out.take(re); ok {
			return match, nil
		}
		select {
		case <-changed:
			continue
		case <-ctx.Done():
			err = ctx.Err()
		case <-timer.C:
			err = ErrTimeout
		case <-m.ended:
			if match, ok := m.out.take(re); ok {
				return match, nil
			}
			if err = ErrEnded; m.err != nil {
				err = fmt.Errorf("%w: %w", ErrEnded, m.err)
			}
		}
		return "", fmt.Errorf("waiting for %q on the console: %w\n%s", pattern, err, m.out.lastLines(15))
	}
}

// Wait waits until the machine ends by itself, for a guest that powers off.
func (m *Machine) Wait(ctx context.Context) error {
	select {
	case <-m.ended:
		return m.err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Stop ends the machine without asking the guest, and waits until it is gone.
func (m *Machine) Stop() {
	m.cancel()
	<-m.ended
}

// keep is how much of the console is kept for matching and for errors, in bytes.
const keep = 1 << 18

// console collects what the serial line says.
type console struct {
	log io.Writer

	mu     sync.Mutex
	buf    []byte
	taken  int // what WaitFor has used up
	signal chan struct{}
}

func (c *console) Write(p []byte) (int, error) {
	if c.log != nil {
		// A log that fails is no reason to end the machine.
		_, _ = c.log.Write(p)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.buf = append(c.buf, p...)
	if over := len(c.buf) - keep; over > keep {
		c.buf = append([]byte(nil), c.buf[over:]...)
		c.taken = max(0, c.taken-over)
	}
	if c.signal != nil {
		close(c.signal)
		c.signal = nil
	}
	return len(p), nil
}

// changed is closed at the next write.
func (c *console) changed() <-chan struct{} {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.signal == nil {
		c.signal = make(chan struct{})
	}
	return c.signal
}

func (c *console) take(re *regexp.Regexp) (string, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	at := re.FindIndex(c.buf[c.taken:])
	if at == nil {
		return "", false
	}
	match := string(c.buf[c.taken+at[0] : c.taken+at[1]])
	c.taken += at[1]
	return match, true
}

// lastLines returns the end of the console, without control characters.
func (c *console) lastLines(n int) string {
	c.mu.Lock()
	defer c.mu.Unlock()
	text := bytes.Map(func(r rune) rune {
		if r < ' ' && r != '\n' && r != '\t' {
			return -1
		}
		return r
	}, c.buf)
	lines := strings.Split(strings.TrimSpace(string(text)), "\n")
	return strings.Join(lines[max(0, len(lines)-n):], "\n")
}

// tail keeps the last bytes that are written to it.
type tail struct{ b []byte }

func (t *tail) Write(p []byte) (int, error) {
	t.b = append(t.b, p...)
	t.b = t.b[max(0, len(t.b)-4096):]
	return len(p), nil
}
