package sandbox

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
)

// emulator finds a static qemu-user on the host or gets it from the archive.
func emulator(t *testing.T, name string) string {
	t.Helper()
	for _, n := range []string{name + "-static", name} {
		if path, err := exec.LookPath(n); err == nil {
			return path
		}
	}
	dir := filepath.Join(os.TempDir(), "cloudy-test-qemu-user")
	path := filepath.Join(dir, "usr/bin", name+"-static")
	if _, err := os.Stat(path); err == nil {
		return path
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	get := exec.Command("sh", "-c", "apt-get download qemu-user-static && dpkg-deb --fsys-tarfile qemu-user-static_*.deb | tar x ./usr/bin/"+name+"-static; rm -f qemu-user-static_*.deb")
	get.Dir = dir
	out, err := get.CombinedOutput()
	if err == nil {
		_, err = os.Stat(path)
	}
	need(t, err == nil, "get qemu-user-static: "+string(out))
	return path
}

func TestForeign(t *testing.T) {
	if os.Getenv(rootEnv) != "" {
		// The suite inside the suite has no archive; the emulator was put into its root by the test outside.
		if _, err := os.Stat(filepath.Join(os.Getenv(rootEnv), "qemu")); err != nil {
			t.Skip("no emulator given")
		}
	}
	sb := box(t)
	need(t, runtime.GOARCH == "amd64", "the test emulates arm64 on amd64")
	root := newRoot(t)
	qemu := filepath.Join(os.Getenv(rootEnv), "qemu")
	program := filepath.Join(os.Getenv(rootEnv), "helper-arm64")
	if os.Getenv(rootEnv) == "" {
		qemu, program = emulator(t, "qemu-aarch64"), foreignHelper(t)
	}
	if err := copyFile(program, filepath.Join(root, "bin/foreign")); err != nil {
		t.Fatal(err)
	}
	host, _ := filepath.Glob("/proc/sys/fs/binfmt_misc/*")
	binds := []Bind{{Data: []byte("x"), Target: "/etc/data"}, {Source: program, Target: "/etc/file"}}
	s, err := sb.Open(t.Context(), Root{Dir: root}, Options{Interpreters: []Interpreter{{"arm64", qemu}}, Binds: binds})
	if sb.Mode() == ModePlain {
		if !errors.Is(err, ErrNoBinfmt) {
			t.Errorf("got %v", err)
		}
		return
	}
	if errors.Is(err, ErrNoBinfmt) {
		need(t, false, err.Error())
	}
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if got := sh(t, s, "foreign fsync; cat /etc/data; touch /f; chown 33 /f; stat -c %u /f; rm /f"); got != "free\nx33" {
		t.Errorf("got %q", got)
	}
	if now, _ := filepath.Glob("/proc/sys/fs/binfmt_misc/*"); len(now) != len(host) {
		t.Errorf("the host's handlers changed: %v, %v", host, now)
	}
	other := open(t, root, Options{})
	err = other.Run(t.Context(), Command{Args: []string{"/bin/foreign", "fsync"}})
	if len(host) == 0 && (err == nil || !strings.Contains(err.Error(), "another architecture")) {
		t.Errorf("without the interpreter: %v", err)
	}
}

func foreignHelper(t *testing.T) string {
	t.Helper()
	out := filepath.Join(t.TempDir(), "helper-arm64")
	build := exec.Command("go", "build", "-o", out, "./testdata/helper")
	build.Env = append(os.Environ(), "CGO_ENABLED=0", "GOARCH=arm64")
	if text, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build: %v: %s", err, text)
	}
	return out
}

func TestBinfmtRule(t *testing.T) {
	got, err := binfmtRule(Interpreter{"arm64", "/usr/bin/qemu"})
	// qemu-user-binfmt's own rule for aarch64, but for separator, name and flags.
	want := strings.ReplaceAll(`:cloudy-arm64:M::\x7f\x45\x4c\x46\x02\x01\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x02\x00\xb7\x00:\xff\xff\xff\xff\xff\xff\xff\x00\xff\xff\xff\xff\xff\xff\xff\xff\xfe\xff\xff\xff:/usr/bin/qemu:PFC`, ":", "\x01")
	if err != nil || got != want {
		t.Errorf("got %q, %v", got, err)
	}
	if _, err := binfmtRule(Interpreter{"vax", "/usr/bin/qemu"}); err == nil {
		t.Error("no error for an unknown architecture")
	}
}
