package fetch

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/url"
	"time"

	"github.com/cenkalti/backoff/v5"

	"cloudy/builder/fail"
	"cloudy/builder/progress"
	"cloudy/builder/store"
)

// transfer is the download of one item: its part in the store and the hash
// of the bytes that are there.
type transfer struct {
	client *Client
	item   Item
	step   *progress.Step
	part   *store.Part
	hash   *store.Hash
	have   int64 // bytes in the part, all of them in hash
	note   note

	resumed bool // the bytes are of more than one answer, perhaps of different files
}

// note is kept beside a part: the source of its bytes and that source's validators.
type note struct {
	URL          string `json:"url"`
	ETag         string `json:"etag,omitempty"`
	LastModified string `json:"last_modified,omitempty"`
}

// item brings one item into the store and returns its path.
func (c *Client) item(ctx context.Context, it Item, step *progress.Step) (string, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, c.cfg.Limit,
		fmt.Errorf("download %s: took longer than %v: %w", it.Name, c.cfg.Limit, ErrStalled))
	defer cancel()
	part, err := c.store.OpenPart(ctx, it.SHA256)
	if err != nil {
		return "", err
	}
	if path, ok := c.store.Blob(it.SHA256); ok { // another build was faster
		part.Drop()
		step.Add(it.Size)
		return path, nil
	}
	t := &transfer{client: c, item: it, step: step, part: part}
	if t.hash, t.have, err = part.Rehash(ctx); err != nil {
		part.Keep()
		return "", err
	}
	part.Note(&t.note)
	step.Add(t.have)
	if it.Size > 0 && t.have == it.Size { // killed between the last byte and the rename
		if t.hash.Digest() == it.SHA256 {
			return part.Commit(it.SHA256)
		}
	}
	if it.Size > 0 && t.have >= it.Size {
		if err := t.restart(); err != nil {
			part.Keep()
			return "", err
		}
	}
	if err := t.mirrors(ctx); err != nil {
		if t.have > 0 {
			part.Keep()
		} else {
			part.Drop()
		}
		return "", err
	}
	return part.Commit(t.hash.Digest())
}

// restart forgets the bytes so far.
func (t *transfer) restart() error {
	t.step.Add(-t.have)
	t.hash, t.have, t.resumed, t.note = store.NewHash(), 0, false, note{}
	return t.part.Truncate()
}

// mirrors tries one mirror after the other.
func (t *transfer) mirrors(ctx context.Context) error {
	if len(t.item.URLs) == 0 {
		return fail.Mark(fail.Internal, fmt.Errorf("download %s: no mirror given", t.item.Name))
	}
	var failures []error
	for _, u := range t.item.URLs {
		err := t.mirror(ctx, u)
		if err == nil {
			return nil
		}
		if ctx.Err() != nil {
			err = context.Cause(ctx)
			if errors.Is(err, ErrStalled) {
				err = fail.Mark(fail.Network, err)
			}
			return err
		}
		if kind := fail.KindOf(err); kind == fail.Host {
			return err // a full disk is full for every mirror
		}
		failures = append(failures, fmt.Errorf("%s: %w", redact(u), err))
	}
	err := fmt.Errorf("download %s: %w", t.item.Name, errors.Join(failures...))
	hint := "Check the network, or name another mirror with --mirror."
	switch {
	case errors.Is(err, ErrHash):
		hint = "The mirror is damaged or in the middle of an update: try again later, or another --mirror."
	case allNotFound(failures):
		hint = "The archive has moved on: renew the lock with `cloudy lock --upgrade`, or use a mirror that keeps old versions."
	}
	return fail.WithHint(fail.Network, err, hint)
}

func allNotFound(failures []error) bool {
	for _, err := range failures {
		if !errors.Is(err, ErrNotFound) {
			return false
		}
	}
	return true
}

// mirror tries one URL until it succeeds, fails for good, or fails too often
// in a row without a byte of progress.
func (t *transfer) mirror(ctx context.Context, rawURL string) error {
	pauses := t.client.pauses()
	for failed := 0; ; {
		before := t.have
		err := t.try(ctx, rawURL)
		if err == nil {
			err = t.complete()
		}
		var p *permanent
		switch {
		case err == nil, ctx.Err() != nil:
			return err
		case errors.As(err, &p), fail.KindOf(err) == fail.Host:
			return err
		case t.have > before:
			failed = 0
			pauses.Reset()
		}
		if failed++; failed >= t.client.cfg.Tries {
			return err
		}
		if err := sleep(ctx, waitFor(err, pauses.NextBackOff())); err != nil {
			return err
		}
	}
}

// complete checks what a try that ended well has brought.
func (t *transfer) complete() error {
	switch {
	case t.item.Size > 0 && t.have < t.item.Size:
		return fmt.Errorf("got %d of %d bytes: %w", t.have, t.item.Size, io.ErrUnexpectedEOF)
	case t.item.Size > 0 && t.have > t.item.Size, t.hash.Digest() != t.item.SHA256:
		err := fmt.Errorf("%d bytes with SHA-256 %s, want %d with %s: %w",
			t.have, t.hash.Digest(), t.item.Size, t.item.SHA256, ErrHash)
		resumed := t.resumed
		if rerr := t.restart(); rerr != nil {
			return rerr
		}
		if resumed {
			return err // perhaps only the bytes of the first answer were bad: again, from the start
		}
		return &permanent{err}
	}
	return nil
}

// permanent marks an error that trying again will not heal.
type permanent struct{ error }

func (p *permanent) Unwrap() error { return p.error }

// retryAfter marks an error whose server said how long to wait.
type retryAfter struct {
	error
	wait time.Duration
}

func (r *retryAfter) Unwrap() error { return r.error }

// maxRetryAfter bounds what a server can make us wait.
const maxRetryAfter = 2 * time.Minute

func waitFor(err error, pause time.Duration) time.Duration {
	if r := (*retryAfter)(nil); errors.As(err, &r) {
		return min(max(r.wait, pause), maxRetryAfter)
	}
	return pause
}

// pauses grow from Pause by half each time, up to 60 times Pause, each off
// by up to half so that many clients do not come back at once.
func (c *Client) pauses() *backoff.ExponentialBackOff {
	b := backoff.NewExponentialBackOff()
	b.InitialInterval = c.cfg.Pause
	b.MaxInterval = 60 * c.cfg.Pause
	b.Reset()
	return b
}

func sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-timer.C:
		return nil
	}
}

// redact hides a password in a URL before it goes into a message.
func redact(rawURL string) string {
	if u, err := url.Parse(rawURL); err == nil {
		return u.Redacted()
	}
	return rawURL
}
