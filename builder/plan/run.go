package plan

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"

	"cloudy/builder/archive"
	"cloudy/builder/customise"
	"cloudy/builder/fail"
	"cloudy/builder/progress"
	"cloudy/builder/recipe"
	"cloudy/builder/rootfs"
	"cloudy/builder/sandbox"
	"cloudy/builder/store"
	"cloudy/builder/tree"
)

// Root makes the finished root filesystem of the build.
func (b *Build) Root(ctx context.Context) (*tree.Tree, error) {
	layers, err := b.packageLayers(ctx)
	if err != nil {
		return nil, err
	}
	step := progress.Begin(ctx, "customise", 0, progress.Files)
	t, declared, err := b.customise(ctx, layers)
	if err != nil {
		return nil, step.End(err)
	}
	step.Add(int64(len(t.Entries)))
	step.End(nil)
	step = progress.Begin(ctx, "verify", int64(len(t.Entries)), progress.Files)
	return t, step.End(rootfs.Verify(t, b.epoch(), declared))
}

func (b *Build) epoch() time.Time { return time.Unix(b.Lock.Epoch, 0).UTC() }

func (b *Build) customise(ctx context.Context, layers []string) (*tree.Tree, func(string) bool, error) {
	d, err := b.delta(layers)
	if err != nil {
		return nil, nil, err
	}
	apt, err := aptSources(b.Image)
	if err != nil {
		return nil, nil, err
	}
	if err := d.AptSources(apt); err != nil {
		return nil, nil, fail.Mark(fail.User, err)
	}
	t := d.Tree()
	if len(b.Image.Runs) > 0 {
		if t, err = b.runAll(ctx, layers, d); err != nil {
			return nil, nil, err
		}
		t = rootfs.Scrub(t, b.epoch(), d.Declares)
	}
	return t, d.Declares, nil
}

// delta is what the recipe lays over the packages.
func (b *Build) delta(layers []string) (*customise.Delta, error) {
	base, err := scan(layers)
	if err != nil {
		return nil, err
	}
	base = rootfs.Scrub(base, b.epoch(), func(string) bool { return false })
	d, err := customise.Apply(base, b.Image, b.agent, b.epoch())
	return d, fail.Mark(fail.User, err)
}

// aptSources are the recipe's archives as apt on the node is to know them: at
// their official places, whatever mirror this build uses.
func aptSources(img *recipe.Image) ([]customise.AptSource, error) {
	official, err := archive.FindMirrors(archive.MirrorConfig{})
	if err != nil {
		return nil, err
	}
	srcs, err := sources(img)
	if err != nil {
		return nil, err
	}
	var out []customise.AptSource
	for _, s := range srcs {
		at, err := official.For(s)
		if err != nil || len(at) == 0 {
			continue // known to the building machine alone
		}
		out = append(out, customise.AptSource{
			Name: s.Name, URL: at[0].URL, Suites: s.Suites, Components: s.Components, Keyring: s.Keyring, Only: s.Only, Pin: s.Pin,
		})
	}
	return out, nil
}

// runAll runs the recipe's commands, each in a layer of its own on top of
// what the recipe lays over the packages.
func (b *Build) runAll(ctx context.Context, layers []string, d *customise.Delta) (*tree.Tree, error) {
	layers, err := b.overPackages(ctx, layers, d)
	if err != nil {
		return nil, err
	}
	if layers, err = b.runFirst(ctx, len(b.runs), layers); err != nil {
		return nil, err
	}
	return scan(layers)
}

// overPackages adds the layer of what the recipe lays over the packages.
func (b *Build) overPackages(ctx context.Context, layers []string, d *customise.Delta) ([]string, error) {
	dir, err := b.layer(ctx, b.Steps[len(b.packages)], layers, func(_ context.Context, p *store.Pending) error {
		return d.WriteTo(p.Dir())
	})
	return append(slices.Clip(layers), dir), err
}

// runFirst adds the layers of the first n run blocks.
func (b *Build) runFirst(ctx context.Context, n int, layers []string) ([]string, error) {
	for i, s := range b.runs[:n] {
		r, below := &b.Image.Runs[i], layers
		dir, err := b.layer(ctx, s, below, func(ctx context.Context, p *store.Pending) error {
			return b.run(ctx, r, p, below)
		})
		if err != nil {
			return nil, err
		}
		layers = append(slices.Clip(layers), dir)
	}
	return layers, nil
}

// run carries out one run block.
func (b *Build) run(ctx context.Context, r *recipe.Run, p *store.Pending, below []string) error {
	step := progress.Begin(ctx, "run "+r.Name, 0, progress.Items)
	scratch, err := p.Scratch()
	if err != nil {
		return step.End(err)
	}
	work := filepath.Join(scratch, "work")
	if err := os.MkdirAll(work, 0o755); err != nil {
		return step.End(err)
	}
	interpreters, err := b.engine.Interpreters(ctx, b.Image.Arch)
	if err != nil {
		return step.End(err)
	}
	s, err := b.engine.Sandbox.Open(ctx, shellRoot(below, p.Dir(), work), sandbox.Options{Network: r.Network, Interpreters: interpreters})
	if err != nil {
		return step.End(err)
	}
	defer s.Close()
	args := r.Command
	if r.Script != "" {
		args = []string{"/bin/sh", "-euc", r.Script}
	}
	env := rootfs.ScriptEnv(b.epoch())
	for _, k := range sortedKeys(r.Env) {
		env = append(env, k+"="+r.Env[k])
	}
	if err := rootfs.RunLogged(ctx, s, step, "run "+r.Name, args, env, r.Timeout, b.logLine); err != nil {
		return step.End(recipe.At(r.Range, err))
	}
	return step.End(nil)
}

func (b *Build) logLine(line string) {
	if b.engine.Scripts != nil {
		fmt.Fprintln(b.engine.Scripts, line)
	}
}
