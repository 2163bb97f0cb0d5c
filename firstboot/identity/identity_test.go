package identity

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

const state = "var/lib/cloudy"

// machine puts a machine's hardware under the root.
func machine(t *testing.T, root, uuid, mac, cid string) {
	t.Helper()
	os.RemoveAll(filepath.Join(root, "sys"))
	for path, text := range map[string]string{
		"sys/class/dmi/id/product_uuid":        uuid,
		"sys/class/net/eth0/address":           mac,
		"sys/class/net/eth0/addr_assign_type":  "0",
		"sys/class/net/eth0/device/vendor":     "0x8086",
		"sys/class/net/tap0/address":           "02:00:00:00:00:01",
		"sys/block/mmcblk0/device/cid":         cid,
		"sys/class/dmi/id/product_serial":      "To Be Filled By O.E.M.",
		"sys/class/net/wlan0/device/vendor":    "x",
		"sys/class/net/wlan0/address":          "02:11:22:33:44:55",
		"sys/class/net/wlan0/addr_assign_type": "3",
	} {
		path = filepath.Join(root, path)
		os.MkdirAll(filepath.Dir(path), 0o755)
		if err := os.WriteFile(path, []byte(text+"\n"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

func TestClone(t *testing.T) {
	f := Files{Root: t.TempDir(), State: state}
	os.MkdirAll(f.path("etc/ssh"), 0o755)
	ensure := func() (*Identity, Report, int) {
		t.Helper()
		forgotten := 0
		id, rep, err := f.Ensure(context.Background(), func() error { forgotten++; return nil })
		if err != nil {
			t.Fatal(err)
		}
		if _, err := f.EnsureMachineID(); err != nil {
			t.Fatal(err)
		}
		if _, err := f.EnsureSSHKeys("n"); err != nil {
			t.Fatal(err)
		}
		return id, rep, forgotten
	}
	read := func(p string) string { b, _ := os.ReadFile(f.path(p)); return string(b) }

	machine(t, f.Root, "11111111-aaaa", "00:11:22:33:44:55", "cid1")
	if n := len(f.Hardware()); n != 3 {
		t.Errorf("%d marks of the machine: %v", n, f.Hardware())
	}
	first, rep, _ := ensure()
	if !rep.Created || rep.Cloned {
		t.Errorf("first boot: %+v", rep)
	}
	machineID, ssh := read("etc/machine-id"), read("etc/ssh/ssh_host_ed25519_key")
	same := func(what string) {
		t.Helper()
		id, rep, _ := ensure()
		if rep.Created || id.Key() != first.Key() || read("etc/machine-id") != machineID {
			t.Errorf("%s: another identity", what)
		}
	}
	same("second boot")
	machine(t, f.Root, "11111111-aaaa", "00:11:22:99:99:99", "cid2")
	same("another network card and disk")
	machine(t, f.Root, "22222222-bbbb", "00:11:22:99:00:00", "cid1")
	same("the card in another board")
	// Some virtual machines have no marks at all.
	os.RemoveAll(f.path("sys"))
	same("a machine without marks")

	machine(t, f.Root, "33333333-cccc", "00:11:22:00:00:03", "cid3")
	id, rep, forgotten := ensure()
	if !rep.Cloned || !rep.Created || forgotten != 1 || id.Key() == first.Key() {
		t.Errorf("a copy: %+v, forgotten %d times", rep, forgotten)
	}
	if read("etc/machine-id") == machineID || read("etc/ssh/ssh_host_ed25519_key") == ssh {
		t.Error("the copy has the other's machine-id or SSH key")
	}
}

func TestSSHKeysJudged(t *testing.T) {
	keygen, err := exec.LookPath("ssh-keygen")
	if err != nil {
		if os.Getenv("CLOUDY_REQUIRE_ALL") != "" {
			t.Fatal("needs ssh-keygen")
		}
		t.Skip("needs ssh-keygen")
	}
	f := Files{Root: t.TempDir(), State: state}
	if n, err := f.EnsureSSHKeys("n"); n != 0 || err != nil {
		t.Errorf("without a server: %d, %v", n, err)
	}
	os.MkdirAll(f.path("etc/ssh"), 0o755)
	if n, err := f.EnsureSSHKeys("n"); n != 2 || err != nil {
		t.Fatalf("%d, %v", n, err)
	}
	for _, k := range []string{"ed25519", "ecdsa"} {
		path := f.path("etc/ssh/ssh_host_" + k + "_key")
		out, err := exec.Command(keygen, "-y", "-f", path).CombinedOutput()
		pub, _ := os.ReadFile(path + ".pub")
		if err != nil || !strings.HasPrefix(string(pub), strings.Join(strings.Fields(string(out))[:2], " ")) {
			t.Errorf("%s: %v: %s, not %s", k, err, out, pub)
		}
	}
	// sshd would not start with an empty key; a lost public half matters less.
	os.WriteFile(f.path("etc/ssh/ssh_host_ecdsa_key"), nil, 0o600)
	os.Remove(f.path("etc/ssh/ssh_host_ed25519_key.pub"))
	if n, err := f.EnsureSSHKeys("n"); n != 1 || err != nil {
		t.Errorf("a damaged key: %d, %v", n, err)
	}
	if _, err := os.Stat(f.path("etc/ssh/ssh_host_ed25519_key.pub")); err != nil {
		t.Error(err)
	}
}

func TestHostName(t *testing.T) {
	for _, tt := range []struct {
		have  string
		force bool
		want  string
	}{{"", false, "cloudy-1"}, {"debian\n", false, "cloudy-1"}, {"mine\n", false, "mine"}, {"mine\n", true, "cloudy-1"}} {
		f := Files{Root: t.TempDir(), State: state}
		os.MkdirAll(f.path("etc"), 0o755)
		if tt.have != "" {
			os.WriteFile(f.path("etc/hostname"), []byte(tt.have), 0o644)
		}
		os.WriteFile(f.path("etc/hosts"), []byte("127.0.0.1 localhost\n127.0.1.1 debian\n10.0.0.1 other"), 0o644)
		for range 2 {
			got, err := f.EnsureHostName("cloudy-1", tt.force)
			if err != nil || got != tt.want {
				t.Errorf("%+v: %q, %v", tt, got, err)
			}
		}
		hosts, _ := os.ReadFile(f.path("etc/hosts"))
		if tt.want == "cloudy-1" && string(hosts) != "127.0.0.1 localhost\n10.0.0.1 other\n127.0.1.1\tcloudy-1\n" {
			t.Errorf("%+v: hosts %q", tt, hosts)
		}
	}
}

// TestDamaged: an identity that cannot be read is not replaced.
func TestDamaged(t *testing.T) {
	f := Files{Root: t.TempDir(), State: state}
	os.MkdirAll(f.path(state), 0o755)
	path := f.path(state + "/identity.json")
	for _, text := range []string{"", "{}", `{"seed":"AA=="}`} {
		os.WriteFile(path, []byte(text), 0o600)
		if _, _, err := f.Ensure(context.Background(), nil); err == nil {
			t.Errorf("%q is taken", text)
		}
		if got, _ := os.ReadFile(path); string(got) != text {
			t.Errorf("%q was replaced", text)
		}
	}
}
