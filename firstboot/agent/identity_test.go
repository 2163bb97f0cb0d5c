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

const (
	firstKey  = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ3kPPsVhUXU4o2xXk2BXQzjyqGVPo2kZ7JnfGyvV6zN first"
	secondKey = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIHJ5WqRlW1n4yPq0yG2lUO3YpGm0mAhfyzKd0l3sWcKA second"
)

// TestSeedCountsOnce: who puts another card into a node that was given its name
// and keys, or is in a mesh, takes nothing over; a factory reset lets them.
func TestSeedCountsOnce(t *testing.T) {
	a := wishful(t)
	boot := func() (host, keys string) {
		t.Helper()
		next := New(a.opts)
		next.privileged = func() bool { return true }
		if _, err := next.Identity(t.Context()); err != nil {
			t.Fatal(err)
		}
		h, _ := os.ReadFile(next.path("etc/hostname"))
		k, _ := os.ReadFile(next.path("root/.ssh/authorized_keys"))
		return strings.TrimSpace(string(h)), string(k)
	}
	card := func(host, key string) {
		put(t, a.path("boot/firmware/cloudy.txt"), "hostname = "+host+"\nssh-key = "+key+"\n")
	}
	put(t, a.path("root/.ssh/authorized_keys"), "ssh-rsa AAAA of the image")
	card("first", firstKey)
	if host, keys := boot(); host != "first" || keys != "ssh-rsa AAAA of the image\n"+firstKey+"\n" {
		t.Fatalf("first boot: %q, %q", host, keys)
	}
	card("second", secondKey)
	if host, keys := boot(); host != "first" || strings.Contains(keys, secondKey) || strings.Count(keys, firstKey) != 1 {
		t.Errorf("another card: %q, %q", host, keys)
	}
	if err := New(a.opts).carryOut(t.Context(), Wish{Reset: resetFactory}); err != nil {
		t.Fatal(err)
	}
	if host, keys := boot(); host != "second" || !strings.Contains(keys, secondKey) {
		t.Errorf("after a factory reset: %q, %q", host, keys)
	}

	// A member that was never given anything.
	a = rooted(t)
	card("second", secondKey)
	if host, keys := boot(); !strings.HasPrefix(host, "cloudy-") || keys != "" {
		t.Errorf("a member: %q, %q", host, keys)
	}
}
