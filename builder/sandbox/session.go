package sandbox

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"cloudy/builder/fail"

	"golang.org/x/sys/unix"
)

// ErrClosed is returned by Run when the session is closed or its init has gone.
var ErrClosed = errors.New("the session is closed")

// Session is one set of namespaces over one root in which commands run. Its
// methods may be called from many goroutines; commands run side by side.
type Session struct {
	mode   Mode
	env    []string
	inter  []Interpreter
	work   string
	wire   *wire
	cmd    *exec.Cmd
	stderr bytes.Buffer
	stop   func() bool  // ends the watch on Open's context
	cause  func() error // why that context ended, or nil
	gone   chan struct{}

	mu    sync.Mutex
	next  uint64
	calls map[uint64]chan report
	once  sync.Once
	err   error // of Close
}

// report is a message about one command, with the file that came along.
type report struct {
	message
	file *os.File
}

// closeGrace is how long init may take to kill everything and clean up.
const closeGrace = 10 * time.Second

// Open starts a session. When ctx ends, all that runs in it is killed. The
// session must be closed.
func (s *Sandbox) Open(ctx context.Context, root Root, o Options) (*Session, error) {
	sess, err := s.open(ctx, root, o)
	if err != nil {
		return nil, fmt.Errorf("open a sandbox: %w", err)
	}
	return sess, nil
}

func (s *Sandbox) open(ctx context.Context, root Root, o Options) (*Session, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	root, err := root.check()
	if err != nil {
		return nil, err
	}
	if err := clearWork(root.Work); err != nil {
		return nil, err
	}
	specs, files, err := bindSources(s.mode, o.Binds)
	defer func() { closeAll(files) }()
	if err != nil {
		return nil, err
	}
	o.Interpreters = append([]Interpreter(nil), o.Interpreters...)
	for i := range o.Interpreters {
		p := &o.Interpreters[i].Path
		if *p, err = filepath.Abs(*p); err != nil {
			return nil, err
		}
	}
	sess := &Session{mode: s.mode, env: o.Env, inter: o.Interpreters, work: root.Work, gone: make(chan struct{}), calls: map[uint64]chan report{}}
	if err := checkInterpreters(s.mode, o.Interpreters); err != nil {
		return nil, err
	}
	if err := sess.launch(len(o.Interpreters) > 0); err != nil {
		return nil, err
	}
	err = sess.wire.send(message{Kind: kindSetup, Setup: &setup{
		Mode: s.mode, Dir: root.Dir, Layers: root.Layers, Upper: root.Upper, Work: root.Work,
		Network: o.Network, Hostname: o.Hostname, Privileged: o.Privileged, Sync: o.Sync, Binds: specs,
		Interpreters: o.Interpreters,
	}}, files...)
	var m message
	if err == nil {
		m, _, err = sess.wire.recv()
	}
	if err == nil && m.Kind != kindReady {
		err = m.fault()
	}
	if err != nil {
		sess.wire.close()
		sess.cmd.Wait()
		if text := strings.TrimSpace(sess.stderr.String()); text != "" {
			err = fmt.Errorf("%w (%s)", err, text)
		}
		return nil, err
	}
	go sess.receive()
	sess.cause = func() error { return context.Cause(ctx) }
	sess.stop = context.AfterFunc(ctx, func() { sess.end() })
	return sess, nil
}

// Interpreters are those of the session's options.
func (s *Session) Interpreters() []Interpreter { return s.inter }

// launch starts init in new namespaces, among them a user namespace on demand.
func (s *Session) launch(userNS bool) error {
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	theirs := os.NewFile(uintptr(pair[1]), "control")
	defer theirs.Close()
	if s.wire, err = newWire(os.NewFile(uintptr(pair[0]), "control")); err != nil {
		return err
	}
	flags := uintptr(unix.CLONE_NEWNS | unix.CLONE_NEWPID | unix.CLONE_NEWIPC | unix.CLONE_NEWUTS | unix.CLONE_NEWCGROUP)
	if s.mode == ModePlain {
		flags = 0
	}
	for {
		s.cmd = &exec.Cmd{
			Path: "/proc/self/exe", Args: []string{stageInit}, Env: []string{}, Dir: "/",
			ExtraFiles: []*os.File{theirs}, Stderr: &s.stderr,
			// A terminal's Ctrl-C is the builder's to handle.
			SysProcAttr: &syscall.SysProcAttr{Cloneflags: flags, Setsid: true},
		}
		if userNS {
			if err := ownUserNS(s.cmd.SysProcAttr); err != nil {
				return err
			}
		}
		err := s.cmd.Start()
		if errors.Is(err, unix.EINVAL) && flags&unix.CLONE_NEWCGROUP != 0 { // a kernel without cgroups
			flags &^= unix.CLONE_NEWCGROUP
			continue
		}
		if err != nil {
			s.wire.close()
			if errors.Is(err, unix.EPERM) {
				err = fail.WithHint(fail.Host, err, "Making namespaces was refused. `cloudy doctor` says what this machine lacks.")
			}
			return fmt.Errorf("make namespaces: %w", err)
		}
		return nil
	}
}

// fault turns a report of failure into an error.
func (m message) fault() error {
	e := &remoteError{text: m.Err}
	if m.Errno != 0 {
		e.causes = append(e.causes, syscall.Errno(m.Errno))
	}
	for _, is := range sentinels {
		if m.Is == is.Error() {
			e.causes = append(e.causes, is)
		}
	}
	return e
}

// remoteError is an error of init's, with what callers may ask about.
type remoteError struct {
	text   string
	causes []error
}

func (e *remoteError) Error() string   { return e.text }
func (e *remoteError) Unwrap() []error { return e.causes }

// receive hands init's reports to the calls they belong to.
func (s *Session) receive() {
	for {
		m, files, err := s.wire.recv()
		if err != nil {
			break
		}
		s.mu.Lock()
		c := s.calls[m.ID]
		s.mu.Unlock()
		if c == nil || len(files) > 1 {
			closeAll(files)
			continue
		}
		r := report{message: m}
		if len(files) == 1 {
			r.file = files[0]
		}
		c <- r
	}
	close(s.gone)
}

// Close kills whatever still runs in the session, takes back what was put
// into the tree and ends the session. It may be called again.
func (s *Session) Close() error {
	s.stop()
	return s.end()
}

func (s *Session) end() error {
	s.once.Do(func() {
		s.wire.send(message{Kind: kindClose}) // when it fails init is gone, or will see the end of the socket
		kill := time.AfterFunc(closeGrace, func() { s.cmd.Process.Kill() })
		s.err = s.cmd.Wait()
		kill.Stop()
		<-s.gone
		s.wire.close()
		if err := clearWork(s.work); s.err == nil {
			s.err = err
		}
		if s.err != nil {
			s.err = fmt.Errorf("close the sandbox: %w", s.err)
			if text := strings.TrimSpace(s.stderr.String()); text != "" {
				s.err = fmt.Errorf("%w (%s)", s.err, text)
			}
		}
	})
	return s.err
}

// Run opens a session for a single command.
func (s *Sandbox) Run(ctx context.Context, root Root, c Command) error {
	sess, err := s.Open(ctx, root, Options{Network: c.Network, Hostname: c.Hostname, Binds: c.Binds})
	if err != nil {
		return err
	}
	c.Network, c.Hostname, c.Binds = false, "", nil
	err = sess.Run(ctx, c)
	if cerr := sess.Close(); err == nil {
		err = cerr
	}
	return err
}

// bindSources opens what binds show. The files are the caller's to close, also with an error.
func bindSources(mode Mode, binds []Bind) ([]bindSpec, []*os.File, error) {
	var specs []bindSpec
	var files []*os.File
	for _, b := range binds {
		spec := bindSpec{File: b.Source != "", Data: b.Data, Mode: uint32(b.Mode.Perm()), Target: b.Target, ReadOnly: b.ReadOnly}
		if spec.File {
			fd, err := 0, error(nil)
			if mode == ModePlain {
				fd, err = unix.Open(b.Source, unix.O_RDONLY|unix.O_CLOEXEC, 0)
			} else {
				fd, err = cloneTree(b.Source, false)
				if err == unix.EINVAL { // mounts below it that may not be looked under
					fd, err = cloneTree(b.Source, true)
				}
			}
			if err != nil {
				return specs, files, &os.PathError{Op: "bind", Path: b.Source, Err: err}
			}
			files = append(files, os.NewFile(uintptr(fd), b.Source))
		}
		specs = append(specs, spec)
	}
	return specs, files, nil
}
