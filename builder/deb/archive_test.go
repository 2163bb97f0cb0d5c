package deb

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// TestReaderOfRealPackages reads packages that apt downloads from the host's
// archive, and compares each data archive with what dpkg-deb makes of it.
func TestReaderOfRealPackages(t *testing.T) {
	if testing.Short() {
		t.Skip("reads the archive")
	}
	need(t, "apt-get", "dpkg-deb")
	dir := t.TempDir()
	cmd := exec.Command("apt-get", "download", "-qq", "-o", "APT::Sandbox::User=root", "hostname", "base-files", "libc-bin", "tzdata", "init-system-helpers")
	cmd.Dir = dir
	if out, err := cmd.CombinedOutput(); err != nil {
		if os.Getenv("CLOUDY_REQUIRE_ALL") != "" {
			t.Fatalf("apt-get download: %v: %s", err, out)
		}
		t.Skipf("apt-get download: %v: %s", err, out)
	}
	debs, _ := filepath.Glob(filepath.Join(dir, "*.deb"))
	if len(debs) != 5 {
		t.Fatalf("apt-get downloaded %d packages of 5", len(debs))
	}
	r := &Reader{}
	for _, deb := range debs {
		data, err := os.ReadFile(deb)
		if err != nil {
			t.Fatal(err)
		}
		if err := r.Reset(bytes.NewReader(data)); err != nil {
			t.Fatal(err)
		}
		control, err := r.Control()
		if err != nil {
			t.Fatal(err)
		}
		want, err := exec.Command("dpkg-deb", "-I", deb, "control").Output()
		if err != nil || string(want) != string(control["control"].Data) {
			t.Errorf("%s: control file differs from dpkg-deb's (%v)", filepath.Base(deb), err)
		}
		tr, err := r.Data()
		if err != nil {
			t.Fatal(err)
		}
		got, err := listing(tr)
		if err != nil {
			t.Errorf("%s: %v", filepath.Base(deb), err)
		}
		if err := r.Finish(); err != nil {
			t.Errorf("%s: %v", filepath.Base(deb), err)
		}
		plain, err := exec.Command("dpkg-deb", "--fsys-tarfile", deb).Output()
		if err != nil {
			t.Fatal(err)
		}
		if want, err := listing(tar.NewReader(bytes.NewReader(plain))); err != nil || got != want {
			t.Errorf("%s: files differ from dpkg-deb's (%v)", filepath.Base(deb), err)
		}
	}
}

// listing sums up all entries of an archive, contents included.
func listing(tr *tar.Reader) (string, error) {
	sum := sha256.New()
	for {
		h, err := tr.Next()
		if errors.Is(err, io.EOF) {
			return fmt.Sprintf("%x", sum.Sum(nil)), nil
		}
		if err != nil {
			return "", err
		}
		if _, err := CleanPath(h.Name); err != nil {
			return "", err
		}
		fmt.Fprintln(sum, h.Name, h.Mode, h.Uid, h.Gid, h.Typeflag, h.Linkname, h.ModTime, h.Size)
		if _, err := io.Copy(sum, tr); err != nil {
			return "", err
		}
	}
}
