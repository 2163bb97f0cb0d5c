package flash

import (
	"context"
	"io"
	"log"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	ocireg "github.com/google/go-containerregistry/pkg/registry"

	"cloudy/builder/fail"
	"cloudy/builder/registry"
)

// TestPull: an image with its map goes through a registry to a medium.
func TestPull(t *testing.T) {
	raw, zeros := diskImage(t)
	run(t, "zstd", "-qkf", raw)
	writeMap(t, raw, zeros)
	server := httptest.NewServer(ocireg.New(ocireg.Logger(log.New(io.Discard, "", 0))))
	defer server.Close()
	ctx, c := context.Background(), registry.New(registry.Options{})
	at := strings.TrimPrefix(server.URL, "http://") + "/cloudy/disk:1"
	push := func(ref string, files ...string) {
		t.Helper()
		if _, err := c.Push(ctx, registry.PushRequest{Ref: ref, Files: files}); err != nil {
			t.Fatal(err)
		}
	}
	push(at, raw+".zst", raw+".bmap")
	dir := t.TempDir()
	image, mapPath, done, err := Pull(ctx, c, "oci://"+at, "amd64", dir)
	if err != nil {
		t.Fatal(err)
	}
	if im := open(t, image, mapPath); im.Map == nil || im.Size != 48*mib {
		t.Errorf("%+v", im)
	}
	done()
	if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}

	two := at + "-two"
	other := filepath.Join(filepath.Dir(raw), "other.img")
	if err := os.Link(raw, other); err != nil {
		t.Fatal(err)
	}
	push(two, raw, other)
	if _, _, _, err := Pull(ctx, c, "oci://"+two, "amd64", dir); err == nil || fail.KindOf(err) != fail.User || !strings.Contains(fail.HintOf(err), "#") {
		t.Errorf("two images: %v", err)
	}
	if image, _, _, err := Pull(ctx, c, "oci://"+two+"#other.img", "amd64", dir); err != nil || filepath.Base(image) != "other.img" {
		t.Errorf("one of two: %s, %v", image, err)
	}
	if _, _, _, err := Pull(ctx, c, "oci://"+at+"-none", "amd64", dir); err == nil || fail.KindOf(err) == fail.Internal {
		t.Errorf("not there: %v", err)
	}
}
