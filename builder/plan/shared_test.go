package plan

import (
	"context"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	memory "github.com/google/go-containerregistry/pkg/registry"

	"cloudy/builder/cache"
	"cloudy/builder/sign"
	"cloudy/builder/store"
)

// TestLookShared asks a shared cache for the layers of a plan: what it has is
// known by its description, and nothing larger is fetched.
func TestLookShared(t *testing.T) {
	t.Setenv("DOCKER_CONFIG", t.TempDir())
	var fetched int64
	m := memory.New(memory.Logger(log.New(io.Discard, "", 0)))
	srv := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodGet {
			rw = &counting{rw, &fetched}
		}
		m.ServeHTTP(rw, r)
	}))
	defer srv.Close()
	repo := strings.TrimPrefix(srv.URL, "http://") + "/cloudy/cache"
	key, err := sign.Generate()
	if err != nil {
		t.Fatal(err)
	}
	w := newWorld(t, debian())
	ctx := context.Background()
	img, inputs := w.image(`packages = ["squid"]
  run "one" { command = ["true"] }`)
	l, err := w.e.Fresh(ctx, img, inputs)
	if err != nil {
		t.Fatal(err)
	}
	b := w.build(img, l)
	w.pretend(b)
	// What pretend keeps has no description, which is what counts here.
	from, err := cache.New(cache.Options{To: []string{repo}, Signer: &key})
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range b.Steps[:2] { // not the run
		layer, ok := w.e.Store.Layer(s.Key)
		if !ok {
			t.Fatalf("%s has no layer", s.Name)
		}
		layer.Meta = b.meta(s)
		from.Offer(ctx, w.e.Store, s.Name, layer)
	}
	from.Wait()

	elsewhere := func(o cache.Options) *Build {
		t.Helper()
		st, err := store.Open(t.TempDir(), store.WithoutSync())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { st.Close() })
		e := *w.e
		e.Store, e.OutDir = st, t.TempDir()
		o.From = []string{repo}
		if e.Cache, err = cache.New(o); err != nil {
			t.Fatal(err)
		}
		b, err := e.New(img, l, img.Targets[:1])
		if err != nil {
			t.Fatal(err)
		}
		fetched = 0
		if err := b.LookShared(ctx); err != nil {
			t.Fatal(err)
		}
		return b
	}
	const want = "packages: ;customise: ;run one: never built here;target tar: step run one runs again"
	b = elsewhere(cache.Options{Trusted: []sign.Public{key.Public()}})
	if got := strings.ReplaceAll(reasons(b), "\n", ";"); got != want || b.Steps[0].Shared != repo || b.Steps[1].Shared != repo || b.Steps[2].Shared != "" {
		t.Errorf("%s\n%+v", got, b.Steps)
	}
	// Two manifests and descriptions, and that a third is not there.
	if fetched == 0 || fetched > 16<<10 {
		t.Errorf("%d bytes were fetched to look", fetched)
	}
	other, err := sign.Generate()
	if err != nil {
		t.Fatal(err)
	}
	if b = elsewhere(cache.Options{Trusted: []sign.Public{other.Public()}}); b.Steps[0].Shared != "" || b.Steps[0].Reason != "never built here" {
		t.Errorf("signed by somebody else: %+v", b.Steps[0])
	}
}

// counting counts what is answered.
type counting struct {
	http.ResponseWriter
	n *int64
}

func (c *counting) Write(p []byte) (int, error) {
	*c.n += int64(len(p))
	return c.ResponseWriter.Write(p)
}
