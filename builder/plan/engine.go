package plan

import (
	"context"
	"fmt"
	"io"
	"log/slog"

	"cloudy/builder/archive"
	"cloudy/builder/cache"
	"cloudy/builder/fetch"
	"cloudy/builder/lock"
	"cloudy/builder/nodeagent"
	"cloudy/builder/recipe"
	"cloudy/builder/sandbox"
	"cloudy/builder/sign"
	"cloudy/builder/store"
)

// Engine is what builds work with.
type Engine struct {
	Store   *store.Store
	Mirrors *archive.Mirrors
	Sandbox *sandbox.Sandbox // nil where nothing is run
	Offline bool
	OutDir  string       // where artefacts go
	Log     *slog.Logger // for developers
	Scripts io.Writer    // what maintainer scripts print; nil drops it
	Cache   *cache.Cache // layers shared with other machines; nil for none
	Signer  *sign.Secret // signs the checksums of what is built; nil for nobody

	// Epoch is the time of images whose recipes and locks do not say one, in
	// seconds since 1970; nil takes that of the newest archive.
	Epoch *int64

	// Emulate returns what runs the programs of an architecture in a session:
	// none where this machine does so itself, an error where it cannot be done.
	// nil means that nothing is emulated.
	Emulate func(ctx context.Context, arch string) ([]sandbox.Interpreter, error)
}

// Interpreters returns what sessions in roots of an architecture need.
func (e *Engine) Interpreters(ctx context.Context, arch string) ([]sandbox.Interpreter, error) {
	if e.Emulate == nil {
		return nil, nil
	}
	return e.Emulate(ctx, arch)
}

// Build is one image of a recipe on its way.
type Build struct {
	Image   *recipe.Image
	Lock    *lock.Image
	Targets []recipe.Target
	Steps   []*Step

	engine   *Engine
	agent    *nodeagent.Agent // nil for an image without
	packages []*Step          // one per batch
	runs     []*Step
	root     *Step
	targets  []*Step
}

func (e *Engine) fetchConfig() fetch.Config { return fetch.Config{Offline: e.Offline} }

// client returns a downloader into the store.
func (e *Engine) client() *fetch.Client { return fetch.New(e.Store, e.fetchConfig()) }

// sources translates an image's archives.
func sources(img *recipe.Image) ([]archive.Source, error) {
	var out []archive.Source
	for i := range img.Archives {
		a := &img.Archives[i]
		s := archive.Source{
			Name: a.Name, URL: a.URL, Fingerprints: a.Fingerprints, Pin: a.Pin, Architectures: a.Architectures,
		}
		if a.Base != a.Name {
			s.From = a.Base
		}
		for _, t := range a.Suites {
			s.Suites = append(s.Suites, t.Value)
		}
		for _, t := range a.Components {
			s.Components = append(s.Components, t.Value)
		}
		for _, t := range a.Only {
			s.Only = append(s.Only, t.Value)
		}
		if len(s.Architectures) == 0 {
			s.Architectures = append([]string{img.Arch}, foreign(img)...)
		}
		if a.Keyring != nil {
			r, err := a.Keyring.Open()
			if err != nil {
				return nil, fmt.Errorf("archive %s: keyring: %w", a.Name, err)
			}
			s.Keyring, err = io.ReadAll(r)
			r.Close()
			if err != nil {
				return nil, fmt.Errorf("archive %s: keyring: %w", a.Name, err)
			}
		}
		out = append(out, s)
	}
	return out, nil
}

// foreign lists the architectures other than its own that the image's
// packages name, in the order of the recipe.
func foreign(img *recipe.Image) []string {
	var out []string
	seen := map[string]bool{img.Arch: true, "": true, "all": true}
	for _, p := range img.Packages {
		if !seen[p.Arch] {
			seen[p.Arch] = true
			out = append(out, p.Arch)
		}
	}
	return out
}

// mirrorsOf returns the mirrors of each of the image's archives by name.
func (e *Engine) mirrorsOf(img *recipe.Image) (map[string][]archive.Mirror, error) {
	srcs, err := sources(img)
	if err != nil {
		return nil, err
	}
	out := map[string][]archive.Mirror{}
	for _, s := range srcs {
		if out[s.Name], err = e.Mirrors.For(s); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// update brings the verified indexes of the image's archives.
func (e *Engine) update(ctx context.Context, img *recipe.Image) (*archive.Indexes, error) {
	srcs, err := sources(img)
	if err != nil {
		return nil, err
	}
	return archive.Update(ctx, e.Store, srcs, e.Mirrors, archive.Options{Fetch: e.fetchConfig()})
}
