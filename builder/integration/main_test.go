package integration

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"cloudy/builder/sandbox"
)

// roleVar makes this test binary another program; see play.
const roleVar = "CLOUDY_INTEGRATION_ROLE"

// scratch is a folder of the whole run that an ordinary user can walk into.
var scratch string

func TestMain(m *testing.M) {
	sandbox.Init()
	if role := os.Getenv(roleVar); role != "" {
		os.Exit(play(context.Background(), role, os.Args[1:]))
	}
	os.Exit(run(m))
}

func run(m *testing.M) int {
	var err error
	if scratch, err = os.MkdirTemp("", "cloudy-integration-"); err == nil {
		err = os.Chmod(scratch, 0o755)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(scratch)
	return m.Run()
}

// binary is the program under test, built once, where anybody may run it.
var binary = sync.OnceValues(func() (string, error) {
	out := filepath.Join(scratch, "bin", "cloudy")
	c := exec.Command("go", "build", "-o", out, "cloudy/builder/cmd/cloudy")
	c.Env = append(os.Environ(), "CGO_ENABLED=0")
	if msg, err := c.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build cloudy: %w\n%s", err, msg)
	}
	return out, os.Chmod(filepath.Dir(out), 0o755)
})

// skip ends a test that the machine lacks something for.
func skip(t testing.TB, format string, args ...any) {
	t.Helper()
	if os.Getenv("CLOUDY_REQUIRE_ALL") != "" {
		t.Fatalf(format, args...)
	}
	t.Skipf(format, args...)
}

func needRoot(t testing.TB) {
	t.Helper()
	if os.Geteuid() != 0 {
		skip(t, "wants root")
	}
}

func needTools(t testing.TB, names ...string) {
	t.Helper()
	for _, n := range names {
		if _, err := exec.LookPath(n); err != nil {
			skip(t, "wants %s", n)
		}
	}
}

// long skips tests of minutes in a short run.
func long(t testing.TB) {
	t.Helper()
	if testing.Short() {
		t.Skip("takes long")
	}
}

// place is a folder to work in with a store of its own, and how the program
// is run there.
type place struct {
	t     testing.TB
	top   string   // all of the place
	dir   string   // working folder of the program
	cache string   // its store
	env   []string // in place of this process' environment
	wrap  []string // command that runs the program
}

// newPlace makes a folder for a test, removed at its end.
func newPlace(t testing.TB) *place {
	t.Helper()
	top, err := os.MkdirTemp(scratch, "p")
	if err == nil {
		err = os.Chmod(top, 0o755)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if !t.Failed() || os.Getenv("CLOUDY_KEEP_FAILED") == "" {
			os.RemoveAll(top)
		}
	})
	p := &place{t: t, top: top, dir: filepath.Join(top, "work"), cache: filepath.Join(top, "cache")}
	mkdir(t, p.dir)
	p.env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + top, "LANG=C.UTF-8"}
	return p
}

func mkdir(t testing.TB, dir string) {
	t.Helper()
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
}

func writeFile(t testing.TB, name, content string) {
	t.Helper()
	mkdir(t, filepath.Dir(name))
	if err := os.WriteFile(name, []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
}

func readFile(t testing.TB, name string) string {
	t.Helper()
	data, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// write puts a file into the working folder.
func (p *place) write(name, content string) {
	p.t.Helper()
	writeFile(p.t, filepath.Join(p.dir, name), content)
}

// exists says whether the working folder has a file.
func (p *place) exists(name string) bool {
	_, err := os.Lstat(filepath.Join(p.dir, name))
	return err == nil
}

// result is how a run of the program ended.
type result struct {
	stdout, stderr string
	code           int // exit status; -1 when a signal ended it
	took           time.Duration
}

func (r result) String() string {
	return fmt.Sprintf("exit status %d\n--- stdout\n%s--- stderr\n%s", r.code, r.stdout, r.stderr)
}

// command is the program with arguments, not started yet.
func (p *place) command(args ...string) *exec.Cmd {
	p.t.Helper()
	bin, err := binary()
	if err != nil {
		p.t.Fatal(err)
	}
	argv := append(append(p.wrap[:len(p.wrap):len(p.wrap)], bin), args...)
	c := exec.Command(argv[0], argv[1:]...)
	c.Dir = p.dir
	c.Env = append(p.env[:len(p.env):len(p.env)], "CLOUDY_CACHE="+p.cache)
	c.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	return c
}

// run runs the program.
func (p *place) run(args ...string) result {
	p.t.Helper()
	return p.finish(p.command(args...))
}

// finish runs a command of the program to its end.
func (p *place) finish(c *exec.Cmd) result {
	p.t.Helper()
	var stdout, stderr bytes.Buffer
	c.Stdout, c.Stderr = &stdout, &stderr
	start := time.Now()
	err := c.Run()
	r := result{stdout: stdout.String(), stderr: stderr.String(), took: time.Since(start)}
	var exit *exec.ExitError
	switch {
	case errors.As(err, &exit):
		r.code = exit.ExitCode()
	case err != nil:
		p.t.Fatalf("run %v: %v", c.Args, err)
	}
	return r
}

// ok runs the program, which must do well.
func (p *place) ok(args ...string) result {
	p.t.Helper()
	r := p.run(args...)
	if r.code != 0 {
		p.t.Fatalf("cloudy %s: %v", strings.Join(args, " "), r)
	}
	return r
}

// fails runs the program, which must end with the exit status and say what
// the patterns want on stderr.
func (p *place) fails(code int, patterns []string, args ...string) result {
	p.t.Helper()
	r := p.run(args...)
	p.judge(r, code, patterns)
	return r
}

func (p *place) judge(r result, code int, patterns []string) {
	p.t.Helper()
	if r.code != code {
		p.t.Fatalf("want exit status %d: %v", code, r)
	}
	for _, pattern := range patterns {
		if !regexp.MustCompile("(?m)" + pattern).MatchString(r.stderr) {
			p.t.Errorf("want %q in: %v", pattern, r)
		}
	}
	if strings.Contains(r.stderr, "goroutine ") {
		p.t.Errorf("panic: %v", r)
	}
}
