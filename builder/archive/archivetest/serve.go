package archivetest

import (
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
)

// Server is an archive that is served by HTTP for the time of a test.
type Server struct {
	URL         string
	Dir         string // its files: change them to see what happens
	Key         *Key
	Keyring     []byte // the public key, armoured
	Fingerprint string

	mu       sync.Mutex
	requests []string
	wrap     func(http.Handler) http.Handler
}

// Serve writes the archive to a folder of the test and serves it, with
// Last-Modified and ranges, as a mirror does.
func Serve(t testing.TB, a Archive) *Server {
	t.Helper()
	dir := t.TempDir()
	key, err := a.Write(dir)
	if err != nil {
		t.Fatal(err)
	}
	s := &Server{Dir: dir, Key: key, Keyring: key.Armored(), Fingerprint: key.Fingerprint()}
	files := http.FileServer(http.Dir(dir))
	web := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.mu.Lock()
		s.requests = append(s.requests, r.URL.Path)
		h := http.Handler(files)
		if s.wrap != nil {
			h = s.wrap(files)
		}
		s.mu.Unlock()
		h.ServeHTTP(w, r)
	}))
	t.Cleanup(web.Close)
	s.URL = web.URL
	return s
}

// Wrap puts a handler before the files, to serve something else or nothing;
// nil takes it away.
func (s *Server) Wrap(f func(files http.Handler) http.Handler) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.wrap = f
}

// Requests returns the paths that were asked for since the last call and
// contain the text.
func (s *Server) Requests(containing string) []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := slices.DeleteFunc(s.requests, func(p string) bool { return !strings.Contains(p, containing) })
	s.requests = nil
	return all
}
