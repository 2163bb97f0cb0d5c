package agent

import (
	"errors"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"syscall"
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

// TestOddWishes: what a daemon that was taken over puts there keeps root neither
// waiting nor busy.
func TestOddWishes(t *testing.T) {
	a := wishful(t)
	dir := a.path(WishDir)
	put(t, a.path("etc/wish.json"), `{"identity": true}`)
	if err := os.MkdirAll(filepath.Join(dir, "folder.json"), 0o755); err != nil {
		t.Fatal(err)
	}
	put(t, filepath.Join(dir, "folder.json/full"), "x")
	put(t, filepath.Join(dir, "other"), "x")
	put(t, filepath.Join(dir, "long.json"), `{"wipe": "`+strings.Repeat("x", maxWish)+`"}`)
	if err := errors.Join(syscall.Mkfifo(filepath.Join(dir, "pipe.json"), 0o600), os.Symlink("../../../etc/wish.json", filepath.Join(dir, "link.json"))); err != nil {
		t.Fatal(err)
	}
	err := a.CarryOut(t.Context())
	for _, name := range []string{"folder", "long", "pipe", "link"} {
		if err == nil || !strings.Contains(err.Error(), name+".json") {
			t.Errorf("%s: %v", name, err)
		}
	}
	if left, _ := os.ReadDir(dir); len(left) > 0 {
		t.Errorf("left %v", left)
	}
	if _, err := os.Stat(a.statePath("identity.json")); err == nil {
		t.Error("a link was followed")
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
