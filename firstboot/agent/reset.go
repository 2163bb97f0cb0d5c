package agent

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"cloudy/firstboot/durable"
	"cloudy/firstboot/membership"
	"cloudy/firstboot/roster"
)

func (a *Agent) reset(ctx context.Context, q ResetRequest) (struct{}, error) {
	a.mu.Lock()
	a.pending = &q
	a.mu.Unlock()
	a.rush()
	return struct{}{}, nil
}

// doReset runs in the reconciler, between two rounds.
func (a *Agent) doReset(ctx context.Context) error {
	a.mu.Lock()
	q, becomes := a.pending, a.becomes
	a.pending, a.becomes = nil, false
	if becomes {
		a.double.marked = time.Now()
		a.status.Cloned = true
	}
	a.mu.Unlock()
	if q == nil {
		return nil
	}
	a.log.Warn("reset", "identity", q.Identity, "services", q.Services, "factory", q.Factory)
	err := a.carryReset(ctx, *q)
	if err != nil {
		// Half done is worse than none: again in the next round, unless
		// something else is asked for by then.
		a.mu.Lock()
		if a.pending == nil {
			a.pending = q
		}
		a.mu.Unlock()
	}
	return err
}

func (a *Agent) carryReset(ctx context.Context, q ResetRequest) error {
	if q.Services || q.Factory {
		if err := a.forgetServices(ctx); err != nil {
			return err
		}
		if !q.Identity && !q.Factory {
			return nil
		}
	}
	if err := a.forgetMesh(ctx); err != nil {
		return err
	}
	what := ""
	switch {
	case q.Factory:
		what = resetFactory
	case q.Identity:
		what = resetIdentity
	default:
		return nil
	}
	a.mu.Lock()
	if a.id != nil {
		a.becoming = a.id.Name()
	}
	a.mu.Unlock()
	return a.wish(ctx, "reset", Wish{Reset: what})
}

// forgetServices makes what is on and off as the image has it.
func (a *Agent) forgetServices(ctx context.Context) error {
	a.mu.Lock()
	clear(a.extra)
	clear(a.health)
	back := map[string]bool{}
	for name := range a.choices() {
		for _, s := range a.conf.Services {
			if s.Name == name {
				back[name] = s.Enabled
			}
		}
	}
	a.mu.Unlock()
	if err := durable.Remove(a.statePath(publishedFile)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if len(back) == 0 {
		return nil
	}
	// The image's choice stands there as the owner's, so that what was on
	// is turned off again.
	if err := durable.WriteJSON(a.statePath(servicesFile), back); err != nil {
		return err
	}
	return a.wish(ctx, "services", Wish{Services: true})
}

// forgetMesh removes the node's place in the mesh. The standing goes first:
// without it the rest is nothing.
func (a *Agent) forgetMesh(ctx context.Context) error {
	a.stopMesh(ctx, true)
	a.saveMu.Lock()
	defer a.saveMu.Unlock()
	if err := durable.Remove(a.statePath(standingFile)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := roster.Remove(a.statePath("roster")); err != nil {
		return err
	}
	if err := durable.Remove(a.statePath(ledgerFile)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	// The folder itself stays: it was made for the daemon by root.
	if err := emptyFolder(a.path(tincDir)); err != nil {
		return err
	}
	a.tincMu.Lock()
	a.opening = opening{}
	a.tincMu.Unlock()
	a.mu.Lock()
	defer a.mu.Unlock()
	a.standing, a.roster, a.certs, a.ledger = nil, nil, nil, nil
	a.told, a.quiet = map[membership.Name]told{}, map[membership.Name]time.Time{}
	a.refused = map[string]error{}
	clear(a.asked)
	clear(a.seen)
	a.double.losses = nil
	return nil
}

// forgetAll removes all that the agent ever kept but the identity, which goes
// last and by itself.
func (a *Agent) forgetAll() error {
	entries, err := os.ReadDir(a.path(StateDir))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	var errs []error
	for _, e := range entries {
		if e.Name() != "identity.json" {
			errs = append(errs, os.RemoveAll(a.statePath(e.Name())))
		}
	}
	a.imported = false
	return errors.Join(errs...)
}

// emptyFolder removes what is in a folder.
func emptyFolder(dir string) error {
	entries, err := os.ReadDir(dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	var errs []error
	for _, e := range entries {
		errs = append(errs, os.RemoveAll(filepath.Join(dir, e.Name())))
	}
	return errors.Join(errs...)
}
