package seed

import (
	"crypto/ed25519"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"cloudy/firstboot/membership"
)

func token(t *testing.T, n byte) string {
	t.Helper()
	v := membership.Invitation{Expires: int64(n), Uses: 1}
	text, err := v.Token(ed25519.NewKeyFromSeed(make([]byte, ed25519.SeedSize)))
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func TestOrderAndWipe(t *testing.T) {
	s := Sources{Root: t.TempDir(), State: "var/lib/cloudy", Baked: token(t, 5)}
	write := func(path, text string) {
		t.Helper()
		path = filepath.Join(s.Root, path)
		os.MkdirAll(filepath.Dir(path), 0o755)
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Type(token(t, 1)); err != nil {
		t.Fatal(err)
	}
	t.Setenv("CREDENTIALS_DIRECTORY", filepath.Join(s.Root, "cred"))
	write("cred/cloudy.invitation", token(t, 2))
	write("proc/cmdline", "quiet cloudy.invite="+token(t, 3)+" splash\n")
	write("boot/firmware/cloudy.txt", "Benvinguda!\r\n"+token(t, 4)+"\r\n")
	write("boot/efi/cloudy.txt", token(t, 4)) // the same again
	write("boot/cloudy.txt", "nothing in here")

	found := s.Find()
	if len(found) != 5 {
		t.Fatalf("%d found: %+v", len(found), found)
	}
	for i, x := range found {
		if x.Token != token(t, byte(i+1)) {
			t.Errorf("%d is %s", i, x.Origin)
		}
		if strings.Contains(x.Origin, x.Token) {
			t.Errorf("the secret is in %q", x.Origin)
		}
		if err := s.Used(x); err != nil {
			t.Error(err)
		}
	}
	// Wiped: typed in and the first file. What the kernel and systemd
	// gave is not on disk, and the image is as it is.
	left := s.Find()
	if len(left) != 4 || left[0].Token != token(t, 2) || left[2].Origin != "cloudy.txt on the boot partition" {
		t.Errorf("left: %+v", left)
	}
	data, _ := os.ReadFile(filepath.Join(s.Root, "boot/firmware/cloudy.txt"))
	if strings.Contains(string(data), "cloudy1.") || len(data) == 0 {
		t.Errorf("the file says %q", data)
	}
}

func TestOddFiles(t *testing.T) {
	s := Sources{Root: t.TempDir(), State: "state"}
	os.MkdirAll(filepath.Join(s.Root, "boot/cloudy.txt"), 0o755) // a folder
	os.MkdirAll(filepath.Join(s.Root, "boot/efi"), 0o755)
	os.WriteFile(filepath.Join(s.Root, "boot/efi/cloudy.txt"), make([]byte, 1<<20), 0o644)
	if found := s.Find(); len(found) != 0 {
		t.Errorf("%+v", found)
	}
}
