package rootfs

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"time"

	"cloudy/builder/fail"
	"cloudy/builder/progress"
	"cloudy/builder/sandbox"
)

// policyRC keeps invoke-rc.d from starting daemons in a build (its exit
// status 101 means "action forbidden by policy", see
// /usr/share/doc/init-system-helpers/README.policy-rc.d.gz).
const policyRC = "#!/bin/sh\nexit 101\n"

// ScriptEnv is the whole environment of maintainer scripts. Nothing of the
// caller leaks in: a TMPDIR from outside breaks postinsts of base-passwd,
// ca-certificates and openssh-server.
func ScriptEnv(epoch time.Time) []string {
	return []string{
		"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
		"HOME=/root", "TERM=dumb", "LC_ALL=C.UTF-8", "LANGUAGE=C",
		"DEBIAN_FRONTEND=noninteractive", "DEBCONF_NONINTERACTIVE_SEEN=true",
		"SYSTEMD_OFFLINE=1",
		epochEnv(epoch),
	}
}

// scriptRunner runs maintainer scripts and dpkg inside the root.
type scriptRunner struct {
	sandbox *sandbox.Sandbox
	root    string
	epoch   time.Time
	timeout time.Duration
	log     func(string)

	interpreters []sandbox.Interpreter

	mu      sync.Mutex
	session *sandbox.Session
}

// open returns the running session, starting one if there is none.
func (r *scriptRunner) open(ctx context.Context) (*sandbox.Session, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.session != nil {
		return r.session, nil
	}
	s, err := r.sandbox.Open(ctx, sandbox.Root{Dir: r.root}, sandbox.Options{
		Hostname: "localhost", Interpreters: r.interpreters,
		Binds: []sandbox.Bind{
			{Target: "/usr/sbin/policy-rc.d", Data: []byte(policyRC), Mode: 0o755},
			{Target: "/etc/resolv.conf", Data: []byte("# no network while building\n"), Mode: 0o644},
			// u-boot-menu's script reads it; an installer has written it by then.
			{Target: "/etc/fstab", Data: []byte("# UNCONFIGURED FSTAB FOR BASE SYSTEM\n"), Mode: 0o644},
		},
	})
	if err != nil {
		return nil, err
	}
	r.session = s
	return s, nil
}

// close ends the session.
func (r *scriptRunner) close() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.session == nil {
		return nil
	}
	s := r.session
	r.session = nil
	return s.Close()
}

// command is one program to run in the root.
type command struct {
	what  string // for messages: "preinst of squid"
	args  []string
	env   []string // besides ScriptEnv
	stdin io.Reader
	step  *progress.Step
	files []*os.File // inherited from descriptor 3 on
	binds []sandbox.Bind
}

// keptLines is how much of a script's output an error shows.
const keptLines = 40

// run runs c and returns an error that holds the end of its output.
func (r *scriptRunner) run(ctx context.Context, c command) error {
	s, err := r.open(ctx)
	if err != nil {
		return err
	}
	return emulated(r.interpreters, runLogged(ctx, s, c.step, c.what, sandbox.Command{
		Args: c.args, Env: append(ScriptEnv(r.epoch), c.env...), Dir: "/",
		Stdin: c.stdin, Timeout: r.timeout, ExtraFiles: c.files, Binds: c.binds,
	}, r.log))
}

// RunLogged runs a command of a recipe in a session: its output goes line by
// line to the step and to log, and its end is in the error.
func RunLogged(ctx context.Context, s *sandbox.Session, step *progress.Step, what string, args, env []string, timeout time.Duration, log func(string)) error {
	return emulated(s.Interpreters(), runLogged(ctx, s, step, what, sandbox.Command{Args: args, Env: env, Dir: "/", Timeout: timeout}, log))
}

func runLogged(ctx context.Context, s *sandbox.Session, step *progress.Step, what string, c sandbox.Command, log func(string)) error {
	out := &lineWriter{line: func(line string) {
		if log != nil {
			log(line)
		}
		if step != nil {
			step.Log(line)
		}
	}}
	c.Stdout, c.Stderr = out, out
	err := s.Run(ctx, c)
	out.flush()
	if err == nil {
		return nil
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return fail.Mark(fail.Build, &ScriptError{What: what, Output: out.tail(), Err: err})
}

// ScriptError is a program inside the root that failed.
type ScriptError struct {
	What   string   // which script of which package
	Output []string // the last lines that it printed
	Err    error

	// Why is what is known better than by the exit status, for programs that
	// run others.
	Why string

	// Emulated is the architecture of a program that crashed in the emulator.
	Emulated string
}

func (e *ScriptError) Error() string {
	msg := e.What + ": " + e.why()
	if e.Emulated != "" {
		msg = fmt.Sprintf("%s: a program of %s crashed under emulation by qemu-user (%s)", e.What, e.Emulated, e.why())
	}
	if len(e.Output) > 0 {
		msg += "\n| " + strings.Join(e.Output, "\n| ")
	}
	return msg
}

// why leaves out what What and Output say already: the command line, which is
// long where dpkg configures many packages, and the last line of output.
func (e *ScriptError) why() string {
	var exit *sandbox.ExitError
	switch {
	case e.Why != "":
		return e.Why
	case errors.As(e.Err, &exit):
		return exit.How()
	}
	return e.Err.Error()
}

// Unwrap returns the sandbox's error.
func (e *ScriptError) Unwrap() error { return e.Err }

// preinst runs a package's preinst as dpkg does for a first install: from
// tmp.ci, where debconf looks for the package's templates.
func (in *installer) preinst(ctx context.Context, j *job) error {
	script, ok := j.staged.control["preinst"]
	if !ok {
		return nil
	}
	const dir = adminDir + "/tmp.ci"
	if err := in.db.root.RemoveAll(dir); err != nil {
		return err
	}
	if err := in.db.root.mkdirAll(dir); err != nil {
		return err
	}
	defer in.db.root.RemoveAll(dir)
	for name, f := range j.staged.control {
		mode := os.FileMode(0o644)
		if f.Mode&0o111 != 0 {
			mode = 0o755
		}
		if err := in.db.root.write(dir+"/"+name, f.Data, mode); err != nil {
			return err
		}
	}
	if len(script.Data) == 0 {
		return nil
	}
	return in.runner.run(ctx, command{
		what: "preinst of " + j.Name,
		args: []string{"/" + adminDir + "/tmp.ci/preinst", "install"},
		env: []string{
			"DPKG_MAINTSCRIPT_PACKAGE=" + j.Name, "DPKG_MAINTSCRIPT_PACKAGE_REFCOUNT=1",
			"DPKG_MAINTSCRIPT_ARCH=" + j.staged.arch, "DPKG_MAINTSCRIPT_NAME=preinst",
			"DPKG_MAINTSCRIPT_DEBUG=0", "DPKG_ROOT=", "DPKG_ADMINDIR=/" + adminDir,
		},
	})
}

// preseed gives debconf the answers of the recipe before any script asks.
func (in *installer) preseed(ctx context.Context) error {
	if len(in.Debconf) == 0 {
		return nil
	}
	var b bytes.Buffer
	for _, d := range in.Debconf {
		fmt.Fprintf(&b, "%s %s %s %s\n", d.Package, d.Question, d.Type, d.Value)
	}
	return in.runner.run(ctx, command{what: "debconf-set-selections", args: []string{"debconf-set-selections"}, stdin: &b})
}

// lineWriter cuts a stream into lines and keeps the last ones.
type lineWriter struct {
	line func(string)
	mu   sync.Mutex
	part []byte
	kept []string
}

func (w *lineWriter) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.part = append(w.part, p...)
	for {
		i := bytes.IndexByte(w.part, '\n')
		if i < 0 {
			return len(p), nil
		}
		w.emit(string(w.part[:i]))
		w.part = w.part[i+1:]
	}
}

func (w *lineWriter) emit(line string) {
	line = strings.TrimRight(line, "\r")
	if len(w.kept) >= keptLines {
		w.kept = w.kept[1:]
	}
	w.kept = append(w.kept, line)
	w.line(line)
}

func (w *lineWriter) flush() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.part) > 0 {
		w.emit(string(w.part))
		w.part = nil
	}
}

func (w *lineWriter) tail() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.kept
}
