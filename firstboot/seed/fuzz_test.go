package seed

import (
	"crypto/ed25519"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"cloudy/firstboot/membership"
)

// FuzzSeedFile reads anything as cloudy.txt and as the kernel's command line:
// what is found has the form of an invitation, and is gone after it was wiped.
func FuzzSeedFile(f *testing.F) {
	token, err := membership.Invitation{Expires: 1, Uses: 1}.Token(ed25519.NewKeyFromSeed(make([]byte, ed25519.SeedSize)))
	if err != nil {
		f.Fatal(err)
	}
	f.Add([]byte("Benvinguda!\r\n" + token + "\r\n"))
	f.Add([]byte("quiet cloudy.invite=" + token + " splash"))
	f.Add([]byte("\xff\xfe" + strings.Join(strings.Split(token, ""), "\x00")))
	f.Add([]byte("cloudy.invite=cloudy1.." + token))
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, data []byte) {
		s := Sources{Root: t.TempDir(), State: "state"}
		for _, path := range []string{"boot/cloudy.txt", "proc/cmdline", "state/invitation"} {
			path = filepath.Join(s.Root, path)
			if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(path, data, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		for _, x := range s.Find() {
			if !strings.HasPrefix(x.Token, "cloudy1.") || membership.FindToken(x.Token) != x.Token {
				t.Errorf("found %q", x.Token)
			}
			if strings.Contains(x.Origin, x.Token) {
				t.Errorf("the secret is in %q", x.Origin)
			}
			if err := s.Used(x); err != nil {
				t.Error(err)
			}
			if x.File != "" {
				if left, _ := os.ReadFile(x.File); strings.Contains(string(left), x.Token) {
					t.Errorf("%s is not wiped", x.File)
				}
			}
		}
	})
}
