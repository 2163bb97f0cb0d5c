package archive

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"cloudy/builder/fail"
)

func aptDir(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		path := filepath.Join(dir, name)
		os.MkdirAll(filepath.Dir(path), 0o755)
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func urls(list []Mirror) string {
	var u []string
	for _, m := range list {
		u = append(u, m.URL)
	}
	return strings.Join(u, " ")
}

func TestReadAptSources(t *testing.T) {
	dir := aptDir(t, map[string]string{
		"sources.list": `# comment
deb http://one.example/debian trixie main
deb-src http://source.example/debian trixie main
deb [ arch=amd64 signed-by=/x.gpg ] http://two.example/debian/ trixie main # why
# deb http://commented.example/debian trixie main
deb cdrom:[Debian]/ trixie main
deb mirror+file:/etc/apt/mirrors trixie main
deb file:/srv/mirror/debian trixie main
debian http://no.example/debian trixie main
deb [broken http://no.example/debian trixie main
deb http://one.example/debian trixie-updates main
`,
		"sources.list.d/b.sources": `# the new format
Types: deb deb-src
URIs: https://three.example/debian http://four.example/debian
Suites: trixie
Components: main

Types: deb
Enabled: no
URIs: http://disabled.example/debian
Suites: trixie

Types: deb-src
URIs: http://source.example/debian
Suites: trixie

Types: deb
URIs: http://one.example/debian-security/
Suites: trixie-security
`,
		"sources.list.d/a.list":              "deb http://first.example/debian trixie main\n",
		"sources.list.d/x.list.disabled":     "deb http://no.example/debian trixie main\n",
		"sources.list.d/broken.sources":      "this is no paragraph\n",
		"sources.list.d/z-thirdparty.list":   "deb http://other.example/repo stable main\n",
		"preferences.d/not-a-source.sources": "Types: deb\nURIs: http://no.example/debian\nSuites: x\n",
	})
	got := urls(readAptSources(dir))
	want := "http://one.example/debian http://two.example/debian file:/srv/mirror/debian http://first.example/debian " +
		"https://three.example/debian http://four.example/debian http://one.example/debian-security http://other.example/repo"
	if got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	if list := readAptSources(filepath.Join(dir, "missing")); len(list) != 0 {
		t.Errorf("of no folder: %v", list)
	}
}

func TestFindMirrors(t *testing.T) {
	apt := aptDir(t, map[string]string{"sources.list": "deb http://host.example/debian trixie main\n" +
		"deb http://host.example/debian-security trixie-security main\ndeb http://host.example/ubuntu noble main\n"})
	for _, tc := range []struct {
		name          string
		cfg           MirrorConfig
		debian, secur string
		origin        string // of debian's first
	}{
		{"nothing", MirrorConfig{}, "http://ftp.debian.org/debian", "http://security.debian.org/debian-security", "default"},
		{"host first, default last", MirrorConfig{AptDir: apt}, "http://host.example/debian http://ftp.debian.org/debian",
			"http://host.example/debian-security http://security.debian.org/debian-security", filepath.Join(apt, "sources.list")},
		{"environment hides the host", MirrorConfig{AptDir: apt, Env: "http://env.example/debian/"}, "http://env.example/debian",
			"http://host.example/debian-security http://security.debian.org/debian-security", "CLOUDY_MIRROR"},
		{"flags hide the environment", MirrorConfig{AptDir: apt, Env: "http://env.example/debian debian-security=http://env.example/s",
			Flags: []string{"http://flag.example/a", "debian=/srv/debian"}}, "http://flag.example/a file:///srv/debian", "http://env.example/s", "--mirror"},
		{"URL with =", MirrorConfig{Flags: []string{"http://flag.example/?a=b"}}, "http://flag.example/?a=b",
			"http://security.debian.org/debian-security", "--mirror"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			m, err := FindMirrors(tc.cfg)
			if err != nil {
				t.Fatal(err)
			}
			if got := urls(m.Named("debian")); got != tc.debian {
				t.Errorf("debian: %s, want %s", got, tc.debian)
			}
			if got := urls(m.Named("debian-security")); got != tc.secur {
				t.Errorf("security: %s, want %s", got, tc.secur)
			}
			if got := m.Named("debian")[0].Origin; got != tc.origin {
				t.Errorf("origin %s, want %s", got, tc.origin)
			}
		})
	}
	for _, bad := range []string{"nonsense", "debian=ftp://x/debian", "http://", "debian=", "file://host/x"} {
		if _, err := FindMirrors(MirrorConfig{Flags: []string{bad}}); fail.KindOf(err) != fail.User || fail.HintOf(err) == "" {
			t.Errorf("%q: %v", bad, err)
		}
	}
}

func TestMirrorsFor(t *testing.T) {
	m, err := FindMirrors(MirrorConfig{Flags: []string{"couchdb=http://local.example/couchdb", "snapshot=http://snap.example/archive"}})
	if err != nil {
		t.Fatal(err)
	}
	at := time.Date(2025, 5, 20, 1, 2, 3, 0, time.UTC)
	for _, tc := range []struct {
		src  Source
		want string
	}{
		{Source{Name: "debian"}, "http://ftp.debian.org/debian"},
		{Source{Name: "forky", From: "debian"}, "http://ftp.debian.org/debian"},
		{Source{Name: "own", URL: "https://own.example/repo/"}, "https://own.example/repo"},
		{Source{Name: "couchdb", URL: "https://own.example/repo"}, "http://local.example/couchdb"},
		{Source{Name: "debian-security", Snapshot: at}, "http://snap.example/archive/debian-security/20250520T010203Z"},
		{Source{Name: "unknown"}, ""},
	} {
		got, err := m.For(tc.src)
		if urls(got) != tc.want || (err == nil) != (tc.want != "") {
			t.Errorf("%s: %s, %v; want %s", tc.src.Name, urls(got), err, tc.want)
		}
		if err != nil && (fail.KindOf(err) != fail.User || !strings.Contains(fail.HintOf(err), "--mirror unknown=")) {
			t.Errorf("%s: %v, hint %q", tc.src.Name, fail.KindOf(err), fail.HintOf(err))
		}
	}
	if !slices.Equal(m.Names(), []string{"couchdb", "debian", "debian-security", "snapshot"}) {
		t.Errorf("names %v", m.Names())
	}
}

func TestParseSnapshot(t *testing.T) {
	want := time.Date(2025, 5, 20, 0, 0, 0, 0, time.UTC)
	for _, text := range []string{"20250520T000000Z", "2025-05-20", "2025-05-20T02:00:00+02:00"} {
		if got, err := ParseSnapshot(text); err != nil || !got.Equal(want) {
			t.Errorf("%s: %v, %v", text, got, err)
		}
	}
	if _, err := ParseSnapshot("yesterday"); fail.KindOf(err) != fail.User {
		t.Errorf("err = %v", err)
	}
}

func TestPoolURLs(t *testing.T) {
	mirrors := []Mirror{{URL: "http://a/debian"}, {URL: "file:///b"}}
	got := PoolURLs(mirrors, "pool/main/g/g++/g++_1:2~rc1+b 1%41.deb")
	if want := []string{"http://a/debian/pool/main/g/g++/g++_1:2~rc1+b%201%2541.deb", "file:///b/pool/main/g/g++/g++_1:2~rc1+b%201%2541.deb"}; !slices.Equal(got, want) {
		t.Errorf("got %v", got)
	}
	for _, bad := range []string{"", "../x", "pool/../../x", "/..", "."} {
		if got := PoolURLs(mirrors, bad); got != nil {
			t.Errorf("%q: %v", bad, got)
		}
	}
}
