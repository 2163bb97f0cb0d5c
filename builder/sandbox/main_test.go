package sandbox

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

// The suite runs in the mode that the machine gives to whoever runs it. As
// root, modes_test.go runs it again as an ordinary user and without rights.
const (
	modeEnv = "SANDBOX_TEST_MODE" // the mode to enter, set for a run of the suite inside the suite
	rootEnv = "SANDBOX_TEST_ROOT" // busybox and helper, for such a run
)

var testBox struct {
	*Sandbox
	err error
}

func TestMain(m *testing.M) {
	Init()
	if name := os.Getenv(programEnv); name != "" {
		os.Exit(program(name, os.Args[1:]))
	}
	testBox.Sandbox, testBox.err = Enter(context.Background(), EnterOptions{Mode: Mode(os.Getenv(modeEnv))})
	os.Exit(m.Run())
}

func need(t testing.TB, ok bool, reason string) {
	t.Helper()
	if ok {
		return
	}
	if os.Getenv("CLOUDY_REQUIRE_ALL") != "" {
		t.Fatal(reason)
	}
	t.Skip(reason)
}

func box(t testing.TB) *Sandbox {
	t.Helper()
	need(t, testBox.err == nil, fmt.Sprint("no sandbox on this machine: ", testBox.err))
	return testBox.Sandbox
}

// parts are the directory with the programs of a test root: busybox, from the
// Debian package, and testdata/helper.
var parts = sync.OnceValues(func() (string, error) {
	if dir := os.Getenv(rootEnv); dir != "" {
		return dir, nil
	}
	dir := filepath.Join(os.TempDir(), "cloudy-test-sandbox")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", err
	}
	busybox := filepath.Join(dir, "busybox")
	if _, err := os.Stat(busybox); err != nil {
		if os.Geteuid() != 0 {
			if path, err := exec.LookPath("busybox"); err == nil {
				return dir, copyFile(path, busybox)
			}
		}
		tmp, err := os.MkdirTemp(dir, "")
		if err != nil {
			return "", err
		}
		defer os.RemoveAll(tmp)
		get := exec.Command("sh", "-c", "apt-get download busybox-static && dpkg-deb -x busybox-static_*.deb .")
		get.Dir = tmp
		if out, err := get.CombinedOutput(); err != nil {
			return "", fmt.Errorf("get busybox-static: %w: %s", err, out)
		}
		found, _ := filepath.Glob(filepath.Join(tmp, "*bin/busybox"))
		if usr, _ := filepath.Glob(filepath.Join(tmp, "usr/bin/busybox")); len(found) == 0 {
			found = usr
		}
		if len(found) == 0 {
			return "", fmt.Errorf("busybox-static without busybox")
		}
		if err := os.Rename(found[0], busybox); err != nil {
			return "", err
		}
	}
	build := exec.Command("go", "build", "-o", filepath.Join(dir, "helper"), "./testdata/helper")
	build.Env = append(os.Environ(), "CGO_ENABLED=0") // there is no libc in the root
	if out, err := build.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build helper: %w: %s", err, out)
	}
	return dir, nil
})

func copyFile(from, to string) error {
	data, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	os.Remove(to) // it may be running
	return os.WriteFile(to, data, 0o755)
}

// newRoot makes a root directory with a shell.
func newRoot(t testing.TB) string {
	t.Helper()
	src, err := parts()
	need(t, err == nil, fmt.Sprint(err))
	dir := t.TempDir()
	for _, d := range []string{"bin", "etc", "proc", "sys", "dev", "tmp", "root", "run", "var"} {
		if err := os.MkdirAll(filepath.Join(dir, d), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{"busybox", "helper"} {
		if err := copyFile(filepath.Join(src, name), filepath.Join(dir, "bin", name)); err != nil {
			t.Fatal(err)
		}
	}
	for applet := range strings.FieldsSeq("sh cat ls id chown stat sleep hostname mount umount mknod kill ps env echo true false touch rm mkdir setsid nohup head tr tty stty ip date chroot dd mv readlink seq wc grep sync") {
		if err := os.Symlink("busybox", filepath.Join(dir, "bin", applet)); err != nil {
			t.Fatal(err)
		}
	}
	write(t, filepath.Join(dir, "etc/passwd"), "root:x:0:0:root:/root:/bin/sh\nwww-data:x:33:33::/:/bin/sh\n")
	return dir
}

func write(t testing.TB, name, content string) {
	t.Helper()
	if err := os.WriteFile(name, []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
}

func open(t testing.TB, dir string, o Options) *Session {
	t.Helper()
	s, err := box(t).Open(t.Context(), Root{Dir: dir}, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

// sh runs a script and returns what it printed to both outputs.
func sh(t testing.TB, s *Session, script string) string {
	t.Helper()
	var out strings.Builder
	if err := s.Run(t.Context(), Command{Args: []string{"sh", "-c", script}, Stdout: &out, Stderr: &out}); err != nil {
		t.Fatalf("%s: %v\n%s", script, err, out.String())
	}
	return strings.TrimSpace(out.String())
}
