package integration

import (
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"cloudy/builder/lock"
)

// packagesLayer is the directory of the layer with the Essential packages.
func (s *system) packagesLayer() string {
	s.t.Helper()
	list := s.layers()
	if len(list) != 1 {
		s.t.Fatalf("want one layer, there are %v", list)
	}
	return filepath.Join(s.cache, "v1/layers", list[0])
}

// damaged breaks what is in the store. It is found, dropped and made again,
// with the same result.
func damaged(t *testing.T, s *system) {
	artefact := filepath.Join(s.dir, "out/one-amd64-tar.tar")
	before := readFile(t, artefact)
	rebuild := func(t *testing.T, out string) {
		t.Helper()
		s.with(t).ok("build", "--progress=plain", "--out", out)
		if readFile(t, filepath.Join(s.dir, out, "one-amd64-tar.tar")) != before {
			t.Error("the build afterwards gives something else")
		}
		s.with(t).storeClean()
	}
	t.Run("layer found by verify", func(t *testing.T) {
		p := s.with(t)
		layer := s.packagesLayer()
		if err := os.Remove(filepath.Join(layer, "tree/usr/bin/env")); err != nil {
			t.Fatal(err)
		}
		if r := p.run("cache", "verify"); r.code != 1 || !strings.Contains(r.stdout+r.stderr, filepath.Base(layer)[:12]) {
			t.Errorf("verify: %v", r)
		}
		if r := p.ok("plan", "--out", "damaged1"); !strings.Contains(r.stdout, "no longer in the store") {
			t.Errorf("plan: %v", r)
		}
		rebuild(t, "damaged1")
	})
	t.Run("layer without its description", func(t *testing.T) {
		writeFile(t, filepath.Join(s.packagesLayer(), "meta.json"), "{")
		rebuild(t, "damaged2")
	})
	t.Run("packages", func(t *testing.T) {
		// A file of its own: links of it are in other stores.
		_, l := s.image("one")
		for _, k := range l.Packages[:5] {
			file := s.blob(k.SHA256)
			data := []byte(readFile(t, file))
			data[len(data)/2] ^= 1
			if err := os.Remove(file); err != nil {
				t.Fatal(err)
			}
			writeFile(t, file, string(data))
		}
		if err := os.RemoveAll(s.packagesLayer()); err != nil {
			t.Fatal(err)
		}
		r := s.with(t).run("build", "--offline", "--progress=plain", "--out", "damaged3")
		s.with(t).judge(r, 3, []string{`offline`})
		s.with(t).noOutput("damaged3")
		rebuild(t, "damaged3")
	})
	t.Run("image", func(t *testing.T) {
		writeFile(t, artefact, "not an image")
		rebuild(t, "out")
	})
}

// drift builds with locks that do not fit.
func drift(t *testing.T, s *system) {
	s.recipe("harmless")
	for _, args := range [][]string{{"build"}, {"plan"}, {"lock", "--check"}} {
		s.fails(2, []string{`packages has changed`, `^hint: .*cloudy lock`}, args...)
	}
	s.recipe()
	s.ok("lock", "--check")
	for _, c := range []struct{ content, want string }{
		{"no lock", lock.FileName},
		{`{"version": 99, "images": {}}`, `format 99 is newer`},
		{`{"version": 1, "images": {}}`, `no entry for one/amd64`},
		{strings.Replace(s.base, `"file":"pool/`, `"file":"../pool/`, 1), `not a path below an archive`},
		{strings.Replace(s.base, `"sha256":"`, `"sha256":"x`, -1), `is not a SHA256`},
	} {
		s.write(lock.FileName, c.content)
		s.fails(2, []string{c.want, `^hint: `}, "build", "--out", "drift")
		s.noOutput("drift")
	}
}

// together runs several builds of one image at once, from nothing: all do
// well, and the work is done once.
func together(t *testing.T, s *system) {
	p := newPlace(t)
	p.fill()
	for _, name := range []string{"cloudy.hcl", "keys/test.asc", lock.FileName} {
		p.write(name, readFile(t, filepath.Join(s.dir, name)))
	}
	results := make([]result, 3)
	var all sync.WaitGroup
	for i, out := range []string{"out", "out", "another"} { // two of them into one folder
		all.Go(func() { results[i] = p.finish(p.command("build", "--progress=plain", "--out", out)) })
	}
	all.Wait()
	configured := 0
	for _, r := range results {
		if r.code != 0 {
			t.Errorf("%v", r)
		}
		if strings.Contains(r.stderr, "configure base: done") {
			configured++
		}
	}
	if configured != 1 {
		t.Errorf("packages were configured %d times", configured)
	}
	if n := len(p.layers()); n != 1 {
		t.Errorf("%d layers in the store", n)
	}
	p.storeClean()
	want := readFile(t, filepath.Join(s.dir, "out/one-amd64-tar.tar"))
	for _, out := range []string{"out", "another"} {
		if readFile(t, filepath.Join(p.dir, out, "one-amd64-tar.tar")) != want {
			t.Errorf("%s: another image than a build alone", out)
		}
	}
}
