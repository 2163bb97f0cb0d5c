package plan

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"cloudy/builder/fail"
	"cloudy/builder/sandbox"
	"cloudy/builder/store"
)

// Packages makes sure that the layers of the build's packages are in the
// store and returns their directories, the lowest first.
func (b *Build) Packages(ctx context.Context) ([]string, error) { return b.packageLayers(ctx) }

// Stages are the names that At takes, in the order of the build.
func (b *Build) Stages() []string {
	out := []string{"packages", "customise"}
	for _, s := range b.runs {
		out = append(out, s.Name)
	}
	return out
}

// At returns the layers, the lowest first, of the root at a stage, making
// what is not there: "packages" has the packages alone, "customise" what the
// recipe lays over them too, "run NAME" (or NAME) is what the command of that
// block finds, so a build that fails there can be looked at. The empty stage
// is the finished root, before it is scrubbed. An unknown stage is the user's
// error.
func (b *Build) At(ctx context.Context, stage string) ([]string, error) {
	stages := b.Stages()
	at := len(stages) // of stages, how far to go
	if stage != "" {
		at = slices.IndexFunc(stages, func(s string) bool { return s == stage || s == "run "+stage })
	}
	if at < 0 {
		return nil, fail.WithHint(fail.User, fmt.Errorf("image %s has no step %q to look at", b.Image.Name, stage),
			"its steps are "+strings.Join(stages, ", "))
	}
	layers, err := b.packageLayers(ctx)
	if err != nil || at == 0 {
		return layers, err
	}
	d, err := b.delta(layers)
	if err != nil {
		return nil, err
	}
	if layers, err = b.overPackages(ctx, layers, d); err != nil {
		return nil, err
	}
	return b.runFirst(ctx, max(0, at-2), layers)
}

// throwAway is the key of layers that are never committed.
const throwAway = "0000000000000000"

// Visit is a session in a root whose changes are thrown away at its end.
type Visit struct {
	*sandbox.Session
	upper *store.Pending
}

// Visit opens a session in the root that layers make, the lowest first. The
// layers stay as they are; where overlayfs is not to be had they are copied.
func (e *Engine) Visit(ctx context.Context, layers []string, o sandbox.Options) (*Visit, error) {
	p, err := e.Store.NewLayer(throwAway)
	if err != nil {
		return nil, err
	}
	v := &Visit{upper: p}
	scratch, err := p.Scratch()
	if err == nil {
		v.Session, err = e.Sandbox.Open(ctx, shellRoot(layers, p.Dir(), scratch), o)
	}
	if errors.Is(err, sandbox.ErrNoOverlay) {
		if err = copyLayers(ctx, layers, p.Dir()); err == nil {
			v.Session, err = e.Sandbox.Open(ctx, sandbox.Root{Dir: p.Dir()}, o)
		}
	}
	if err != nil {
		p.Abort()
		return nil, err
	}
	return v, nil
}

// Close ends the session and removes what was changed.
func (v *Visit) Close() error {
	return errors.Join(v.Session.Close(), v.upper.Abort())
}
