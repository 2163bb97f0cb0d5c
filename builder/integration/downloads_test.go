package integration

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"testing"

	"cloudy/builder/lock"
)

func hostArch() string { return runtime.GOARCH }

// shared is what the tests on the real archive have in common: a lock of the
// built-in images and a store with all downloads.
var shared struct {
	once  sync.Once
	err   string
	lock  string // content of the lock file
	cache string
}

// sharedImages are the built-in images that tests build.
var sharedImages = []string{"minbase", "bench"}

// archiveOnce locks the built-in images and downloads their packages, once.
// A store in CLOUDY_TEST_CACHE keeps downloads between runs.
func archiveOnce(t testing.TB) {
	t.Helper()
	needArchive(t)
	shared.once.Do(func() {
		shared.err = "an earlier test could not get it"
		p := newPlace(t)
		shared.cache = os.Getenv("CLOUDY_TEST_CACHE")
		if shared.cache == "" {
			shared.cache = filepath.Join(scratch, "downloads")
		}
		p.cache = shared.cache
		if r := p.run(append([]string{"lock", "--progress=quiet"}, sharedImages...)...); r.code != 0 {
			shared.err = r.String()
			return
		}
		if r := p.role("download", sharedImages...); r.code != 0 {
			shared.err = r.String()
			return
		}
		shared.lock = readFile(t, filepath.Join(p.dir, lock.FileName))
		shared.err = ""
	})
	if shared.err != "" {
		skip(t, "no archive to build from: %s", shared.err)
	}
}

// archivePlace is a place with the lock of the built-in images and the
// packages in its store, so that builds need no network.
func archivePlace(t testing.TB) *place {
	t.Helper()
	archiveOnce(t)
	p := newPlace(t)
	p.write(lock.FileName, shared.lock)
	p.fill()
	return p
}

// fill links the shared downloads into the place's store. Nothing writes to a
// file of a store in place, so that a link is as good as a copy.
func (p *place) fill() {
	p.t.Helper()
	copyBlobs(p.t, shared.cache, p.cache, os.Link)
}

// keep puts what the place downloaded into the shared store.
func (p *place) keep() {
	p.t.Helper()
	copyBlobs(p.t, p.cache, shared.cache, os.Link)
}

func copyBlobs(t testing.TB, from, to string, put func(from, to string) error) {
	t.Helper()
	mkdir(t, to)
	if err := os.MkdirAll(filepath.Join(to, "v1"), 0o700); err != nil {
		t.Fatal(err)
	}
	src, dst := filepath.Join(from, "v1/blobs"), filepath.Join(to, "v1/blobs")
	err := filepath.WalkDir(src, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(src, path)
		if err != nil {
			return err
		}
		target := filepath.Join(dst, rel)
		if d.IsDir() {
			return os.MkdirAll(target, 0o755)
		}
		if err := put(path, target); err != nil && !errors.Is(err, fs.ErrExist) {
			return copyFile(path, target)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

func copyFile(from, to string) error {
	data, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	return os.WriteFile(to, data, 0o644)
}
