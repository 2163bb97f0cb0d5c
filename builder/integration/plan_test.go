package integration

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"cloudy/builder/archive/archivetest"
	"cloudy/builder/lock"
)

// TestPlan locks and plans with a tiny archive: what fits the lock, what does
// not, and what a plan says. Nothing is built.
func TestPlan(t *testing.T) {
	p, srv := tiny(t, suite(pkg("init", "Essential: yes"), pkg("hello", "Depends: libhello"), pkg("libhello", ""), pkg("more", "")), "hello")
	if r := p.ok("lock"); r.stdout != "one/amd64: 3 packages\n" {
		t.Errorf("lock: %v", r)
	}
	path := filepath.Join(p.dir, lock.FileName)
	first := readFile(t, path)
	for _, want := range []string{`"why":"essential"`, `"why":"wanted"`, `"why":"depends of hello"`, `"auto":true`} {
		if !strings.Contains(first, want) {
			t.Errorf("no %s in the lock:\n%s", want, first)
		}
	}
	p.ok("lock")
	if readFile(t, path) != first {
		t.Error("a second lock differs")
	}

	// With the lock nobody is asked.
	srv.Requests("")
	p.ok("lock", "--check")
	p.ok("plan")
	if asked := srv.Requests(""); len(asked) > 0 {
		t.Errorf("with a lock the archive was asked for %v", asked)
	}
	steps := p.steps("one:tar")
	if len(steps) != 3 || steps["packages"].Reason != "never built here" || steps["target tar"].Reason != "step customise runs again" {
		t.Errorf("plan: %v", p.run("plan", "one:tar"))
	}
	if r := p.ok("plan", "--dot"); !strings.Contains(r.stdout, `"one/amd64 packages" -> "one/amd64 customise"`) {
		t.Errorf("dot: %v", r)
	}

	// What packages do not depend on may change.
	recipe := readFile(t, filepath.Join(p.dir, "cloudy.hcl"))
	p.write("cloudy.hcl", strings.Replace(recipe, "variant", "hostname = \"other\"\n  variant", 1))
	p.ok("lock", "--check")
	if now := p.steps("one:tar"); now["packages"].Key != steps["packages"].Key || now["customise"].Key == steps["customise"].Key {
		t.Error("a host name changes the packages, or nothing")
	}

	// The packages may not; and a lock that takes one more keeps the others.
	p.recipe(srv.URL, "stable", "hello", "more")
	p.fails(2, []string{`packages has changed`, `^hint: `}, "lock", "--check")
	p.fails(2, []string{`packages has changed`, `^hint: `}, "plan")
	p.fails(2, []string{`packages has changed`, `^hint: `}, "build")
	p.clean()
	if r := p.ok("lock"); !strings.Contains(r.stdout, "+ more") {
		t.Errorf("lock: %v", r)
	}
	if now := p.steps("one:tar"); now["packages"].Key != steps["packages"].Key || len(now["packages+1"].Parts) == 0 {
		t.Errorf("an added package changes the layer below: %v", p.run("plan"))
	}

	// Without network everything comes from the store, or is missed by name.
	p.ok("plan", "--offline")
	p.fails(3, []string{`offline`, `^hint: `}, "build", "--offline")
	p.clean()
}

// TestUpgrade has newer packages in the archive than in the lock.
func TestUpgrade(t *testing.T) {
	one := func(v string) []archivetest.Package {
		return []archivetest.Package{{Name: "init", Version: v, Fields: "Essential: yes"}, {Name: "hello", Version: v}, {Name: "other", Version: v}}
	}
	p, srv := tiny(t, suite(one("1.0")...), "hello", "other")
	p.ok("lock")
	newer := suite(append(one("1.0"), one("2.0")...)...)
	newer.Date = archivetest.Date.AddDate(0, 0, 1)
	if _, err := (archivetest.Archive{Key: srv.Key, Suites: []archivetest.Suite{newer}}).Write(srv.Dir); err != nil {
		t.Fatal(err)
	}
	// HTTP tells times by the second.
	later := time.Now().Add(time.Minute)
	if err := os.Chtimes(filepath.Join(srv.Dir, "dists/stable/InRelease"), later, later); err != nil {
		t.Fatal(err)
	}
	if r := p.ok("lock"); strings.Contains(r.stdout, "2.0") {
		t.Errorf("a lock without --upgrade upgrades: %v", r)
	}
	if r := p.ok("lock", "--upgrade-package", "hello"); !strings.Contains(r.stdout, "hello:all 1.0 -> 2.0") || strings.Contains(r.stdout, "other") {
		t.Errorf("one package: %v", r)
	}
	p.fails(2, []string{`--upgrade-package=helo: no image that is locked has it`}, "lock", "--upgrade-package", "helo")
	if r := p.ok("lock", "--upgrade"); !strings.Contains(r.stdout, "other:all 1.0 -> 2.0") || !strings.Contains(r.stdout, "init:all 1.0 -> 2.0") {
		t.Errorf("all: %v", r)
	}
}
