package agent

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"cloudy/firstboot/seed"
)

func put(t testing.TB, path, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

// TestSSHWithoutIdentity: a card that lost the node's keys, or a disk that
// takes none, costs the mesh and not the way in.
func TestSSHWithoutIdentity(t *testing.T) {
	for name, break_ := range map[string]func(a *Agent){
		"damaged": func(a *Agent) { put(t, a.statePath("identity.json"), "{") },
		"no room": func(a *Agent) { put(t, a.path(StateDir), "a file in the folder's place") },
	} {
		a := wishful(t)
		os.MkdirAll(a.path("etc/ssh"), 0o755)
		break_(a)
		if _, err := a.Identity(t.Context()); err == nil {
			t.Errorf("%s: nothing is said", name)
		}
		for _, k := range []string{"ssh_host_ed25519_key", "ssh_host_ecdsa_key.pub"} {
			if _, err := os.Stat(a.path("etc/ssh/" + k)); err != nil {
				t.Errorf("%s: %v", name, err)
			}
		}
	}
}

// TestSpentByWish: a daemon that is not root wishes each invitation away by
// itself, and root does so wherever it stands.
func TestSpentByWish(t *testing.T) {
	a := wishful(t)
	tokens := []string{
		"cloudy1." + strings.Repeat("a", 40) + "." + strings.Repeat("b", 86),
		"cloudy1." + strings.Repeat("c", 40) + "." + strings.Repeat("d", 86),
	}
	put(t, a.path("boot/firmware/cloudy.txt"), tokens[0])
	put(t, a.path("etc/cloudy/node.json"), `{"version":1,"mesh":{"invitation":"`+tokens[1]+`"}}`)
	if err := os.MkdirAll(a.path(WishDir), 0o755); err != nil {
		t.Fatal(err)
	}
	a.privileged = func() bool { return false }
	for i, origin := range []string{seed.OriginCard, seed.OriginImage} {
		if err := a.spent(t.Context(), seed.Seed{Token: tokens[i], Origin: origin}); err != nil {
			t.Fatal(err)
		}
	}
	list, _ := filepath.Glob(a.path(WishDir + "/*.json"))
	var wished []string
	for _, path := range list {
		var w Wish
		data, _ := os.ReadFile(path)
		if err := json.Unmarshal(data, &w); err != nil {
			t.Error(err)
		}
		wished = append(wished, w.Wipe)
	}
	if len(wished) != 2 {
		t.Fatalf("wished: %q", wished)
	}
	a.privileged = func() bool { return true }
	if err := a.CarryOut(t.Context()); err != nil {
		t.Error(err)
	}
	for _, path := range []string{"boot/firmware/cloudy.txt", "etc/cloudy/node.json"} {
		if data, err := os.ReadFile(a.path(path)); err != nil || strings.Contains(string(data), "cloudy1.") {
			t.Errorf("%s says %q, %v", path, data, err)
		}
	}
}
