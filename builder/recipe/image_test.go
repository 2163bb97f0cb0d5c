package recipe

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
)

const debian = "archive \"debian\" {\n  suites = [\"trixie\"]\n}\n"

// load loads one file, and more given as name, content pairs.
func load(t testing.TB, src string, more ...string) (*Module, Diagnostics) {
	t.Helper()
	fsys := fstest.MapFS{"main.hcl": {Data: []byte(src)}}
	for i := 0; i+1 < len(more); i += 2 {
		fsys[more[i]] = &fstest.MapFile{Data: []byte(more[i+1]), Mode: 0o644}
	}
	return Load(t.Context(), NewSource(fsys, ""), Options{})
}

// image loads a module without mistakes and returns one of its images.
func image(t testing.TB, name, arch, src string, more ...string) *Image {
	t.Helper()
	m, diags := load(t, src, more...)
	if diags.HasErrors() {
		t.Fatal(m.Err(diags))
	}
	img, diags := m.Image(name, arch)
	if diags.HasErrors() {
		t.Fatal(m.Err(diags))
	}
	return img
}

func spell[T fmt.Stringer](list []T) string {
	var out []string
	for _, x := range list {
		out = append(out, x.String())
	}
	return strings.Join(out, " ")
}

func TestInheritance(t *testing.T) {
	img := image(t, "child", "amd64", debian+`
image "base" {
  packages = ["aa", "bb", "cc:arm64", "dd=1", "-zz"]
  hostname = "base"
  locale   = "C.UTF-8"
  exclude  = ["/usr/share/man/*"]
  overlay  = []
  file "/etc/one" {
    content = "base"
    mode    = "0600"
  }
  file "/etc/two" {
    content = "base"
  }
  run "first" {
    command = ["a", "b"]
    env     = { A = 1, B = 2 }
  }
  units {
    enable = ["a.service", "b.service"]
  }
  kernel {
    arguments = ["quiet"]
  }
  target "vm" {
    formats   = ["raw"]
    disk_size = "4GiB"
  }
}
image "middle" {
  from     = image.base
  packages = ["-aa", "ee"]
}
image "child" {
  from     = image.middle
  packages = ["aa/sid", "dd=2", "-cc", "zz"]
  hostname = "child"
  exclude  = ["!/usr/share/man/man1/*"]
  file "/etc/one" {
    source = "one"
  }
  run "first" {
    command = ["c"]
    env     = { B = 3 }
  }
  units {
    disable = ["a.service"]
  }
  kernel {
    arguments = ["debug", "quiet"]
  }
  target "vm" {
    formats = ["qcow2"]
  }
}
`, "one", "from a file")
	for _, c := range []struct{ what, got, want string }{
		{"ancestors", strings.Join(img.From, " "), "middle base"},
		{"packages", spell(img.Packages), "aa/sid bb dd=2 ee zz"},
		{"unwanted", spell(img.Unwanted), "-cc"},
		{"hostname", img.Hostname, "child"},
		{"locale", img.Locale, "C.UTF-8"},
		{"exclude", fmt.Sprint(img.Exclude[0].Pattern, img.Exclude[0].Include, img.Exclude[1].Pattern, img.Exclude[1].Include), "/usr/share/man/*false/usr/share/man/man1/*true"},
		{"enable", spell(img.Units.Enable), "b.service"},
		{"disable", spell(img.Units.Disable), "a.service"},
		{"arguments", spell(img.Kernel.Arguments), "quiet debug"},
		{"command", strings.Join(img.Runs[0].Command, " "), "c"},
		{"env", fmt.Sprint(img.Runs[0].Env), "map[A:1 B:3]"},
		{"files", fmt.Sprint(len(img.Files), img.Files[0].Path, img.Files[0].Mode), "2/etc/one384"},
		{"content", read(t, img.Files[0].Blob), "from a file"},
		{"other content", read(t, img.Files[1].Blob), "base"},
		{"formats", strings.Join(img.Targets[0].Strings("formats"), " "), "qcow2"},
		{"disk size", fmt.Sprint(img.Targets[0].Bytes("disk_size")), "4294967296"},
	} {
		if c.got != c.want {
			t.Errorf("%s: got %q, want %q", c.what, c.got, c.want)
		}
	}
	if at := img.Packages[1].Range; at.Filename != "main.hcl" || at.Start.Line != 6 {
		t.Errorf("package bb stands at %s, want line 6", place(at))
	}
	if at := img.Where("locale"); at.Start.Line != 8 {
		t.Errorf("locale stands at %s, want line 8", place(at))
	}
}

func read(t *testing.T, b Blob) string {
	t.Helper()
	r, err := b.Open()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	data, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

func TestArchitectures(t *testing.T) {
	src := debian + `
archive "extra" {
  url           = "https://example.org/debian/"
  suites        = ["x"]
  keyring       = "k.asc"
  architectures = ["arm64"]
}
locals {
  kernel = { amd64 = "linux-image-amd64", arm64 = "linux-image-arm64" }
  grub   = arch == "amd64" ? ["grub-pc-bin", "shim-signed"] : ["grub-efi-arm64-signed"]
}
image "node" {
  architectures = ["amd64", "arm64"]
  packages      = concat([local.kernel[arch]], local.grub)
  target "vm" {
    boot = ["bios", "uefi"]
  }
  target "sdcard" {
    board = "raspberry-pi"
  }
  target "oci" {
    architectures = ["amd64"]
  }
}
image "less" {
  from = image.node
  target "vm" {
    architectures = []
  }
}
`
	amd, arm := image(t, "node", "amd64", src, "k.asc", "k"), image(t, "node", "arm64", src, "k.asc", "k")
	if got := spell(amd.Packages); got != "linux-image-amd64 grub-pc-bin shim-signed" {
		t.Error(got)
	}
	if got := spell(arm.Packages); got != "linux-image-arm64 grub-efi-arm64-signed raspi-firmware firmware-brcm80211 dosfstools fdisk" {
		t.Error(got)
	}
	if at := arm.Packages[1].Range.Start; at.Line != 13 || at.Column != 64 {
		t.Errorf("the package stands at line %d column %d, want 13:64, in the branch of the conditional", at.Line, at.Column)
	}
	names := func(i *Image) (out []string) {
		for _, t := range i.Targets {
			out = append(out, t.Name)
		}
		return out
	}
	if got := names(amd); !slices.Equal(got, []string{"vm", "oci"}) {
		t.Error(got)
	}
	if got := names(arm); !slices.Equal(got, []string{"vm", "sdcard"}) {
		t.Error(got)
	}
	less := image(t, "less", "amd64", src, "k.asc", "k")
	if got := names(less); !slices.Equal(got, []string{"oci"}) {
		t.Error(got)
	}
	if _, diags := less.Target("vm"); !diags.HasErrors() || diags[0].Detail != "Its list of architectures is empty." {
		t.Errorf("a target that was dropped: %v", diags)
	}
	if got := arm.Targets[0].Strings("boot"); !slices.Equal(got, []string{"uefi"}) {
		t.Error(got)
	}
	if len(amd.Archives) != 1 || len(arm.Archives) != 2 || arm.Archives[1].URL != "https://example.org/debian" {
		t.Errorf("archives: %v, %v", amd.Archives, arm.Archives)
	}
	if got := read(t, arm.Archives[1].Keyring.Blob); got != "k" {
		t.Errorf("keyring has %q", got)
	}
	for target, want := range map[string]string{"sdcard": "arm64", "lxc": "Add target", "vmm": "vm"} {
		if _, diags := amd.Target(target); !diags.HasErrors() || !strings.Contains(diags[0].Detail, want) {
			t.Errorf("target %s: %v", target, diags)
		}
	}
}

func TestImageThatIsNot(t *testing.T) {
	m, _ := load(t, debian+"image \"node\" {\n  architectures = [\"amd64\"]\n}\n")
	for _, c := range []struct{ name, arch, want string }{
		{"noed", "amd64", `Did you mean "node"?`},
		{"node", "arm64", "It can be built for amd64; add to its architectures."},
	} {
		_, diags := m.Image(c.name, c.arch)
		if !diags.HasErrors() || diags[0].Detail != c.want {
			t.Errorf("%s for %s: %v", c.name, c.arch, diags)
		}
	}
}

func TestArchiveFrom(t *testing.T) {
	img := image(t, "x", "amd64", `
archive "debian" {
  suites     = ["trixie"]
  components = ["main", "contrib"]
}
archive "forky" {
  from   = archive.debian
  suites = ["forky"]
  only   = ["asterisk*"]
  pin    = 100
}
image "x" {}
`)
	a := img.Archives[1]
	if a.Base != "debian" || spell(a.Suites) != "forky" || spell(a.Components) != "main contrib" || a.Pin != 100 || spell(a.Only) != "asterisk*" {
		t.Errorf("%+v", a)
	}
}

func TestServices(t *testing.T) {
	img := image(t, "x", "amd64", debian+`
service "etcd" {
  packages = ["etcd-server"]
  overlay  = ["etcd"]
  units    = ["etcd.service"]
  role "gateway" {
    packages = ["etcd-client", "curl"]
    default  = true
  }
  announce {
    type = "_etcd-client._tcp"
    port = 2379
    txt  = { tls = "0" }
  }
  health {
    command = ["etcdctl", "endpoint", "health"]
  }
}
image "x" {
  services = [service.etcd]
  overlay  = ["own"]
  packages = ["curl/sid"]
}
`, "overlays/etcd/a", "x", "overlays/own/a", "y")
	if got := spell(img.Packages); got != "curl/sid etcd-server etcd-client" {
		t.Error(got)
	}
	if got := spell(img.Units.Disable); got != "etcd.service" {
		t.Error(got)
	}
	if len(img.Overlays) != 2 || img.Overlays[0].Name != "etcd" {
		t.Errorf("overlays: %+v", img.Overlays)
	}
	s := img.Services[0]
	if s.Announce.Port != 2379 || s.Announce.TXT["tls"] != "0" || len(s.Health.Command) != 3 || s.Health.Interval.Seconds() != 30 || !s.Roles[0].Default {
		t.Errorf("%+v", s)
	}
}

func TestOverlay(t *testing.T) {
	img := image(t, "x", "amd64", debian+`
overlay "common" {
  rule "etc/**" {
    group = "adm"
  }
  rule "etc/sudoers.d/*" {
    mode = "0440"
  }
}
image "x" {
  overlay = ["common"]
}
`, "overlays/common/etc/sudoers.d/x", "x", "overlays/common/usr/bin/tool", "#!/bin/sh\n", "overlays/common/srv/.gitkeep", "")
	var got []string
	for _, e := range img.Overlays[0].Entries {
		got = append(got, fmt.Sprintf("%c %04o %s:%s %s %t", e.Type, e.Mode, e.Owner, e.Group, e.Path, e.Declared))
	}
	want := `d 0755 root:root etc false
d 0755 root:adm etc/sudoers.d true
f 0440 root:adm etc/sudoers.d/x true
d 0755 root:root srv false
d 0755 root:root usr false
d 0755 root:root usr/bin false
f 0755 root:root usr/bin/tool false`
	// "etc/**" matches etc itself, too.
	want = strings.Replace(want, "d 0755 root:root etc false", "d 0755 root:adm etc true", 1)
	if strings.Join(got, "\n") != want {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), want)
	}
}

func TestUsers(t *testing.T) {
	img := image(t, "x", "amd64", debian+`
image "x" {
  user "root" {
    password_hash = null
  }
  user "guest" {
    groups = ["sudo"]
  }
  user "daemon2" {
    system = true
    uid    = 0
  }
}
`)
	var got []string
	for _, u := range img.Users {
		got = append(got, fmt.Sprintf("%s %q %q %t", u.Name, u.Shell, u.Home, u.UID != nil))
	}
	want := `root "" "" false
guest "/bin/bash" "/home/guest" false
daemon2 "/usr/sbin/nologin" "/nonexistent" true`
	if strings.Join(got, "\n") != want {
		t.Errorf("got\n%s", strings.Join(got, "\n"))
	}
}
