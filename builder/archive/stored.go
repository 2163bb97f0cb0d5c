package archive

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"cloudy/builder/fail"
	"cloudy/builder/progress"
)

// storedRelease is a Release file in the store that was verified once.
type storedRelease struct {
	seen
	data, signature []byte
}

// lastSeen returns the suite's last verified Release file, or nil.
func (u *updater) lastSeen(s *Suite) *storedRelease {
	note, err := u.store.Ref(refName(s))
	if err != nil {
		return nil
	}
	last := &storedRelease{}
	if json.Unmarshal(note, &last.seen) != nil {
		return nil
	}
	if last.data, err = u.store.ReadBlob(last.Digest); err != nil {
		return nil
	}
	if last.Signature != "" {
		if last.signature, err = u.store.ReadBlob(last.Signature); err != nil {
			return nil
		}
	}
	return last
}

// remember keeps a verified Release file for the next time and for work
// without the network. It warns when the mirror is older than the last one.
func (u *updater) remember(ctx context.Context, s *Suite, last *storedRelease, got seen, data, sig []byte) error {
	if last != nil && last.Digest == s.Digest && last.seen == got {
		return nil
	}
	if last != nil && last.Digest != s.Digest {
		if r, err := last.parse(); err == nil && s.Release.Date.Before(r.Date) {
			progress.Warn(ctx, fmt.Sprintf("archive %s, suite %s: %s is from %s, older than what was seen before (%s)",
				s.Source.Name, s.Name, s.URL, stamp(s.Release.Date), stamp(r.Date)))
		}
	}
	var err error
	if got.Digest, err = u.store.PutBytes(ctx, data); err != nil {
		return err
	}
	if sig != nil {
		if got.Signature, err = u.store.PutBytes(ctx, sig); err != nil {
			return err
		}
	}
	note, err := json.Marshal(got)
	if err != nil {
		return err
	}
	return u.store.PutRef(refName(s), note)
}

func (l *storedRelease) parse() (*Release, error) {
	text := l.data
	if l.signature == nil {
		var err error
		if text, _, err = signedText(l.data); err != nil {
			return nil, err
		}
	}
	return ParseRelease(text)
}

// fromStore takes the last verified Release file. Its signature is checked
// again, against the keyring of today's recipe. That Valid-Until has passed
// is only a warning: the user asked for no network, so nothing newer can come.
func (u *updater) fromStore(ctx context.Context, s *Suite, ring *Keyring, last *storedRelease) error {
	if last == nil {
		return fail.WithHint(fail.Network,
			fmt.Errorf("archive %s, suite %s: %w", s.Source.Name, s.Name, ErrOffline),
			"Run once with the network, or leave out --offline.")
	}
	src := s.Source
	s.Source.AllowExpired = true
	err := u.accept(s, ring, last.data, last.signature, u.now)
	s.Source = src
	if err != nil {
		return suiteError(s, 0, []error{fmt.Errorf("in the store: %w", err)})
	}
	if err := s.Release.check(src, s.Name, src.clock(u.now)); errors.Is(err, ErrExpired) {
		progress.Warn(ctx, fmt.Sprintf("archive %s, suite %s: %v; used because the build is offline", src.Name, s.Name, err))
	}
	return nil
}
