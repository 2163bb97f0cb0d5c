// Package targettest helps the tests of targets.
package targettest

import (
	"bytes"
	"context"
	"errors"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"cloudy/builder/fail"
	"cloudy/builder/tree"
	"cloudy/targets"
)

// Epoch is the time of all builds here.
var Epoch = time.Unix(1760000000, 0).UTC()

// Missing skips a test, or fails it where everything must run.
func Missing(t testing.TB, why string) {
	t.Helper()
	if os.Getenv("CLOUDY_REQUIRE_ALL") != "" {
		t.Fatal(why)
	}
	t.Skip(why)
}

// Need skips a test where a program is not installed.
func Need(t testing.TB, program, pkg string) {
	t.Helper()
	if _, err := exec.LookPath(program); err != nil {
		Missing(t, pkg+" is not installed")
	}
}

// Run runs a program and returns what it writes.
func Run(t testing.TB, name string, args ...string) string {
	t.Helper()
	out, err := exec.Command(name, args...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
	}
	return string(out)
}

// Tree makes a tree of names and contents with the folders around them. A
// name that ends with a slash is a folder, a content "-> x" a symbolic link,
// "=> x" a hard link.
func Tree(files map[string]string) *tree.Tree {
	old := Epoch.Add(-time.Hour)
	t := &tree.Tree{Entries: []tree.Entry{{Path: ".", Type: tree.Dir, Mode: 0o755, MTime: old}}}
	seen := map[string]bool{".": true}
	var dir func(p string)
	dir = func(p string) {
		if !seen[p] {
			seen[p] = true
			dir(filepath.Dir(p))
			t.Entries = append(t.Entries, tree.Entry{Path: p, Type: tree.Dir, Mode: 0o755, MTime: old})
		}
	}
	for name, content := range files {
		if d, ok := strings.CutSuffix(name, "/"); ok {
			dir(d)
			continue
		}
		dir(filepath.Dir(name))
		e := tree.Entry{Path: name, Type: tree.File, Mode: 0o644, Data: []byte(content), Size: int64(len(content)), MTime: old}
		if target, ok := strings.CutPrefix(content, "-> "); ok {
			e = tree.Entry{Path: name, Type: tree.Symlink, Mode: 0o777, Link: target, MTime: old}
		}
		if target, ok := strings.CutPrefix(content, "=> "); ok {
			e = tree.Entry{Path: name, Type: tree.Hardlink, Mode: 0o644, Link: target, MTime: old}
		}
		if e.Type != tree.Symlink && strings.Contains(name, "bin/") {
			e.Mode = 0o755
		}
		t.Entries = append(t.Entries, e)
	}
	t.Sort()
	return t
}

// Debian is a small tree with what targets look at in a Debian root.
func Debian(more map[string]string) *tree.Tree {
	files := map[string]string{
		"bin": "-> usr/bin", "sbin": "-> usr/sbin", "usr/bin/dash": "shell", "usr/bin/sh": "-> dash", "usr/sbin/init": "-> ../lib/systemd/systemd",
		"usr/lib/systemd/systemd": "init", "usr/lib/systemd/systemd-networkd": "networkd",
		"boot/vmlinuz-6": "kernel", "dev/null": "", "etc/hostname": "cloudy\n", "etc/debian_version": "13.1\n",
		"etc/resolv.conf": "-> ../run/systemd/resolve/stub-resolv.conf", "etc/machine-id": "uninitialized\n",
		"etc/os-release": "-> ../usr/lib/os-release", "usr/lib/os-release": "ID=debian\nVERSION_ID=\"13\"\nVERSION_CODENAME=trixie\n",
		"proc/": "", "sys/": "", "run/": "", "tmp/": "",
	}
	for p, c := range more {
		files[p] = c
	}
	return Tree(files)
}

// Request is a request for an image "node".
func Request(t testing.TB, root *tree.Tree, options any) targets.Request {
	t.Helper()
	return targets.Request{
		Image: "node", Arch: "amd64", Root: root, Epoch: Epoch, OutDir: t.TempDir(), BaseName: "node-amd64-x", Options: options,
	}
}

// Build makes the artefacts twice, on one and on three processors, and
// compares them, checks what is said of
// them, and returns their paths by their names.
func Build(t testing.TB, target targets.Target, root *tree.Tree, options any) map[string]string {
	t.Helper()
	if err := target.Validate("amd64", options); err != nil {
		t.Fatal(err)
	}
	out := map[string]string{}
	for i := range 2 {
		r := Request(t, root, options)
		before := runtime.GOMAXPROCS(1 + 2*i)
		list, err := target.Build(context.Background(), r)
		runtime.GOMAXPROCS(before)
		if err != nil {
			t.Fatal(err)
		}
		for _, a := range list {
			data, err := os.ReadFile(a.Path)
			if err != nil {
				t.Fatal(err)
			}
			name := filepath.Base(a.Path)
			if int64(len(data)) != a.Size || a.SHA256 == "" || a.Format == "" || a.MediaType == "" || !strings.Contains(a.Usage, name) {
				t.Errorf("%s of %d bytes is called %+v", name, len(data), a)
			}
			if out[name] != "" {
				if before, _ := os.ReadFile(out[name]); !bytes.Equal(data, before) {
					t.Errorf("%s is another one the second time", name)
				}
			}
			out[name] = a.Path
		}
		if left, _ := os.ReadDir(r.OutDir); len(left) != len(list) {
			t.Errorf("%d files for %d artefacts", len(left), len(list))
		}
	}
	return out
}

// Names lists a tarball as GNU tar does.
func Names(t testing.TB, file string) []string {
	t.Helper()
	return strings.Fields(Run(t, "tar", "-tf", file))
}

// Content returns one file of a tarball.
func Content(t testing.TB, file, name string) string {
	t.Helper()
	return Run(t, "tar", "-xOf", file, name)
}

// Refused holds that a build fails by the user's mistake with a text in the
// error, and leaves nothing behind.
func Refused(t testing.TB, target targets.Target, root *tree.Tree, options any, text string) {
	t.Helper()
	r := Request(t, root, options)
	_, err := target.Build(context.Background(), r)
	if err == nil || fail.KindOf(err) != fail.User || !strings.Contains(err.Error(), text) {
		t.Errorf("error %v (kind %v), want one of the user's with %q", err, fail.KindOf(err), text)
	}
	nothingLeft(t, r.OutDir)
}

// Cancelled holds that a build ends with its context and leaves nothing.
func Cancelled(t testing.TB, target targets.Target, root *tree.Tree, options any) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	r := Request(t, root, options)
	if _, err := target.Build(ctx, r); !errors.Is(err, context.Canceled) {
		t.Errorf("a cancelled build gave %v", err)
	}
	nothingLeft(t, r.OutDir)
}

// Full holds that a build onto a full disk fails by the host's lack of room,
// and leaves nothing behind.
func Full(t testing.TB, target targets.Target, root *tree.Tree, options any) {
	t.Helper()
	if os.Geteuid() != 0 {
		Missing(t, "a small disk is root's to mount")
	}
	root = &tree.Tree{Entries: slices.Clone(root.Entries)}
	noise := make([]byte, 256<<10) // nothing packs it
	for i, r := 0, rand.New(rand.NewPCG(1, 2)); i < len(noise); i++ {
		noise[i] = byte(r.Uint32())
	}
	root.Entries = append(root.Entries, tree.Entry{Path: "zz-noise", Type: tree.File, Mode: 0o644, Data: noise, Size: int64(len(noise)), MTime: Epoch})
	r := Request(t, root, options)
	if err := unix.Mount("cloudy-test", r.OutDir, "tmpfs", 0, "size=64k"); err != nil {
		Missing(t, "no small disk: "+err.Error())
	}
	defer unix.Unmount(r.OutDir, unix.MNT_DETACH)
	_, err := target.Build(context.Background(), r)
	if !errors.Is(err, unix.ENOSPC) {
		t.Errorf("error %v, want %v", err, unix.ENOSPC)
	}
	nothingLeft(t, r.OutDir)
}

func nothingLeft(t testing.TB, dir string) {
	t.Helper()
	if left, _ := os.ReadDir(dir); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}
