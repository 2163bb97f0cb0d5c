// Package cli is cloudy-node's command line: one file for each group of
// verbs. All but run and identity speak to the running agent over its
// control socket.
package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"runtime/debug"

	"github.com/spf13/cobra"

	"cloudy/firstboot/agent"
	"cloudy/firstboot/nodeconfig"
)

// Exit codes.
const (
	exitOK      = 0
	exitFailed  = 1 // the node refused, or its state is a failure
	exitUsage   = 2
	exitNotYet  = 3 // status: on its way
	exitNoAgent = 4 // no agent answers
)

// exitError carries an exit code.
type exitError struct {
	code int
	err  error
}

func (e *exitError) Error() string { return e.err.Error() }
func (e *exitError) Unwrap() error { return e.err }

type app struct {
	root string
	out  io.Writer
	in   io.Reader
	errs io.Writer
}

// Run runs the command line and returns the exit code.
func Run(ctx context.Context, args []string, in io.Reader, out, errs io.Writer) int {
	a := &app{in: in, out: out, errs: errs}
	root := a.rootCmd()
	root.SetArgs(args)
	root.SetIn(in)
	root.SetOut(out)
	root.SetErr(errs)
	ran := false
	root.PersistentPreRun = func(*cobra.Command, []string) { ran = true }
	err := root.ExecuteContext(ctx)
	if err == nil {
		return exitOK
	}
	var exit *exitError
	if errors.As(err, &exit) {
		if exit.err != nil {
			fmt.Fprintf(errs, "cloudy-node: %v\n", exit.err)
		}
		return exit.code
	}
	fmt.Fprintf(errs, "cloudy-node: %v\n", err)
	if !ran {
		return exitUsage
	}
	return exitFailed
}

func (a *app) rootCmd() *cobra.Command {
	root := &cobra.Command{
		Use:           "cloudy-node",
		Short:         "The node's part of a Cloudy mesh",
		SilenceErrors: true,
		SilenceUsage:  true,
		Version:       version(),
	}
	root.PersistentFlags().StringVar(&a.root, "root", "/", "folder that stands for /")
	root.PersistentFlags().MarkHidden("root")
	root.AddCommand(a.runCmd(), a.identityCmd(), a.carryOutCmd(), a.statusCmd(), a.inviteCmd(), a.joinCmd(), a.membersCmd(),
		a.approveCmd(true), a.approveCmd(false), a.servicesCmd(), a.searchCmd(), a.publishCmd(), a.unpublishCmd(),
		a.revokeCmd(), a.resetCmd(), a.doctorCmd(), a.passwordCmd())
	return root
}

// sources is a digest of the sources, which scripts/agents has the linker put
// here: an agent in an image knows of no revision, so that the same sources
// give the same image.
var sources string

func version() string {
	if sources != "" {
		return sources
	}
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, s := range info.Settings {
			if s.Key == "vcs.revision" && len(s.Value) >= 12 {
				return s.Value[:12]
			}
		}
	}
	return "development"
}

func (a *app) agent(verbose bool) (*agent.Agent, error) {
	conf, err := nodeconfig.Load(filepath.Join(a.root, nodeconfig.Path))
	if err != nil {
		return nil, err
	}
	if err := conf.Validate(); err != nil {
		return nil, err
	}
	root, err := filepath.Abs(a.root)
	if err != nil {
		return nil, err
	}
	level := slog.LevelInfo
	if verbose {
		level = slog.LevelDebug
	}
	log := slog.New(slog.NewTextHandler(a.errs, &slog.HandlerOptions{Level: level}))
	return agent.New(agent.Options{Root: root, Config: conf, Log: log, Version: version()}), nil
}

func (a *app) runCmd() *cobra.Command {
	var verbose bool
	c := &cobra.Command{
		Use: "run", Short: "Run the agent until it is ended", Args: cobra.NoArgs,
		Example: "  cloudy-node run",
		RunE: func(c *cobra.Command, _ []string) error {
			frugal()
			ag, err := a.agent(verbose)
			if err != nil {
				return err
			}
			return ag.Run(c.Context())
		},
	}
	c.Flags().BoolVarP(&verbose, "verbose", "v", false, "log what is tried, too")
	return c
}

// frugal keeps the daemon small on boards of little memory: what is resident
// matters more than the collector's work. The environment (GOGC, GOMEMLIMIT)
// has the last word.
func frugal() {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(50)
	}
	if os.Getenv("GOMEMLIMIT") == "" {
		debug.SetMemoryLimit(24 << 20) // bytes of heap and stacks; the program's own pages come on top
	}
}

func (a *app) identityCmd() *cobra.Command {
	return &cobra.Command{
		Use: "identity", Short: "Give the system its keys and names, and end", Args: cobra.NoArgs,
		Long:    "Gives the system what no other has: the node's key, tinc's key, machine-id, SSH host keys and host name.\nDoes nothing where all of it is there. The early boot runs it before SSH starts.",
		Example: "  cloudy-node identity",
		RunE: func(c *cobra.Command, _ []string) error {
			ag, err := a.agent(false)
			if err != nil {
				return err
			}
			detail, err := ag.Identity(c.Context())
			if err == nil {
				fmt.Fprintln(a.out, detail)
			}
			return err
		},
	}
}

func (a *app) carryOutCmd() *cobra.Command {
	return &cobra.Command{
		Use: "carry-out", Short: "Do what the agent, which is not root, asks root for, and end", Args: cobra.NoArgs,
		Hidden: true, // for cloudy-wish.service
		RunE: func(c *cobra.Command, _ []string) error {
			ag, err := a.agent(false)
			if err != nil {
				return err
			}
			return ag.CarryOut(c.Context())
		},
	}
}
