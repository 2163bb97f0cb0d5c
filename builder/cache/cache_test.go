package cache

import (
	"archive/tar"
	"bytes"
	"context"
	"encoding/json"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	memory "github.com/google/go-containerregistry/pkg/registry"
	"github.com/klauspost/compress/zstd"

	"cloudy/builder/progress"
	"cloudy/builder/registry"
	"cloudy/builder/sign"
	"cloudy/builder/store"
	"cloudy/builder/tree"
)

var key = strings.Repeat("0123456789abcdef", 4)

func meta() store.Meta {
	return store.Meta{Key: key, Description: "node: packages", Inputs: map[string]string{"architecture": "amd64"}}
}

// serve is a registry in memory; spoil may answer in its place.
func serve(t *testing.T, spoil func(w http.ResponseWriter, r *http.Request) bool) string {
	t.Helper()
	t.Setenv("DOCKER_CONFIG", t.TempDir())
	m := memory.New(memory.Logger(log.New(io.Discard, "", 0)))
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if spoil == nil || !spoil(w, r) {
			m.ServeHTTP(w, r)
		}
	}))
	t.Cleanup(s.Close)
	return strings.TrimPrefix(s.URL, "http://") + "/cloudy/cache"
}

func open(t *testing.T) *store.Store {
	t.Helper()
	s, err := store.Open(t.TempDir(), store.WithoutSync())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

// layer makes a layer as overlayfs leaves one: with files, links, what hides
// something below, and as root also owners, devices and capabilities.
func layer(t *testing.T, s *store.Store) *store.Layer {
	t.Helper()
	p, err := s.NewLayer(key)
	if err != nil {
		t.Fatal(err)
	}
	at := time.Unix(1700000000, 123456789)
	me := func(e tree.Entry) tree.Entry {
		e.MTime = at
		if os.Geteuid() != 0 {
			e.UID, e.GID = uint32(os.Geteuid()), uint32(os.Getegid())
		}
		return e
	}
	in := &tree.Tree{Entries: []tree.Entry{
		me(tree.Entry{Path: ".", Type: tree.Dir, Mode: 0o755}),
		me(tree.Entry{Path: "etc", Type: tree.Dir, Mode: 0o750, Xattrs: []tree.Xattr{{Name: tree.OpaqueName, Value: []byte(tree.OpaqueValue)}}}),
		me(tree.Entry{Path: "etc/file", Type: tree.File, Mode: 0o640, Data: bytes.Repeat([]byte("content"), 100000), Size: 700000}),
		me(tree.Entry{Path: "etc/link", Type: tree.Symlink, Mode: 0o777, Link: "file"}),
		me(tree.Entry{Path: "etc/other", Type: tree.Hardlink, Link: "etc/file"}),
	}}
	if os.Geteuid() == 0 {
		in.Entries = append(in.Entries,
			me(tree.Entry{Path: "gone", Type: tree.Char}), me(tree.Entry{Path: "su", Type: tree.File, Mode: 0o4755, UID: 0, GID: 42}))
	}
	if err := in.WriteDir(context.Background(), p.Dir()); err != nil {
		t.Fatal(err)
	}
	m, err := store.Manifest(context.Background(), p.Dir(), false)
	if err != nil {
		t.Fatal(err)
	}
	l, err := p.Commit(meta(), m)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// bits is all that a layer is, as bytes.
func bits(t *testing.T, l *store.Layer) []byte {
	t.Helper()
	tr, err := tree.ScanLayer(l.Dir())
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	if err := tr.WriteTar(context.Background(), &b, tree.TarOptions{}); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// warnings collects what is warned of.
type warnings struct {
	mu   sync.Mutex
	text []string
}

func (w *warnings) Event(e progress.Event) {
	if e.Kind == progress.Warning {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.text = append(w.text, e.Text)
	}
}

func (w *warnings) String() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return strings.Join(w.text, "\n")
}

func watched() (context.Context, *warnings) {
	w := &warnings{}
	return progress.With(context.Background(), w), w
}

func newCache(t *testing.T, o Options) *Cache {
	t.Helper()
	o.Wait = time.Millisecond
	c, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func newKey(t *testing.T) *sign.Secret {
	t.Helper()
	k, err := sign.Generate()
	if err != nil {
		t.Fatal(err)
	}
	return &k
}

// TestShare has several machines share one layer at once.
func TestShare(t *testing.T) {
	for _, signed := range []bool{false, true} {
		repo := serve(t, nil)
		o := Options{From: []string{repo}, To: []string{repo}}
		if signed {
			o.Signer = newKey(t)
			o.Trusted = []sign.Public{o.Signer.Public()}
		}
		ctx, warned := watched()
		if l, err := newCache(t, o).Fetch(ctx, open(t), "packages", meta()); l != nil || err != nil {
			t.Fatalf("an empty cache has %v, %v", l, err)
		}
		var want []byte
		var senders sync.WaitGroup
		for range 3 {
			s := open(t)
			l := layer(t, s)
			want = bits(t, l)
			c := newCache(t, o)
			senders.Go(func() { c.Offer(ctx, s, "packages", l); c.Wait() })
		}
		senders.Wait()
		same := open(t) // two of these share a store, too
		for _, s := range []*store.Store{open(t), same, same} {
			c := newCache(t, o)
			senders.Go(func() {
				l, err := c.Fetch(ctx, s, "packages", meta())
				if err != nil || l == nil {
					t.Errorf("%v, %v", l, err)
					return
				}
				if !bytes.Equal(bits(t, l), want) {
					t.Error("another layer")
				}
				if l.Description != meta().Description {
					t.Errorf("%+v", l.Meta)
				}
			})
		}
		senders.Wait()
		if report, err := same.Verify(ctx); err != nil || len(report.Damaged) > 0 || report.Layers != 1 {
			t.Errorf("%+v, %v", report, err)
		}
		if warned.String() != "" {
			t.Errorf("warned of: %s", warned)
		}
	}
}

// entry puts something under the layer's tag, as whoever may write to the
// registry can.
func entry(t *testing.T, repo string, archive []byte, change func(*description, *registry.Artefact)) {
	t.Helper()
	cl := registry.New(registry.Options{})
	r, err := cl.Repository(repo)
	if err != nil {
		t.Fatal(err)
	}
	enc, err := zstd.NewWriter(nil)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "layer")
	packed := enc.EncodeAll(archive, nil)
	if err := os.WriteFile(file, packed, 0o644); err != nil {
		t.Fatal(err)
	}
	d := description{Key: key, Inputs: meta().Inputs, Digest: "sha256:" + sumOf(packed), Manifest: sumOf(nil)}
	a := registry.Artefact{Type: artefactType, ConfigType: configType, FileType: fileType}
	if change != nil {
		change(&d, &a)
	}
	if a.Config, err = json.Marshal(d); err != nil {
		t.Fatal(err)
	}
	if sig, ok := a.Annotations["sign with"]; ok {
		k, err := sign.ParseSecret([]byte(sig), nil)
		if err != nil {
			t.Fatal(err)
		}
		out, err := k.Sign(bytes.NewReader(a.Config), "layer "+key)
		if err != nil {
			t.Fatal(err)
		}
		a.Annotations = map[string]string{signatureNote: string(out)}
	}
	if err := cl.PutArtefact(context.Background(), tagOf(r, key), a, file, sumOf(packed)); err != nil {
		t.Fatal(err)
	}
}

func archive(t *testing.T, names ...string) []byte {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, n := range names {
		if err := w.WriteHeader(&tar.Header{Name: n, Typeflag: tar.TypeReg, Mode: 0o644, Size: 4, Uid: os.Geteuid(), Gid: os.Getegid()}); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write([]byte("evil")); err != nil {
			t.Fatal(err)
		}
	}
	w.Close()
	return b.Bytes()
}

// TestPoison offers entries that are not what they should be. None gets into
// the store, each is warned of, and the build goes on without.
func TestPoison(t *testing.T) {
	trusted, other := newKey(t), newKey(t)
	otherText, err := other.Text("")
	if err != nil {
		t.Fatal(err)
	}
	var spoilt atomic.Bool
	truncate := func(w http.ResponseWriter, r *http.Request) bool {
		if spoilt.Load() && strings.Contains(r.URL.Path, "/blobs/") {
			_, _ = w.Write([]byte("{}"))
			return true
		}
		return false
	}
	for name, c := range map[string]struct {
		put    func(t *testing.T, repo string)
		signed bool // only signed entries are taken
		want   string
	}{
		"another key": {put: func(t *testing.T, repo string) {
			entry(t, repo, archive(t, "a"), func(d *description, _ *registry.Artefact) { d.Key = strings.Repeat("f", 64) })
		}, want: "another layer"},
		"other inputs": {put: func(t *testing.T, repo string) {
			entry(t, repo, archive(t, "a"), func(d *description, _ *registry.Artefact) { d.Inputs = nil })
		}, want: "another layer"},
		"other content": {put: func(t *testing.T, repo string) {
			entry(t, repo, archive(t, "a"), func(d *description, _ *registry.Artefact) { d.Digest = "sha256:" + sumOf(nil) })
		}, want: "not what its description says"},
		"another tree": {put: func(t *testing.T, repo string) { entry(t, repo, archive(t, "a"), nil) }, want: "not what went in"},
		"leads out":    {put: func(t *testing.T, repo string) { entry(t, repo, archive(t, "../evil"), nil) }, want: "bad archive"},
		"no archive":   {put: func(t *testing.T, repo string) { entry(t, repo, []byte(strings.Repeat("x", 2000)), nil) }, want: "archive"},
		"another type": {put: func(t *testing.T, repo string) {
			entry(t, repo, nil, func(_ *description, a *registry.Artefact) { a.Type = "application/x" })
		}, want: "something else"},
		"not signed": {put: func(t *testing.T, repo string) { entry(t, repo, archive(t, "a"), nil) }, signed: true, want: "not signed"},
		"wrong signer": {put: func(t *testing.T, repo string) {
			entry(t, repo, archive(t, "a"), func(_ *description, a *registry.Artefact) {
				a.Annotations = map[string]string{"sign with": string(otherText)}
			})
		}, signed: true, want: "none of those trusted"},
		"other bytes": {put: func(t *testing.T, repo string) {
			s := open(t)
			sender := newCache(t, Options{To: []string{repo}})
			sender.Offer(context.Background(), s, "packages", layer(t, s))
			sender.Wait()
			spoilt.Store(true)
		}, want: "digest|EOF"},
	} {
		t.Run(name, func(t *testing.T) {
			defer spoilt.Store(false)
			repo := serve(t, truncate)
			c.put(t, repo)
			o := Options{From: []string{repo}}
			if c.signed {
				o.Trusted = []sign.Public{trusted.Public()}
			}
			ctx, warned := watched()
			s := open(t)
			l, err := newCache(t, o).Fetch(ctx, s, "packages", meta())
			if l != nil || err != nil {
				t.Errorf("%v, %v", l, err)
			}
			ok := false
			for _, w := range strings.Split(c.want, "|") {
				ok = ok || strings.Contains(warned.String(), w)
			}
			if !ok || !strings.Contains(warned.String(), "packages is made here") {
				t.Errorf("warned of: %q", warned)
			}
			if _, ok := s.Layer(key); ok {
				t.Error("it is in the store")
			}
			if list, _ := os.ReadDir(filepath.Join(s.Dir(), "v1/tmp")); len(list) > 0 {
				t.Errorf("left: %v", list)
			}
			// Who makes the layer writes a good entry over it.
			own, sender := open(t), newCache(t, Options{To: []string{repo}, Signer: trusted})
			spoilt.Store(false)
			sender.Offer(ctx, own, "packages", layer(t, own))
			sender.Wait()
			if l, err := newCache(t, Options{From: []string{repo}, Trusted: []sign.Public{trusted.Public()}}).Fetch(ctx, s, "packages", meta()); l == nil || err != nil {
				t.Errorf("after it was written over: %v, %v: %s", l, err, warned)
			}
		})
	}
}

// TestBroken has registries that are in trouble: one warning, no error.
func TestBroken(t *testing.T) {
	for name, status := range map[string]int{"trouble": 500, "no credentials": 401, "refusal": 403, "silence": 0} {
		t.Run(name, func(t *testing.T) {
			var n atomic.Int32
			repo := "127.0.0.1:1/cloudy/cache"
			if status != 0 {
				repo = serve(t, func(w http.ResponseWriter, r *http.Request) bool {
					if r.URL.Path == "/v2/" {
						return false
					}
					n.Add(1)
					w.WriteHeader(status)
					return true
				})
			}
			ctx, warned := watched()
			s := open(t)
			c := newCache(t, Options{From: []string{repo}, To: []string{repo}})
			for range 3 {
				if l, err := c.Fetch(ctx, s, "packages", meta()); l != nil || err != nil {
					t.Fatalf("%v, %v", l, err)
				}
			}
			asked := n.Load()
			c.Offer(ctx, s, "packages", layer(t, s))
			c.Wait()
			if n.Load() != asked {
				t.Error("a registry that was given up is asked again")
			}
			if got := strings.Count(warned.String(), "cache "+repo); got != 1 {
				t.Errorf("%d warnings: %s", got, warned)
			}
		})
	}
	var none *Cache
	if l, err := none.Fetch(context.Background(), nil, "", store.Meta{}); l != nil || err != nil || none.Sends() {
		t.Error("no cache has something")
	}
	none.Wait()
	for _, bad := range []string{"cache", "example.org/cache:tag", "example.org/Cache"} {
		if _, err := New(Options{From: []string{bad}}); err == nil {
			t.Errorf("%q is taken for a repository", bad)
		}
	}
}
