package integration

import (
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"cloudy/builder/lock"
	"cloudy/builder/plan"
)

// steps is what the program plans to do.
func (p *place) steps(args ...string) map[string]plan.Step {
	p.t.Helper()
	var list []plan.Step
	r := p.ok(append([]string{"plan", "--json"}, args...)...)
	if err := json.Unmarshal([]byte(r.stdout), &list); err != nil {
		p.t.Fatal(err)
	}
	out := map[string]plan.Step{}
	for _, s := range list {
		out[s.Name] = s
	}
	return out
}

// TestIncremental changes a recipe step by step: each build does no more than
// the change asks for, and gives what a build from nothing gives.
func TestIncremental(t *testing.T) {
	long(t)
	archiveOnce(t)
	p := newPlace(t)
	p.ok("init")
	p.write(lock.FileName, shared.lock)
	p.fill()
	image := "bench:vm"
	p.ok("build", image, "--progress=plain")
	disk := filepath.Join(p.dir, "out/bench-amd64.raw")

	t.Run("nothing", func(t *testing.T) {
		p := p.with(t)
		for name, s := range p.steps(image) {
			if !s.Cached {
				t.Errorf("%s: %s", name, s.Reason)
			}
		}
		before, err := os.Stat(disk)
		if err != nil {
			t.Fatal(err)
		}
		if r := p.ok("build", image, "--progress=plain"); strings.Contains(r.stderr, "done in") {
			t.Errorf("something was done: %v", r)
		}
		if after, err := os.Stat(disk); err != nil || !os.SameFile(before, after) {
			t.Error("the image was written again")
		}
	})
	t.Run("overlay file", func(t *testing.T) {
		p := p.with(t)
		p.write("overlays/bench/etc/increment", "new\n")
		s := p.steps(image)
		if !s["packages"].Cached || s["target vm"].Cached || !strings.Contains(s["customise"].Reason, "/etc/increment") {
			t.Errorf("plan: %s", p.run("plan", image))
		}
		r := p.ok("build", image, "--progress=plain")
		if regexp.MustCompile(`(?m)^(unpack|configure|download|initramfs)`).MatchString(r.stderr) {
			t.Errorf("packages were worked on: %v", r)
		}
		p.write("overlays/bench/etc/increment", "changed\n")
		if s := p.steps(image); !strings.Contains(s["customise"].Reason, "/etc/increment has changed") {
			t.Errorf("plan: %s", p.run("plan", image))
		}
		p.ok("build", image, "--progress=plain")
	})
	t.Run("disk too small", func(t *testing.T) {
		p := p.with(t)
		recipe := readFile(t, filepath.Join(p.dir, "bench.hcl"))
		before := readFile(t, filepath.Join(p.dir, "out/bench-amd64.SHA256SUMS"))
		small := regexp.MustCompile(`(?m)^\s*disk_size\s*=.*\n`).ReplaceAllString(recipe, "")
		small = strings.Replace(small, "target \"vm\" {\n", "target \"vm\" {\n disk_size = \"300MiB\"\n", 1)
		if small == recipe {
			t.Fatal("this test no longer knows the recipe")
		}
		p.write("bench.hcl", small)
		p.fails(2, []string{`disk of 300 MiB is too small`, `^hint: .*\d+ ?MiB`}, "build", image)
		p.fails(2, []string{`disk of 300 MiB is too small`}, "build", image, "--out", "small")
		p.noOutput("small")
		if readFile(t, filepath.Join(p.dir, "out/bench-amd64.SHA256SUMS")) != before {
			t.Error("the image before is not left alone")
		}
		p.write("bench.hcl", recipe)
	})
	t.Run("package", func(t *testing.T) {
		p := p.with(t)
		recipe := readFile(t, filepath.Join(p.dir, "bench.hcl"))
		more := strings.Replace(recipe, `"snmpd",`, `"snmpd", "tcpdump", "chrony",`, 1)
		if more == recipe {
			t.Fatal("this test no longer knows the recipe")
		}
		p.write("bench.hcl", more)
		p.fails(2, []string{"packages has changed"}, "build", image)
		p.ok("lock", "bench")
		s := p.steps(image)
		if !s["packages"].Cached || s["packages+1"].Cached || s["packages+1"].Reason != "never built here" {
			t.Errorf("plan: %s", p.run("plan", image))
		}
		if len(s["packages+1"].Parts) > 20 {
			t.Errorf("the layer is made of %d parts", len(s["packages+1"].Parts))
		}
		r := p.ok("build", image, "--progress=plain")
		m := regexp.MustCompile(`(?m)^configure: done in .*, (\d+) packages?$`).FindStringSubmatch(r.stderr)
		if m == nil || len(m[1]) > 1 {
			t.Errorf("more than the added packages were configured: %v", r)
		}
		p.keep()

		cold := newPlace(t)
		if err := os.CopyFS(cold.dir, os.DirFS(p.dir)); err != nil {
			t.Fatal(err)
		}
		os.RemoveAll(filepath.Join(cold.dir, "out"))
		cold.fill()
		cold.ok("build", image, "--progress=plain")
		for _, f := range sameFiles {
			if where, same := sameFile(t, filepath.Join(p.dir, "out", f), filepath.Join(cold.dir, "out", f)); !same {
				t.Errorf("%s differs from that of a build from nothing at byte %d", f, where)
			}
		}
		if t.Failed() {
			t.Logf("%v", p.run("diff", disk, filepath.Join(cold.dir, "out/bench-amd64.raw")))
		}
	})
}
