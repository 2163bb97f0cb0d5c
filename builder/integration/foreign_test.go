package integration

import (
	"archive/tar"
	"bytes"
	"debug/elf"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"

	"cloudy/builder/archive/archivetest"
	"cloudy/builder/fail"
	"cloudy/builder/lock"
	"cloudy/builder/sandbox"
)

// handlers are the machine's own emulators, for everybody.
func handlers(t *testing.T) []string {
	t.Helper()
	list, err := filepath.Glob("/proc/sys/fs/binfmt_misc/*")
	if err != nil {
		t.Fatal(err)
	}
	return list
}

// TestForeign builds roots of other architectures, as root and as an ordinary
// user side by side: the same bits, nothing of the emulator in them, the
// machine's table of handlers as it was, and a crash in the emulator told as
// one.
func TestForeign(t *testing.T) {
	long(t)
	needRoot(t)
	if runtime.GOARCH != "amd64" {
		t.Skip("emulates ARM on amd64")
	}
	if err := sandbox.OwnInterpreters(sandbox.ModeRoot); err != nil {
		skip(t, "%v", err)
	}
	before := handlers(t)
	own := suite(archivetest.Package{Name: "crashes", Scripts: script("echo about to crash", "kill -SEGV $$")})
	own.Architectures = []string{"arm64", "armhf"}
	srv := archivetest.Serve(t, archivetest.Archive{Suites: []archivetest.Suite{own}})
	recipe := func(p *place, packages string) {
		p.write("keys/test.asc", string(srv.Keyring))
		p.write("cloudy.hcl", fmt.Sprintf(`
archive "debian" { suites = ["trixie"] }
archive "test" {
  url     = %q
  suites  = ["stable"]
  keyring = "keys/test.asc"
}
image "one" {
  architectures = ["arm64", "armhf"]
  variant       = "essential"
  packages      = [%s]
  grow          = false
  target "tar" { compress = "none" }
}
`, srv.URL, packages))
	}
	root, user := newPlace(t), newPlace(t)
	recipe(root, "")
	recipe(user, "")
	machines := map[string]elf.Machine{"arm64": elf.EM_AARCH64, "armhf": elf.EM_ARM}
	for _, arch := range []string{"arm64", "armhf"} {
		if r := root.run("lock", "--arch", arch); r.code == fail.Network.ExitCode() {
			skip(t, "the archive cannot be had: %v", r)
		} else if r.code != 0 {
			t.Fatal(r)
		}
	}
	user.write(lock.FileName, readFile(t, filepath.Join(root.dir, lock.FileName)))
	user.asUser(true)
	for _, arch := range []string{"arm64", "armhf"} {
		t.Run(arch, func(t *testing.T) {
			var wg sync.WaitGroup
			results := make([]result, 2)
			for i, p := range []*place{root, user} {
				wg.Go(func() { results[i] = p.run("build", "--arch", arch, "--progress=plain") })
			}
			wg.Wait()
			for _, r := range results {
				if r.code != 0 {
					t.Fatal(r)
				}
			}
			name := "out/one-" + arch + "-tar.tar"
			if at, same := sameFile(t, filepath.Join(root.dir, name), filepath.Join(user.dir, name)); !same {
				t.Errorf("the ordinary user's root is another one from byte %d on", at)
			}
			foreignTar(t, filepath.Join(root.dir, name), machines[arch])
		})
	}
	t.Run("crash", func(t *testing.T) {
		p := root.with(t)
		recipe(p, `"crashes"`)
		p.ok("lock", "--arch", "arm64")
		p.fails(1, []string{`configure crashes`, `a program of arm64 crashed under emulation by qemu-user`, `about to crash`, `^hint: .*emulator`},
			"build", "--arch", "arm64", "--progress=quiet", "--out", "failed")
	})
	if after := handlers(t); !slices.Equal(before, after) {
		t.Errorf("the machine's handlers were %v and are %v", before, after)
	}
}

// foreignTar looks into a root: its programs are of the architecture, and of
// the emulator there is nothing.
func foreignTar(t *testing.T, file string, machine elf.Machine) {
	t.Helper()
	f, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	programs := 0
	for r := tar.NewReader(f); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(h.Name, "qemu") {
			t.Errorf("%s is in the root", h.Name)
		}
		if h.Typeflag != tar.TypeReg || !strings.HasPrefix(h.Name, "./usr/bin/") {
			continue
		}
		data, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.HasPrefix(data, []byte(elf.ELFMAG)) {
			continue
		}
		e, err := elf.NewFile(bytes.NewReader(data))
		if err != nil || e.Machine != machine {
			t.Errorf("%s: %v, want %v (%v)", h.Name, e, machine, err)
		}
		programs++
	}
	if programs < 50 {
		t.Errorf("%d programs in the root", programs)
	}
}
