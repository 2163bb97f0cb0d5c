package store

import (
	"bufio"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"cloudy/builder/fail"
)

// skip skips, or fails where everything has to be there.
func skip(t *testing.T, reason string) {
	t.Helper()
	if os.Getenv("CLOUDY_REQUIRE_ALL") != "" {
		t.Fatal(reason)
	}
	t.Skip(reason)
}

// TestMain lets the test binary be its own victim: with CLOUDY_STORE_CHILD
// set it works on that store until it is killed.
func TestMain(m *testing.M) {
	if dir := os.Getenv("CLOUDY_STORE_CHILD"); dir != "" {
		child(dir)
	}
	os.Exit(m.Run())
}

// child says "ready" when a layer, a blob, a part and a lock are all half done, then waits.
func child(dir string) {
	ctx := context.Background()
	die := func(err error) {
		if err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
	}
	s, err := Open(dir)
	die(err)
	_, err = s.Lock(ctx, "image")
	die(err)
	p, err := s.NewLayer(key1)
	die(err)
	die(os.MkdirAll(filepath.Join(p.Dir(), "a/b/c"), 0o755))
	die(os.WriteFile(filepath.Join(p.Dir(), "a/b/file"), []byte("x"), 0o400))
	die(os.Chmod(filepath.Join(p.Dir(), "a/b"), 0o500))
	part, err := s.OpenPart(ctx, DigestOf([]byte("hello")))
	die(err)
	part.File.WriteString("hel")
	pr, pw := io.Pipe()
	go s.PutBlob(ctx, "", pr)
	pw.Write([]byte("half a blob"))
	fmt.Println("ready")
	time.Sleep(time.Minute)
	os.Exit(1)
}

// startChild runs a child on dir and returns once it is in the middle.
func startChild(t *testing.T, dir string) *exec.Cmd {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), "CLOUDY_STORE_CHILD="+dir)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cmd.Process.Kill(); cmd.Wait() })
	if line, _ := bufio.NewReader(out).ReadString('\n'); line != "ready\n" {
		t.Fatalf("child: %q", line)
	}
	return cmd
}

func TestKilledProcess(t *testing.T) {
	dir := t.TempDir()
	cmd := startChild(t, dir)

	// While it lives, nobody touches its things.
	s := openAt(t, dir)
	if n := len(tmpEntries(t, s)); n != 3 { // blob, layer's lock, layer's directory
		t.Fatalf("in tmp while it works: %v", tmpEntries(t, s))
	}
	if _, err := s.GC(context.Background(), Policy{MaxAge: 1, Grace: -1}); err != nil {
		t.Fatal(err)
	}
	if n := len(tmpEntries(t, s)); n != 3 {
		t.Fatalf("collected from a living process; left: %v", tmpEntries(t, s))
	}
	ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
	defer cancel()
	if _, err := s.Lock(ctx, "image"); err == nil {
		t.Fatal("lock of a living process taken")
	}

	cmd.Process.Kill()
	cmd.Wait()
	s = openAt(t, dir)
	if left := tmpEntries(t, s); len(left) > 0 {
		t.Errorf("left in tmp: %v", left)
	}
	unlock, err := s.Lock(context.Background(), "image")
	if err != nil {
		t.Fatal(err)
	}
	unlock()
	if list, _ := s.List(); len(list) != 1 || list[0].Kind != PartEntry {
		t.Errorf("entries: %+v", list)
	}
	// The download goes on where it was.
	p, err := s.OpenPart(context.Background(), DigestOf([]byte("hello")))
	if err != nil {
		t.Fatal(err)
	}
	h, n, err := p.Rehash(context.Background())
	if err != nil || n != 3 {
		t.Fatal(n, err)
	}
	io.WriteString(io.MultiWriter(p.File, h), "lo")
	if _, err := p.Commit(h.Digest()); err != nil {
		t.Fatal(err)
	}
	commit(t, s, key1, "again", false)
}

func TestFullDisk(t *testing.T) {
	dir := t.TempDir()
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, "size=1m"); err != nil {
		skip(t, "cannot mount a tmpfs: "+err.Error())
	}
	defer unix.Unmount(dir, unix.MNT_DETACH)
	s, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	check := func(what string, err error) {
		t.Helper()
		if !errors.Is(err, unix.ENOSPC) || fail.KindOf(err) != fail.Host || !strings.Contains(fail.HintOf(err), dir) {
			t.Errorf("%s: %v (kind %v, hint %q)", what, err, fail.KindOf(err), fail.HintOf(err))
		}
		if left := tmpEntries(t, s); len(left) > 0 {
			t.Errorf("%s: left in tmp: %v", what, left)
		}
	}
	_, _, err = s.PutBlob(context.Background(), "", io.LimitReader(rand.Reader, 2<<20))
	check("blob", err)

	p, err := s.NewLayer(key1)
	if err != nil {
		t.Fatal(err)
	}
	f, err := os.Create(filepath.Join(p.Dir(), "fill"))
	if err != nil {
		t.Fatal(err)
	}
	io.Copy(f, io.LimitReader(rand.Reader, 2<<20))
	f.Close()
	_, err = p.Commit(Meta{}, []byte(strings.Repeat("manifest", 10000)))
	check("layer", err)
	if list, err := s.List(); err != nil || len(list) != 0 {
		t.Errorf("half-made: %+v, %v", list, err)
	}
	if _, err := s.PutBytes(context.Background(), []byte("small")); err != nil {
		t.Errorf("after the space came back: %v", err)
	}
}

func TestRemoveTree(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "tree")
	outside := filepath.Join(t.TempDir(), "precious")
	os.WriteFile(outside, nil, 0o644)
	for _, d := range []string{"ro/deep/er", "none", "x"} {
		if err := os.MkdirAll(filepath.Join(dir, d), 0o755); err != nil {
			t.Fatal(err)
		}
		os.WriteFile(filepath.Join(dir, d, "file"), nil, 0)
	}
	os.Symlink(filepath.Dir(outside), filepath.Join(dir, "x/link"))
	os.Chmod(filepath.Join(dir, "ro/deep"), 0o555)
	os.Chmod(filepath.Join(dir, "ro"), 0o555)
	os.Chmod(filepath.Join(dir, "none"), 0)
	if err := removeTree(dir); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Lstat(dir); err == nil {
		t.Error("still there")
	}
	if _, err := os.Lstat(outside); err != nil {
		t.Error("followed a link out")
	}
	if err := removeTree(dir); err != nil {
		t.Errorf("second time: %v", err)
	}
}

// The same without root's rights: modes then matter.
func TestRemoveTreeUnprivileged(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("not root: TestRemoveTree shows it")
	}
	setpriv, err := exec.LookPath("setpriv")
	if err != nil {
		skip(t, "no setpriv to become nobody with")
	}
	dir, err := os.MkdirTemp("", "cloudy-store-test-")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	os.Chmod(dir, 0o777)
	bin := filepath.Join(dir, "test")
	if data, err := os.ReadFile(os.Args[0]); err != nil || os.WriteFile(bin, data, 0o755) != nil {
		t.Fatal("cannot copy the test binary")
	}
	cmd := exec.Command(setpriv, "--reuid=65534", "--regid=65534", "--clear-groups", bin,
		"-test.run=^(TestRemoveTree|TestKilledProcess)$", "-test.v")
	cmd.Env = []string{"TMPDIR=" + dir}
	cmd.Dir = dir
	out, err := cmd.CombinedOutput()
	if err != nil || strings.Count(string(out), "--- PASS") != 2 {
		t.Errorf("%v\n%s", err, out)
	}
}

func TestRemoveTreeStopsAtMounts(t *testing.T) {
	dir, precious := t.TempDir(), t.TempDir()
	keep := filepath.Join(precious, "keep")
	os.WriteFile(keep, nil, 0o644)
	at := filepath.Join(dir, "tree/mnt")
	os.MkdirAll(at, 0o755)
	if err := unix.Mount(precious, at, "", unix.MS_BIND, ""); err != nil {
		skip(t, "cannot bind mount: "+err.Error())
	}
	defer unix.Unmount(at, unix.MNT_DETACH)
	if err := removeTree(filepath.Join(dir, "tree")); err == nil || !strings.Contains(err.Error(), "mounted") {
		t.Errorf("err = %v", err)
	}
	if _, err := os.Lstat(keep); err != nil {
		t.Error("removed through a bind mount")
	}
}
