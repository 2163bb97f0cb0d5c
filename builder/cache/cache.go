// Package cache shares the layers of the store through a registry: machines
// that build the same need not build it twice. An entry is an OCI artefact
// under a tag made of the layer's key, which is the hash of all that went in.
//
// The cache is never needed: what is missing, broken, of another key or not
// signed as wanted is warned of and made anew.
package cache

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/google/go-containerregistry/pkg/name"

	"cloudy/builder/fail"
	"cloudy/builder/progress"
	"cloudy/builder/registry"
	"cloudy/builder/sign"
	"cloudy/builder/store"
)

// Options say which registries are used, and whom to believe.
type Options struct {
	From, To []string      // repositories: "registry.example.org/cloudy/cache"
	Trusted  []sign.Public // entries must be signed by one of these; none takes any entry
	Signer   *sign.Secret  // signs what is written; nil for nobody
	Insecure bool          // as registry.Options has it
	Wait     time.Duration // before the first retry; 0 is 300 ms
}

// Cache is a shared cache. A nil one has nothing and takes nothing.
type Cache struct {
	o        Options
	client   *registry.Client
	from, to []name.Repository

	mu   sync.Mutex
	dead map[string]bool // repositories that have failed: they are left alone
	sent sync.WaitGroup
}

// New returns the cache that the options describe, nil when they name no
// repository. Errors are the user's.
func New(o Options) (*Cache, error) {
	if len(o.From)+len(o.To) == 0 {
		return nil, nil
	}
	if o.Wait == 0 {
		o.Wait = 300 * time.Millisecond
	}
	c := &Cache{o: o, client: registry.New(registry.Options{Insecure: o.Insecure, Wait: o.Wait, Stall: 20 * time.Second, Answer: 90 * time.Second}), dead: map[string]bool{}}
	for _, l := range []struct {
		names []string
		to    *[]name.Repository
	}{{o.From, &c.from}, {o.To, &c.to}} {
		for _, n := range l.names {
			r, err := c.client.Repository(n)
			if err != nil {
				return nil, err
			}
			*l.to = append(*l.to, r)
		}
	}
	return c, nil
}

func tagOf(repo name.Repository, key string) name.Tag { return repo.Tag("layer-" + key) }

// Fetch brings a layer out of the first repository that has it into the
// store. It returns nil where there is none to be had; only the end of ctx is
// an error. stepName is the step that the layer is the result of.
func (c *Cache) Fetch(ctx context.Context, st *store.Store, stepName string, want store.Meta) (*store.Layer, error) {
	var l *store.Layer
	_, err := c.first(ctx, stepName, func(repo name.Repository) (err error) {
		l, err = c.fetch(ctx, st, repo, stepName, want)
		return err
	})
	return l, err
}

// Find returns the first repository that has a layer, "" where none has, by
// the layer's description alone: what Fetch would bring may still turn out
// damaged. Only the end of ctx is an error.
func (c *Cache) Find(ctx context.Context, stepName string, want store.Meta) (string, error) {
	return c.first(ctx, stepName, func(repo name.Repository) error {
		k, err := c.client.GetArtefact(ctx, tagOf(repo, want.Key), artefactType)
		if err == nil {
			_, err = c.check(k, want)
		}
		return err
	})
}

// first tries the repositories until one of them has what is wanted.
func (c *Cache) first(ctx context.Context, stepName string, try func(name.Repository) error) (string, error) {
	if c == nil {
		return "", nil
	}
	for _, repo := range c.from {
		if c.given(repo) {
			continue
		}
		err := try(repo)
		if ctx.Err() != nil {
			return "", context.Cause(ctx)
		}
		if err == nil {
			return repo.Name(), nil
		}
		if !errors.Is(err, registry.ErrNotFound) {
			c.warn(ctx, repo, fmt.Errorf("cache %s: %s is made here: %w", repo, stepName, err))
		}
	}
	return "", nil
}

// given says that a repository was given up.
func (c *Cache) given(repo name.Repository) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.dead[repo.Name()]
}

// warn tells of an error. A registry that does not answer is given up for
// this build; an entry that is bad says nothing of the others.
func (c *Cache) warn(ctx context.Context, repo name.Repository, err error) {
	if fail.KindOf(err) == fail.Network && !errors.Is(err, registry.ErrDigest) && !errors.Is(err, errEntry) && !errors.Is(err, registry.ErrOther) {
		c.mu.Lock()
		was := c.dead[repo.Name()]
		c.dead[repo.Name()] = true
		c.mu.Unlock()
		if was {
			return
		}
	}
	text := err.Error()
	if hint := fail.HintOf(err); hint != "" {
		text += " (" + hint + ")"
	}
	progress.Warn(ctx, text)
}

// Sends says whether layers go anywhere.
func (c *Cache) Sends() bool { return c != nil && len(c.to) > 0 }

// Offer sends a layer to all repositories that do not have it, in the
// background; Wait waits for that.
func (c *Cache) Offer(ctx context.Context, st *store.Store, stepName string, l *store.Layer) {
	if !c.Sends() {
		return
	}
	c.sent.Go(func() {
		if err := c.send(ctx, st, stepName, l); err != nil && ctx.Err() == nil {
			progress.Warn(ctx, fmt.Sprintf("cache: %s is not shared: %v", stepName, err))
		}
	})
}

// Wait waits until all that was offered is sent or given up.
func (c *Cache) Wait() {
	if c != nil {
		c.sent.Wait()
	}
}
