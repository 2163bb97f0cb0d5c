package deb

import (
	"errors"
	"fmt"
	"os"
	"reflect"
	"runtime"
	"strings"
	"testing"
)

const sampleIndex = `Package: tinc
Source: tinc-src (1.0.36-2)
Version: 1.0.36-2.1+b1
Installed-Size: 400
Maintainer: Someone <a@example.org>
Architecture: amd64
Depends: libc6 (>= 2.38), liblzo2-2
Pre-Depends: init-system-helpers
Recommends: net-tools
Suggests: s
Enhances: e
Conflicts: c
Breaks: b
Replaces: r
Provides: vpn (= 1)
Description: virtual private network daemon
 more
Multi-Arch: foreign
Homepage: https://example.org/
Tag: a, b,
 c
Section: net
Priority: optional
Filename: pool/main/t/tinc/tinc_1.0.36-2.1+b1_amd64.deb
Size: 123456
SHA256: 0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef
Essential: yes
Important: yes

# a comment

package: folded
VERSION: 1
architecture: all
depends: a,
 b | c,
 d
sha256: 0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef
installed-size: 7
multi-arch: same

`

func parseAll(data string) ([]*Package, error) {
	var ps []*Package
	err := ParseIndex([]byte(data), func(p *Package) error { ps = append(ps, p); return nil })
	return ps, err
}

func TestParseIndex(t *testing.T) {
	const sum = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
	want := []*Package{{
		Name: "tinc", Source: "tinc-src (1.0.36-2)", Version: "1.0.36-2.1+b1", InstalledSize: 400, Maintainer: "Someone <a@example.org>",
		Architecture: "amd64", Depends: "libc6 (>= 2.38), liblzo2-2", PreDepends: "init-system-helpers", Recommends: "net-tools", Suggests: "s",
		Enhances: "e", Conflicts: "c", Breaks: "b", Replaces: "r", Provides: "vpn (= 1)", MultiArch: "foreign", Homepage: "https://example.org/",
		Section: "net", Priority: "optional", Filename: "pool/main/t/tinc/tinc_1.0.36-2.1+b1_amd64.deb", Size: 123456, SHA256: sum, Essential: true, Protected: true,
	}, {
		Name: "folded", Version: "1", Architecture: "all", Depends: "a,\n b | c,\n d", SHA256: sum, InstalledSize: 7, MultiArch: "same",
	}}
	for name, data := range map[string]string{
		"plain":           sampleIndex,
		"no last newline": strings.TrimRight(sampleIndex, "\n"),
		"crlf":            strings.ReplaceAll(sampleIndex, "\n", "\r\n"),
		"blank lines":     "\n\n" + strings.ReplaceAll(sampleIndex, "\n\n", "\n \t\n\n"),
	} {
		got, err := parseAll(data)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		got[1].Depends = strings.ReplaceAll(got[1].Depends, "\r", "")
		if !reflect.DeepEqual(got, want) {
			t.Errorf("%s: got %+v %+v", name, got[0], got[1])
		}
	}
	p := want[0]
	if p.SourceName() != "tinc-src" || p.SourceVersion() != "1.0.36-2" || p.ID() != "tinc_1.0.36-2.1+b1_amd64" {
		t.Errorf("source %s %s, id %s", p.SourceName(), p.SourceVersion(), p.ID())
	}
	if p = want[1]; p.SourceName() != "folded" || p.SourceVersion() != "1" {
		t.Errorf("source %s %s", p.SourceName(), p.SourceVersion())
	}
}

func TestParseIndexErrors(t *testing.T) {
	for data, want := range map[string]string{
		"Package: a\nVersion: 1\n":                                               "line 1: package a: bad architecture",
		"\nVersion: 1\nArchitecture: all\n":                                      "line 2: package name is empty",
		"Package: a\nArchitecture: all\n":                                        "line 1: package a: version is empty",
		"Package: ../a\nVersion: 1\nArchitecture: all\n":                         "character '.' is not allowed",
		"Package: a/b\nVersion: 1\nArchitecture: all\n":                          "character '/' is not allowed",
		"Package: a\nVersion: 1/2\nArchitecture: all\n":                          "character '/' is not allowed",
		"Package: a\nVersion: 1\nArchitecture: ../x\n":                           "bad architecture",
		"Package: a\nVersion: 1\nArchitecture: all\nSHA256: abc\n":               "bad SHA256",
		"Package: a\nVersion: 1\nArchitecture: all\n\nPackage: b\nrubbish\nX: 1": `line 6: not a field: "rubbish"`,
		" x\n":       "line 1: continuation line without a field",
		"\x00\x01\n": "line 1: not a field",
	} {
		if _, err := parseAll(data); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: error %v, want %q", data, err, want)
		}
	}
	stop := errors.New("stop")
	n := 0
	if err := ParseIndex([]byte(sampleIndex), func(*Package) error { n++; return stop }); !errors.Is(err, stop) || n != 1 {
		t.Errorf("%v after %d packages", err, n)
	}
}

func FuzzParseIndex(f *testing.F) {
	f.Add([]byte(sampleIndex))
	f.Add([]byte("Package: a\nVersion: 1\nArchitecture: all\nDepends:\n b\n \n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		_ = ParseIndex(data, func(p *Package) error {
			if p.Name == "" || p.Version == "" || p.Architecture == "" || strings.ContainsAny(p.ID(), "/\x00\n") {
				t.Fatalf("%+v got through", p)
			}
			return nil
		})
	})
}

// BenchmarkParseIndex parses the file that CLOUDY_PACKAGES names, or an index
// of the size and shape of Debian's main.
func BenchmarkParseIndex(b *testing.B) {
	data, err := os.ReadFile(os.Getenv("CLOUDY_PACKAGES"))
	if err != nil {
		var s strings.Builder
		for i := range 68000 {
			s.WriteString(strings.Replace(sampleIndex[:strings.Index(sampleIndex, "\n\n")+2], "tinc", fmt.Sprintf("tinc%d", i), 1))
		}
		data = []byte(s.String())
	}
	b.SetBytes(int64(len(data)))
	b.ReportAllocs()
	for b.Loop() {
		all := make([]*Package, 0, 70000)
		if err := ParseIndex(data, func(p *Package) error { all = append(all, p); return nil }); err != nil {
			b.Fatal(err)
		}
		runtime.KeepAlive(all)
	}
}
