package registry

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"cloudy/builder/fail"
	"cloudy/targets/oci"
)

// TestRefusals has a registry refuse everything in each way.
func TestRefusals(t *testing.T) {
	noCredentials(t)
	s := newServer(t)
	disk := write(t, filepath.Join(t.TempDir(), "disk.raw"), "content")
	ref := s.host() + "/cloudy/disk:1"
	for _, c := range []struct {
		status int
		kind   fail.Kind
		err    string
	}{
		{http.StatusUnauthorized, fail.Network, "it wants credentials"},
		{http.StatusForbidden, fail.Network, "it refuses this"},
		{http.StatusNotFound, fail.User, "there is no such thing"},
		{http.StatusTooManyRequests, fail.Network, "too many requests"},
		{http.StatusRequestEntityTooLarge, fail.Network, "files of this size"},
		{http.StatusInternalServerError, fail.Network, "in trouble itself"},
		{http.StatusServiceUnavailable, fail.Network, "in trouble itself"},
	} {
		t.Run(fmt.Sprint(c.status), func(t *testing.T) {
			s.set(func(w http.ResponseWriter, r *http.Request) bool {
				if r.URL.Path != "/v2/" {
					w.WriteHeader(c.status)
				}
				return r.URL.Path != "/v2/"
			})
			_, err := client().Push(context.Background(), PushRequest{Files: []string{disk}, Ref: ref})
			if c.status != http.StatusNotFound { // where pushing makes the repository
				check(t, "push", err, c.kind, c.err)
			}
			dir := t.TempDir()
			_, err = client().Pull(context.Background(), PullRequest{Ref: ref, Dir: dir})
			if c.status != http.StatusRequestEntityTooLarge {
				check(t, "pull", err, c.kind, c.err)
			}
			noParts(t, dir)
		})
	}
	t.Run("nobody", func(t *testing.T) {
		_, err := client().Push(context.Background(), PushRequest{Files: []string{disk}, Ref: "127.0.0.1:1/cloudy/disk:1"})
		check(t, "push", err, fail.Network, "nobody answers")
	})
	t.Run("plain HTTP elsewhere", func(t *testing.T) {
		g := &guard{next: http.DefaultTransport}
		for url, want := range map[string]bool{"http://192.0.2.1/v2/": false, "http://registry.example.org/v2/": false, s.URL + "/v2/": true} {
			req, err := http.NewRequest(http.MethodGet, url, nil)
			if err != nil {
				t.Fatal(err)
			}
			s.set(nil)
			resp, err := g.RoundTrip(req)
			if err == nil {
				resp.Body.Close()
			}
			if (err == nil) != want {
				t.Errorf("%s: %v", url, err)
			}
		}
	})
}

func check(t *testing.T, what string, err error, kind fail.Kind, text string) {
	t.Helper()
	if err == nil || fail.KindOf(err) != kind || !strings.Contains(err.Error(), text) {
		t.Errorf("%s: %v (kind %d)", what, err, fail.KindOf(err))
	}
}

// hangUp ends a connection without an answer.
func hangUp(http.ResponseWriter) bool { panic(http.ErrAbortHandler) }

// half answers with half of the body, and hangs up.
type half struct {
	http.ResponseWriter
	left int
}

func (h *half) Write(p []byte) (int, error) {
	n := min(len(p), h.left)
	h.left -= n
	if _, err := h.ResponseWriter.Write(p[:n]); err != nil {
		return 0, err
	}
	if n < len(p) {
		h.ResponseWriter.(http.Flusher).Flush()
		panic(http.ErrAbortHandler)
	}
	return n, nil
}

// TestBrokenConnections loses connections while a blob goes either way; the
// transfer goes on and what arrives is whole.
func TestBrokenConnections(t *testing.T) {
	noCredentials(t)
	s := newServer(t)
	dir := t.TempDir()
	content := strings.Repeat("0123456789abcdef", 1<<16)
	disk := write(t, filepath.Join(dir, "disk.raw"), content)
	ref := s.host() + "/cloudy/disk:1"
	var lost atomic.Int32
	s.set(func(w http.ResponseWriter, r *http.Request) bool {
		if r.Method == http.MethodPatch && lost.Add(1) <= 2 {
			buf := make([]byte, 1000)
			_, _ = r.Body.Read(buf)
			return hangUp(w)
		}
		if r.Method == http.MethodPut && strings.Contains(r.URL.Path, "manifests") && lost.Add(1) <= 4 {
			w.WriteHeader(http.StatusServiceUnavailable)
			return true
		}
		return false
	})
	mustPush(t, client(), PushRequest{Files: []string{disk}, Ref: ref})
	if lost.Load() < 3 {
		t.Error("nothing was lost")
	}
	s.set(nil)
	mustPush(t, client(), PushRequest{Files: []string{disk}, Ref: s.host() + "/cloudy/disk:2"})
	if n := s.count(http.MethodPatch, ""); n != 0 {
		t.Errorf("what is there was sent again: %d times", n)
	}

	var ranges atomic.Int32
	for _, c := range []struct {
		name  string
		times int32
		spoil func(w http.ResponseWriter, r *http.Request) bool
	}{
		{"cut", 2, func(w http.ResponseWriter, r *http.Request) bool {
			s.next.ServeHTTP(&half{w, len(content) / 3}, r)
			return true
		}},
		{"stalled", 1, func(w http.ResponseWriter, r *http.Request) bool {
			defer func() {
				_ = recover()
				<-r.Context().Done()
			}()
			s.next.ServeHTTP(&half{w, len(content) / 2}, r)
			return true
		}},
		{"no ranges", 2, func(w http.ResponseWriter, r *http.Request) bool {
			r.Header.Del("Range")
			s.next.ServeHTTP(&half{w, len(content) - 7}, r)
			return true
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			var n atomic.Int32
			ranges.Store(0)
			s.set(func(w http.ResponseWriter, r *http.Request) bool {
				if !strings.Contains(r.URL.Path, "/blobs/") || r.Method != http.MethodGet {
					return false
				}
				if r.Header.Get("Range") != "" {
					ranges.Add(1)
				}
				return n.Add(1) <= c.times && c.spoil(w, r)
			})
			out, puller := t.TempDir(), client()
			if c.name == "stalled" {
				puller = New(Options{Wait: time.Millisecond, Stall: 2 * time.Second})
			}
			list := mustPull(t, puller, PullRequest{Ref: ref, Dir: out})
			if read(t, list[0].Path) != content {
				t.Error("other content")
			}
			if ranges.Load() != c.times {
				t.Errorf("gone on %d times", ranges.Load())
			}
			noParts(t, out)
		})
	}
	t.Run("next program goes on", func(t *testing.T) {
		out := t.TempDir()
		s.set(func(w http.ResponseWriter, r *http.Request) bool {
			if !strings.Contains(r.URL.Path, "/blobs/") {
				return false
			}
			if r.Header.Get("Range") != "" {
				w.WriteHeader(http.StatusInternalServerError)
				return true
			}
			s.next.ServeHTTP(&half{w, len(content) / 2}, r)
			return true
		})
		if _, err := client().Pull(context.Background(), PullRequest{Ref: ref, Dir: out}); fail.KindOf(err) != fail.Network {
			t.Fatalf("a registry that breaks off: %v", err)
		}
		var from string
		s.set(func(_ http.ResponseWriter, r *http.Request) bool {
			if strings.Contains(r.URL.Path, "/blobs/") {
				from = r.Header.Get("Range")
			}
			return false
		})
		list := mustPull(t, client(), PullRequest{Ref: ref, Dir: out})
		if read(t, list[0].Path) != content || !strings.HasPrefix(from, "bytes=") || from == "bytes=0-" {
			t.Errorf("it began at %q", from)
		}
		noParts(t, out)
	})
}

// TestPoison has a registry answer with other bytes than it should.
func TestPoison(t *testing.T) {
	noCredentials(t)
	s := newServer(t)
	dir := t.TempDir()
	content := strings.Repeat("content ", 1000)
	mustPush(t, client(), PushRequest{Files: []string{write(t, filepath.Join(dir, "disk.raw"), content)}, Ref: s.host() + "/cloudy/disk:1"})
	mustPush(t, client(), PushRequest{Files: []string{container(t, dir, "amd64", oci.Options{})}, Ref: s.host() + "/cloudy/tiny:1"})
	for _, ref := range []string{"/cloudy/disk:1", "/cloudy/tiny:1"} {
		for name, body := range map[string]string{"other": strings.Repeat("kontent ", 1000), "longer": content + content, "endless": strings.Repeat("endless ", 3<<20)} {
			t.Run(ref[8:12]+" "+name, func(t *testing.T) {
				s.set(func(w http.ResponseWriter, r *http.Request) bool {
					if !strings.Contains(r.URL.Path, "/blobs/") {
						return false
					}
					_, _ = w.Write([]byte(body))
					return true
				})
				out := t.TempDir()
				_, err := client().Pull(context.Background(), PullRequest{Ref: s.host() + ref, Dir: out, Arch: "amd64"})
				if name == "other" && !errors.Is(err, ErrDigest) && ref == "/cloudy/disk:1" {
					t.Errorf("%v", err)
				}
				if name != "longer" && err == nil || name != "other" && ref == "/cloudy/tiny:1" && err == nil {
					t.Error("it was taken")
				}
				if _, err := os.Stat(filepath.Join(out, "disk.raw")); err == nil && read(t, filepath.Join(out, "disk.raw")) != content {
					t.Error("a file with other content")
				}
			})
		}
	}
}

// TestTitles refuses names that would lead out of the folder.
func TestTitles(t *testing.T) {
	noCredentials(t)
	s := newServer(t)
	for _, title := range []string{"../evil", "/etc/evil", "a/b", "..", ".hidden", `a\b`} {
		b := dataBlob("text/plain", []byte(title))
		m := manifestOf(b.annotated(map[string]string{titleAnnotation: title}))
		p, err := pack(m, ImageType, nil, b)
		if err != nil {
			t.Fatal(err)
		}
		img, err := p.image()
		if err != nil {
			t.Fatal(err)
		}
		c := client()
		ref, err := c.Parse(s.host() + "/cloudy/evil:1")
		if err == nil {
			err = c.send(context.Background(), ref, img)
		}
		if err != nil {
			t.Fatal(err)
		}
		dir := t.TempDir()
		if _, err := c.Pull(context.Background(), PullRequest{Ref: ref.String(), Dir: filepath.Join(dir, "in")}); err == nil || !strings.Contains(err.Error(), "refused") {
			t.Errorf("%q: %v", title, err)
		}
		if l, _ := os.ReadDir(dir); len(l) != 1 {
			t.Errorf("%q: %v", title, l)
		}
	}
}

// TestMistakes are those of the command line.
func TestMistakes(t *testing.T) {
	noCredentials(t)
	dir := t.TempDir()
	disk, img := write(t, filepath.Join(dir, "disk.raw"), ""), container(t, dir, "amd64", oci.Options{})
	cut := write(t, filepath.Join(dir, "cut.tar"), read(t, img)[:len(read(t, img))/2])
	s := newServer(t)
	mustPush(t, client(), PushRequest{Files: []string{img}, Ref: s.host() + "/cloudy/tiny:1"})
	mustPush(t, client(), PushRequest{Files: []string{img}, Ref: s.host() + "/cloudy/index:1", Annotations: map[string]string{"a": "b"}})
	for name, c := range map[string]struct {
		do  func(*Client) error
		err string
	}{
		"no registry":    {func(c *Client) error { _, err := c.Parse("node:1.0"); return err }, "no reference to a registry"},
		"capitals":       {func(c *Client) error { _, err := c.Parse("example.org/Node:1.0"); return err }, "no reference to a registry"},
		"a tag":          {func(c *Client) error { _, err := c.Repository("example.org/cache:1"); return err }, "no repository"},
		"mixed":          {push(PushRequest{Files: []string{disk, img}, Ref: s.host() + "/x/y"}), "do not go under one reference"},
		"no reference":   {push(PushRequest{Files: []string{disk}}), "no reference to push to"},
		"says nothing":   {push(PushRequest{Files: []string{img}}), "does not say where"},
		"no file":        {push(PushRequest{Files: []string{filepath.Join(dir, "none")}, Ref: s.host() + "/x/y"}), "no such file"},
		"a folder":       {push(PushRequest{Files: []string{dir}, Ref: s.host() + "/x/y"}), "not a regular file"},
		"cut":            {push(PushRequest{Files: []string{cut}, Ref: s.host() + "/x/y"}), "cut.tar"},
		"twice the arch": {push(PushRequest{Files: []string{img, container(t, t.TempDir(), "amd64", oci.Options{Labels: map[string]string{"a": "b"}})}, Ref: s.host() + "/x/y"}), "two images are for linux/amd64"},
		"other arch":     {pullOf(PullRequest{Ref: s.host() + "/cloudy/index:1", Arch: "arm64", Dir: t.TempDir()}), "no image for arm64"},
		"no tag":         {pullOf(PullRequest{Ref: s.host() + "/cloudy/tiny:2", Arch: "amd64", Dir: t.TempDir()}), "no such thing"},
	} {
		if err := c.do(client()); err == nil || fail.KindOf(err) != fail.User || !strings.Contains(err.Error(), c.err) {
			t.Errorf("%s: %v (kind %d)", name, err, fail.KindOf(err))
		}
	}
}

func push(r PushRequest) func(*Client) error {
	return func(c *Client) error { _, err := c.Push(context.Background(), r); return err }
}

func pullOf(r PullRequest) func(*Client) error {
	return func(c *Client) error { _, err := c.Pull(context.Background(), r); return err }
}

// TestCertificates speaks to a registry whose certificate nobody knows.
func TestCertificates(t *testing.T) {
	noCredentials(t)
	s := newServer(t)
	secure := httptest.NewUnstartedServer(s)
	secure.Config.ErrorLog = log.New(io.Discard, "", 0)
	secure.StartTLS()
	defer secure.Close()
	disk := write(t, filepath.Join(t.TempDir(), "disk.raw"), "content")
	// Not the loopback, where plain HTTP would be tried as well.
	host := strings.Replace(strings.TrimPrefix(secure.URL, "https://"), "127.0.0.1", "registry.test", 1)
	r := PushRequest{Files: []string{disk}, Ref: host + "/cloudy/disk:1"}
	for _, insecure := range []bool{false, true} {
		c := New(Options{Wait: time.Millisecond, Insecure: insecure})
		c.transport.(*guard).next.(*http.Transport).DialContext = func(ctx context.Context, network, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, network, secure.Listener.Addr().String())
		}
		_, err := c.Push(context.Background(), r)
		if insecure {
			if err != nil {
				t.Error(err)
			}
			continue
		}
		check(t, "push", err, fail.Network, "its certificate is not trusted here")
		if !strings.Contains(fail.HintOf(err), "--insecure") {
			t.Errorf("hint: %s", fail.HintOf(err))
		}
	}
}
