package plan

import (
	"os"
	"path/filepath"
	"reflect"
	"testing"
)

// TestScan: the folders of a layer are read once, and again where what was
// kept of them is lost or damaged.
func TestScan(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "tree")
	listing := filepath.Join(filepath.Dir(dir), "listing")
	try := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	try(os.MkdirAll(filepath.Join(dir, "etc"), 0o755))
	try(os.WriteFile(filepath.Join(dir, "etc/a"), []byte("one"), 0o600))
	want, err := scan([]string{dir})
	try(err)
	for name, spoil := range map[string]func(){
		"as it is": func() {},
		"lost":     func() { try(os.Remove(listing)) },
		"damaged":  func() { try(os.WriteFile(listing, []byte("x"), 0o600)) },
	} {
		spoil()
		got, err := scan([]string{dir})
		try(err)
		if !reflect.DeepEqual(got, want) {
			t.Errorf("%s: %+v, want %+v", name, got, want)
		}
	}
	try(os.Remove(filepath.Join(dir, "etc/a")))
	if got, err := scan([]string{dir}); err != nil || got.Find("etc/a") == nil {
		t.Errorf("the folders were read once more, %v", err)
	}
	if left, err := os.ReadDir(filepath.Dir(dir)); err != nil || len(left) != 2 {
		t.Errorf("beside the layer: %v, %v", left, err)
	}
}
