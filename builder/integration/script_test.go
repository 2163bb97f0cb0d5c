package integration

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"cloudy/builder/archive/archivetest"
	"cloudy/builder/lock"
)

// system is a place with the Essential packages built, on which a tiny
// archive puts a package more.
type system struct {
	*place
	srv  *archivetest.Server
	base string // its lock
}

// newSystem builds the Essential packages of the real archive.
func newSystem(t *testing.T, packages ...archivetest.Package) *system {
	t.Helper()
	long(t)
	p := archivePlace(t)
	s := &system{place: p, srv: archivetest.Serve(t, archivetest.Archive{Suites: []archivetest.Suite{suite(packages...)}})}
	p.write("keys/test.asc", string(s.srv.Keyring))
	s.recipe()
	if err := os.Remove(filepath.Join(p.dir, lock.FileName)); err != nil {
		t.Fatal(err)
	}
	p.ok("lock")
	p.keep()
	s.base = readFile(t, filepath.Join(p.dir, lock.FileName))
	p.ok("build", "--progress=plain")
	return s
}

// recipe asks for packages on top of the Essential ones.
func (s *system) recipe(packages ...string) {
	s.t.Helper()
	s.write("cloudy.hcl", fmt.Sprintf(`
archive "debian" {
  suites = ["trixie"]
}

archive "test" {
  url     = %q
  suites  = ["stable"]
  keyring = "keys/test.asc"
}

image "one" {
  description   = "Essential packages and one more."
  architectures = ["amd64"]
  variant       = "essential"
  packages      = [%s]
  grow          = false

  target "tar" {
    compress = "none"
  }
}
`, s.srv.URL, quoted(packages)))
}

// want asks for packages and pins them on top of what is built already.
func (s *system) want(packages ...string) {
	s.t.Helper()
	s.write(lock.FileName, s.base)
	s.recipe(packages...)
	s.ok("lock")
}

func script(lines ...string) map[string]string {
	return map[string]string{"postinst": "#!/bin/sh\nset -e\n" + strings.Join(lines, "\n") + "\n"}
}

// sleepMark is an argument that no other process has, such as one that
// another run of this test has left.
var sleepMark = fmt.Sprintf("31337.%d", os.Getpid())

// TestScripts builds with maintainer scripts that fail, hang or are stopped,
// on one system of Essential packages.
func TestScripts(t *testing.T) {
	s := newSystem(t,
		archivetest.Package{Name: "bad-preinst", Scripts: map[string]string{"preinst": "#!/bin/sh\necho \"called with $1\"\nexit 3\n"}},
		archivetest.Package{Name: "bad-postinst", Scripts: script("echo to stdout", "echo to stderr >&2", "exit 42")},
		archivetest.Package{Name: "bad-interpreter", Scripts: map[string]string{"postinst": "#!/usr/bin/python99\n"}},
		archivetest.Package{Name: "bad-trigger", Control: map[string]string{"triggers": "interest-noawait trigger-me\n"},
			Scripts: script(`if [ "$1" = triggered ]; then echo "triggered by $2"; exit 5; fi`)},
		archivetest.Package{Name: "activator", Fields: "Depends: bad-trigger", Scripts: script("dpkg-trigger --no-await trigger-me")},
		archivetest.Package{Name: "clash-a", Files: archivetest.Files{"/usr/share/clash/file": {Content: "a"}}},
		archivetest.Package{Name: "clash-b", Files: archivetest.Files{"/usr/share/clash/file": {Content: "b"}}},
		archivetest.Package{Name: "online", Scripts: script("ls /sys/class/net", `[ "$(ls /sys/class/net)" = lo ]`, "! getent hosts localhost.localdomain.example", "exit 9")},
		archivetest.Package{Name: "prints", Scripts: script("i=0; while [ $i -lt 500 ]; do i=$((i+1)); echo line $i.; done", "exit 1")},
		archivetest.Package{Name: "sleeper", Scripts: script(
			"sleep "+sleepMark+" &", "setsid sleep "+sleepMark+" &", "echo now sleeping", "trap '' INT TERM", "sleep "+sleepMark)},
		archivetest.Package{Name: "harmless", Scripts: script("echo configured >/var/lib/harmless", "adduser --system harmless || useradd --system harmless")},
	)
	part := func(name string, f func(t *testing.T, s *system)) {
		t.Run(name, func(t *testing.T) {
			c := *s
			c.place = s.with(t)
			c.write(lock.FileName, s.base)
			c.recipe()
			f(t, &c)
		})
	}
	part("failures", scriptFailures)
	part("interrupted", interrupted)
	part("damaged", damaged)
	part("drift", drift)
	part("together", together)
	part("boot menu", bootMenu) // leaves a layer of its own, where others count
}

// scriptFailures builds with maintainer scripts that fail: the error names
// package and step and shows what was printed.
func scriptFailures(t *testing.T, s *system) {
	layers := len(s.layers())
	for _, c := range []struct {
		name     string
		packages []string
		want     []string
	}{
		{"preinst", []string{"bad-preinst"}, []string{`preinst of bad-preinst`, `called with install`, `exit status 3`}},
		{"postinst", []string{"bad-postinst"}, []string{`configure bad-postinst`, `to stdout`, `to stderr`, `42`}},
		{"before others", []string{"bad-postinst", "harmless"}, []string{`error: configure bad-postinst: .*42\n`, `too many errors, stopping`}},
		{"interpreter", []string{"bad-interpreter"}, []string{`configure bad-interpreter`, `python99|No such file`}},
		{"trigger", []string{"activator"}, []string{`bad-trigger`, `triggered by trigger-me`, `\b5\b`}},
		{"clash", []string{"clash-a", "clash-b"}, []string{`clash-a`, `clash-b`, `/usr/share/clash/file`}},
		{"no network", []string{"online"}, []string{`configure online`, `exit status 9|error exit status 9|status 9`}},
		{"much output", []string{"prints"}, []string{`line 500\.`, `line 490\.`}},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := &system{place: s.with(t), srv: s.srv, base: s.base}
			s.want(c.packages...)
			r := s.fails(1, c.want, "build", "--progress=quiet", "--out", "failed")
			if n := strings.Count(r.stderr, "\n"); n > 150 {
				t.Errorf("%d lines of error", n)
			}
			s.noOutput("failed")
			s.storeClean()
			if n := len(s.layers()); n != layers {
				t.Errorf("%d layers in the store, %d before", n, layers)
			}
		})
	}
	s.write(lock.FileName, s.base)
	s.recipe()
	if r := s.ok("build", "--progress=plain"); !strings.Contains(r.stderr, "nothing changed") {
		t.Errorf("the build before is not cached any more: %v", r)
	}
}

// bootMenu configures what all boards with U-Boot have, which nothing else
// does without emulation: its script wants a file that an installer leaves.
func bootMenu(t *testing.T, s *system) {
	s.want("u-boot-menu")
	s.ok("build", "--progress=quiet", "--out", "menu")
}

// with is the place in a part of the test.
func (p *place) with(t testing.TB) *place {
	c := *p
	c.t = t
	return &c
}

// interrupted stops builds in the middle of a script. Nothing is left: no
// process, no mount, no half file; and the next build does well.
func interrupted(t *testing.T, s *system) {
	layers := len(s.layers())
	s.want("sleeper")
	for _, c := range []struct {
		name   string
		signal unix.Signal
		code   int
		killed bool
	}{
		{"SIGINT", unix.SIGINT, 130, false},
		{"SIGTERM", unix.SIGTERM, 130, false},
		{"SIGKILL", unix.SIGKILL, -1, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := s.with(t)
			cmd := p.command("build", "--progress=plain", "--out", "stopped")
			done := make(chan result, 1)
			go func() { done <- p.finish(cmd) }()
			waitFor(t, "the script to run", func() bool {
				data, _ := os.ReadFile(filepath.Join(p.dir, "stopped", "build.log"))
				return strings.Contains(string(data), "now sleeping")
			})
			if len(processes(sleepMark)) == 0 {
				t.Fatal("the script does not run: this test sees no process of it")
			}
			if err := unix.Kill(cmd.Process.Pid, c.signal); err != nil {
				t.Fatal(err)
			}
			select {
			case r := <-done:
				if r.code != c.code {
					t.Errorf("want exit status %d: %v", c.code, r)
				}
				if !c.killed && !strings.Contains(r.stderr, "interrupted") {
					t.Errorf("it does not say that it was interrupted: %v", r)
				}
			case <-time.After(5 * time.Minute):
				t.Fatal("the build goes on")
			}
			waitFor(t, "the script's processes to end", func() bool { return len(processes(sleepMark)) == 0 })
			mounts := readFile(t, "/proc/self/mountinfo")
			if strings.Contains(mounts, p.top) {
				t.Errorf("mounts are left:\n%s", mounts)
			}
			p.noOutput("stopped")
			if !c.killed {
				p.storeClean()
			}
			if n := len(p.layers()); n != layers {
				t.Errorf("%d layers in the store, %d before", n, layers)
			}
			os.Remove(filepath.Join(p.dir, "stopped", "build.log"))
		})
	}
	s.write(lock.FileName, s.base)
	s.recipe()
	s.ok("build", "--out", "after", "--progress=plain")
	s.storeClean()
	if where, same := sameFile(t, filepath.Join(s.dir, "out/one-amd64-tar.tar"), filepath.Join(s.dir, "after/one-amd64-tar.tar")); !same {
		t.Errorf("the build afterwards differs at byte %d", where)
	}
}

func waitFor(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for start := time.Now(); !ok(); time.Sleep(50 * time.Millisecond) {
		if time.Since(start) > 5*time.Minute {
			t.Fatalf("waited in vain for %s", what)
		}
	}
}

// processes lists the processes with that argument.
func processes(arg string) []string {
	var out []string
	list, _ := filepath.Glob("/proc/[0-9]*/cmdline")
	for _, f := range list {
		data, err := os.ReadFile(f)
		if err == nil && strings.Contains(string(data), "\x00"+arg+"\x00") {
			out = append(out, f)
		}
	}
	return out
}
