package integration

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"cloudy/builder/archive/archivetest"
	"cloudy/builder/lock"
)

// pkg is a package of a tiny archive.
func pkg(name, fields string) archivetest.Package {
	return archivetest.Package{Name: name, Fields: fields}
}

// suite is the suite "stable" of these packages.
func suite(packages ...archivetest.Package) archivetest.Suite {
	return archivetest.Suite{Name: "stable", Packages: packages}
}

// tiny serves an archive and makes a place with a recipe for it: the image
// "one" with the packages named, and nothing Essential but what they bring.
func tiny(t testing.TB, s archivetest.Suite, packages ...string) (*place, *archivetest.Server) {
	t.Helper()
	srv := archivetest.Serve(t, archivetest.Archive{Suites: []archivetest.Suite{s}})
	p := newPlace(t)
	p.env = append(p.env, "CLOUDY_MIRROR=http://127.0.0.1:1/") // nobody else's archive
	p.write("keys/test.asc", string(srv.Keyring))
	p.recipe(srv.URL, "stable", packages...)
	return p, srv
}

// recipe writes the recipe of a tiny archive.
func (p *place) recipe(url, suite string, packages ...string) {
	p.t.Helper()
	p.write("cloudy.hcl", fmt.Sprintf(`
archive "test" {
  url     = %q
  suites  = [%q]
  keyring = "keys/test.asc"
}

image "one" {
  description   = "Next to nothing."
  architectures = ["amd64"]
  variant       = "essential"
  packages      = [%s]

  target "tar" {}
}
`, url, suite, quoted(packages)))
}

func quoted(names []string) string {
	var out []string
	for _, n := range names {
		out = append(out, fmt.Sprintf("%q", n))
	}
	return strings.Join(out, ", ")
}

// clean makes sure that a command that failed left nothing half-made: no
// lock, no artefact, no layer and nothing half-written in the store.
// Unfinished downloads may stay, since the next build goes on with them.
func (p *place) clean() {
	p.t.Helper()
	p.noOutput("out")
	p.storeClean()
	if l := p.layers(); len(l) > 0 {
		p.t.Errorf("layers in the store: %v", l)
	}
}

// noOutput makes sure that a build left no artefact; its log may stay.
func (p *place) noOutput(dir string) {
	p.t.Helper()
	list, _ := os.ReadDir(filepath.Join(p.dir, dir))
	for _, e := range list {
		if e.Name() != "build.log" {
			p.t.Errorf("left in the output folder: %s", e.Name())
		}
	}
	list, _ = os.ReadDir(p.dir)
	for _, e := range list {
		if strings.HasPrefix(e.Name(), ".cloudy-") {
			p.t.Errorf("left in the recipe's folder: %s", e.Name())
		}
	}
}

// storeClean makes sure that nothing half-written is in the store.
func (p *place) storeClean() {
	p.t.Helper()
	list, _ := os.ReadDir(filepath.Join(p.cache, "v1/tmp"))
	for _, e := range list {
		p.t.Errorf("left in the store: %s", e.Name())
	}
}

// noLock makes sure that there is no lock file.
func (p *place) noLock() {
	p.t.Helper()
	if p.exists(lock.FileName) {
		p.t.Errorf("there is a %s", lock.FileName)
	}
}
