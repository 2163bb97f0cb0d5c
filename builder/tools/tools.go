// Package tools is the tools root: programs that the builder needs beyond its
// own code (QEMU and firmware to boot images, mksquashfs, xorriso), installed
// by the builder itself from the same archives as images are, pinned like
// them, kept in the store, and run in the sandbox. Nothing of it is needed to
// make it: installing packages takes none of these programs.
//
// The sets are images of a recipe of their own, tools.hcl. Which versions are
// used says, first, the lock file of the user's recipe where it has an entry
// for the set; else the lock that the store keeps of the last time. That one
// holds as long as what it made is in the store; when a set has to be made
// anyway, it is made of what the archives have by then.
package tools

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"cloudy/builder/lock"
	"cloudy/builder/plan"
	"cloudy/builder/progress"
	"cloudy/builder/qemu"
	"cloudy/builder/recipe"
	"cloudy/builder/sandbox"

	"golang.org/x/term"
)

// Tools is a set that is there, ready to be run.
type Tools struct {
	Lock *lock.Image // what it is made of

	engine *plan.Engine
	layers []string // the lowest first
}

// Root makes sure that a set is in the store, for the architecture of this
// program. pinned is its entry in a lock file, or nil.
func Root(ctx context.Context, e *plan.Engine, set Set, pinned *lock.Image) (*Tools, error) {
	t, err := root(ctx, e, set, pinned)
	if err != nil {
		return nil, fmt.Errorf("tools root %q: %w", set, err)
	}
	return t, nil
}

func root(ctx context.Context, e *plan.Engine, set Set, pinned *lock.Image) (*Tools, error) {
	img, inputs, err := load(ctx, set, sandbox.HostArch())
	if err != nil {
		return nil, err
	}
	if l := pinned; l != nil {
		return install(ctx, e, img, l)
	}
	if l := kept(e, img, inputs); l != nil {
		b, err := e.New(img, l, nil)
		if err != nil {
			return nil, err
		}
		if e.Offline || b.Steps[0].Cached {
			return install(ctx, e, img, l)
		}
	}
	l, err := e.Pin(ctx, img, inputs, plan.PinOptions{})
	if err != nil {
		return nil, err
	}
	t, err := install(ctx, e, img, l)
	if err != nil {
		return nil, err
	}
	return t, keep(e, img, l)
}

// install makes the layers of a lock, if they are not there.
func install(ctx context.Context, e *plan.Engine, img *recipe.Image, l *lock.Image) (*Tools, error) {
	b, err := e.New(img, l, nil)
	if err != nil {
		return nil, err
	}
	if b.Steps[0].Cached {
		progress.Begin(ctx, img.Name, 0, progress.Items).Cached("in the store")
	}
	t := &Tools{Lock: l, engine: e}
	t.layers, err = b.Packages(ctx)
	return t, err
}

// Dir is the folder of the host that holds the root. It must not be written to.
func (t *Tools) Dir() string { return t.layers[len(t.layers)-1] }

// Command is one run of a tool.
type Command struct {
	Args []string
	Env  []string // as in sandbox.Command
	Dir  string   // inside the root, "/" when empty

	// Files of the host (folders and devices too) that the command needs. They
	// are seen under the same absolute names, and can be written to.
	Files []string
	// Network lets the command use the host's network.
	Network bool
	// Privileged leaves all capabilities and device nodes to the command.
	Privileged bool

	Stdin          io.Reader
	Stdout, Stderr io.Writer
	TTY            bool // a terminal of its own, as in sandbox.Command
}

// resolvConf is where the host's name servers stand.
const resolvConf = "/etc/resolv.conf"

// Run runs a command in a session of its own; whatever it writes outside of
// Files is thrown away. Errors are those of sandbox.Session.Run.
func (t *Tools) Run(ctx context.Context, c Command) error {
	o := sandbox.Options{Network: c.Network, Privileged: c.Privileged, Sync: true}
	for _, f := range c.Files {
		abs, err := filepath.Abs(f)
		if err != nil {
			return err
		}
		o.Binds = append(o.Binds, sandbox.Bind{Source: abs, Target: abs})
	}
	if c.Network {
		if data, err := os.ReadFile(resolvConf); err == nil {
			o.Binds = append(o.Binds, sandbox.Bind{Target: resolvConf, Data: data})
		}
	}
	v, err := t.engine.Visit(ctx, t.layers, o)
	if err != nil {
		return err
	}
	err = v.Run(ctx, sandbox.Command{
		Args: c.Args, Env: c.Env, Dir: c.Dir, Stdin: c.Stdin, Stdout: c.Stdout, Stderr: c.Stderr, TTY: c.TTY,
	})
	return errors.Join(err, v.Close())
}

// QEMU runs programs of package qemu in the root: see qemu.Config.
func (t *Tools) QEMU(ctx context.Context, p qemu.Program) error {
	stdin, _ := p.Stdin.(*os.File)
	err := t.Run(ctx, Command{
		Args: p.Args, Files: p.Files, Network: p.Network, Stdin: p.Stdin, Stdout: p.Stdout, Stderr: p.Stderr,
		TTY: p.Terminal && stdin != nil && term.IsTerminal(int(stdin.Fd())),
	})
	var exit *sandbox.ExitError
	if errors.As(err, &exit) {
		return qemu.Crash(err, exit.Signal)
	}
	return err
}

// ForMachine is the set that has the QEMU for guests of an architecture.
func ForMachine(arch string) Set {
	if arch == "arm64" || arch == "armhf" {
		return QEMUarm
	}
	return QEMUx86
}
