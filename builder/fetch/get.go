package fetch

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"

	"cloudy/builder/fail"
)

// Request asks for a small file whose hash nobody knows beforehand, such as
// InRelease. Whoever asks must verify it.
type Request struct {
	URL          string
	MaxSize      int64 // bytes; more is an error. 0: 16 MiB
	ETag         string
	LastModified string // with either of these the answer may be NotModified
}

// Response is the answer to a Request.
type Response struct {
	Data         []byte
	ETag         string
	LastModified string
	NotModified  bool // what the validators stand for is still what the server has; Data is nil
}

// Get downloads a small file from one URL into memory, with the retries of
// Fetch. The error wraps ErrNotFound when the server has no such file, and is
// marked fail.Network.
func (c *Client) Get(ctx context.Context, r Request) (*Response, error) {
	if c.cfg.Offline {
		return nil, fail.Mark(fail.Network, fmt.Errorf("get %s: %w", redact(r.URL), ErrOffline))
	}
	if r.MaxSize <= 0 {
		r.MaxSize = 16 << 20
	}
	pauses := c.pauses()
	for failed := 1; ; failed++ {
		resp, err := c.getOnce(ctx, r)
		if err == nil {
			return resp, nil
		}
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		if p := (*permanent)(nil); errors.As(err, &p) || failed >= c.cfg.Tries {
			hint := "Check the network, or name another mirror with --mirror."
			if errors.Is(err, ErrNotFound) {
				hint = "" // the caller knows what it means that there is no such file
			}
			return nil, fail.WithHint(fail.Network, fmt.Errorf("get %s: %w", redact(r.URL), err), hint)
		}
		if err := sleep(ctx, waitFor(err, pauses.NextBackOff())); err != nil {
			return nil, err
		}
	}
}

func (c *Client) getOnce(ctx context.Context, r Request) (*Response, error) {
	u, err := url.Parse(r.URL)
	if err != nil {
		return nil, &permanent{fmt.Errorf("bad URL: %w", err)}
	}
	if u.Scheme == "file" {
		f, err := openRegular(u.Path)
		if err != nil {
			return nil, err
		}
		defer f.Close()
		data, err := readLimited(f, r.MaxSize, func() {})
		return &Response{Data: data}, err
	}
	ctx, alive, stop := watch(ctx, c.cfg.Stall)
	defer stop()
	req, err := newRequest(ctx, r.URL)
	if err != nil {
		return nil, &permanent{err}
	}
	if r.ETag != "" {
		req.Header.Set("If-None-Match", r.ETag)
	}
	if r.LastModified != "" {
		req.Header.Set("If-Modified-Since", r.LastModified)
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return nil, stalled(ctx, err)
	}
	defer resp.Body.Close()
	alive()
	out := &Response{ETag: resp.Header.Get("ETag"), LastModified: resp.Header.Get("Last-Modified")}
	switch {
	case resp.StatusCode == http.StatusNotModified && (r.ETag != "" || r.LastModified != ""):
		out.NotModified = true
		return out, nil
	case resp.StatusCode != http.StatusOK:
		return nil, statusError(resp)
	}
	if out.Data, err = readLimited(resp.Body, r.MaxSize, alive); err != nil {
		return nil, stalled(ctx, err)
	}
	return out, nil
}

// readLimited reads all of r, of which there must not be more than limit bytes.
func readLimited(r io.Reader, limit int64, alive func()) ([]byte, error) {
	data, err := io.ReadAll(io.LimitReader(aliveReader{r, alive}, limit+1))
	if err != nil {
		return nil, err
	}
	if int64(len(data)) > limit {
		return nil, &permanent{fmt.Errorf("the file has more than %d bytes", limit)}
	}
	return data, nil
}

type aliveReader struct {
	r     io.Reader
	alive func()
}

func (a aliveReader) Read(p []byte) (int, error) {
	n, err := a.r.Read(p)
	a.alive()
	return n, err
}
