package proxmox

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"

	"cloudy/targets/internal/targettest"
)

func TestBuild(t *testing.T) {
	targettest.Need(t, "zstd", "zstd")
	archive := targettest.Build(t, Target{}, targettest.Debian(nil), nil)["node-amd64-x.tar.zst"]
	names := targettest.Names(t, archive)
	for name, want := range map[string]bool{
		"./": true, "./dev/": true, "./dev/null": false, "./etc/debian_version": true, "./etc/resolv.conf": false, "./boot/vmlinuz-6": false,
		"./etc/systemd/system-generators/cloudy-interfaces": true, "./etc/network/interfaces": true,
	} {
		if slices.Contains(names, name) != want {
			t.Errorf("%s in the template: %v", name, !want)
		}
	}
	// With ifupdown nothing is to be handed over.
	archive = targettest.Build(t, Target{}, targettest.Debian(map[string]string{"usr/sbin/ifup": "x"}), Options{Compress: "gzip"})["node-amd64-x.tar.gz"]
	if slices.Contains(targettest.Names(t, archive), "./etc/systemd/system-generators/cloudy-interfaces") {
		t.Error("a generator beside ifupdown")
	}
}

func TestMistakes(t *testing.T) {
	root := targettest.Tree(map[string]string{"etc/hostname": "x"})
	targettest.Refused(t, Target{}, root, nil, "debian_version")
	targettest.Refused(t, Target{}, targettest.Debian(nil), Options{Compress: "none"}, "none")
	if err := (Target{}).Validate("s390x", nil); err == nil {
		t.Error("an architecture that Proxmox VE does not have was taken")
	}
}

// TestGenerator runs the generator on what pct writes.
func TestGenerator(t *testing.T) {
	head := func(dev string) string {
		return "[Match]\nName=" + dev + "\n\n[Link]\nRequiredForOnline=no\n\n[Network]\n"
	}
	for name, c := range map[string]struct {
		in   string
		want map[string]string
	}{
		"nothing": {"auto lo\niface lo inet loopback\n", nil},
		"dhcp":    {"auto lo\niface lo inet loopback\n\nauto eth0\niface eth0 inet dhcp\n\n", map[string]string{"eth0": head("eth0") + "DHCP=ipv4\n"}},
		"static": {
			"auto lo\niface lo inet loopback\n\nauto eth0\niface eth0 inet static\n\taddress 192.0.2.5/24\n\tgateway 192.0.2.1\n\niface eth0 inet6 static\n\taddress 2001:db8::5/64\n\tgateway fe80::1\n\nauto eth1\niface eth1 inet6 auto\n\n",
			map[string]string{"eth0": head("eth0") + "Address=192.0.2.5/24\nGateway=192.0.2.1\nAddress=2001:db8::5/64\nGateway=fe80::1\n", "eth1": head("eth1") + "IPv6AcceptRA=yes\n"},
		},
		"far gateway": {
			"auto eth0\niface eth0 inet static\n\taddress 192.0.2.5/32\n# --- BEGIN PVE ---\n\tpost-up ip route add 198.51.100.1 dev eth0\n\tpost-up ip route add default via 198.51.100.1 dev eth0\n\tpre-down ip route del default via 198.51.100.1 dev eth0\n\tpre-down ip route del 198.51.100.1 dev eth0\n# --- END PVE ---\n\n",
			map[string]string{"eth0": head("eth0") + "Address=192.0.2.5/32\n\n[Route]\nGateway=198.51.100.1\nGatewayOnLink=yes\n"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			in, out := filepath.Join(dir, "interfaces"), filepath.Join(dir, "units")
			if err := os.WriteFile(in, []byte(c.in), 0o644); err != nil {
				t.Fatal(err)
			}
			cmd := exec.Command("sh", "-c", generator)
			cmd.Env = append(os.Environ(), "CLOUDY_INTERFACES="+in, "CLOUDY_NETWORKD="+out)
			if text, err := cmd.CombinedOutput(); err != nil || len(text) > 0 {
				t.Fatalf("%v: %s", err, text)
			}
			units, _ := filepath.Glob(filepath.Join(out, "*"))
			if len(units) != len(c.want) {
				t.Errorf("units %v", units)
			}
			for dev, want := range c.want {
				got, _ := os.ReadFile(filepath.Join(out, "10-interfaces-"+dev+".network"))
				if string(got) != want {
					t.Errorf("%s:\n%s\nwant\n%s", dev, got, want)
				}
			}
		})
	}
}

func TestFullDisk(t *testing.T) {
	targettest.Full(t, Target{}, targettest.Debian(nil), nil)
}
