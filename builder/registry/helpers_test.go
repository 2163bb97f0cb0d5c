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
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	memory "github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"

	"cloudy/builder/tree"
	"cloudy/targets"
	"cloudy/targets/oci"
)

var epoch = time.Unix(1760000000, 0).UTC()

func missing(t testing.TB, why string) {
	t.Helper()
	if os.Getenv("CLOUDY_REQUIRE_ALL") != "" {
		t.Fatal(why)
	}
	t.Skip(why)
}

func need(t testing.TB, programs ...string) {
	t.Helper()
	for _, p := range programs {
		if _, err := exec.LookPath(p); err != nil {
			missing(t, p+" is not installed")
		}
	}
}

func run(t testing.TB, name string, args ...string) string {
	t.Helper()
	out, err := exec.Command(name, args...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
	}
	return string(out)
}

// container makes a container image with busybox in it for an architecture,
// the way the oci target does.
func container(t testing.TB, dir, arch string, o oci.Options) string {
	t.Helper()
	root := &tree.Tree{Entries: []tree.Entry{
		{Path: ".", Type: tree.Dir, Mode: 0o755, MTime: epoch}, {Path: "bin", Type: tree.Dir, Mode: 0o755, MTime: epoch},
		{Path: "etc", Type: tree.Dir, Mode: 0o755, MTime: epoch},
		file("etc/os-release", "ID=debian\nPRETTY_NAME=\"Cloudy test "+arch+"\"\n", 0o644),
		{Path: "bin/sh", Type: tree.Symlink, Mode: 0o777, Link: "busybox", MTime: epoch},
	}}
	if data, err := os.ReadFile("/bin/busybox"); err == nil {
		root.Entries = append(root.Entries, file("bin/busybox", string(data), 0o755))
	}
	root.Sort()
	list, err := oci.Target{}.Build(context.Background(), targets.Request{
		Image: "tiny", Arch: arch, Root: root, Epoch: epoch, OutDir: dir, BaseName: "tiny-" + arch + "-oci", Options: o,
	})
	if err != nil {
		t.Fatal(err)
	}
	return list[0].Path
}

func file(path, content string, mode uint32) tree.Entry {
	return tree.Entry{Path: path, Type: tree.File, Mode: mode, Data: []byte(content), Size: int64(len(content)), MTime: epoch}
}

func write(t testing.TB, path, content string) string {
	t.Helper()
	if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

func read(t testing.TB, path string) string {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// noCredentials keeps the credentials of whoever runs the tests out of them.
func noCredentials(t testing.TB) string {
	t.Helper()
	dir := t.TempDir()
	t.Setenv("DOCKER_CONFIG", dir)
	t.Setenv("REGISTRY_AUTH_FILE", write(t, filepath.Join(dir, "auth.json"), "{}"))
	t.Setenv("XDG_RUNTIME_DIR", dir)
	t.Setenv("HOME", dir)
	return dir
}

// client is one that does not wait long.
// client does not wait between tries; a busy machine may be silent for long.
func client() *Client { return New(Options{Wait: time.Millisecond, Stall: 3 * time.Minute}) }

// realRegistry starts Debian's docker-registry and returns its host and port.
func realRegistry(t testing.TB, more string) string {
	t.Helper()
	need(t, "docker-registry")
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := l.Addr().String()
	l.Close()
	dir := t.TempDir()
	config := write(t, filepath.Join(dir, "config.yml"), fmt.Sprintf(
		"version: 0.1\nlog: {level: error}\nstorage:\n  filesystem: {rootdirectory: %s/data}\n  delete: {enabled: true}\nhttp: {addr: %q}\n%s", dir, addr, more))
	c := exec.Command("docker-registry", "serve", config)
	var out strings.Builder
	c.Stdout, c.Stderr = &out, &out
	for _, v := range os.Environ() {
		if !strings.HasPrefix(v, "REGISTRY_") { // it would take that for its configuration
			c.Env = append(c.Env, v)
		}
	}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- c.Wait(); close(ended) }()
	t.Cleanup(func() { c.Process.Kill(); <-ended })
	for start := time.Now(); ; time.Sleep(50 * time.Millisecond) {
		if conn, err := net.Dial("tcp", addr); err == nil {
			conn.Close()
			return addr
		}
		select {
		case err := <-ended:
			t.Fatalf("docker-registry: %v\n%s", err, out.String())
		default:
		}
		if time.Since(start) > time.Minute {
			t.Fatal("docker-registry does not listen")
		}
	}
}

// server is a registry in memory that can be made to misbehave.
type server struct {
	*httptest.Server
	mu       sync.Mutex
	requests []string
	// spoil answers a request in place of the registry when it returns true.
	spoil func(w http.ResponseWriter, r *http.Request) bool
	next  http.Handler
}

func newServer(t testing.TB) *server {
	t.Helper()
	s := &server{next: memory.New(memory.Logger(log.New(io.Discard, "", 0)), memory.WithReferrersSupport(true))}
	s.Server = httptest.NewServer(s)
	t.Cleanup(s.Close)
	return s
}

func (s *server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	s.requests = append(s.requests, r.Method+" "+r.URL.Path)
	spoil := s.spoil
	s.mu.Unlock()
	if spoil != nil && spoil(w, r) {
		return
	}
	s.next.ServeHTTP(w, r)
}

func (s *server) set(spoil func(w http.ResponseWriter, r *http.Request) bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.spoil, s.requests = spoil, nil
}

// count is how many requests there were of a method to a path with the text.
func (s *server) count(method, text string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := 0
	for _, r := range s.requests {
		if strings.HasPrefix(r, method+" ") && strings.Contains(r, text) {
			n++
		}
	}
	return n
}

func (s *server) host() string { return strings.TrimPrefix(s.URL, "http://") }

func mustPush(t testing.TB, c *Client, r PushRequest) []Pushed {
	t.Helper()
	list, err := c.Push(context.Background(), r)
	if err != nil {
		t.Fatal(err)
	}
	return list
}

func mustPull(t testing.TB, c *Client, r PullRequest) []Pulled {
	t.Helper()
	list, err := c.Pull(context.Background(), r)
	if err != nil {
		t.Fatal(err)
	}
	return list
}

// noParts makes sure that nothing unfinished lies in a folder.
func noParts(t testing.TB, dir string) {
	t.Helper()
	list, err := os.ReadDir(dir)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		t.Fatal(err)
	}
	for _, e := range list {
		if strings.HasPrefix(e.Name(), ".cloudy") {
			t.Errorf("left: %s", e.Name())
		}
	}
}

func manifestOf(layers ...v1.Descriptor) v1.Manifest { return v1.Manifest{Layers: layers} }
