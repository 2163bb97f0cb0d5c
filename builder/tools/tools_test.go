package tools

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"cloudy/builder/archive"
	"cloudy/builder/fail"
	"cloudy/builder/plan"
	"cloudy/builder/recipe"
	"cloudy/builder/sandbox"
	"cloudy/builder/store"
)

func TestMain(m *testing.M) {
	sandbox.Init()
	// The tests run in the namespace where a build would.
	sb, err := sandbox.Enter(context.Background(), sandbox.EnterOptions{})
	if err != nil {
		noSandbox = err
	}
	box = sb
	os.Exit(m.Run())
}

var (
	box       *sandbox.Sandbox
	noSandbox error
)

func missing(t *testing.T, why string) {
	t.Helper()
	if os.Getenv("CLOUDY_REQUIRE_ALL") != "" {
		t.Fatal(why)
	}
	t.Skip(why)
}

// TestRecipe: every set is there for every architecture that can build.
func TestRecipe(t *testing.T) {
	for _, set := range Sets() {
		for _, arch := range []string{"amd64", "arm64", "i386", "armhf"} {
			img, err := Image(t.Context(), set, arch)
			if err != nil {
				t.Errorf("%s for %s: %v", set, arch, err)
				continue
			}
			if img.Variant != "essential" || img.Recommends || len(img.Packages) == 0 {
				t.Errorf("%s for %s is more or less than tools: %+v", set, arch, img)
			}
			for _, a := range img.Archives {
				if a.URL != "" {
					t.Errorf("archive %s names a host: %s", a.Name, a.URL)
				}
			}
		}
	}
	if _, err := Image(t.Context(), "hammer", "amd64"); err == nil {
		t.Error("a set that does not exist has an image")
	}
}

func testEngine(t *testing.T) *plan.Engine {
	t.Helper()
	if testing.Short() {
		t.Skip("installs packages of the real archive")
	}
	if box == nil {
		missing(t, noSandbox.Error())
	}
	cache := os.Getenv("CLOUDY_TEST_CACHE")
	if cache == "" {
		cache = filepath.Join(os.TempDir(), "cloudy-test-cache")
	}
	st, err := store.Open(cache)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { st.Close() })
	mirrors, err := archive.HostMirrors(nil)
	if err != nil {
		t.Fatal(err)
	}
	return &plan.Engine{Store: st, Mirrors: mirrors, Sandbox: box}
}

// TestDisk makes the set of disk tools out of the real archive and runs them
// on a file of the host.
func TestDisk(t *testing.T) {
	e := testEngine(t)
	tl, err := Root(t.Context(), e, Disk, nil)
	if fail.KindOf(err) == fail.Network && err != nil {
		missing(t, err.Error())
	}
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "file"), []byte("content"), 0o644); err != nil {
		t.Fatal(err)
	}
	image := filepath.Join(dir, "image.squashfs")
	var out bytes.Buffer
	err = tl.Run(t.Context(), Command{Args: []string{"mksquashfs", filepath.Join(dir, "file"), image, "-quiet", "-no-progress"}, Files: []string{dir}, Stdout: &out, Stderr: &out})
	if err != nil {
		t.Fatalf("%v\n%s", err, out.String())
	}
	head := make([]byte, 4)
	f, err := os.Open(image)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.Read(head); err != nil || string(head) != "hsqs" {
		t.Errorf("%q is no squashfs: %v", head, err)
	}

	t.Run("isolation", func(t *testing.T) {
		if err := tl.Run(t.Context(), Command{Args: []string{"sh", "-c", "touch /usr/mark && rm /usr/bin/env"}}); err != nil {
			t.Errorf("the root cannot be written to: %v", err)
		}
		for script, why := range map[string]string{
			"test ! -e '" + image + "'":                         "files that were not asked for are seen",
			"test -z \"$(ls /sys/class/net | grep -v '^lo$')\"": "the network is there",
			"test ! -e /usr/mark":                               "what a command wrote is there for the next one",
		} {
			if err := tl.Run(t.Context(), Command{Args: []string{"sh", "-c", script}}); err != nil {
				t.Errorf("%s: %v", why, err)
			}
		}
		if _, err := os.Stat(filepath.Join(tl.Dir(), "usr/bin/env")); err != nil {
			t.Errorf("the store was changed: %v", err)
		}
		err := tl.Run(t.Context(), Command{Args: []string{"sh", "-c", "exit 7"}})
		var exit *sandbox.ExitError
		if !errors.As(err, &exit) || exit.Code != 7 {
			t.Errorf("exit status 7 comes back as %v", err)
		}
	})

	t.Run("kept", func(t *testing.T) {
		// What is in the store is taken without asking the network, and the same.
		off := *e
		off.Offline = true
		off.Mirrors = nil
		again, err := Root(t.Context(), &off, Disk, nil)
		if err != nil {
			t.Fatal(err)
		}
		if again.Lock.Digest() != tl.Lock.Digest() || again.Dir() != tl.Dir() {
			t.Errorf("another root than before: %s, %s", again.Dir(), tl.Dir())
		}
		// The same by an entry of a lock file.
		pinned, err := Root(t.Context(), &off, Disk, tl.Lock)
		if err != nil {
			t.Fatal(err)
		}
		if pinned.Dir() != tl.Dir() {
			t.Errorf("the pinned set is at %s, not at %s", pinned.Dir(), tl.Dir())
		}
	})

	t.Run("new question", func(t *testing.T) {
		img, inputs, err := load(t.Context(), Disk, sandbox.HostArch())
		if err != nil {
			t.Fatal(err)
		}
		if kept(e, img, inputs) == nil {
			t.Error("the lock was not kept")
		}
		other := map[string]string{}
		for k, v := range inputs {
			other[k] = v
		}
		other["packages"] = "sha256:0"
		if kept(e, img, other) != nil {
			t.Error("a lock serves other packages than it was made for")
		}
		if kept(e, &recipe.Image{Name: "tools-hammer", Arch: img.Arch}, inputs) != nil {
			t.Error("a lock serves another set")
		}
	})
}

// TestForMachine: every guest has its QEMU.
func TestForMachine(t *testing.T) {
	for arch, want := range map[string]Set{"amd64": QEMUx86, "i386": QEMUx86, "arm64": QEMUarm, "armhf": QEMUarm} {
		if got := ForMachine(arch); got != want {
			t.Errorf("%s: %s", arch, got)
		}
	}
	if !strings.HasPrefix(QEMUx86.Image(), "tools-") {
		t.Errorf("image %s", QEMUx86.Image())
	}
}
