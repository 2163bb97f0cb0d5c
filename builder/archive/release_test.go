package archive

import (
	"errors"
	"reflect"
	"strings"
	"testing"
	"time"

	"cloudy/builder/archive/archivetest"
)

const sampleRelease = `Origin: Debian
Label: Debian-Security
Suite: stable-security
Version: 13
Codename: trixie-security
Date: Sat, 21 Nov 2026 00:53:03 UTC
Valid-Until: Sat, 28 Nov 2026 00:53:03 UTC
Acquire-By-Hash: yes
No-Support-for-Architecture-all: Packages
Architectures: amd64 arm64
Components: updates/main updates/contrib
MD5Sum:
 d41d8cd98f00b204e9800998ecf8427e        0 main/binary-amd64/Packages
SHA256:
 e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855        0 main/binary-amd64/Packages
 f61f27bd17de546264aa58f40f3aafaac7021e0ef69c17f6b1b4cd7664a037ec       20 main/binary-amd64/Packages.gz
`

func TestParseRelease(t *testing.T) {
	r, err := ParseRelease([]byte(sampleRelease))
	if err != nil {
		t.Fatal(err)
	}
	want := &Release{
		Origin: "Debian", Label: "Debian-Security", Suite: "stable-security", Codename: "trixie-security", Version: "13",
		Date:          time.Date(2026, 11, 21, 0, 53, 3, 0, time.UTC),
		ValidUntil:    time.Date(2026, 11, 28, 0, 53, 3, 0, time.UTC),
		Architectures: []string{"amd64", "arm64"}, Components: []string{"main", "contrib"},
		AcquireByHash: true, NoAllIndexes: true,
		Files: map[string]File{
			"main/binary-amd64/Packages":    {"e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855", 0},
			"main/binary-amd64/Packages.gz": {"f61f27bd17de546264aa58f40f3aafaac7021e0ef69c17f6b1b4cd7664a037ec", 20},
		},
	}
	if !reflect.DeepEqual(r, want) {
		t.Errorf("got  %+v\nwant %+v", r, want)
	}
}

func TestParseReleaseErrors(t *testing.T) {
	for name, text := range map[string]string{
		"empty":          "",
		"no date":        strings.Replace(sampleRelease, "Date: ", "X-Date: ", 1),
		"bad date":       strings.Replace(sampleRelease, "Date: Sat, 21", "Date: Sat, 41", 1),
		"local time":     strings.Replace(sampleRelease, "Nov 2026 00:53:03 UTC", "Nov 2026 00:53:03 CET", 1),
		"bad until":      strings.Replace(sampleRelease, "Valid-Until: Sat", "Valid-Until: Som", 1),
		"no hashes":      strings.Replace(sampleRelease, "SHA256:", "SHA257:", 1),
		"short hash":     strings.Replace(sampleRelease, " e3b0", " ", 1),
		"negative size":  strings.Replace(sampleRelease, "      20", "     -20", 1),
		"missing column": strings.Replace(sampleRelease, "      20", "        ", 1),
		"two paragraphs": sampleRelease + "\nSuite: evil\n",
	} {
		if _, err := ParseRelease([]byte(text)); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

func TestParseDate(t *testing.T) {
	want := time.Date(2026, 11, 1, 9, 15, 44, 0, time.UTC)
	for _, text := range []string{"Sun, 01 Nov 2026 09:15:44 UTC", "Sun,  1 Nov 2026 09:15:44 UTC", "Sun, 1 Nov 2026 09:15:44 UTC",
		"Sun, 01 Nov 2026 09:15:44 GMT", "Sun, 01 Nov 2026 09:15:44 +0000", "Sun, 01 Nov 2026 10:15:44 +0100", "Sun, 01 Nov 2026 09:15:44 Z"} {
		if got, err := parseDate(text); err != nil || !got.Equal(want) {
			t.Errorf("%s: %v, %v", text, got, err)
		}
	}
}

func TestCheck(t *testing.T) {
	r, err := ParseRelease([]byte(sampleRelease))
	if err != nil {
		t.Fatal(err)
	}
	at := func(text string) time.Time {
		v, err := time.Parse(time.DateTime, text)
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
	for _, tc := range []struct {
		suite string
		now   string
		allow bool
		want  error
	}{
		{"trixie-security", "2026-11-22 00:00:00", false, nil},
		{"stable-security", "2026-11-22 00:00:00", false, nil},
		{"trixie", "2026-11-22 00:00:00", false, ErrWrongSuite},
		{"bookworm-security", "2026-11-22 00:00:00", true, ErrWrongSuite},
		{"flat/", "2026-11-22 00:00:00", false, nil},
		{"trixie-security", "2026-11-28 00:53:02", false, nil},
		{"trixie-security", "2026-11-28 00:53:04", false, ErrExpired},
		{"trixie-security", "2026-11-28 00:53:04", true, nil},
		{"trixie-security", "2026-11-21 00:44:00", false, nil}, // within the skew
		{"trixie-security", "2026-11-20 00:00:00", true, ErrExpired},
	} {
		err := r.check(Source{AllowExpired: tc.allow}, tc.suite, at(tc.now))
		if !errors.Is(err, tc.want) || (err != nil) != (tc.want != nil) {
			t.Errorf("%s at %s (allow %t): %v", tc.suite, tc.now, tc.allow, err)
		}
	}
}

// The signed text is parsed, and only that.
func FuzzInRelease(f *testing.F) {
	key, err := archivetest.NewKey()
	if err != nil {
		f.Fatal(err)
	}
	signed, err := key.Clearsign([]byte(sampleRelease), archivetest.Date)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(signed)
	f.Add([]byte(sampleRelease))
	f.Add([]byte(clearsignBegin + "\nHash: SHA256\n\nDate: x\n-----BEGIN PGP SIGNATURE-----\n\n=abcd\n-----END PGP SIGNATURE-----\n"))
	ring, err := ReadKeyring(key.Armored(), nil)
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		if text, signer, err := ring.verifyInline(data, archivetest.Date); err == nil {
			// Whatever was accepted, the text is the one that was signed.
			if signer != key.Fingerprint() || strings.TrimRight(string(text), "\n") != strings.TrimRight(sampleRelease, "\n") {
				t.Errorf("accepted %q", text)
			}
		}
		if r, err := ParseRelease(data); err == nil {
			for name, file := range r.Files {
				if !file.SHA256.Valid() || file.Size < 0 || name == "" {
					t.Errorf("%q: %+v", name, file)
				}
			}
		}
		ReadKeyring(data, nil)
	})
}
