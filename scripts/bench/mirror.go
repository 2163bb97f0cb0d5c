package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// mirror serves a Debian archive on the loopback out of a folder, and fills
// the folder from a real mirror where it lacks something.
type mirror struct {
	URL    string
	server *http.Server
	dir    string
	from   string

	fetched atomic.Int64 // files taken from the real mirror

	mu    sync.Mutex
	locks map[string]*sync.Mutex
	fresh map[string]bool // indexes that were asked for anew in this run
}

func startMirror(dir, from string) (*mirror, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	m := &mirror{
		URL: "http://" + l.Addr().String() + "/debian", dir: dir, from: strings.TrimSuffix(from, "/"),
		locks: map[string]*sync.Mutex{}, fresh: map[string]bool{},
	}
	m.server = &http.Server{Handler: m, ReadHeaderTimeout: 10 * time.Second}
	go func() { _ = m.server.Serve(l) }()
	return m, nil
}

func (m *mirror) close() error { return m.server.Close() }

// ServeHTTP implements http.Handler.
func (m *mirror) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	name, ok := strings.CutPrefix(path.Clean(r.URL.Path), "/debian/")
	if !ok {
		http.NotFound(w, r)
		return
	}
	file, err := m.get(r.Context(), name)
	if errors.Is(err, os.ErrNotExist) {
		http.NotFound(w, r)
		return
	}
	if err != nil {
		logf("mirror: %s: %v", name, err)
		http.Error(w, "the real mirror failed", http.StatusBadGateway)
		return
	}
	http.ServeFile(w, r, file)
}

func (m *mirror) lock(name string) func() {
	m.mu.Lock()
	l := m.locks[name]
	if l == nil {
		l = &sync.Mutex{}
		m.locks[name] = l
	}
	m.mu.Unlock()
	l.Lock()
	return l.Unlock
}

// mayChange tells the indexes whose name stays when their content does not.
func mayChange(name string) bool {
	return strings.HasPrefix(name, "dists/") && !strings.Contains(name, "/by-hash/")
}

// get returns the file of an archive's name, downloading it the first time.
// Indexes are asked for once in each run, so that all of it sees one state.
func (m *mirror) get(ctx context.Context, name string) (string, error) {
	defer m.lock(name)()
	file := filepath.Join(m.dir, filepath.FromSlash(name))
	m.mu.Lock()
	known := m.fresh[name]
	m.mu.Unlock()
	if _, err := os.Stat(file); err == nil && (known || !mayChange(name)) {
		return file, nil
	} else if known {
		return "", os.ErrNotExist
	}
	err := m.download(ctx, name, file)
	if err == nil || errors.Is(err, os.ErrNotExist) {
		m.mu.Lock()
		m.fresh[name] = true
		m.mu.Unlock()
	}
	if errors.Is(err, os.ErrNotExist) {
		os.Remove(file)
	}
	return file, err
}

func (m *mirror) download(ctx context.Context, name, file string) error {
	var err error
	for try := range 5 {
		if try > 0 {
			time.Sleep(time.Duration(try) * time.Second)
		}
		if err = m.fetch(ctx, name, file); err == nil || errors.Is(err, os.ErrNotExist) || ctx.Err() != nil {
			return err
		}
	}
	return err
}

func (m *mirror) fetch(ctx context.Context, name, file string) error {
	m.fetched.Add(1)
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, m.from+"/"+name, nil)
	if err != nil {
		return err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	switch resp.StatusCode {
	case http.StatusOK:
	case http.StatusNotFound, http.StatusForbidden, http.StatusGone:
		return os.ErrNotExist
	default:
		return fmt.Errorf("status %s", resp.Status)
	}
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		return err
	}
	f, err := os.CreateTemp(filepath.Dir(file), ".new-*")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	n, err := io.Copy(f, resp.Body)
	if err == nil && resp.ContentLength >= 0 && n != resp.ContentLength {
		err = io.ErrUnexpectedEOF
	}
	if err := errors.Join(err, f.Chmod(0o644), f.Close()); err != nil {
		return err
	}
	// apt asks whether an index is newer than what it has.
	if t, err := http.ParseTime(resp.Header.Get("Last-Modified")); err == nil {
		_ = os.Chtimes(f.Name(), t, t)
	}
	return os.Rename(f.Name(), file)
}
