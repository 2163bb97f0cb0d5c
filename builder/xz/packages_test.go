package xz

import (
	"bytes"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// TestPackages decodes what Debian really ships, and compares with xz: the
// data of some packages of the host's archive, and the files of filesEnv.
func TestPackages(t *testing.T) {
	if testing.Short() {
		t.Skip("downloads packages")
	}
	for _, tool := range []string{"xz", "apt-get", "ar"} {
		if _, err := exec.LookPath(tool); err != nil {
			skip(t, "needs "+tool)
		}
	}
	files, err := filepath.Glob(os.Getenv(filesEnv))
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	get := exec.Command("apt-get", "download", "-qq", "coreutils", "perl-base", "libc6", "tzdata")
	get.Dir = dir
	if out, err := get.CombinedOutput(); err != nil && len(files) == 0 {
		skip(t, "needs an archive of packages: "+string(out))
	}
	packages, err := filepath.Glob(filepath.Join(dir, "*.deb"))
	if err != nil {
		t.Fatal(err)
	}
	var r Reader
	compare := func(name string, packed []byte) {
		cmd := exec.Command("xz", "-dc")
		cmd.Stdin = bytes.NewReader(packed)
		pipe, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		if err := r.Reset(bytes.NewReader(packed)); err != nil {
			t.Fatal(name, err)
		}
		n, err := r.WriteTo(&matcher{want: pipe})
		if err != nil {
			t.Errorf("%s: after %d bytes: %v", name, n, err)
		}
		if rest, _ := io.Copy(io.Discard, pipe); rest > 0 {
			t.Errorf("%s: %d bytes are missing", name, rest)
		}
		if err := cmd.Wait(); err != nil {
			t.Errorf("%s: xz: %v", name, err)
		}
		t.Logf("%s: %d bytes", name, n)
	}
	for _, p := range packages {
		packed, err := exec.Command("ar", "p", p, "data.tar.xz").Output()
		if err != nil || len(packed) == 0 {
			t.Logf("%s: not compressed by xz", filepath.Base(p))
			continue
		}
		compare(filepath.Base(p), packed)
	}
	for _, f := range files {
		packed, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		compare(filepath.Base(f), packed)
	}
}

// matcher is a writer of what want reads.
type matcher struct {
	want io.Reader
	buf  []byte
}

func (m *matcher) Write(p []byte) (int, error) {
	if len(m.buf) < len(p) {
		m.buf = make([]byte, len(p))
	}
	n, err := io.ReadFull(m.want, m.buf[:len(p)])
	if err != nil {
		return 0, err
	}
	if !bytes.Equal(m.buf[:n], p) {
		return 0, errors.New("other data")
	}
	return n, nil
}
