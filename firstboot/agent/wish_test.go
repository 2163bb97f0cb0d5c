package agent

import (
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"cloudy/firstboot/nodeconfig"
)

func wishful(t testing.TB) *Agent {
	t.Helper()
	a := New(Options{Root: t.TempDir(), Config: nodeconfig.Default(), Log: slog.New(slog.NewTextHandler(io.Discard, nil))})
	if err := os.MkdirAll(a.path(RunDir), 0o755); err != nil {
		t.Fatal(err)
	}
	return a
}

// TestCarryOut: a wish is done once and gone; one that is no wish is gone, too.
func TestCarryOut(t *testing.T) {
	a := wishful(t)
	card := a.path("boot/firmware/cloudy.txt")
	token := "cloudy1." + strings.Repeat("a", 40) + "." + strings.Repeat("b", 86)
	for path, text := range map[string]string{
		card:                            "invitation=" + token,
		a.path(WishDir + "/wipe.json"):  `{"wipe": "` + token + `"}`,
		a.path(WishDir + "/bad.json"):   `{"wipe": `,
		a.path(WishDir + "/.x.writing"): `{`,
	} {
		os.MkdirAll(filepath.Dir(path), 0o755)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := a.CarryOut(t.Context()); err == nil || !strings.Contains(err.Error(), "bad.json") {
		t.Errorf("what is no wish: %v", err)
	}
	if data, _ := os.ReadFile(card); strings.Contains(string(data), token) || len(data) == 0 {
		t.Errorf("the card says %q", data)
	}
	left, _ := filepath.Glob(a.path(WishDir + "/*.json"))
	if len(left) != 0 {
		t.Errorf("left: %v", left)
	}
	if err := a.CarryOut(t.Context()); err != nil {
		t.Error(err)
	}
}

// TestWishFolderIsALink: the folder belongs to the daemon, and root deletes
// what it reads there.
func TestWishFolderIsALink(t *testing.T) {
	a := wishful(t)
	precious := a.path("etc/precious.json")
	os.MkdirAll(filepath.Dir(precious), 0o755)
	if err := os.WriteFile(precious, []byte(`{"identity": true}`), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(filepath.Dir(precious), a.path(WishDir)); err != nil {
		t.Fatal(err)
	}
	if err := a.CarryOut(t.Context()); err == nil {
		t.Error("a link is followed")
	}
	if _, err := os.Stat(precious); err != nil {
		t.Errorf("it is gone: %v", err)
	}
	if _, err := os.Stat(a.path(StateDir)); err == nil {
		t.Error("it was carried out")
	}
}
