package flash

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"cloudy/builder/fail"
	"cloudy/builder/fetch"
	"cloudy/builder/sign"
	"cloudy/builder/store"
)

// TestDownload: an image from the web, with its map, is checked against the
// list of sums, and against the list's signature.
func TestDownload(t *testing.T) {
	raw, zeros := diskImage(t)
	writeMap(t, raw, zeros)
	dir := filepath.Dir(raw)
	sums := fmt.Sprintf("%s  node.raw\n%s  node.raw.bmap\n", sumOf(t, raw), sumOf(t, raw+".bmap"))
	list := filepath.Join(dir, "SHA256SUMS")
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(list, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	write(sums)
	broken := 0
	files := http.FileServer(http.Dir(dir))
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasSuffix(r.URL.Path, ".raw") && broken < 2 {
			broken++
			w.Header().Set("Content-Length", "50331648")
			w.Header().Set("ETag", `"one"`)
			w.Write(make([]byte, 0))
			panic(http.ErrAbortHandler) // the line breaks
		}
		files.ServeHTTP(w, r)
	}))
	defer server.Close()
	st, err := store.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer st.Close()
	ctx, cfg := context.Background(), fetch.Config{Pause: time.Millisecond}
	r := Remote{URL: server.URL + "/node.raw"}
	image, mapPath, err := r.Download(ctx, st, cfg)
	if err != nil {
		t.Fatal(err)
	}
	if im := open(t, image, mapPath); im.Size != 48*mib || im.Map == nil || sumOf(t, image) != sumOf(t, raw) {
		t.Errorf("%+v", im)
	}

	key, err := sign.Generate()
	if err != nil {
		t.Fatal(err)
	}
	r.Keys = []sign.Public{key.Public()}
	if _, _, err := r.Download(ctx, st, cfg); err == nil || !strings.Contains(err.Error(), "signature") {
		t.Errorf("no signature: %v", err)
	}
	if err := key.File(list, time.Unix(1e9, 0)); err != nil {
		t.Fatal(err)
	}
	if _, _, err := r.Download(ctx, st, cfg); err != nil {
		t.Errorf("signed: %v", err)
	}
	write(sums + "\n")
	if _, _, err := r.Download(ctx, st, cfg); err == nil {
		t.Error("a list that was changed after it was signed")
	}
	r.Keys = nil

	for name, tc := range map[string]struct {
		r    Remote
		list string
		want string
	}{
		"another sum":  {r, strings.Repeat("0", 64) + "  node.raw\n", "node.raw"},
		"not listed":   {r, strings.Repeat("0", 64) + "  other\n", "does not have it"},
		"no list":      {Remote{URL: server.URL + "/not/node.raw"}, sums, "no list of sums"},
		"not there":    {Remote{URL: server.URL + "/gone.raw", SHA256: strings.Repeat("1", 64)}, sums, "not found"},
		"a bad sum":    {Remote{URL: server.URL + "/node.raw", SHA256: "abc"}, sums, "64 hexadecimal"},
		"not an image": {Remote{URL: server.URL + "/"}, sums, "not the URL of an image"},
	} {
		write(tc.list)
		if _, _, err := tc.r.Download(ctx, st, cfg); err == nil || !strings.Contains(err.Error(), tc.want) || fail.KindOf(err) == fail.Internal {
			t.Errorf("%s: %v", name, err)
		}
	}
}
