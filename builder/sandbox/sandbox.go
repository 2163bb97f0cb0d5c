package sandbox

import (
	"fmt"
	"os"
	"path/filepath"
)

// Mode is the way in which a program may build on this machine.
type Mode string

// The modes; see the package's comment.
const (
	ModeAuto   Mode = ""
	ModeRoot   Mode = "root"
	ModeUserNS Mode = "userns"
	ModePlain  Mode = "plain"
)

// Sandbox is the right to open sessions, got from Enter.
type Sandbox struct {
	mode    Mode
	entered bool // this process has a mount namespace of its own
}

// Mode says how this process builds; never ModeAuto.
func (s *Sandbox) Mode() Mode { return s.mode }

// Root says what the root directory of a session is: a directory, or a stack
// of them seen as one through overlayfs.
type Root struct {
	// Dir is the directory. All else must be empty then.
	Dir string

	// Layers are directories that are only read, the topmost first.
	Layers []string
	// Upper takes what is changed, in overlayfs' format with user.overlay.*
	// attributes (the same for every mode). Without it the view is read-only.
	Upper string
	// Work is a directory on Upper's filesystem that overlayfs needs; what is in it is lost.
	Work string
}

func (r Root) check() (Root, error) {
	if (r.Dir == "") == (len(r.Layers) == 0) {
		return r, fmt.Errorf("a root is either a directory or layers")
	}
	if (r.Upper == "") != (r.Work == "") || r.Upper != "" && r.Dir != "" {
		return r, fmt.Errorf("upper and work belong together, and to layers")
	}
	r.Layers = append([]string(nil), r.Layers...)
	paths := []*string{&r.Dir, &r.Upper, &r.Work}
	for i := range r.Layers {
		paths = append(paths, &r.Layers[i])
	}
	for _, p := range paths {
		if *p == "" {
			continue
		}
		abs, err := filepath.Abs(*p)
		if err != nil {
			return r, err
		}
		if fi, err := os.Stat(abs); err != nil {
			return r, err
		} else if !fi.IsDir() {
			return r, fmt.Errorf("%s is not a directory", abs)
		}
		*p = abs
	}
	if r.Dir == "/" {
		return r, fmt.Errorf("refusing to use the host's own root directory")
	}
	return r, nil
}

// Options shape a session.
type Options struct {
	// Network gives the host's network to all commands; else they have a loopback device only.
	Network bool
	// Hostname inside; "localhost" when empty.
	Hostname string
	// Binds hold for the whole session.
	Binds []Bind
	// Env is added to DefaultEnv for each command, before the command's own.
	Env []string
	// Privileged leaves all capabilities and device nodes to the commands, for tools that mount.
	Privileged bool
	// Sync lets fsync and its family through to the disk.
	Sync bool
	// Interpreters run programs of other architectures, in this session alone.
	// Open returns ErrNoBinfmt where that cannot be. Such a session can make no
	// device nodes, even as real root.
	Interpreters []Interpreter
}
