// Package realtest gives tests the files of packages of the real archive,
// for trees that nobody has to configure.
package realtest

import (
	"archive/tar"
	"context"
	"errors"
	"io"
	"os"
	"path"
	"path/filepath"
	"testing"
	"time"

	"cloudy/builder/archive"
	"cloudy/builder/deb"
	"cloudy/builder/fail"
	"cloudy/builder/fetch"
	"cloudy/builder/store"
	"cloudy/builder/tree"
)

// Missing skips a test, or fails it where everything must run.
func Missing(t testing.TB, why string) {
	t.Helper()
	if os.Getenv("CLOUDY_REQUIRE_ALL") != "" {
		t.Fatal(why)
	}
	t.Skip(why)
}

// Archive is Debian's main archive for one architecture.
type Archive struct {
	client  *fetch.Client
	mirrors []archive.Mirror
	newest  map[string]*deb.Package
	files   map[string][]tree.Entry
}

// Store opens the store that tests share.
func Store(t testing.TB) *store.Store {
	t.Helper()
	cache := os.Getenv("CLOUDY_TEST_CACHE")
	if cache == "" {
		cache = filepath.Join(os.TempDir(), "cloudy-test-cache")
	}
	st, err := store.Open(cache)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { st.Close() })
	return st
}

// Open reads the indexes of trixie. Without the network the test is skipped.
func Open(t testing.TB, st *store.Store, arch string) *Archive {
	t.Helper()
	mirrors, err := archive.HostMirrors(nil)
	if err != nil {
		t.Fatal(err)
	}
	src := archive.Source{Name: "debian", Suites: []string{"trixie"}, Components: []string{"main", "non-free-firmware"}, Architectures: []string{arch}}
	a := &Archive{client: fetch.New(st, fetch.Config{}), newest: map[string]*deb.Package{}, files: map[string][]tree.Entry{}}
	t.Cleanup(a.client.CloseIdle)
	if a.mirrors, err = mirrors.For(src); err != nil {
		t.Fatal(err)
	}
	ix, err := archive.Update(t.Context(), st, []archive.Source{src}, mirrors, archive.Options{})
	check(t, err)
	list, err := ix.Packages(t.Context())
	check(t, err)
	for _, p := range list {
		if old := a.newest[p.Name]; old == nil || deb.CompareVersions(p.Version, old.Version) > 0 {
			a.newest[p.Name] = p
		}
	}
	return a
}

// check ends the test with an error, or skips it where the network is to blame.
func check(t testing.TB, err error) {
	t.Helper()
	if err == nil {
		return
	}
	if fail.KindOf(err) == fail.Network {
		Missing(t, err.Error())
	}
	t.Fatal(err)
}

// Package is the newest of a name, or nil.
func (a *Archive) Package(name string) *deb.Package { return a.newest[name] }

// Files are the plain files of a package, with their content in memory.
func (a *Archive) Files(t testing.TB, name string) []tree.Entry {
	t.Helper()
	if files, ok := a.files[name]; ok {
		return files
	}
	p := a.newest[name]
	if p == nil {
		t.Fatalf("Debian has no package %s", name)
	}
	file := ""
	check(t, a.client.Fetch(t.Context(), []fetch.Item{{
		Name: name, URLs: archive.PoolURLs(a.mirrors, p.Filename), SHA256: store.Digest(p.SHA256), Size: p.Size,
	}}, func(_ fetch.Item, there string) { file = there }))
	files, err := read(t.Context(), file)
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	a.files[name] = files
	return files
}

func read(_ context.Context, file string) ([]tree.Entry, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	r, err := deb.NewReader(f)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	data, err := r.Data()
	if err != nil {
		return nil, err
	}
	var out []tree.Entry
	for {
		h, err := data.Next()
		if errors.Is(err, io.EOF) {
			return out, nil
		}
		if err != nil {
			return nil, err
		}
		if h.Typeflag != tar.TypeReg {
			continue
		}
		b, err := io.ReadAll(data)
		if err != nil {
			return nil, err
		}
		out = append(out, tree.Entry{Path: path.Clean(h.Name), Type: tree.File, Mode: 0o644, Size: h.Size, Data: b, MTime: h.ModTime})
	}
}

// Epoch is a time for what tests make.
var Epoch = time.Unix(1760000000, 0).UTC()
