package cli

import (
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"cloudy/builder/fail"
	"cloudy/builder/plan"
	"cloudy/builder/recipe"
	"cloudy/builder/sandbox"
)

func (a *App) shellCommand() *cobra.Command {
	var at string
	var network bool
	c := &cobra.Command{
		Use:     "shell IMAGE [-- COMMAND [ARGUMENT...]]",
		GroupID: groupImage,
		Short:   "Open a shell inside an image's root filesystem",
		Long: `Open a shell, or run a command, as root inside the root filesystem of an image, in the
builder's sandbox. What is not built yet is built first. What is changed there is
thrown away at the end; neither image nor store can be harmed.

--at goes to a step of the build, as "cloudy plan" names them: "packages" has the
packages alone, "customise" also what the recipe lays over them, and "run NAME" is
what the command of that block finds. When that command fails, look there.`,
		Example: "  cloudy shell node\n  cloudy shell node --at packages -- dpkg --list\n  cloudy shell node --at locale",
		Args: func(c *cobra.Command, args []string) error {
			n := len(args)
			if dash := c.ArgsLenAtDash(); dash >= 0 {
				n = dash
			}
			if n != 1 {
				return fmt.Errorf("want one image, and a command after --, but got %q", args)
			}
			return nil
		},
		ValidArgsFunction: a.CompleteImages,
		RunE: func(c *cobra.Command, args []string) error {
			sb, err := sandbox.Enter(c.Context(), sandbox.EnterOptions{})
			if err != nil {
				return err
			}
			m, err := a.Module(c.Context())
			if err != nil {
				return err
			}
			img, err := a.Image(m, args[0], a.Flags.Arch)
			if err != nil {
				return err
			}
			e, done, err := a.engine(c.Context(), sb, "")
			if err != nil {
				return err
			}
			defer done()
			ctx, end := a.Progress(c.Context())
			layers, err := a.layersAt(ctx, e, img, at)
			if err != nil || len(args) == 1 {
				end(err, "")
			}
			if err != nil {
				return err
			}
			return a.shellIn(c.Context(), e, img, layers, network, args[1:])
		},
	}
	c.Flags().StringVar(&at, "at", "", "`step` of the build to look at (default: the finished root)")
	c.Flags().BoolVar(&network, "network", false, "let commands use this machine's network")
	return c
}

func (a *App) layersAt(ctx context.Context, e *plan.Engine, img *recipe.Image, at string) ([]string, error) {
	l, err := a.pinned(ctx, e, img)
	if err != nil {
		return nil, err
	}
	b, err := e.New(img, l, nil)
	if err != nil {
		return nil, err
	}
	return b.At(ctx, at)
}

// shellIn runs a command, or a shell, in layers.
func (a *App) shellIn(ctx context.Context, e *plan.Engine, img *recipe.Image, layers []string, network bool, args []string) error {
	o := sandbox.Options{
		Network: network, Hostname: img.Hostname,
		// Debian's shells put debian_chroot into their prompt.
		Env: []string{"debian_chroot=" + img.Name, "SYSTEMD_OFFLINE=1"},
		// Installing a package there starts no daemon.
		Binds: []sandbox.Bind{{Target: "/usr/sbin/policy-rc.d", Data: []byte("#!/bin/sh\nexit 101\n"), Mode: 0o755}},
	}
	const resolvConf = "/etc/resolv.conf"
	if data, err := os.ReadFile(resolvConf); err == nil && network {
		o.Binds = append(o.Binds, sandbox.Bind{Target: resolvConf, Data: data})
	}
	var err error
	if o.Interpreters, err = e.Interpreters(ctx, img.Arch); err != nil {
		return err
	}
	v, err := e.Visit(ctx, layers, o)
	if err != nil {
		return err
	}
	if len(args) == 0 {
		args = []string{"/bin/bash", "-l"}
	}
	stdin, _ := a.In.(*os.File)
	err = v.Run(ctx, sandbox.Command{
		Args: args, Dir: "/root", Stdin: a.In, Stdout: a.Out, Stderr: a.Err,
		TTY: stdin != nil && isTerminal(stdin) && terminal(a.Out) != nil,
	})
	if cerr := v.Close(); err == nil {
		err = cerr
	}
	var exit *sandbox.ExitError
	if errors.As(err, &exit) {
		// The command's own status, as a shell would give it.
		if exit.Signal != 0 {
			return exitStatus(128 + int(exit.Signal))
		}
		return exitStatus(exit.Code)
	}
	return fail.Mark(fail.Build, err)
}
