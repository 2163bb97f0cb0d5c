package integration

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"cloudy/builder/lock"
	"cloudy/builder/tree"
)

// sameFiles are what a build of bench:vm writes, all of it the same always.
var sameFiles = []string{
	"bench-amd64.raw", "bench-amd64.spdx.json", "bench-amd64.cdx.json", "bench-amd64.provenance.json", "bench-amd64.SHA256SUMS",
}

// everyTarget has the packages of the image "bench", so that no package is
// configured again for it. What is not here needs another root: openvz, sdcard,
// the ISO. Their own tests build them twice.
const everyTarget = `
image "every" {
  from = image.bench
  target "vm" { formats = ["qcow2", "vmdk", "vhdx", "ova"] }
  target "metal" {
    formats = ["raw.zst", "raw.gz"]
    boot    = ["bios"]
  }
  target "tar" {}
  target "lxc" {}
  target "incus" { formats = ["unified", "split", "simplestreams"] }
  target "proxmox" { compress = "gzip" }
  target "nspawn" {}
  target "oci" {}
}
`

// TestSameBits builds one lock twice, with nothing else in common: in another
// store and another folder, as root and as an ordinary user, on one and on
// two processors, with another umask, time zone, language and home, at
// another time. Every file comes out the same, byte for byte.
func TestSameBits(t *testing.T) {
	long(t)
	first := archivePlace(t)
	first.env = append(first.env, "GOMAXPROCS=2")
	start := time.Now()
	first.ok("build", "bench:vm", "--progress=plain")

	img, l := first.image("bench")
	pkgs, err := first.packageTree(img, l)
	if err != nil {
		t.Fatal(err)
	}
	epoch := time.Unix(l.Epoch, 0)
	t.Run("no date", func(t *testing.T) { noDate(t, pkgs, epoch, start) })

	// What is written to the second differs by now; so shall the minute.
	time.Sleep(time.Until(start.Truncate(time.Minute).Add(time.Minute)))
	second := newPlace(t)
	second.dir = filepath.Join(second.top, "another folder", "deeper")
	mkdir(t, second.dir)
	second.write(lock.FileName, shared.lock)
	second.copyDownloads()
	tmp := filepath.Join(second.top, "tmp")
	mkdir(t, tmp)
	if err := os.Chmod(tmp, 0o777); err != nil {
		t.Fatal(err)
	}
	second.asUser(true)
	second.env = []string{
		"PATH=" + os.Getenv("PATH"), "GOMAXPROCS=1", "HOME=/nonexistent", "LANG=de_DE.UTF-8", "LC_ALL=tr_TR.UTF-8",
		"TZ=Pacific/Kiritimati", "TMPDIR=" + tmp, "USER=somebody", "PERL_HASH_SEED=7", "EDITOR=false",
	}
	old := syscall.Umask(0o077) // inherited by what runs
	r := second.run("build", "bench:vm", "--progress=plain", "--out", "images here")
	syscall.Umask(old)
	if r.code != 0 {
		t.Fatalf("build as an ordinary user: %v", r)
	}
	for _, f := range sameFiles {
		a, b := filepath.Join(first.dir, "out", f), filepath.Join(second.dir, "images here", f)
		if where, same := sameFile(t, a, b); !same {
			t.Errorf("%s differs at byte %d", f, where)
		}
	}
	t.Run("every target", func(t *testing.T) {
		var locked string
		for _, p := range []*place{first, second} {
			p.t = t
			p.ok("init", "recipe")
			p.write("recipe/every.hcl", everyTarget)
			if file := filepath.Join(p.dir, "recipe", lock.FileName); p == first {
				p.ok("lock", "every", "--recipe", "recipe")
				locked = readFile(t, file)
			} else {
				writeFile(t, file, locked)
			}
			r := p.run("build", "every", "--recipe", "recipe", "--out", "all", "--progress=plain")
			if r.code != 0 {
				t.Fatalf("build every target: %v", r)
			}
		}
		made, err := os.ReadDir(filepath.Join(first.dir, "all"))
		if err != nil {
			t.Fatal(err)
		}
		n := 0
		for _, f := range made {
			if strings.HasPrefix(f.Name(), ".") {
				continue
			}
			n++
			if where, same := sameFile(t, filepath.Join(first.dir, "all", f.Name()), filepath.Join(second.dir, "all", f.Name())); !same {
				t.Errorf("%s differs at byte %d", f.Name(), where)
			}
		}
		if n < 20 {
			t.Errorf("only %d files were made: %v", n, made)
		}
	})
	if t.Failed() {
		r := first.run("diff", filepath.Join(first.dir, "out", sameFiles[0]), filepath.Join(second.dir, "images here", sameFiles[0]))
		t.Logf("cloudy diff: %v", r)
	}
}

// sameFile compares two files, and says at which byte they part.
func sameFile(t *testing.T, a, b string) (int64, bool) {
	t.Helper()
	x, err := os.Open(a)
	if err != nil {
		t.Fatal(err)
	}
	defer x.Close()
	y, err := os.Open(b)
	if err != nil {
		t.Fatal(err)
	}
	defer y.Close()
	p, q := make([]byte, 1<<20), make([]byte, 1<<20)
	for at := int64(0); ; at += int64(len(p)) {
		n, err := io.ReadFull(x, p)
		m, _ := io.ReadFull(y, q)
		if n != m || !bytes.Equal(p[:n], q[:m]) {
			for i := range min(n, m) {
				if p[i] != q[i] {
					return at + int64(i), false
				}
			}
			return at + int64(min(n, m)), false
		}
		if err != nil {
			return 0, true
		}
	}
}

// noDate finds what would be different on another day, since two builds of
// one test fall on the same one. Files that the build made, and not a
// package, have the epoch for their time.
func noDate(t *testing.T, root *tree.Tree, epoch, now time.Time) {
	u := now.UTC()
	day := strconv.FormatInt(now.Unix()/86400, 10) // as in shadow(5)
	texts := []string{
		u.Format("2006-01-02"), u.Format("20060102"), u.Format("02.01.2006"), u.Format("01/02/2006"), u.Format("01/02/06"),
		u.Format("Jan _2 2006"), u.Format("Jan _2 15:"), u.Format("2 Jan 2006"), u.Format("02 Jan 2006"), u.Format("January 2, 2006"), u.Format("2 January 2006"),
		u.Format("Mon Jan _2"), u.Format("Mon, 02 Jan"),
	}
	found, made := 0, 0
	for i := range root.Entries {
		e := &root.Entries[i]
		if e.Type != tree.File || e.MTime.Before(epoch) {
			continue
		}
		made++
		r, err := e.Open()
		if err != nil {
			t.Fatal(err)
		}
		data, err := io.ReadAll(r)
		r.Close()
		if err != nil {
			t.Fatal(err)
		}
		for _, s := range texts {
			if at := bytes.Index(data, []byte(s)); at >= 0 {
				t.Errorf("/%s holds today's date: %q", e.Path, around(data, at))
				found++
			}
		}
		if strings.HasPrefix(e.Path, "etc/") && bytes.Contains(data, []byte(":"+day+":")) {
			t.Errorf("/%s holds the number of today: %s", e.Path, day)
		}
		if seconds := regexp.MustCompile(fmt.Sprintf(`\b%d\d{4}\b`, now.Unix()/10000)); e.Size < 1<<20 && seconds.Match(data) {
			t.Errorf("/%s holds seconds of today: %q", e.Path, seconds.Find(data))
		}
		if found > 20 {
			t.Fatal("and more")
		}
	}
	if made < 10 {
		t.Errorf("only %d files were made by the build: this test looks at nothing", made)
	}
}

func around(data []byte, at int) []byte {
	return data[max(0, at-30):min(len(data), at+40)]
}
