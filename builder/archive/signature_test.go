package archive

import (
	"bytes"
	"errors"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"cloudy/builder/archive/archivetest"
)

func newKey(t *testing.T, o archivetest.KeyOptions) *archivetest.Key {
	t.Helper()
	k, err := archivetest.NewKeyWith(o)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func ringOf(t *testing.T, keys ...*archivetest.Key) *Keyring {
	t.Helper()
	var data []byte
	for _, k := range keys {
		data = append(data, k.Armored()...)
	}
	ring, err := ReadKeyring(data, nil)
	if err != nil {
		t.Fatal(err)
	}
	return ring
}

// The embedded keys are those that keys/README.md names, and no others.
func TestEmbeddedKeys(t *testing.T) {
	data, err := DebianKeyring()
	if err != nil {
		t.Fatal(err)
	}
	ring, err := ReadKeyring(data, nil)
	if err != nil {
		t.Fatal(err)
	}
	want := []string{
		"B8B80B5B623EAB6AD8775C45B7C5D7D6350947F8", // bookworm, archive
		"05AB90340C0C5E797F44A8C8254CF3B5AEC0A8F0", // bookworm, security
		"4D64FEC119C2029067D6E791F8D2585B8783D481", // bookworm, release
		"04B54C3CDCA79751B16BC6B5225629DF75B188BD", // trixie, archive
		"5E04A1E3223A19A20706E20F9904613D4CCE68C6", // trixie, security
		"41587F7DB8C774BCCF131416762F67A0B2C39DE4", // trixie, release
	}
	if got := ring.Fingerprints(); !slices.Equal(got, want) {
		t.Errorf("got  %v\nwant %v", got, want)
	}
	readme, err := os.ReadFile("keys/README.md")
	if err != nil {
		t.Fatal(err)
	}
	plain := strings.ReplaceAll(string(readme), " ", "")
	for _, f := range want {
		if !strings.Contains(plain, f) {
			t.Errorf("keys/README.md does not name %s", f)
		}
	}
}

func TestReadKeyring(t *testing.T) {
	a, b := newKey(t, archivetest.KeyOptions{}), newKey(t, archivetest.KeyOptions{})
	two := append(append([]byte("a comment\n"), a.Armored()...), b.Armored()...)
	binary := append(a.Binary(), b.Binary()...)
	spaced := strings.ToLower(b.Fingerprint()[:8] + " " + b.Fingerprint()[8:])
	for name, tc := range map[string]struct {
		data   []byte
		prints []string
		want   []string
	}{
		"armoured":             {two, nil, []string{a.Fingerprint(), b.Fingerprint()}},
		"binary":               {binary, nil, []string{a.Fingerprint(), b.Fingerprint()}},
		"one fingerprint":      {two, []string{spaced}, []string{b.Fingerprint()}},
		"missing fingerprint":  {a.Armored(), []string{b.Fingerprint()}, nil},
		"short id is no print": {two, []string{b.Fingerprint()[24:]}, nil},
		"empty":                {nil, nil, nil},
		"garbage":              {[]byte("garbage"), nil, nil},
		"broken armour":        {two[:len(two)-60], nil, nil},
	} {
		ring, err := ReadKeyring(tc.data, tc.prints)
		if (err != nil) != (tc.want == nil) {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if err == nil && !slices.Equal(ring.Fingerprints(), tc.want) {
			t.Errorf("%s: %v", name, ring.Fingerprints())
		}
	}
}

func TestVerify(t *testing.T) {
	date := archivetest.Date
	good, other := newKey(t, archivetest.KeyOptions{}), newKey(t, archivetest.KeyOptions{})
	old := newKey(t, archivetest.KeyOptions{Lifetime: 366 * 24 * time.Hour}) // until a day after Date
	sign := func(keys ...*archivetest.Key) []byte {
		data, err := archivetest.Clearsign([]byte(sampleRelease), date, keys...)
		if err != nil {
			t.Fatal(err)
		}
		return data
	}
	month := date.AddDate(0, 1, 0)
	for name, tc := range map[string]struct {
		data []byte
		ring *Keyring
		now  time.Time
		want string // signer; "" is ErrSignature
	}{
		"good":                         {sign(good), ringOf(t, good), date, good.Fingerprint()},
		"good among unknown":           {sign(other, good), ringOf(t, good), date, good.Fingerprint()},
		"unknown key":                  {sign(other), ringOf(t, good), date, ""},
		"key not yet expired":          {sign(old), ringOf(t, old), date, old.Fingerprint()},
		"key expired since":            {sign(old), ringOf(t, old), month, ""},
		"one of two expired":           {sign(old, good), ringOf(t, old, good), month, good.Fingerprint()},
		"clock a bit behind":           {sign(good), ringOf(t, good), date.Add(-5 * time.Minute), good.Fingerprint()},
		"clock far behind":             {sign(good), ringOf(t, good), date.Add(-time.Hour), ""},
		"text before":                  {append([]byte("x\n"), sign(good)...), ringOf(t, good), date, ""},
		"text after":                   {append(sign(good), 'x'), ringOf(t, good), date, ""},
		"one bad signature of two":     {breakFirst(sign(good, other)), ringOf(t, good, other), date, ""},
		"unsigned":                     {[]byte(sampleRelease), ringOf(t, good), date, ""},
		"login page":                   {[]byte("<html>"), ringOf(t, good), date, ""},
		"empty":                        {nil, ringOf(t, good), date, ""},
		"signature of another message": {swapText(sign(good)), ringOf(t, good), date, ""},
	} {
		text, signer, err := tc.ring.verifyInline(tc.data, tc.now)
		if signer != tc.want || errors.Is(err, ErrSignature) != (tc.want == "") {
			t.Errorf("%s: signer %q, %v", name, signer, err)
		}
		if err == nil && string(text)+"\n" != sampleRelease && string(text) != sampleRelease {
			t.Errorf("%s: text %q", name, text)
		}
	}
	detached, err := good.Detach([]byte(sampleRelease), date)
	if err != nil {
		t.Fatal(err)
	}
	if signer, err := ringOf(t, good).verifyDetached([]byte(sampleRelease), detached, date); err != nil || signer != good.Fingerprint() {
		t.Errorf("detached: %q, %v", signer, err)
	}
	for name, data := range map[string]string{"changed": sampleRelease + "X: y\n", "cut": sampleRelease[1:]} {
		if _, err := ringOf(t, good).verifyDetached([]byte(data), detached, date); !errors.Is(err, ErrSignature) {
			t.Errorf("detached, %s: %v", name, err)
		}
	}
}

// breakFirst damages the armoured signatures, near the end of the first.
func breakFirst(data []byte) []byte {
	i := bytes.Index(data, []byte("BEGIN PGP SIGNATURE-----"))
	return flip(data, i+120)
}

func swapText(data []byte) []byte {
	return bytes.Replace(data, []byte("Origin: Debian"), []byte("Origin: Xebian"), 1)
}
