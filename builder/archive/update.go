package archive

import (
	"context"
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"
	"sync"
	"time"

	"cloudy/builder/fail"
	"cloudy/builder/fetch"
	"cloudy/builder/progress"
	"cloudy/builder/store"
)

// Update brings the verified indexes of all suites of the sources into the
// store and returns them. Release files are asked for every time (unless
// opts.Fetch.Offline), indexes only when their hash is not in the store.
//
// Every suite is tried on each of its mirrors in turn. Errors wrap one of
// the package's sentinels and are marked fail.Network where a mirror is to
// blame, fail.User where the recipe is. Indexes must not be used after st is
// closed.
func Update(ctx context.Context, st *store.Store, srcs []Source, m *Mirrors, opts Options) (*Indexes, error) {
	if opts.Now == nil {
		opts.Now = time.Now
	}
	if opts.Fetch.Step == "" {
		opts.Fetch.Step = "indexes"
	}
	u := &updater{store: st, client: fetch.New(st, opts.Fetch), offline: opts.Fetch.Offline, now: opts.Now(), mirrors: m}
	defer u.client.CloseIdle()
	x := &Indexes{store: st, fetch: opts.Fetch}
	var rings []*Keyring
	for _, src := range srcs {
		ring, err := keyringOf(src)
		if err != nil {
			return nil, fail.Mark(fail.User, fmt.Errorf("archive %s: %w", src.Name, err))
		}
		for _, name := range src.Suites {
			x.Suites = append(x.Suites, &Suite{Source: src, Name: name})
			rings = append(rings, ring)
		}
	}
	step := progress.Begin(ctx, "archives", int64(len(x.Suites)), progress.Items)
	if err := u.releases(ctx, x.Suites, rings, step); err != nil {
		return nil, step.End(err)
	}
	if err := u.indexes(ctx, x.Suites); err != nil {
		return nil, step.End(err)
	}
	return x, step.End(nil)
}

func keyringOf(src Source) (*Keyring, error) {
	data := src.Keyring
	if data == nil {
		var err error
		if data, err = DebianKeyring(); err != nil {
			return nil, err
		}
	}
	return ReadKeyring(data, src.Fingerprints)
}

type updater struct {
	store   *store.Store
	client  *fetch.Client
	mirrors *Mirrors
	offline bool
	now     time.Time
}

// releases gets and verifies the Release files of all suites side by side.
func (u *updater) releases(ctx context.Context, suites []*Suite, rings []*Keyring, step *progress.Step) error {
	errs := make([]error, len(suites))
	var wg sync.WaitGroup
	for i, s := range suites {
		wg.Go(func() {
			if errs[i] = u.release(ctx, s, rings[i]); errs[i] == nil {
				step.Add(1)
			}
		})
	}
	wg.Wait()
	return errors.Join(errs...)
}

// seen is what the store notes of a suite's last verified Release file.
type seen struct {
	Digest       store.Digest `json:"digest"`
	Signature    store.Digest `json:"signature,omitempty"` // of Release.gpg, when detached
	URL          string       `json:"url"`                 // the mirror
	ETag         string       `json:"etag,omitempty"`
	LastModified string       `json:"last_modified,omitempty"`
}

func refName(s *Suite) string {
	where := s.Source.URL
	if where == "" {
		where = s.Source.mirrorName()
		if !s.Source.Snapshot.IsZero() {
			where += "@" + s.Source.Snapshot.UTC().Format(time.RFC3339)
		}
	}
	return "release " + where + " " + s.Name
}

// suiteURL is where a suite's files lie on a mirror.
func suiteURL(mirror, suite string) string {
	if flat, ok := strings.CutSuffix(suite, "/"); ok {
		return mirror + "/" + strings.TrimPrefix(path.Clean("/"+flat), "/")
	}
	return mirror + "/dists/" + suite
}

// release finds the suite's Release file and fills s.
func (u *updater) release(ctx context.Context, s *Suite, ring *Keyring) error {
	mirrors, err := u.mirrors.For(s.Source)
	if err != nil {
		return err
	}
	last := u.lastSeen(s)
	if u.offline {
		s.Mirrors = mirrors
		return u.fromStore(ctx, s, ring, last)
	}
	var failures []error
	missing := 0
	for i, m := range mirrors {
		got, data, sig, err := u.download(ctx, suiteURL(m.URL, s.Name), m.URL, last)
		if err == nil {
			if err = u.accept(s, ring, data, sig, u.now); err == nil {
				s.URL = m.URL
				s.Mirrors = slices.Concat([]Mirror{m}, mirrors[:i], mirrors[i+1:])
				return u.remember(ctx, s, last, got, data, sig)
			}
		}
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if errors.Is(err, fetch.ErrNotFound) {
			missing++
		}
		failures = append(failures, fmt.Errorf("%s (%s): %w", suiteURL(m.URL, s.Name), m.Origin, err))
	}
	return suiteError(s, missing, failures)
}

// suiteError makes one error of the failures of all mirrors, with a hint.
func suiteError(s *Suite, missing int, failures []error) error {
	err := errors.Join(failures...)
	kind, hint := fail.Network, "Check the network, or name another mirror with --mirror."
	switch {
	case missing > 0:
		err = fmt.Errorf("%w: %w", ErrNoSuite, err)
		hint = fmt.Sprintf("Check the name of the suite in archive %q, or name a mirror that has it with --mirror %s=URL.",
			s.Source.Name, s.Source.mirrorName())
	case errors.Is(err, ErrExpired):
		hint = "The mirror is out of date, or this machine's clock is wrong; allow_expired in the recipe takes it nevertheless."
	case errors.Is(err, ErrSignature):
		hint = "Either something on the way changes the files (a captive portal, a bad mirror), or the archive's keyring in the recipe is not the right one."
	case errors.Is(err, ErrWrongSuite):
		hint = "The mirror is wrong, or the recipe should use the suite's own name."
	}
	return fail.WithHint(kind, fmt.Errorf("archive %s, suite %s: %w", s.Source.Name, s.Name, err), hint)
}

// download gets InRelease, or Release and Release.gpg where there is none.
// When the server says that it has not changed since last, the store's copy
// is returned.
func (u *updater) download(ctx context.Context, at, mirror string, last *storedRelease) (seen, []byte, []byte, error) {
	req := fetch.Request{URL: at + "/InRelease"}
	if last != nil && last.URL == mirror && last.signature == nil {
		req.ETag, req.LastModified = last.ETag, last.LastModified
	}
	resp, err := u.client.Get(ctx, req)
	if err == nil {
		got := seen{URL: mirror, ETag: resp.ETag, LastModified: resp.LastModified}
		if resp.NotModified {
			return last.seen, last.data, nil, nil
		}
		return got, resp.Data, nil, nil
	}
	if !errors.Is(err, fetch.ErrNotFound) {
		return seen{}, nil, nil, err
	}
	data, derr := u.client.Get(ctx, fetch.Request{URL: at + "/Release"})
	if derr != nil {
		return seen{}, nil, nil, err // InRelease is what the user should read of
	}
	sig, err := u.client.Get(ctx, fetch.Request{URL: at + "/Release.gpg", MaxSize: 1 << 20})
	if errors.Is(err, fetch.ErrNotFound) {
		return seen{}, nil, nil, fmt.Errorf("%w: there is a Release file, but neither InRelease nor Release.gpg", ErrSignature)
	}
	if err != nil {
		return seen{}, nil, nil, err
	}
	return seen{URL: mirror}, data.Data, sig.Data, nil
}

// accept verifies a Release file and fills s from it.
func (u *updater) accept(s *Suite, ring *Keyring, data, sig []byte, now time.Time) error {
	clock := s.Source.clock(now)
	text, signer := data, ""
	var err error
	if sig != nil {
		signer, err = ring.verifyDetached(data, sig, clock)
	} else {
		text, signer, err = ring.verifyInline(data, clock)
	}
	if err != nil {
		return clockNote(err, data, sig, clock)
	}
	r, err := ParseRelease(text)
	if err != nil {
		return err
	}
	if err := r.check(s.Source, s.Name, clock); err != nil {
		return err
	}
	s.Release, s.Signer, s.Digest = r, signer, store.DigestOf(data)
	return nil
}

// clockNote explains a signature that seems to come from the future: it is
// this machine's clock that is wrong.
func clockNote(err error, data, sig []byte, clock time.Time) error {
	text := data
	if sig == nil {
		var terr error
		if text, _, terr = signedText(data); terr != nil {
			return err
		}
	}
	if r, rerr := ParseRelease(text); rerr == nil && r.Date.After(clock.Add(maxSkew)) {
		return fail.WithHint(fail.Host,
			fmt.Errorf("%w (it says that it was made on %s, but this machine's clock says %s)", err, stamp(r.Date), stamp(clock)),
			"Set this machine's clock.")
	}
	return err
}
