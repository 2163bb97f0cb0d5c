// Package fetch downloads files of known SHA-256 into the store, several side
// by side: it hashes while it streams, resumes what an earlier run began,
// retries with growing pauses and goes to the next mirror when one fails.
package fetch

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"sync"
	"time"

	"cloudy/builder/fail"
	"cloudy/builder/progress"
	"cloudy/builder/store"
)

// Errors that callers tell apart. Those that Fetch and Get return are marked
// fail.Network, but for errors of the store.
var (
	// ErrHash means that a mirror's file has another size or hash than wanted.
	ErrHash = errors.New("file differs from what was signed")
	// ErrNotFound means that no mirror has the file.
	ErrNotFound = errors.New("not found")
	// ErrStalled means that a server stopped sending.
	ErrStalled = errors.New("no data came for too long")
	// ErrOffline means that something is not in the store and the network must not be used.
	ErrOffline = errors.New("offline and not in the store")
)

// Item is one file to download.
type Item struct {
	Name   string       // for messages: "bash_5.2.37-2_amd64.deb"
	URLs   []string     // http, https or file, tried in this order
	SHA256 store.Digest // always known
	Size   int64        // bytes; 0 when unknown
}

// Config sets how a Client works; its zero value is good.
type Config struct {
	Parallel int           // downloads side by side; 0: 6
	Tries    int           // failures without a byte of progress until a mirror is given up; 0: 4
	Pause    time.Duration // the first pause between tries, growing from there; 0: 500 ms
	Stall    time.Duration // how long a server may send nothing; 0: 30 s
	Limit    time.Duration // for one item in all, pauses included; 0: 2 h
	Offline  bool          // use only what the store has
	Step     string        // name of Fetch's step in the progress; "": "download"
	// Transport is for tests; nil uses one with time limits, keep-alive and
	// the proxy of the environment (HTTP_PROXY, HTTPS_PROXY, NO_PROXY).
	Transport http.RoundTripper
}

// Client downloads into one store. Its methods are safe for concurrent use.
type Client struct {
	store *store.Store
	cfg   Config
	http  *http.Client
}

// New returns a client that downloads into st.
func New(st *store.Store, cfg Config) *Client {
	if cfg.Parallel <= 0 {
		cfg.Parallel = 6
	}
	if cfg.Tries <= 0 {
		cfg.Tries = 4
	}
	if cfg.Pause <= 0 {
		cfg.Pause = 500 * time.Millisecond
	}
	if cfg.Stall <= 0 {
		cfg.Stall = 30 * time.Second
	}
	if cfg.Limit <= 0 {
		cfg.Limit = 2 * time.Hour
	}
	if cfg.Step == "" {
		cfg.Step = "download"
	}
	if cfg.Transport == nil {
		cfg.Transport = &http.Transport{
			Proxy:                 http.ProxyFromEnvironment,
			DialContext:           (&net.Dialer{Timeout: 15 * time.Second, KeepAlive: 30 * time.Second}).DialContext,
			TLSHandshakeTimeout:   15 * time.Second,
			ResponseHeaderTimeout: cfg.Stall,
			IdleConnTimeout:       90 * time.Second,
			MaxIdleConnsPerHost:   cfg.Parallel,
			ForceAttemptHTTP2:     true,
			// Compression would make Range and Content-Length mean something else.
			DisableCompression: true,
		}
	}
	return &Client{store: st, cfg: cfg, http: &http.Client{Transport: cfg.Transport}}
}

// CloseIdle closes connections that are kept alive for the next request.
func (c *Client) CloseIdle() { c.http.CloseIdleConnections() }

// maxFailures bounds how many items may be missing on all mirrors before
// Fetch stops: enough to show that a lock is out of date.
const maxFailures = 10

// Fetch makes sure that all items are in the store. ready, which may be nil,
// is called as soon as an item is there, with the blob's path, from several
// goroutines at once and in no order; items that were there already come
// first. Two items of one hash are downloaded once and reported twice.
//
// When a file is on no mirror, the others are still downloaded, so that the
// error names all that is missing (up to ten) and the next run has less to
// do; when no mirror answers, or the store fails, Fetch stops at once.
// Unfinished downloads stay in the store and are resumed by the next Fetch.
func (c *Client) Fetch(ctx context.Context, items []Item, ready func(Item, string)) error {
	if ready == nil {
		ready = func(Item, string) {}
	}
	var there, order []store.Digest // what the store has, and what is to be downloaded
	wanted := map[store.Digest][]Item{}
	for _, it := range items {
		if !it.SHA256.Valid() {
			return fmt.Errorf("download %s: not a SHA-256: %q", it.Name, it.SHA256)
		}
		if wanted[it.SHA256] == nil {
			if _, ok := c.store.Blob(it.SHA256); ok {
				there = append(there, it.SHA256)
			} else {
				order = append(order, it.SHA256)
			}
		}
		wanted[it.SHA256] = append(wanted[it.SHA256], it)
	}
	damaged, err := c.check(ctx, there, func(d store.Digest, path string) {
		for _, it := range wanted[d] {
			ready(it, path)
		}
	})
	if err != nil {
		return err
	}
	order = append(order, damaged...)
	var total int64
	for _, d := range order {
		total += wanted[d][0].Size
	}
	step := progress.Begin(ctx, c.cfg.Step, total, progress.Bytes)
	if len(order) == 0 {
		step.Cached(fmt.Sprintf("all %d files are in the store", len(items)))
		return nil
	}
	if c.cfg.Offline {
		first := wanted[order[0]][0]
		return step.End(fail.WithHint(fail.Network,
			fmt.Errorf("%d files are missing, the first is %s: %w", len(order), first.Name, ErrOffline),
			"Build once with the network, or leave out --offline."))
	}

	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	queue := make(chan store.Digest)
	var mu sync.Mutex
	var failures []error
	var wg sync.WaitGroup
	for range min(c.cfg.Parallel, len(order)) {
		wg.Go(func() {
			for d := range queue {
				its := wanted[d]
				path, err := c.item(ctx, its[0], step)
				if err == nil {
					for _, it := range its {
						ready(it, path)
					}
					continue
				}
				mu.Lock()
				// What fails because of the stop is not why it stopped.
				if context.Cause(ctx) == nil || len(failures) == 0 {
					failures = append(failures, err)
				}
				if (!errors.Is(err, ErrNotFound) && !errors.Is(err, ErrHash)) || len(failures) >= maxFailures {
					stop(err)
				}
				mu.Unlock()
			}
		})
	}
feed:
	for _, d := range order {
		select {
		case queue <- d:
		case <-ctx.Done():
			break feed
		}
	}
	close(queue)
	wg.Wait()
	if err := context.Cause(ctx); err != nil && len(failures) == 0 {
		failures = append(failures, err)
	}
	return step.End(errors.Join(failures...))
}
