package integration

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"cloudy/builder/archive/archivetest"
	"cloudy/builder/lock"
)

// tmpfs mounts a small disk of so many MiB for the time of the test.
func tmpfs(t *testing.T, dir, mib string) {
	t.Helper()
	needRoot(t)
	mkdir(t, dir)
	if out, err := exec.Command("mount", "-t", "tmpfs", "-o", "mode=0755,size="+mib+"m", "cloudy-test", dir).CombinedOutput(); err != nil {
		skip(t, "no mount of a small disk: %v: %s", err, out)
	}
	t.Cleanup(func() { exec.Command("umount", dir).Run() })
}

// TestFullDisk builds where there is too little room: for downloads, for the
// root, for the image.
func TestFullDisk(t *testing.T) {
	long(t)
	archiveOnce(t)
	for _, c := range []struct {
		name, store string // MiB that the store has
		fill        bool   // with the packages there already
		stage       string
	}{
		{"downloads", "20", false, "download"},
		{"root", "90", true, "unpack"},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := newPlace(t)
			p.write(lock.FileName, shared.lock)
			tmpfs(t, p.cache, c.store)
			if c.stage == "download" { // what is unpacked meanwhile lies elsewhere, and fills nothing
				tmpfs(t, filepath.Join(p.cache, "v1/tmp"), "200")
			}
			if c.fill {
				_, l := p.image("minbase")
				for i := range l.Packages {
					sum := l.Packages[i].SHA256
					file := p.blob(sum)
					mkdir(t, filepath.Dir(file))
					if err := copyFile(filepath.Join(shared.cache, "v1/blobs", sum[:2], sum), file); err != nil {
						t.Fatal(err)
					}
				}
			}
			p.fails(4, []string{`no space left on device`, `^hint: .*(cache gc|CLOUDY_CACHE|--cache)`, c.stage + `: failed`}, "build", "minbase:tar", "--progress=plain")
			p.clean()
		})
	}
	t.Run("image", func(t *testing.T) {
		p, _ := tiny(t, suite(archivetest.Package{Name: "init", Fields: "Essential: yes"}), "init")
		tmpfs(t, filepath.Join(p.dir, "out"), "1")
		if err := os.WriteFile(filepath.Join(p.dir, "out", "full"), make([]byte, 1<<20), 0o644); err == nil {
			t.Log("the disk is not full yet")
		}
		p.run("lock")
		p.fails(1, []string{"no such program"}, "build") // a log that cannot be written stops nobody
	})
}

// TestNoRoomForImage fills the disk of the output folder while the image is
// written.
func TestNoRoomForImage(t *testing.T) {
	long(t)
	p := archivePlace(t)
	tmpfs(t, filepath.Join(p.dir, "out"), "60")
	p.fails(4, []string{`no space left on device`, `^hint: .*where out is.*--out`}, "build", "minbase:tar", "--progress=plain")
	p.noOutput("out")
	p.storeClean()
	p.ok("build", "minbase:tar", "--out", "elsewhere")
}

// TestNoRange builds as a user to whom the machine gives no further ids, and
// with a store that is not the user's.
func TestNoRange(t *testing.T) {
	t.Run("ids", func(t *testing.T) {
		p, _ := tiny(t, suite(archivetest.Package{Name: "init", Fields: "Essential: yes"}), "init")
		p.asUser(false)
		p.fails(4, []string{`/etc/subuid`, `integration`, `^hint: .*(usermod|subuid)`}, "build")
		p.clean()
	})
	t.Run("store", func(t *testing.T) {
		p, _ := tiny(t, suite(archivetest.Package{Name: "init", Fields: "Essential: yes"}), "init")
		p.asUser(true)
		if err := os.Chown(p.cache, 0, 0); err != nil {
			t.Fatal(err)
		}
		p.fails(4, []string{`permission denied`, `^hint: .*(CLOUDY_CACHE|--cache)`}, "build")
		p.noOutput("out")
	})
}
