package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/spf13/cobra"

	"cloudy/builder/fail"
	"cloudy/builder/lab"
	"cloudy/builder/progress"
	"cloudy/builder/recipe"
	"cloudy/builder/sandbox"
)

type labUp struct {
	agent    string
	parallel int
	noWait   bool
	timeout  time.Duration
}

func (a *App) labUpCommand() *cobra.Command {
	var o labUp
	c := &cobra.Command{
		Use:   "up FILE",
		Short: "Start a lab",
		Long: `Build the image that the lab's nodes run, start the lab, and wait until every node
reaches every other one over the mesh and lists all services.

FILE is a lab file, or the name of one in labs/ of the recipe folder or of the
built-in ones. The founder starts first; it makes an invitation for each other node,
which finds it as a credential of its system.`,
		Example: "  cloudy lab up testbed\n  cloudy lab up village.hcl --no-wait",
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) != 1 {
				return fmt.Errorf("want one lab file, but got %q", args)
			}
			return nil
		},
		RunE: func(c *cobra.Command, args []string) error { return a.labUp(c.Context(), args[0], &o) },
	}
	c.Flags().StringVar(&o.agent, "agent", "", "`file` of the agent for the nodes (default: the image's own)")
	c.Flags().IntVar(&o.parallel, "parallel", 0, "how many nodes start at once (default: three for each processor)")
	c.Flags().BoolVar(&o.noWait, "no-wait", false, "do not wait for the nodes")
	c.Flags().DurationVar(&o.timeout, "timeout", 10*time.Minute, "how long to wait")
	return c
}

func (a *App) labUp(ctx context.Context, file string, o *labUp) error {
	src, err := a.labSource(file)
	if err != nil {
		return err
	}
	l, lm, diags := recipe.LoadLab(ctx, src, recipe.Options{Env: os.Environ()})
	if err := a.Diagnose(lm, diags); err != nil {
		return err
	}
	if err := lab.Check(); err != nil {
		return err
	}
	sb, err := sandbox.Enter(ctx, sandbox.EnterOptions{})
	if err != nil {
		return err
	}
	labs, err := a.labs()
	if err != nil {
		return err
	}
	dir := lab.Folder(labs, l.Name)
	root, err := lab.Prepare(ctx, dir)
	if errors.Is(err, lab.ErrRuns) {
		return fail.WithHint(fail.User, err, fmt.Sprintf("\"cloudy lab down %s\" ends it", l.Name))
	}
	if err != nil {
		return err
	}
	if err := a.labStart(ctx, sb, l, dir, root, o); err != nil {
		lab.Down(context.WithoutCancel(ctx), dir)
		return err
	}
	if o.noWait {
		return nil
	}
	s, err := lab.Get(ctx, dir, true)
	if err != nil {
		return fail.Mark(fail.Host, err)
	}
	a.writeLab(s)
	return nil
}

// labStart brings the lab up and waits for its nodes.
func (a *App) labStart(ctx context.Context, sb *sandbox.Sandbox, l *recipe.Lab, dir, root string, o *labUp) (err error) {
	pctx, end := a.Progress(ctx)
	defer func() { end(err, "") }()
	if err := a.labImage(pctx, sb, l, root); err != nil {
		return err
	}
	if err := lab.Up(pctx, lab.Options{Lab: l, Dir: dir, Agent: o.agent, Parallel: o.parallel}); err != nil || o.noWait {
		return err
	}
	return waitLab(pctx, dir, o.timeout)
}

// labImage writes the root of the image that the nodes run to a folder.
func (a *App) labImage(ctx context.Context, sb *sandbox.Sandbox, l *recipe.Lab, root string) error {
	m, err := a.Module(ctx)
	if err != nil {
		return err
	}
	img, err := a.Image(m, l.Image.Value, a.Flags.Arch)
	if err != nil {
		return err
	}
	e, done, err := a.engine(ctx, sb, "")
	if err != nil {
		return err
	}
	defer done()
	pinned, err := a.pinned(ctx, e, img)
	if err != nil {
		return err
	}
	b, err := e.New(img, pinned, nil)
	if err != nil {
		return err
	}
	t, err := b.Root(ctx)
	if err != nil {
		return err
	}
	step := progress.Begin(ctx, "root", int64(len(t.Entries)), progress.Files)
	if err := os.Mkdir(root, 0o755); err != nil {
		return step.End(fail.Mark(fail.Host, err))
	}
	err = t.WriteDir(ctx, root)
	step.Add(int64(len(t.Entries)))
	return step.End(err)
}

// waitLab waits until every node reaches all others and lists all services.
func waitLab(ctx context.Context, dir string, limit time.Duration) error {
	first, err := lab.Get(ctx, dir, false)
	if err != nil {
		return fail.Mark(fail.Host, err)
	}
	total := int64(len(first.Nodes))
	joined := progress.Begin(ctx, "nodes join", total, progress.Items)
	whole := progress.Begin(ctx, "nodes reach and list all", total, progress.Items)
	var in, all int64
	finish := func(err error) error {
		joined.End(err)
		return whole.End(err)
	}
	for deadline := time.Now().Add(limit); ; {
		s, err := lab.Get(ctx, dir, false)
		if err != nil {
			return finish(fail.Mark(fail.Host, err))
		}
		var nowIn, nowAll int64
		for i := range s.Nodes {
			n := &s.Nodes[i]
			if n.Join != 0 {
				nowIn++
			}
			if n.Reach != 0 && n.List != 0 {
				nowAll++
			}
		}
		joined.Add(nowIn - in)
		whole.Add(nowAll - all)
		in, all = nowIn, nowAll
		switch {
		case s.Error != "":
			return finish(fail.Mark(fail.Host, errors.New(s.Error)))
		case s.Complete != 0:
			return finish(nil)
		case time.Now().After(deadline):
			return finish(fail.WithHint(fail.Host, fmt.Errorf("after %s %d of %d nodes reach and list all", limit, all, total),
				"a longer --timeout gives a slow machine more time; --no-wait keeps the lab for a look at it"))
		}
		select {
		case <-ctx.Done():
			return finish(ctx.Err())
		case <-time.After(200 * time.Millisecond):
		}
	}
}
