package plan

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"cloudy/builder/archive"
	"cloudy/builder/deb"
	"cloudy/builder/fail"
	"cloudy/builder/lock"
	"cloudy/builder/progress"
	"cloudy/builder/recipe"
	"cloudy/builder/resolve"
)

// PinOptions shape Pin.
type PinOptions struct {
	Old     *lock.Image // what was pinned before; nil for nothing
	Upgrade bool        // take the newest of everything
	Only    []string    // take the newest of these packages alone
	Epoch   *int64      // as Engine.Epoch
}

// Pin resolves an image against its archives and returns its lock.
func (e *Engine) Pin(ctx context.Context, img *recipe.Image, inputs map[string]string, o PinOptions) (*lock.Image, error) {
	ix, err := e.update(ctx, img)
	if err != nil {
		return nil, err
	}
	step := progress.Begin(ctx, "resolve", 0, progress.Packages)
	out, err := e.pin(ctx, img, ix, o)
	if err != nil {
		return nil, step.End(err)
	}
	out.Inputs = inputs
	step.Add(int64(len(out.Packages)))
	return out, step.End(nil)
}

func (e *Engine) pin(ctx context.Context, img *recipe.Image, ix *archive.Indexes, o PinOptions) (*lock.Image, error) {
	pkgs, err := ix.Packages(ctx)
	if err != nil {
		return nil, err
	}
	u := resolve.NewUniverse(img.Arch, foreign(img)...)
	for _, p := range pkgs {
		u.Add(p, pinOf(ix.Suite(p)))
	}
	req := request(img, pkgs)
	if o.Old != nil && !o.Upgrade {
		req.Prefer = prefer(o.Old, img.Arch, o.Only)
	}
	sol, err := resolve.Resolve(ctx, u, req)
	if err != nil {
		return nil, where(img, err)
	}
	for _, note := range sol.Notes {
		progress.Warn(ctx, note)
	}
	fresh := &lock.Image{Archives: archivesOf(ix)}
	if fresh.Packages, err = locked(sol, img.Arch); err != nil {
		return nil, err
	}
	fresh.Epoch = epoch(img, ix, o.Epoch)
	if o.Old != nil && !o.Upgrade && len(o.Only) == 0 {
		fresh.Epoch = o.Old.Epoch
		return lock.Extend(o.Old, fresh), nil
	}
	return fresh, nil
}

// request is what the image asks for. A minbase image is what debootstrap's
// variant of that name is: Essential, Priority: required, and apt.
func request(img *recipe.Image, pkgs []*deb.Package) resolve.Request {
	req := resolve.Request{Essential: true, Recommends: img.Recommends}
	have := map[string]bool{}
	for _, p := range img.Packages {
		req.Install = append(req.Install, resolve.Want{Name: p.Name, Arch: p.Arch, Version: p.Version, Suite: p.Suite})
		have[p.Name] = true
	}
	for _, p := range img.Unwanted {
		name := p.Name
		if p.Arch != "" {
			name += ":" + p.Arch
		}
		req.Drop = append(req.Drop, name)
	}
	if img.Variant != "essential" {
		names := map[string]bool{"apt": true}
		for _, p := range pkgs {
			if p.Priority == "required" && !p.Essential && (p.Architecture == img.Arch || p.Architecture == "all") {
				names[p.Name] = true
			}
		}
		for _, n := range sortedKeys(names) {
			if !have[n] && !slices.Contains(req.Drop, n) {
				req.Install = append(req.Install, resolve.Want{Name: n})
			}
		}
	}
	return req
}

func sortedKeys[V any](m map[string]V) []string {
	out := make([]string, 0, len(m))
	for k := range m {
		out = append(out, k)
	}
	slices.Sort(out)
	return out
}

// prefer holds what the old lock pinned, but for what is to be upgraded.
func prefer(old *lock.Image, native string, upgrade []string) map[string]string {
	out := map[string]string{}
	for i := range old.Packages {
		p := &old.Packages[i]
		if slices.Contains(upgrade, p.Name) {
			continue
		}
		arch := p.Architecture
		if arch == "all" {
			arch = native
		}
		out[p.Name+":"+arch] = p.Version
	}
	return out
}

// pinOf is apt's default priority of a suite, or the recipe's.
func pinOf(s *archive.Suite) int {
	switch {
	case s.Source.Pin != 0:
		return s.Source.Pin
	case s.Release.NotAutomatic && s.Release.ButAutomaticUpgr:
		return 100
	case s.Release.NotAutomatic:
		return 1
	}
	return 500
}

// where puts the recipe's place to a problem that names a package of it.
func where(img *recipe.Image, err error) error {
	var re *resolve.Error
	if !errors.As(err, &re) {
		return err
	}
	var lines []string
	for _, p := range img.Packages {
		for _, problem := range re.Problems {
			if problem.Name == p.Name || len(problem.Chain) > 0 && strings.HasPrefix(problem.Chain[0], p.Name) {
				lines = append(lines, fmt.Sprintf("%s: %s", p.Range, p))
				break
			}
		}
	}
	if len(lines) == 0 {
		return fmt.Errorf("image %s: %w", img.Name, err)
	}
	return fmt.Errorf("image %s: %w\nasked for at\n  %s", img.Name, err, strings.Join(lines, "\n  "))
}

func archivesOf(ix *archive.Indexes) []lock.Archive {
	var out []lock.Archive
	for _, s := range ix.Suites {
		out = append(out, lock.Archive{
			Name: s.Source.Name, Suite: s.Name, Date: s.Release.Date.UTC().Format(time.RFC3339), SHA256: string(s.Digest),
		})
	}
	return out
}

// epoch is the newest date of the archives, unless the recipe says one.
func epoch(img *recipe.Image, ix *archive.Indexes, wanted *int64) int64 {
	switch {
	case img.Epoch != nil:
		return *img.Epoch
	case wanted != nil:
		return *wanted
	}
	var newest int64
	for _, s := range ix.Suites {
		newest = max(newest, s.Release.Date.Unix())
	}
	return newest
}

// locked puts a solution into configure order: first the base, which is what
// Essential packages need, then all the rest.
func locked(sol *resolve.Solution, native string) ([]lock.Package, error) {
	choice := map[*deb.Package]resolve.Choice{}
	for _, c := range sol.Choices {
		choice[c.Package] = c
	}
	base, err := baseOf(sol, native)
	if err != nil {
		return nil, err
	}
	var first, rest []*deb.Package
	for _, p := range sol.Packages() {
		if base[p] {
			first = append(first, p)
		} else {
			rest = append(rest, p)
		}
	}
	var out []lock.Package
	for _, group := range [][]*deb.Package{first, rest} {
		ordered, err := resolve.ConfigureOrder(group, nil)
		if err != nil {
			return nil, err
		}
		for _, p := range ordered {
			c := choice[p]
			out = append(out, lock.Package{
				Name: p.Name, Version: p.Version, Architecture: p.Architecture, Size: p.Size, SHA256: p.SHA256,
				Archive: p.Archive, File: p.Filename, Why: because(c.Why), Base: base[p], Auto: c.Auto,
			})
		}
	}
	return out, nil
}

func because(w resolve.Why) string {
	if w.By == "" {
		return string(w.Kind)
	}
	return string(w.Kind) + " of " + w.By
}

// baseOf is the closure of the Essential packages within a solution.
func baseOf(sol *resolve.Solution, native string) (map[*deb.Package]bool, error) {
	set := sol.Packages()
	needs, err := deb.NewNeeds(set, native)
	if err != nil {
		return nil, fail.Mark(fail.Network, err)
	}
	found := map[int]bool{}
	for i, p := range set {
		if !p.Essential || found[i] {
			continue
		}
		found[i] = true
		if err := needs.Closure(i, false, found); err != nil {
			return nil, fail.Mark(fail.Network, err)
		}
	}
	base := map[*deb.Package]bool{}
	for i := range found {
		base[set[i]] = true
	}
	return base, nil
}
