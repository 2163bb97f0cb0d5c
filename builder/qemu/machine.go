package qemu

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"

	"cloudy/builder/fail"
)

// Machine is a virtual machine that runs.
type Machine struct {
	Forwards []Forward // with the ports that Start chose
	Accel    string    // kvm or tcg

	cancel context.CancelFunc
	out    console
	ended  chan struct{} // closed when QEMU has ended
	err    error         // then
}

// stopDelay is how long QEMU has to end before its output is cut off.
const stopDelay = 5 * time.Second

// Start runs QEMU. The machine ends with the context, at Stop, or by itself;
// Stop must be called in any case.
func Start(ctx context.Context, c Config) (*Machine, error) {
	c, spec, err := c.resolve()
	if err != nil {
		return nil, err
	}
	if _, err := os.Stat(c.Disk); err != nil {
		return nil, fail.Mark(fail.User, fmt.Errorf("boot disk image: %w", err))
	}
	if c.Disk, err = filepath.Abs(c.Disk); err != nil {
		return nil, err
	}
	c.Drives = slices.Clone(c.Drives)
	for i := range c.Drives {
		if c.Drives[i].File, err = filepath.Abs(c.Drives[i].File); err != nil {
			return nil, err
		}
	}
	if c.Run == nil {
		if _, err := exec.LookPath(spec.program); err != nil {
			return nil, fail.WithHint(fail.Host, fmt.Errorf("start the virtual machine: %w", err), fmt.Sprintf("install the package %q", spec.pkg))
		}
		c.Run = onHost
	}
	if c.Accel == "" {
		c.Accel = c.accelerator(ctx)
	}
	dir, err := os.MkdirTemp("", "cloudy-vm-")
	if err != nil {
		return nil, fail.Mark(fail.Host, err)
	}
	args, err := c.arguments(ctx, spec, dir)
	if err != nil {
		os.RemoveAll(dir)
		return nil, err
	}
	ctx, cancel := context.WithCancel(ctx)
	m := &Machine{Forwards: c.Forwards, Accel: c.Accel, cancel: cancel, ended: make(chan struct{})}
	p := Program{
		Args: append([]string{spec.program}, args...), Files: []string{c.Disk, dir},
		Network: len(c.Forwards) > 0, Terminal: c.Terminal,
	}
	for _, d := range c.Drives {
		p.Files = append(p.Files, d.File)
	}
	if c.Accel == "kvm" {
		p.Files = append(p.Files, kvmDevice)
	}
	var stderr tail
	if c.Terminal {
		p.Stdin, p.Stdout, p.Stderr = os.Stdin, os.Stdout, os.Stderr
	} else {
		m.out.log = c.SerialLog
		p.Stdin, p.Stdout, p.Stderr = c.SerialInput, &m.out, &stderr
	}
	go func() {
		m.err = c.Run(ctx, p)
		if text := strings.TrimSpace(string(stderr.b)); m.err != nil && text != "" {
			m.err = &complaint{text, m.err}
		}
		os.RemoveAll(dir)
		close(m.ended)
	}()
	return m, nil
}

// complaint is an error of QEMU in its own words.
type complaint struct {
	text string
	err  error
}

func (c *complaint) Error() string { return c.text }
func (c *complaint) Unwrap() error { return c.err }

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

// LastLines returns the end of what the console said, without control characters.
func (m *Machine) LastLines(n int) string { return m.out.lastLines(n) }

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
