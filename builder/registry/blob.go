package registry

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"hash"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote/transport"
)

// source reads the blobs of one repository.
type source struct {
	client *Client
	repo   name.Repository
	http   *http.Client
}

func (c *Client) source(ctx context.Context, repo name.Repository) (*source, error) {
	auth, err := authn.Resolve(ctx, c.o.Keychain, repo)
	if err != nil {
		return nil, err
	}
	t, err := transport.NewWithContext(ctx, repo.Registry, auth, c.transport, []string{repo.Scope(transport.PullScope)})
	if err != nil {
		return nil, err
	}
	return &source{client: c, repo: repo, http: &http.Client{Transport: t}}, nil
}

// open reads a blob from offset on; have has hashed what is before it. When
// the connection breaks or stalls the rest is asked for anew. The last Read
// returns an ErrDigest in place of io.EOF when the whole is not what the
// descriptor says.
func (s *source) open(ctx context.Context, d v1.Descriptor, offset int64, have hash.Hash) io.ReadCloser {
	if have == nil {
		have = sha256.New()
	}
	return &blobReader{ctx: ctx, source: s, d: d, at: offset, hash: have}
}

type blobReader struct {
	ctx    context.Context
	source *source
	d      v1.Descriptor
	at     int64
	hash   hash.Hash

	body   io.ReadCloser
	alive  *time.Timer
	cancel context.CancelFunc
	failed int   // tries since the last byte
	err    error // sticky
}

func (r *blobReader) Read(p []byte) (int, error) {
	for r.err == nil {
		if r.at == r.d.Size {
			r.drop()
			r.err = io.EOF
			if got := hex.EncodeToString(r.hash.Sum(nil)); got != r.d.Digest.Hex {
				r.err = fmt.Errorf("%w: blob %s has %s", ErrDigest, r.d.Digest, got)
			}
			break
		}
		err := r.connect()
		if err == nil {
			// Not more than there is, so that an endless answer ends.
			n, rerr := r.body.Read(p[:min(int64(len(p)), r.d.Size-r.at)])
			if n > 0 {
				r.alive.Reset(r.source.client.o.Stall)
				r.hash.Write(p[:n])
				r.at += int64(n)
				r.failed = 0
				return n, nil
			}
			if err = rerr; err == nil {
				continue
			}
			if err == io.EOF {
				err = io.ErrUnexpectedEOF
			}
		}
		r.drop()
		r.retry(err)
	}
	return 0, r.err
}

// retry waits before the next try, or gives up.
func (r *blobReader) retry(err error) {
	if r.ctx.Err() != nil {
		r.err = context.Cause(r.ctx)
		return
	}
	var status *transport.Error
	if e, ok := err.(*transport.Error); ok {
		status = e
	}
	r.failed++
	if r.failed >= tries || status != nil && !status.Temporary() {
		r.err = fmt.Errorf("blob %s, at byte %d of %d: %w", r.d.Digest, r.at, r.d.Size, err)
		return
	}
	wait := r.source.client.o.Wait
	for range r.failed - 1 {
		wait *= 3
	}
	select {
	case <-time.After(wait):
	case <-r.ctx.Done():
		r.err = context.Cause(r.ctx)
	}
}

// connect asks for what is still missing.
func (r *blobReader) connect() error {
	if r.body != nil {
		return nil
	}
	ctx, cancel := context.WithCancel(r.ctx)
	r.cancel = cancel
	r.alive = time.AfterFunc(r.source.client.o.Stall, cancel)
	repo := r.source.repo
	u := url.URL{Scheme: repo.Scheme(), Host: repo.RegistryStr(), Path: fmt.Sprintf("/v2/%s/blobs/%s", repo.RepositoryStr(), r.d.Digest)}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), nil)
	if err != nil {
		return err
	}
	if r.at > 0 {
		req.Header.Set("Range", fmt.Sprintf("bytes=%d-%d", r.at, r.d.Size-1))
	}
	resp, err := r.source.http.Do(req)
	if err != nil {
		return err
	}
	if err := transport.CheckError(resp, http.StatusOK, http.StatusPartialContent); err != nil {
		resp.Body.Close()
		return err
	}
	r.body = resp.Body
	if r.at == 0 {
		return nil
	}
	if resp.StatusCode == http.StatusPartialContent && strings.HasPrefix(resp.Header.Get("Content-Range"), fmt.Sprintf("bytes %d-", r.at)) {
		return nil
	}
	// It does not know ranges: what is there already comes once more.
	for left := r.at; left > 0; {
		n, err := io.CopyN(io.Discard, resp.Body, min(left, 1<<20))
		left -= n
		r.alive.Reset(r.source.client.o.Stall)
		if err != nil {
			return err
		}
	}
	return nil
}

func (r *blobReader) drop() {
	if r.alive != nil {
		r.alive.Stop()
		r.cancel()
	}
	if r.body != nil {
		r.body.Close()
		r.body = nil
	}
}

// Close implements io.Closer.
func (r *blobReader) Close() error {
	r.drop()
	if r.err == nil {
		r.err = io.ErrClosedPipe
	}
	return nil
}

// small reads a blob into memory, at most max bytes.
func (s *source) small(ctx context.Context, d v1.Descriptor, max int64) ([]byte, error) {
	if d.Size > max {
		return nil, fmt.Errorf("blob %s has %d bytes where %d are the most", d.Digest, d.Size, max)
	}
	r := s.open(ctx, d, 0, nil)
	defer r.Close()
	return io.ReadAll(r)
}
