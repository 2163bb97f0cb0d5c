package sandbox

import (
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"syscall"
	"time"
)

// Command is one program to run in a session.
type Command struct {
	// Args is the program and its arguments. A name without a slash is looked
	// up in the command's PATH inside the root.
	Args []string
	// Env is added to the environment of DefaultEnv, as "NAME=value"; a later
	// one wins, and "NAME" without "=" removes the variable. Nothing of the
	// caller's environment gets in by itself.
	Env []string
	// Dir is the working directory inside the root, "/" when empty.
	Dir string

	// Stdin is empty input when nil. An *os.File is handed over as it is.
	Stdin io.Reader
	// Stdout and Stderr get the output. When they are nil it is only kept for
	// the error. When they are equal, one pipe carries both and the order is
	// kept. An *os.File is handed over as it is, and nothing is kept.
	Stdout, Stderr io.Writer
	// ExtraFiles become the descriptors 3 and up.
	ExtraFiles []*os.File

	// Binds are for this command alone; other commands of the session do not
	// see them (except that a missing target exists meanwhile, empty).
	Binds []Bind
	// Network gives the host's network to a command of an offline session.
	Network bool
	// Hostname is that of the session when empty.
	Hostname string

	// Timeout ends the command and all that it started; 0 is no limit.
	Timeout time.Duration
	// TTY gives the command a terminal of its own, which is connected to Stdin
	// and Stdout. When Stdin is a terminal it is put into raw mode meanwhile.
	TTY bool
}

// Bind shows a file or directory of the host, or given content, at a path
// inside the root, without writing to the tree. Symbolic links in Target are
// followed inside the root. A target that does not exist is made for the
// time being, with the directories on the way.
type Bind struct {
	Source   string      // a path on the host, or empty for Data
	Data     []byte      // the content of a file owned by root
	Mode     os.FileMode // permissions of Data's file; 0644 when 0
	Target   string      // absolute path inside the root
	ReadOnly bool
}

// DefaultEnv is the environment of every command: the path of a Debian root
// shell, root's home, and a locale that exists in every root.
func DefaultEnv() []string {
	return []string{
		"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
		"HOME=/root",
		"LC_ALL=C.UTF-8",
		"TERM=dumb",
	}
}

// mergeEnv lays add over DefaultEnv.
func mergeEnv(add ...[]string) []string {
	env := DefaultEnv()
	for _, list := range add {
		for _, kv := range list {
			name, _, set := strings.Cut(kv, "=")
			i := 0
			for i < len(env) && !strings.HasPrefix(env[i], name+"=") {
				i++
			}
			switch {
			case i < len(env) && set:
				env[i] = kv
			case i < len(env):
				env = append(env[:i], env[i+1:]...)
			case set:
				env = append(env, kv)
			}
		}
	}
	return env
}

// ExitError says that a command ran and failed.
type ExitError struct {
	Args   []string
	Code   int            // exit status; -1 when a signal ended it
	Signal syscall.Signal // 0 when it exited by itself
	Output string         // the last lines that it printed, as far as they went through us
}

func (e *ExitError) Error() string {
	return withOutput(fmt.Sprintf("%s: %s", strings.Join(e.Args, " "), e.How()), e.Output)
}

// How says how the command ended, without its arguments and output.
func (e *ExitError) How() string {
	if e.Signal != 0 {
		return "killed by signal " + e.Signal.String()
	}
	return fmt.Sprintf("exit status %d", e.Code)
}

// TimeoutError says that a command was ended because it ran longer than its Timeout.
type TimeoutError struct {
	Args   []string
	Limit  time.Duration
	Output string // as in ExitError
}

func (e *TimeoutError) Error() string {
	return withOutput(fmt.Sprintf("%s: still running after %s", strings.Join(e.Args, " "), e.Limit), e.Output)
}

// Timeout is true; it makes a TimeoutError look like others of its kind.
func (e *TimeoutError) Timeout() bool { return true }

// withOutput appends the last line of output, which mostly says why.
func withOutput(s, output string) string {
	output = strings.TrimSpace(output)
	if output == "" {
		return s
	}
	return s + ": " + strings.TrimSpace(output[strings.LastIndexByte(output, '\n')+1:])
}

// tail keeps the last bytes that are written to it.
type tail struct {
	mu   sync.Mutex
	data []byte
}

const tailSize = 8 << 10

func (t *tail) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.data = append(t.data, p...); len(t.data) > 2*tailSize {
		t.data = append(t.data[:0], t.data[len(t.data)-tailSize:]...)
	}
	return len(p), nil
}

// lines returns the last n lines.
func (t *tail) lines(n int) string {
	t.mu.Lock()
	defer t.mu.Unlock()
	data := t.data
	if len(data) > tailSize {
		data = data[len(data)-tailSize:]
	}
	s := strings.TrimRight(string(data), "\n")
	for i := len(s) - 1; i >= 0; i-- {
		if s[i] == '\n' {
			if n--; n == 0 {
				return s[i+1:]
			}
		}
	}
	return s
}
