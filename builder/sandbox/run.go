package sandbox

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"syscall"
	"time"

	"cloudy/builder/fail"
)

// Usage is what a command and the children that it waited for consumed.
type Usage struct {
	User, System time.Duration
	MaxRSS       int64 // bytes, of the largest process
}

// drainGrace is how long output is waited for after the command has ended. It
// has no more to say by then; only a child that it left behind can keep the
// pipe open.
const drainGrace = 200 * time.Millisecond

// outputLines is how many of the last lines an error keeps.
const outputLines = 40

// Run runs a command to its end. Errors: *ExitError (fail.Build) when it
// failed, *TimeoutError (fail.Build) when it took too long, the context's
// cause when that ended first, ErrClosed. In the last three cases it was
// killed with all that it started.
func (s *Session) Run(ctx context.Context, c Command) error {
	_, err := s.RunUsage(ctx, c)
	return err
}

// RunUsage is Run, and says what the command consumed.
func (s *Session) RunUsage(ctx context.Context, c Command) (Usage, error) {
	if err := ctx.Err(); err != nil {
		return Usage{}, context.Cause(ctx)
	}
	if len(c.Args) == 0 {
		return Usage{}, errors.New("no program given")
	}
	x := &execution{tail: &tail{}}
	defer x.close()
	req := &runRequest{Args: c.Args, Env: mergeEnv(s.env, c.Env), Dir: c.Dir, Network: c.Network, Hostname: c.Hostname}
	var files []*os.File
	tty := c.TTY && s.mode != ModePlain // without devpts the caller's terminal must do
	if tty {
		req.TTY = true
		req.Rows, req.Cols = windowSize(c.Stdin)
		req.Env = mergeEnv(s.env, []string{"TERM=" + terminalType()}, c.Env)
		files = append(files, c.ExtraFiles...)
	} else {
		stdio, err := x.stdio(c)
		if err != nil {
			return Usage{}, err
		}
		files = append(stdio, c.ExtraFiles...)
	}
	req.Stdio = len(files)
	specs, sources, err := bindSources(s.mode, c.Binds)
	defer closeAll(sources)
	if err != nil {
		return Usage{}, err
	}
	req.Binds = specs

	call := make(chan report, 4)
	s.mu.Lock()
	s.next++
	id := s.next
	s.calls[id] = call
	s.mu.Unlock()
	defer func() {
		s.mu.Lock()
		delete(s.calls, id)
		s.mu.Unlock()
	}()
	if err := s.wire.send(message{ID: id, Kind: kindRun, Run: req}, append(files, sources...)...); err != nil {
		return Usage{}, fmt.Errorf("%s: %w", c.Args[0], s.whyGone(ctx))
	}
	x.started()
	return s.await(ctx, id, call, c, x)
}

// await follows a command to its end.
func (s *Session) await(ctx context.Context, id uint64, call chan report, c Command, x *execution) (Usage, error) {
	var timeout <-chan time.Time
	if c.Timeout > 0 {
		t := time.NewTimer(c.Timeout)
		defer t.Stop()
		timeout = t.C
	}
	done := ctx.Done()
	timedOut := false
	for {
		select {
		case <-done:
			s.wire.send(message{ID: id, Kind: kindKill})
			done, timeout = nil, nil
		case <-timeout:
			s.wire.send(message{ID: id, Kind: kindKill})
			timedOut, timeout = true, nil
		case <-s.gone:
			return Usage{}, fmt.Errorf("%s: %w", c.Args[0], s.whyGone(ctx))
		case r := <-call:
			switch r.Kind {
			case kindTTY:
				x.connect(r.file, c)
				continue
			case kindFault:
				return Usage{}, fail.Mark(fail.Build, r.fault())
			}
			err := x.drain()
			u := Usage{r.Usage.User, r.Usage.System, r.Usage.MaxRSS << 10}
			out := x.tail.lines(outputLines)
			ws := syscall.WaitStatus(r.Status)
			switch {
			case timedOut:
				return u, fail.Mark(fail.Build, &TimeoutError{c.Args, c.Timeout, out})
			case ctx.Err() != nil && ws.Signaled():
				return u, context.Cause(ctx)
			case ws.Signaled():
				return u, fail.Mark(fail.Build, &ExitError{c.Args, -1, ws.Signal(), out})
			case ws.ExitStatus() != 0:
				return u, fail.Mark(fail.Build, &ExitError{c.Args, ws.ExitStatus(), 0, out})
			}
			return u, err
		}
	}
}

// whyGone is the reason why the session does not answer.
func (s *Session) whyGone(ctx context.Context) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if err := s.cause(); err != nil {
		return err
	}
	return ErrClosed
}

// execution is the builder's side of a command's input and output.
type execution struct {
	tail    *tail
	theirs  []*os.File // to be closed once they were sent
	ours    []*os.File // ends of pipes, to be closed at the end
	readers []*os.File
	copies  sync.WaitGroup
	mu      sync.Mutex
	err     error // the first of a caller's Writer
	restore func()
}

// stdio makes the files for 0, 1 and 2.
func (x *execution) stdio(c Command) ([]*os.File, error) {
	in, err := x.input(c.Stdin)
	if err != nil {
		return nil, err
	}
	out, err := x.output(c.Stdout)
	if err != nil {
		return nil, err
	}
	if same(c.Stdout, c.Stderr) {
		return []*os.File{in, out, out}, nil
	}
	errs, err := x.output(c.Stderr)
	return []*os.File{in, out, errs}, err
}

// same says whether two writers are equal; writers of types that cannot be compared are not.
func same(a, b io.Writer) bool {
	defer func() { _ = recover() }()
	return a == b
}

func (x *execution) input(r io.Reader) (*os.File, error) {
	switch r := r.(type) {
	case nil:
		f, err := os.Open(os.DevNull)
		if err == nil {
			x.theirs = append(x.theirs, f)
		}
		return f, err
	case *os.File:
		return r, nil
	}
	pr, pw, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	x.theirs = append(x.theirs, pr)
	go func() { // not waited for: the reader may never return
		io.Copy(pw, r)
		pw.Close()
	}()
	return pr, nil
}

func (x *execution) output(w io.Writer) (*os.File, error) {
	if f, ok := w.(*os.File); ok {
		return f, nil
	}
	pr, pw, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	x.theirs = append(x.theirs, pw)
	x.ours = append(x.ours, pr)
	x.copy(w, pr)
	return pw, nil
}

// copy carries output to w and the tail.
func (x *execution) copy(w io.Writer, r *os.File) {
	x.readers = append(x.readers, r)
	x.copies.Go(func() {
		buf := make([]byte, 32<<10)
		for {
			n, err := r.Read(buf)
			if n > 0 {
				x.tail.Write(buf[:n])
				if w != nil {
					if _, err := w.Write(buf[:n]); err != nil {
						x.mu.Lock()
						if x.err == nil {
							x.err = fmt.Errorf("write output: %w", err)
						}
						x.mu.Unlock()
						w = nil // the command goes on
					}
				}
			}
			if err != nil {
				return
			}
		}
	})
}

// started closes what the command has now.
func (x *execution) started() {
	closeAll(x.theirs)
	x.theirs = nil
}

// drain waits for the rest of the output.
func (x *execution) drain() error {
	for _, r := range x.readers {
		r.SetReadDeadline(time.Now().Add(drainGrace))
	}
	x.copies.Wait()
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.err
}

func (x *execution) close() {
	x.started()
	closeAll(x.ours)
	if x.restore != nil {
		x.restore()
	}
}
