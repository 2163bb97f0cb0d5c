package integration

import (
	"os"
	"path/filepath"

	"cloudy/builder/store"
)

// store opens the place's store for the time of the test.
func (p *place) store() *store.Store {
	p.t.Helper()
	s, err := store.Open(p.cache)
	if err != nil {
		p.t.Fatal(err)
	}
	p.t.Cleanup(func() { s.Close() })
	return s
}

// blob is where the store keeps a file.
func (p *place) blob(sum string) string {
	return filepath.Join(p.cache, "v1/blobs", sum[:2], sum)
}

// layerDir is where the store keeps a layer's tree.
func (p *place) layerDir(key string) string {
	return filepath.Join(p.cache, "v1/layers", key, "tree")
}

// layers lists the layers in the store.
func (p *place) layers() []string {
	p.t.Helper()
	var out []string
	list, err := os.ReadDir(filepath.Join(p.cache, "v1/layers"))
	if err != nil {
		return nil
	}
	for _, e := range list {
		out = append(out, e.Name())
	}
	return out
}
