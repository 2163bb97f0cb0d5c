package recipe

import (
	"slices"
	"strings"
	"sync"
	"testing"
)

func embedded(t *testing.T) *Module {
	t.Helper()
	m, diags := Load(t.Context(), Embedded(), Options{})
	if len(diags) > 0 {
		var b strings.Builder
		m.Render(&b, diags, false)
		t.Fatal(b.String())
	}
	return m
}

// TestEmbedded proves that the built-in recipes have no mistake and say what
// the other parts of the program count on.
func TestEmbedded(t *testing.T) {
	m := embedded(t)
	for _, arch := range []string{"amd64", "arm64"} {
		node, diags := m.Image("node", arch)
		if diags.HasErrors() {
			t.Fatal(m.Err(diags))
		}
		vm, diags := node.Target("vm")
		if diags.HasErrors() || !slices.Equal(vm.Strings("formats"), []string{"raw", "qcow2"}) {
			t.Errorf("%s: %v %v", arch, vm.Strings("formats"), diags)
		}
		if got := vm.Strings("boot"); slices.Contains(got, "bios") != (arch == "amd64") || !slices.Contains(got, "uefi") {
			t.Errorf("%s boots by %v", arch, got)
		}
		packages := strings.Fields(spell(node.Packages))
		for _, want := range []string{"linux-image-cloud-" + arch, "grub-efi-" + arch + "-signed", "shim-signed", "systemd-repart", "openssh-server", "tinc"} {
			if !slices.Contains(packages, want) {
				t.Errorf("%s: no %s in %v", arch, want, packages)
			}
		}
		if units := spell(node.Units.Enable); !strings.Contains(units, "cloudy-ready.service") || !strings.Contains(units, "systemd-networkd.service") {
			t.Errorf("%s enables %s", arch, units)
		}
		if !node.HasAgent() {
			t.Errorf("%s has no agent", arch)
		}
		if !node.Grow.Enabled || node.Grow.RepartConf() == "" {
			t.Errorf("%s does not grow", arch)
		}
		i := slices.IndexFunc(node.Overlays[0].Entries, func(e OverlayEntry) bool { return e.Path == "usr/lib/cloudy/ready" })
		if i < 0 || node.Overlays[0].Entries[i].Mode != 0o755 {
			t.Errorf("%s: the ready script cannot be run", arch)
		}
		for _, a := range node.Archives {
			if a.URL != "" {
				t.Errorf("archive %s names a host: %s", a.Name, a.URL)
			}
		}
	}
	for _, name := range []string{"minbase", "minimal"} { // what docs/architectures.md builds
		if got := m.Architectures(name); !slices.Equal(got, []string{"amd64", "arm64", "armhf", "i386", "riscv64"}) {
			t.Errorf("%s is for %v", name, got)
		}
	}
	minbase, _ := m.Image("minbase", "amd64")
	if len(minbase.Packages)+len(minbase.Overlays)+len(minbase.Users) > 0 || minbase.Hostname != "" || minbase.Variant != "minbase" {
		t.Errorf("minbase is more than minbase: %+v", minbase)
	}
}

// TestConcurrentUse asks for images from several goroutines.
func TestConcurrentUse(t *testing.T) {
	m := embedded(t)
	var wait sync.WaitGroup
	for range 8 {
		wait.Go(func() {
			for _, name := range m.Images() {
				for _, arch := range m.Architectures(name) {
					img, diags := m.Image(name, arch)
					if diags.HasErrors() {
						t.Error(diags)
						continue
					}
					if _, err := img.Digest(); err != nil {
						t.Error(err)
					}
					img.ShowHCL()
				}
			}
		})
	}
	wait.Wait()
}
