package sandbox

import (
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"os/signal"
	"runtime"
	"runtime/debug"
	"strconv"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"
)

// initFD is where init finds the control socket.
const initFD = 3

// initProc is the first process of a session. It sets the namespaces up, runs
// commands on request, reaps, and when asked to, or when the builder is gone,
// kills everything and cleans up.
type initProc struct {
	setup   setup
	wire    *wire
	proc    *os.Root // /proc as this process sees itself
	mode    Mode
	marks   placeholders
	session []*bound // the session's binds, in order

	offline int         // network namespace without a way out, or -1
	jobs    chan func() // run on the thread that starts ordinary commands

	mu      sync.Mutex
	running map[int]*job // by process id
	byID    map[uint64]*job
}

// job is a command that was started.
type job struct {
	id    uint64
	pid   int
	bound []*bound
}

// initMain is the life of init; it returns the exit status.
func initMain() int {
	// Small and quiet: it does next to nothing most of the time.
	debug.SetGCPercent(50)
	caught := make(chan os.Signal, 16)
	// Caught, not ignored, since what is ignored stays so in the commands.
	// A script that sends signals to process 1 must not end the session.
	signal.Notify(caught)
	conn, err := newWire(os.NewFile(initFD, "control"))
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	p := &initProc{wire: conn, running: map[int]*job{}, byID: map[uint64]*job{}, offline: -1, jobs: make(chan func())}
	m, files, err := conn.recv()
	if err != nil || m.Kind != kindSetup || m.Setup == nil {
		fmt.Fprintln(os.Stderr, "no setup:", err)
		return 1
	}
	p.setup, p.mode = *m.Setup, m.Setup.Mode
	if err := p.setUp(files); err != nil {
		p.cleanUp()
		conn.send(fault(0, err))
		return 1
	}
	if err := conn.send(message{Kind: kindReady}); err != nil {
		p.cleanUp()
		return 1
	}
	go p.reap(caught)
	for {
		m, files, err := conn.recv()
		if err != nil || m.Kind == kindClose {
			// The builder is done, or gone: the same to us.
			p.killAll()
			p.cleanUp()
			if err != nil && !errors.Is(err, io.EOF) {
				return 1
			}
			return 0
		}
		switch m.Kind {
		case kindRun:
			if err := p.run(m.ID, m.Run, files); err != nil {
				conn.send(fault(m.ID, err))
			}
			closeAll(files)
		case kindKill:
			go p.kill(m.ID)
		}
	}
}

// sentinels are the errors that callers may ask for and init may find.
var sentinels = []error{ErrNoOverlay, ErrNoBinfmt}

// fault is the report of err.
func fault(id uint64, err error) message {
	m := message{ID: id, Kind: kindFault, Err: err.Error()}
	for _, is := range sentinels {
		if errors.Is(err, is) {
			m.Is = is.Error()
		}
	}
	var errno syscall.Errno
	if errors.As(err, &errno) {
		m.Errno = int(errno)
	}
	return m
}

// setUp makes the session out of a fresh process in fresh namespaces.
func (p *initProc) setUp(files []*os.File) error {
	defer closeAll(files)
	// What the builder was given by whoever started it is not for the commands.
	if err := unix.CloseRange(3, math.MaxUint32, unix.CLOSE_RANGE_CLOEXEC); err != nil {
		fds, err := os.ReadDir("/proc/self/fd")
		if err != nil {
			return fmt.Errorf("list open files: %w", err)
		}
		for _, e := range fds {
			if fd, err := strconv.Atoi(e.Name()); err == nil && fd > 2 {
				unix.CloseOnExec(fd)
			}
		}
	}
	unix.Umask(0o022)
	if err := limits(); err != nil {
		return err
	}
	if err := syscall.Setgroups(nil); err != nil && p.mode != ModePlain {
		return fmt.Errorf("drop groups: %w", err)
	}
	if err := syscall.Setresgid(0, 0, 0); err != nil {
		return fmt.Errorf("become group root: %w", err)
	}
	binds, err := bindFiles(p.setup.Binds, files)
	if err != nil {
		return err
	}
	enter := p.enterRoot
	if p.mode == ModePlain {
		enter = p.enterPlain
	}
	if err := enter(); err != nil {
		return err
	}
	for _, b := range binds {
		bd, err := p.bind(b)
		if err != nil {
			return err
		}
		bd.mounted = p.mode != ModePlain
		p.session = append(p.session, bd)
	}
	// The thread for ordinary commands: it has the session's network and is
	// limited for good, so that starting a command is a fork and no more.
	ready := make(chan error)
	go func() {
		runtime.LockOSThread()
		err := p.shape(p.setup.Network, "")
		ready <- err
		if err == nil {
			for job := range p.jobs {
				job()
			}
		}
	}()
	return <-ready
}

// limits sets resource limits to what a login on Debian has, whatever the
// builder was started with: some daemons loop over every possible descriptor.
func limits() error {
	var have unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &have); err != nil {
		return fmt.Errorf("read resource limits: %w", err)
	}
	files := syscall.Rlimit{Cur: min(1024, have.Max), Max: min(1<<20, have.Max)}
	// By package syscall, which then knows not to put the old limit back in children.
	if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &files); err != nil {
		return fmt.Errorf("limit open files: %w", err)
	}
	if err := unix.Setrlimit(unix.RLIMIT_CORE, &unix.Rlimit{}); err != nil {
		return fmt.Errorf("limit core files: %w", err)
	}
	return nil
}

// reap collects every process that ended and reports the commands among them.
func (p *initProc) reap(caught <-chan os.Signal) {
	for sig := range caught {
		if sig != unix.SIGCHLD {
			continue
		}
		for p.reapOne(0) {
		}
	}
}

// reapOne collects one process with options for wait4 and says whether there was one.
func (p *initProc) reapOne(options int) bool {
	p.mu.Lock()
	var ws unix.WaitStatus
	var ru unix.Rusage
	pid, err := unix.Wait4(-1, &ws, options|unix.WNOHANG, &ru)
	if err != nil || pid <= 0 {
		p.mu.Unlock()
		return err == unix.EINTR
	}
	j := p.running[pid]
	delete(p.running, pid)
	if j != nil {
		delete(p.byID, j.id)
		p.unbind(j.bound)
	}
	p.mu.Unlock()
	if j != nil {
		p.wire.send(message{ID: j.id, Kind: kindExit, Status: int(ws), Usage: usage{
			User: timevalDuration(ru.Utime), System: timevalDuration(ru.Stime), MaxRSS: int64(ru.Maxrss)}})
	}
	return true
}
