package archive

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"cloudy/builder/archive/archivetest"
	"cloudy/builder/deb"
	"cloudy/builder/fail"
	"cloudy/builder/fetch"
	"cloudy/builder/progress"
	"cloudy/builder/store"
)

// bench is an archive, a store and a source that fit together.
type bench struct {
	*archivetest.Server
	store *store.Store
	src   Source
	opts  Options
	flags []string // mirrors; nil: the server as "debian"
}

func newBench(t *testing.T, suites ...archivetest.Suite) *bench {
	t.Helper()
	if suites == nil {
		suites = []archivetest.Suite{{Name: "trixie", Packages: []archivetest.Package{
			{Name: "hello", Version: "1.0", Architecture: "amd64"}, {Name: "libhello", Version: "2.0"}, {Name: "extra", Component: "contrib"},
		}}}
	}
	st, err := store.Open(t.TempDir(), store.WithoutSync())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { st.Close() })
	b := &bench{Server: archivetest.Serve(t, archivetest.Archive{Suites: suites}), store: st}
	b.src = Source{Name: "debian", Suites: []string{"trixie"}, Components: []string{"main"}, Architectures: []string{"amd64"}, Keyring: b.Keyring}
	b.opts = Options{Fetch: fetch.Config{Pause: time.Millisecond, Tries: 2}, Now: func() time.Time { return archivetest.Date.Add(time.Hour) }}
	return b
}

func (b *bench) update(t *testing.T) (*Indexes, error) {
	t.Helper()
	return b.updateIn(context.Background(), t)
}

func (b *bench) updateIn(ctx context.Context, t *testing.T) (*Indexes, error) {
	t.Helper()
	flags := b.flags
	if flags == nil {
		flags = []string{b.URL}
	}
	m, err := FindMirrors(MirrorConfig{Flags: flags})
	if err != nil {
		t.Fatal(err)
	}
	return Update(ctx, b.store, []Source{b.src}, m, b.opts)
}

// names lists the packages as name=version, after a good update.
func (b *bench) names(t *testing.T) string {
	t.Helper()
	x, err := b.update(t)
	if err != nil {
		t.Fatal(err)
	}
	return names(t, x)
}

func names(t *testing.T, x *Indexes) string {
	t.Helper()
	list, err := x.Packages(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, p := range list {
		out = append(out, p.Name+"="+p.Version)
	}
	return strings.Join(out, " ")
}

func TestUpdate(t *testing.T) {
	b := newBench(t)
	b.src.Components = []string{"main", "contrib"}
	x, err := b.update(t)
	if err != nil {
		t.Fatal(err)
	}
	if got := names(t, x); got != "hello=1.0 libhello=2.0 extra=1.0" {
		t.Errorf("packages: %s", got)
	}
	s := x.Suites[0]
	if s.URL != b.URL || s.Signer != b.Fingerprint || !s.Release.Date.Equal(archivetest.Date) || len(s.Mirrors) != 1 {
		t.Errorf("suite: %+v", s)
	}
	if inRelease, _ := os.ReadFile(filepath.Join(b.Dir, "dists/trixie/InRelease")); s.Digest != store.DigestOf(inRelease) {
		t.Errorf("digest %s", s.Digest)
	}
	if !x.Date().Equal(archivetest.Date) {
		t.Errorf("date %v", x.Date())
	}
	list, _ := x.Packages(context.Background())
	for _, p := range list {
		want := "main"
		if p.Name == "extra" {
			want = "contrib"
		}
		if p.Archive != "debian" || p.Suite != "trixie" || p.Component != want || x.Suite(p) != s {
			t.Errorf("%+v", p)
		}
		// What the index says is what can be downloaded.
		it := fetch.Item{Name: p.Name, URLs: x.URLs(p), SHA256: store.Digest(p.SHA256), Size: p.Size}
		if err := fetch.New(b.store, b.opts.Fetch).Fetch(context.Background(), []fetch.Item{it}, nil); err != nil {
			t.Error(err)
		}
	}
	if x.URLs(&deb.Package{Archive: "other", Suite: "trixie", Filename: "x"}) != nil {
		t.Error("URLs of a foreign package")
	}
	for _, d := range x.Blobs() {
		if _, ok := b.store.Blob(d); !ok {
			t.Errorf("blob %s is not in the store", d)
		}
	}
}

func TestUnchangedIsNotDownloadedAgain(t *testing.T) {
	b := newBench(t)
	want := b.names(t)
	if got := b.Requests(""); len(got) != 2 || !strings.Contains(got[1], "/by-hash/SHA256/") {
		t.Fatalf("first: %v", got)
	}
	var statuses []string
	b.Wrap(func(files http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			statuses = append(statuses, r.Header.Get("If-Modified-Since"))
			files.ServeHTTP(w, r)
		})
	})
	if got := b.names(t); got != want {
		t.Errorf("second time: %s", got)
	}
	if got := b.Requests(""); len(got) != 1 || len(statuses) != 1 || statuses[0] == "" {
		t.Errorf("second: %v, If-Modified-Since %q", got, statuses)
	}
	b.opts.Fetch.Offline = true
	if got := b.names(t); got != want {
		t.Errorf("offline: %s", got)
	}
	if got := b.Requests(""); len(got) != 0 {
		t.Errorf("offline: %v", got)
	}
}

func TestDamagedCopiesAreMadeAgain(t *testing.T) {
	b := newBench(t)
	want := b.names(t)
	entries, err := b.store.List()
	if err != nil {
		t.Fatal(err)
	}
	damaged := 0
	for _, e := range entries {
		path, ok := b.store.Blob(store.Digest(e.Key))
		if e.Kind != store.BlobEntry || !ok {
			continue
		}
		data, _ := os.ReadFile(path)
		data[len(data)/2] ^= 0xff
		os.WriteFile(path, data, 0o644)
		damaged++
	}
	if damaged != 3 { // InRelease, Packages.xz, decoded copy
		t.Fatalf("%d blobs", damaged)
	}
	if got := b.names(t); got != want {
		t.Errorf("got %s", got)
	}
}

func TestVariants(t *testing.T) {
	pkgs := []archivetest.Package{{Name: "any", Architecture: "amd64"}, {Name: "any", Architecture: "arm64"}, {Name: "both"}}
	for _, tc := range []struct {
		name  string
		suite archivetest.Suite
		edit  func(s *Source)
		want  string
	}{
		{"detached", archivetest.Suite{Detached: true}, nil, "any=1.0 both=1.0"},
		{"not by hash", archivetest.Suite{NoByHash: true}, nil, "any=1.0 both=1.0"},
		{"gzip only", archivetest.Suite{Encodings: []string{".gz"}}, nil, "any=1.0 both=1.0"},
		{"plain only", archivetest.Suite{Encodings: []string{""}}, nil, "any=1.0 both=1.0"},
		{"all apart", archivetest.Suite{SplitAll: true}, nil, "any=1.0 both=1.0"},
		{"all apart, but not for indexes", archivetest.Suite{SplitAll: true, Fields: "No-Support-for-Architecture-all: Packages"}, nil, "any=1.0"},
		{"two architectures", archivetest.Suite{}, func(s *Source) { s.Architectures = []string{"amd64", "arm64"} }, "any=1.0 both=1.0 any=1.0"},
		{"only some", archivetest.Suite{}, func(s *Source) { s.Only = []string{"x*", "bo*"} }, "both=1.0"},
		{"by codename", archivetest.Suite{Suite: "stable"}, nil, "any=1.0 both=1.0"},
		{"by suite", archivetest.Suite{Codename: "forky"}, nil, "any=1.0 both=1.0"},
		{"by fingerprint", archivetest.Suite{}, func(s *Source) {}, "any=1.0 both=1.0"},
		{"own URL", archivetest.Suite{}, func(s *Source) { s.Name = "own" }, "any=1.0 both=1.0"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			tc.suite.Name, tc.suite.Packages, tc.suite.Architectures = "trixie", pkgs, []string{"amd64", "arm64"}
			b := newBench(t, tc.suite)
			if tc.edit != nil {
				tc.edit(&b.src)
				b.src.Fingerprints = []string{b.Fingerprint}
				if b.src.Name == "own" {
					b.src.URL, b.flags = b.URL+"/", []string{"http://127.0.0.1:1/"}
				}
			}
			if got := b.names(t); got != tc.want {
				t.Errorf("got %s, want %s", got, tc.want)
			}
			b.opts.Fetch.Offline = true
			if got := b.names(t); got != tc.want {
				t.Errorf("offline: got %s, want %s", got, tc.want)
			}
		})
	}
}

func TestFlatRepository(t *testing.T) {
	b := newBench(t)
	p := archivetest.Package{Name: "flat"}
	data, err := p.Deb()
	if err != nil {
		t.Fatal(err)
	}
	index := fmt.Appendf(nil, "Package: flat\nVersion: 1.0\nArchitecture: all\nFilename: ./%s\nSize: %d\nSHA256: %s\n", p.FileName(), len(data), store.DigestOf(data))
	text := fmt.Sprintf("Date: Sat, 03 Jan 2026 12:00:00 UTC\nSHA256:\n %s %d Packages\n", store.DigestOf(index), len(index))
	signed, err := b.Key.Clearsign([]byte(text), archivetest.Date)
	if err != nil {
		t.Fatal(err)
	}
	for name, data := range map[string][]byte{"InRelease": signed, "Packages": index, p.FileName(): data} {
		os.MkdirAll(filepath.Join(b.Dir, "sub"), 0o755)
		os.WriteFile(filepath.Join(b.Dir, "sub", name), data, 0o644)
	}
	b.src.Suites, b.src.Components = []string{"sub/"}, nil
	if got := b.names(t); got != "flat=1.0" {
		t.Errorf("got %s", got)
	}
	if got := b.Requests("sub"); !slices.Equal(got, []string{"/sub/InRelease", "/sub/Packages"}) {
		t.Errorf("requests %v", got)
	}
}

func TestUpdateErrors(t *testing.T) {
	stranger := newKey(t, archivetest.KeyOptions{})
	replace := func(file, old, new string) func(t *testing.T, b *bench) {
		return func(t *testing.T, b *bench) {
			path := filepath.Join(b.Dir, "dists/trixie", file)
			data, err := os.ReadFile(path)
			if err != nil || !bytes.Contains(data, []byte(old)) {
				t.Fatalf("%s: %v", file, err)
			}
			os.WriteFile(path, bytes.Replace(data, []byte(old), []byte(new), 1), 0o644)
		}
	}
	day := 24 * time.Hour
	for _, tc := range []struct {
		name string
		edit func(t *testing.T, b *bench)
		want error
		kind fail.Kind
		text []string // in the error or the hint
	}{
		{"tampered", replace("InRelease", "Label: Test", "Label: Pest"), ErrSignature, fail.Network, []string{"debian", "trixie", "dists/trixie", "--mirror"}},
		{"login page", func(t *testing.T, b *bench) {
			b.Wrap(func(http.Handler) http.Handler {
				return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { w.Write([]byte("<html>")) })
			})
		}, ErrSignature, fail.Network, []string{"<html>", "portal"}},
		{"unknown key", func(t *testing.T, b *bench) { b.src.Keyring = stranger.Armored() }, ErrSignature, fail.Network, []string{"keyring"}},
		{"Debian's keys", func(t *testing.T, b *bench) { b.src.Keyring = nil }, ErrSignature, fail.Network, nil},
		{"fingerprint not in the keyring", func(t *testing.T, b *bench) { b.src.Fingerprints = []string{stranger.Fingerprint()} }, nil, fail.User, []string{stranger.Fingerprint()}},
		{"expired", func(t *testing.T, b *bench) {
			b.src.Suites = []string{"short"}
			b.opts.Now = func() time.Time { return archivetest.Date.Add(8 * day) }
		}, ErrExpired, fail.Network, []string{"valid until 2026-01-10", "allow_expired"}},
		{"from the future", func(t *testing.T, b *bench) {
			b.opts.Now = func() time.Time { return archivetest.Date.Add(-8 * day) }
		}, ErrSignature, fail.Host, []string{"clock says 2025-12-26", "Set this machine's clock"}},
		{"no suite", func(t *testing.T, b *bench) { b.src.Suites = []string{"trxie"} }, ErrNoSuite, fail.Network, []string{"trxie", "/dists/trxie/InRelease", "--mirror debian="}},
		{"another suite", func(t *testing.T, b *bench) {
			os.Rename(filepath.Join(b.Dir, "dists/trixie"), filepath.Join(b.Dir, "dists/old"))
			b.src.Suites = []string{"old"}
		}, ErrWrongSuite, fail.Network, []string{"asked for old"}},
		{"no component", func(t *testing.T, b *bench) { b.src.Components = []string{"non-free"} }, ErrNoComponent, fail.User, []string{"non-free", "contrib, main"}},
		{"no architecture", func(t *testing.T, b *bench) { b.src.Architectures = []string{"riscv64"} }, ErrNoComponent, fail.User, []string{"riscv64", "amd64"}},
		{"changed index", func(t *testing.T, b *bench) {
			for _, pattern := range []string{"main/binary-amd64/Packages.xz", "main/binary-amd64/by-hash/SHA256/*"} {
				found, _ := filepath.Glob(filepath.Join(b.Dir, "dists/trixie", pattern))
				for _, f := range found {
					data, _ := os.ReadFile(f)
					os.WriteFile(f, flip(data, 20), 0o644)
				}
			}
		}, ErrHash, fail.Network, []string{"Packages.xz"}},
		{"missing index", func(t *testing.T, b *bench) { os.RemoveAll(filepath.Join(b.Dir, "dists/trixie/main")) }, fetch.ErrNotFound, fail.Network, []string{"Packages.xz"}},
		{"no mirror answers", func(t *testing.T, b *bench) { b.flags = []string{"http://127.0.0.1:1/debian"} }, nil, fail.Network, []string{"127.0.0.1:1/debian/dists/trixie/InRelease", "--mirror"}},
		{"offline at first", func(t *testing.T, b *bench) { b.opts.Fetch.Offline = true }, ErrOffline, fail.Network, []string{"--offline"}},
		{"no Release.gpg", func(t *testing.T, b *bench) {
			os.Remove(filepath.Join(b.Dir, "dists/trixie/InRelease"))
			os.Remove(filepath.Join(b.Dir, "dists/trixie/Release.gpg"))
		}, ErrSignature, fail.Network, []string{"Release.gpg"}},
		{"unknown archive", func(t *testing.T, b *bench) { b.src.Name = "mystery" }, nil, fail.User, []string{"mystery"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			pkgs := []archivetest.Package{{Name: "hello"}, {Name: "extra", Component: "contrib"}}
			b := newBench(t, archivetest.Suite{Name: "trixie", Packages: pkgs},
				archivetest.Suite{Name: "short", ValidUntil: archivetest.Date.Add(7 * day), Packages: pkgs})
			tc.edit(t, b)
			_, err := b.update(t)
			if err == nil || (tc.want != nil && !errors.Is(err, tc.want)) || fail.KindOf(err) != tc.kind {
				t.Fatalf("err = %v (kind %d)", err, fail.KindOf(err))
			}
			for _, want := range tc.text {
				if !strings.Contains(err.Error()+fail.HintOf(err), want) {
					t.Errorf("does not say %q: %v; hint: %s", want, err, fail.HintOf(err))
				}
			}
		})
	}
}

// warnings collects the warnings of a piece of work.
type warnings struct{ texts []string }

func (w *warnings) Event(e progress.Event) {
	if e.Kind == progress.Warning {
		w.texts = append(w.texts, e.Text)
	}
}

func TestExpiry(t *testing.T) {
	b := newBench(t, archivetest.Suite{Name: "trixie", ValidUntil: archivetest.Date.Add(time.Hour), Packages: []archivetest.Package{{Name: "hello"}}})
	b.opts.Now = func() time.Time { return archivetest.Date.Add(time.Minute) }
	b.names(t)
	b.opts.Now = func() time.Time { return archivetest.Date.AddDate(0, 1, 0) }
	if _, err := b.update(t); !errors.Is(err, ErrExpired) {
		t.Errorf("err = %v", err)
	}
	// The clock of a snapshot is that of the snapshot.
	b.src.Snapshot, b.flags = archivetest.Date.Add(time.Minute), []string{"snapshot=" + b.URL}
	os.MkdirAll(filepath.Join(b.Dir, "debian"), 0o755)
	os.Symlink("..", filepath.Join(b.Dir, "debian/20260103T120100Z"))
	b.names(t)
	b.src.Snapshot, b.flags = time.Time{}, nil

	w := &warnings{}
	b.opts.Fetch.Offline = true
	if _, err := b.updateIn(progress.With(context.Background(), w), t); err != nil || len(w.texts) != 1 || !strings.Contains(w.texts[0], "offline") {
		t.Errorf("offline: %v, %q", err, w.texts)
	}
	b.opts.Fetch.Offline, b.src.AllowExpired = false, true
	b.names(t)
}

// A mirror that plays back an old state is said so.
func TestOlderMirror(t *testing.T) {
	day := 24 * time.Hour
	b := newBench(t, archivetest.Suite{Name: "trixie", Date: archivetest.Date.Add(5 * day), Packages: []archivetest.Package{{Name: "hello"}}})
	b.opts.Now = func() time.Time { return archivetest.Date.Add(6 * day) }
	b.names(t)
	old := archivetest.Archive{Key: b.Key, Suites: []archivetest.Suite{{Name: "trixie", Packages: []archivetest.Package{{Name: "hello"}}}}}
	if _, err := old.Write(b.Dir); err != nil {
		t.Fatal(err)
	}
	// Last-Modified counts seconds, and the test took less than one.
	at := time.Now().Add(time.Minute)
	os.Chtimes(filepath.Join(b.Dir, "dists/trixie/InRelease"), at, at)
	w := &warnings{}
	if _, err := b.updateIn(progress.With(context.Background(), w), t); err != nil || len(w.texts) != 1 || !strings.Contains(w.texts[0], "older") {
		t.Errorf("%v, %q", err, w.texts)
	}
}

func TestSecondMirror(t *testing.T) {
	b := newBench(t)
	bad := archivetest.Serve(t, archivetest.Archive{Suites: []archivetest.Suite{{Name: "trixie"}}}) // another key
	empty := archivetest.Serve(t, archivetest.Archive{})
	b.flags = []string{"http://127.0.0.1:1/debian", bad.URL, empty.URL, "file://" + b.Dir}
	x, err := b.update(t)
	if err != nil {
		t.Fatal(err)
	}
	if s := x.Suites[0]; s.URL != "file://"+b.Dir || s.Mirrors[0].URL != s.URL || len(s.Mirrors) != 4 {
		t.Errorf("%s, %v", s.URL, s.Mirrors)
	}
	if got := names(t, x); got != "hello=1.0 libhello=2.0" {
		t.Errorf("packages: %s", got)
	}
}
