package integration

import (
	"bytes"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"cloudy/builder/archive/archivetest"
	"cloudy/builder/lock"
)

// TestResolveErrors locks what cannot be: each time the error says what is
// wrong and the exit status whose turn it is.
func TestResolveErrors(t *testing.T) {
	world := []archivetest.Package{
		pkg("init", "Essential: yes"),
		pkg("squid", "Depends: squid-common (>= 2)"), pkg("squid-common", ""),
		pkg("deep", "Depends: deeper"), pkg("deeper", "Depends: deepest"), pkg("deepest", "Depends: nowhere (>= 3) | nothing"),
		pkg("postfix", "Provides: mail-transport-agent\nConflicts: mail-transport-agent"),
		pkg("exim", "Provides: mail-transport-agent\nConflicts: mail-transport-agent"),
		pkg("needs-exim", "Depends: exim"),
	}
	for _, c := range []struct {
		name     string
		packages []string
		want     []string
	}{
		{"unknown", []string{"squidd"}, []string{`squidd`, `did you mean "?squid|squid`, `cloudy\.hcl:\d+`}},
		{"version", []string{"squid-common=2.0"}, []string{`squid-common`, `2\.0`, `1\.0`}},
		{"suite", []string{"squid-common/forky"}, []string{`squid-common`, `forky`}},
		{"too old", []string{"squid"}, []string{`squid-common \(>= 2\)`, `1\.0`}},
		{"chain", []string{"deep"}, []string{`deep\b.*deeper.*deepest`, `nowhere`}},
		{"conflict", []string{"postfix", "needs-exim"}, []string{`postfix`, `needs-exim`, `exim`}},
		{"virtual", []string{"mail-transport-agent"}, []string{`mail-transport-agent`, `exim`, `postfix`}},
		{"dropped", []string{"needs-exim", "-exim"}, []string{`exim`, `needs-exim`}},
	} {
		t.Run(c.name, func(t *testing.T) {
			p, _ := tiny(t, suite(world...), c.packages...)
			p.fails(2, c.want, "lock", "--progress=plain")
			p.clean()
			p.noLock()
			p.fails(2, c.want, "plan")
		})
	}
}

// TestArchiveErrors locks from archives that are not as they should be.
func TestArchiveErrors(t *testing.T) {
	good := suite(pkg("init", "Essential: yes"), pkg("hello", "Depends: init"))
	other, err := archivetest.NewKey()
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name  string
		suite func(archivetest.Suite) archivetest.Suite
		spoil func(t *testing.T, p *place, s *archivetest.Server)
		code  int
		want  []string
	}{
		{name: "wrong key", code: 3, want: []string{"not signed by a trusted key|signature", "stable"},
			spoil: func(_ *testing.T, p *place, _ *archivetest.Server) { p.write("keys/test.asc", string(other.Armored())) }},
		{name: "changed after signing", code: 3, want: []string{"sign"},
			spoil: func(t *testing.T, _ *place, s *archivetest.Server) {
				change(t, s, "dists/stable/InRelease", "Suite: stable", "Suite: stablf")
			}},
		{name: "no signature", code: 3, want: []string{"sign"},
			spoil: func(t *testing.T, _ *place, s *archivetest.Server) {
				remove(t, s, "dists/stable/Release.gpg")
				data := readFile(t, filepath.Join(s.Dir, "dists/stable/Release"))
				writeFile(t, filepath.Join(s.Dir, "dists/stable/InRelease"), data)
			}},
		{name: "expired", code: 3, want: []string{"valid", "2026-01-10"},
			suite: func(s archivetest.Suite) archivetest.Suite {
				s.ValidUntil = time.Date(2026, 1, 10, 0, 0, 0, 0, time.UTC)
				return s
			}},
		{name: "no suite", code: 3, want: []string{"forky", "no such suite"},
			spoil: func(_ *testing.T, p *place, s *archivetest.Server) { p.recipe(s.URL, "forky", "hello") }},
		{name: "another suite", code: 3, want: []string{"stable", "oldstable"},
			suite: func(s archivetest.Suite) archivetest.Suite {
				s.Suite, s.Codename = "oldstable", "oldstable"
				return s
			}},
		{name: "index changed", code: 3, want: []string{"Packages"},
			spoil: func(t *testing.T, _ *place, s *archivetest.Server) {
				everyFile(t, s, "binary-amd64", func(data []byte) []byte { return append(data[:len(data)-1:len(data)-1], 'x') })
			}},
		{name: "index gone", code: 3, want: []string{"Packages"},
			spoil: func(t *testing.T, _ *place, s *archivetest.Server) { remove(t, s, "dists/stable/main") }},
		{name: "index truncated", code: 3, want: []string{"Packages"},
			spoil: func(_ *testing.T, _ *place, s *archivetest.Server) { s.Wrap(cut("binary-amd64")) }},
		{name: "nobody there", code: 3, want: []string{"127.0.0.1:1\\b", "refused"},
			spoil: func(_ *testing.T, p *place, _ *archivetest.Server) { p.recipe("http://127.0.0.1:1", "stable", "hello") }},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			s := good
			if c.suite != nil {
				s = c.suite(s)
			}
			p, srv := tiny(t, s, "hello")
			if c.spoil != nil {
				c.spoil(t, p, srv)
			}
			r := p.fails(c.code, c.want, "lock", "--progress=plain")
			if r.took > 5*time.Minute {
				t.Errorf("it took %v to say so", r.took)
			}
			p.clean()
			p.noLock()
		})
	}
}

func change(t *testing.T, s *archivetest.Server, name, from, to string) {
	t.Helper()
	file := filepath.Join(s.Dir, name)
	data := readFile(t, file)
	if !strings.Contains(data, from) {
		t.Fatalf("%s has no %q", name, from)
	}
	writeFile(t, file, strings.Replace(data, from, to, 1))
}

func remove(t *testing.T, s *archivetest.Server, name string) {
	t.Helper()
	if err := os.RemoveAll(filepath.Join(s.Dir, name)); err != nil {
		t.Fatal(err)
	}
}

// everyFile changes all files of the archive whose path contains the text.
func everyFile(t *testing.T, s *archivetest.Server, containing string, f func([]byte) []byte) {
	t.Helper()
	n := 0
	err := filepath.WalkDir(s.Dir, func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.Contains(path, containing) {
			return err
		}
		n++
		data, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		return os.WriteFile(path, f(bytes.Clone(data)), 0o644)
	})
	if err != nil || n == 0 {
		t.Fatalf("change %s: %d files, %v", containing, n, err)
	}
}

// cut serves files whose path contains the text without their second half,
// and then hangs up.
func cut(containing string) func(http.Handler) http.Handler {
	return func(files http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if !strings.Contains(r.URL.Path, containing) {
				files.ServeHTTP(w, r)
				return
			}
			r.Header.Del("Range")
			files.ServeHTTP(&halfWriter{ResponseWriter: w}, r)
			panic(http.ErrAbortHandler)
		})
	}
}

// halfWriter drops the second half of a body.
type halfWriter struct {
	http.ResponseWriter
	wrote bool
}

func (h *halfWriter) Write(p []byte) (int, error) {
	if !h.wrote {
		h.wrote = true
		if _, err := h.ResponseWriter.Write(p[:len(p)/2]); err != nil {
			return 0, err
		}
	}
	return len(p), nil
}

// TestDownloadErrors builds when packages do not arrive as the lock has them.
func TestDownloadErrors(t *testing.T) {
	needRoot(t)
	good := suite(
		archivetest.Package{Name: "init", Fields: "Essential: yes", Files: archivetest.Files{"/usr/share/init": {Content: strings.Repeat("content ", 1000)}}, Compression: "none"})
	for _, c := range []struct {
		name  string
		spoil func(t *testing.T, s *archivetest.Server)
		want  []string
	}{
		{"changed", func(t *testing.T, s *archivetest.Server) {
			everyFile(t, s, "pool/", func(d []byte) []byte { d[len(d)/2] ^= 1; return d })
		}, []string{"init_1.0_all.deb", "SHA-?256|digest|hash"}},
		{"truncated", func(t *testing.T, s *archivetest.Server) {
			everyFile(t, s, "pool/", func(d []byte) []byte { return d[:len(d)/2] })
		}, []string{"init_1.0_all.deb"}},
		{"longer", func(t *testing.T, s *archivetest.Server) {
			everyFile(t, s, "pool/", func(d []byte) []byte { return append(d, "and more"...) })
		}, []string{"init_1.0_all.deb"}},
		{"reset", func(_ *testing.T, s *archivetest.Server) { s.Wrap(cut("pool/")) }, []string{"init_1.0_all.deb"}},
		{"gone", func(t *testing.T, s *archivetest.Server) { remove(t, s, "pool") }, []string{"init_1.0_all.deb", "404|not found"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			p, srv := tiny(t, good, "init")
			p.ok("lock")
			before := readFile(t, filepath.Join(p.dir, lock.FileName))
			c.spoil(t, srv)
			r := p.fails(3, c.want, "build", "--progress=plain")
			if r.took > 5*time.Minute { // tries have an end
				t.Errorf("it took %v to say so", r.took)
			}
			p.clean()
			if readFile(t, filepath.Join(p.dir, lock.FileName)) != before {
				t.Error("the lock has changed")
			}
		})
	}
}

// TestResumedDownload loses the connection in every package once; the build
// gets on with the rest of the file and does well up to where programs run.
func TestResumedDownload(t *testing.T) {
	p, srv := tiny(t, suite(archivetest.Package{
		Name: "init", Fields: "Essential: yes", Compression: "none",
		Files: archivetest.Files{"/usr/share/init": {Content: strings.Repeat("content ", 50000)}},
	}), "init")
	p.ok("lock")
	first := true
	srv.Wrap(func(files http.Handler) http.Handler {
		broken := cut("pool/")(files)
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if strings.Contains(r.URL.Path, "pool/") && first {
				first = false
				broken.ServeHTTP(w, r)
				return
			}
			files.ServeHTTP(w, r)
		})
	})
	if r := p.role("download", "one"); r.code != 0 {
		t.Fatalf("download: %v", r)
	}
	_, l := p.image("one")
	if _, err := os.Stat(p.blob(l.Packages[0].SHA256)); err != nil {
		t.Error(err)
	}
	if n := len(slices.DeleteFunc(srv.Requests("pool/"), func(s string) bool { return s == "" })); n < 2 {
		t.Errorf("%d requests: the connection was never lost", n)
	}
}
