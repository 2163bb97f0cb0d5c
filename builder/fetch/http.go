package fetch

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"
	"time"
)

// try goes on with the download from one URL, once. It returns nil when the
// source said that this is all; complete then judges the bytes.
func (t *transfer) try(ctx context.Context, rawURL string) error {
	u, err := url.Parse(rawURL)
	if err != nil {
		return &permanent{fmt.Errorf("bad URL: %w", err)}
	}
	switch u.Scheme {
	case "file":
		return t.tryFile(ctx, u.Path)
	case "http", "https":
		return t.tryHTTP(ctx, rawURL)
	}
	return &permanent{fmt.Errorf("scheme %q: only http, https and file are known", u.Scheme)}
}

func (t *transfer) tryFile(ctx context.Context, path string) error {
	f, err := openRegular(path)
	if err != nil {
		return err
	}
	defer f.Close()
	if t.have > 0 {
		if err := t.restart(); err != nil {
			return err
		}
	}
	return t.copy(ctx, f, func() {})
}

// openRegular opens a file of a file:// mirror.
func openRegular(path string) (*os.File, error) {
	info, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, &permanent{fmt.Errorf("%s: %w", path, ErrNotFound)}
	}
	if err == nil && !info.Mode().IsRegular() {
		err = fmt.Errorf("%s: not a regular file", path)
	}
	if err != nil {
		return nil, &permanent{err}
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, &permanent{err}
	}
	return f, nil
}

func (t *transfer) tryHTTP(ctx context.Context, rawURL string) error {
	ctx, alive, stop := watch(ctx, t.client.cfg.Stall)
	defer stop()
	req, err := newRequest(ctx, rawURL)
	if err != nil {
		return &permanent{err}
	}
	if t.have > 0 {
		req.Header.Set("Range", fmt.Sprintf("bytes=%d-", t.have))
		// The validators of one mirror say nothing about another's file; the
		// hash judges in the end either way.
		if t.note.URL == rawURL {
			if v := t.note.validator(); v != "" {
				req.Header.Set("If-Range", v)
			}
		}
	}
	resp, err := t.client.http.Do(req)
	if err != nil {
		return stalled(ctx, err)
	}
	defer resp.Body.Close()
	alive()
	got := note{URL: rawURL, ETag: resp.Header.Get("ETag"), LastModified: resp.Header.Get("Last-Modified")}
	switch {
	case resp.StatusCode == http.StatusOK:
		if t.have > 0 { // it changed, or the server knows no ranges
			if err := t.restart(); err != nil {
				return err
			}
		}
		if n := resp.ContentLength; n >= 0 && t.item.Size > 0 && n != t.item.Size {
			return &permanent{fmt.Errorf("the file has %d bytes, want %d: %w", n, t.item.Size, ErrHash)}
		}
	case resp.StatusCode == http.StatusPartialContent && t.have > 0:
		if err := t.checkRange(resp, got); err != nil {
			if rerr := t.restart(); rerr != nil {
				return rerr
			}
			return err
		}
		t.resumed = true
	case resp.StatusCode == http.StatusRequestedRangeNotSatisfiable && t.have > 0:
		if err := t.restart(); err != nil {
			return err
		}
		return errors.New("the server has fewer bytes than were downloaded")
	default:
		return statusError(resp)
	}
	if got != t.note {
		t.note = got
		if err := t.part.SetNote(got); err != nil {
			return err
		}
	}
	if err := t.copy(ctx, resp.Body, alive); err != nil {
		return stalled(ctx, err)
	}
	return nil
}

// checkRange makes sure that a 206 answer continues our bytes.
func (t *transfer) checkRange(resp *http.Response, got note) error {
	start, total, err := parseContentRange(resp.Header.Get("Content-Range"))
	switch {
	case err != nil:
		return err
	case start != t.have:
		return fmt.Errorf("asked for bytes from %d, got them from %d", t.have, start)
	case t.item.Size > 0 && total >= 0 && total != t.item.Size:
		return &permanent{fmt.Errorf("the file has %d bytes, want %d: %w", total, t.item.Size, ErrHash)}
	case got.URL == t.note.URL && t.note.ETag != "" && got.ETag != "" && got.ETag != t.note.ETag:
		return errors.New("the file changed on the server")
	}
	return nil
}

// parseContentRange reads "bytes 10-99/100" (RFC 9110, 14.4); total is -1
// when the server does not know it.
func parseContentRange(text string) (start, total int64, err error) {
	bad := fmt.Errorf("bad Content-Range %q", text)
	spec, ok := strings.CutPrefix(text, "bytes ")
	span, size, ok2 := strings.Cut(spec, "/")
	first, last, ok3 := strings.Cut(span, "-")
	if !ok || !ok2 || !ok3 {
		return 0, 0, bad
	}
	start, err1 := strconv.ParseInt(first, 10, 64)
	end, err2 := strconv.ParseInt(last, 10, 64)
	if err1 != nil || err2 != nil || start < 0 || end < start {
		return 0, 0, bad
	}
	if size == "*" {
		return start, -1, nil
	}
	total, err = strconv.ParseInt(size, 10, 64)
	if err != nil || total <= end {
		return 0, 0, bad
	}
	return start, total, nil
}

// copy appends r to the part and the hash.
func (t *transfer) copy(ctx context.Context, r io.Reader, alive func()) error {
	buf := make([]byte, 128<<10)
	for {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		n, rerr := r.Read(buf)
		if n > 0 {
			alive()
			if t.item.Size > 0 && t.have+int64(n) > t.item.Size {
				// It may go on for ever: stop here, complete says why.
				n = int(t.item.Size - t.have + 1)
				rerr = io.EOF
			}
			if err := t.append(buf[:n]); err != nil {
				return err
			}
		}
		if rerr == io.EOF {
			return nil
		}
		if rerr != nil {
			return rerr
		}
	}
}

func (t *transfer) append(data []byte) error {
	n, err := t.part.File.Write(data)
	t.hash.Write(data[:n])
	t.have += int64(n)
	t.step.Add(int64(n))
	return t.client.store.HostError(err)
}

// validator is what If-Range takes: a strong ETag or a date.
func (n note) validator() string {
	if n.ETag != "" && !strings.HasPrefix(n.ETag, "W/") {
		return n.ETag
	}
	return n.LastModified
}

func newRequest(ctx context.Context, rawURL string) (*http.Request, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, rawURL, nil)
	if err != nil {
		return nil, err
	}
	req.Header.Set("User-Agent", "cloudy")
	return req, nil
}

// watch returns a context that ends with ErrStalled when alive is not called
// for that long.
func watch(ctx context.Context, limit time.Duration) (_ context.Context, alive, stop func()) {
	ctx, cancel := context.WithCancelCause(ctx)
	timer := time.AfterFunc(limit, func() { cancel(fmt.Errorf("%w (%v)", ErrStalled, limit)) })
	return ctx, func() { timer.Reset(limit) }, func() { timer.Stop(); cancel(nil) }
}

// stalled puts the reason of a cancelled request in place of "context canceled".
func stalled(ctx context.Context, err error) error {
	if cause := context.Cause(ctx); cause != nil && errors.Is(cause, ErrStalled) {
		return cause
	}
	// The URL is named by whoever puts the failures of all mirrors together.
	if ue := (*url.Error)(nil); errors.As(err, &ue) {
		err = ue.Err
	}
	// The name server answered: there is no such host. Unlike a server that
	// does not answer, that will not change in a second.
	if de := (*net.DNSError)(nil); errors.As(err, &de) && de.IsNotFound {
		return &permanent{err}
	}
	// The transport has the same limit for the head of an answer, and may be first.
	if ne := net.Error(nil); errors.As(err, &ne) && ne.Timeout() {
		return fmt.Errorf("%w: %w", ErrStalled, err)
	}
	return err
}

// statusError says what to make of an answer that brings no file.
func statusError(resp *http.Response) error {
	err := fmt.Errorf("the server answered %s", resp.Status)
	switch code := resp.StatusCode; {
	case code == http.StatusNotFound, code == http.StatusGone:
		return &permanent{fmt.Errorf("%w (%s)", ErrNotFound, resp.Status)}
	case code == http.StatusTooManyRequests, code == http.StatusServiceUnavailable:
		if wait, ok := parseRetryAfter(resp.Header.Get("Retry-After"), time.Now()); ok {
			return &retryAfter{err, wait}
		}
		return err
	case code >= 500, code == http.StatusRequestTimeout, code == http.StatusTooEarly:
		return err
	}
	return &permanent{err}
}

// parseRetryAfter reads seconds or a date (RFC 9110, 10.2.3).
func parseRetryAfter(text string, now time.Time) (time.Duration, bool) {
	if s, err := strconv.Atoi(text); err == nil && s >= 0 {
		return time.Duration(min(s, 1<<20)) * time.Second, true
	}
	if at, err := http.ParseTime(text); err == nil {
		return max(at.Sub(now), 0), true
	}
	return 0, false
}
