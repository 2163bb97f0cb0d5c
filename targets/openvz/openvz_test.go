package openvz

import (
	"maps"
	"slices"
	"strings"
	"testing"

	"cloudy/builder/tree"
	"cloudy/targets/internal/targettest"
)

// sysvinit is a root that fits OpenVZ 7.
func sysvinit() *tree.Tree {
	t := targettest.Debian(map[string]string{
		"usr/sbin/init": "init", "usr/sbin/ifup": "x", "usr/sbin/ifconfig": "x", "usr/sbin/chpasswd": "x", "usr/bin/ssh-keygen": "x",
		"etc/inittab": "id:2:initdefault:\n1:2345:respawn:/sbin/getty 38400 tty1\n# getty stays here\n", "etc/rcS.d/S05udev": "-> ../init.d/udev", "etc/rc2.d/S01ssh": "-> ../init.d/ssh",
		"etc/init.d/.depend.boot": "TARGETS = udev\n",
	})
	t = t.Apply([]string{"usr/lib/systemd"}, nil)
	t.Find("usr/bin/ssh-keygen").Xattrs = []tree.Xattr{{Name: "user.x", Value: []byte("y")}}
	return t
}

func TestBuild(t *testing.T) {
	out := targettest.Build(t, Target{}, sysvinit(), nil)
	archive := out["debian-13-x86_64-node.tar.gz"]
	if archive == "" {
		t.Fatalf("made %v", slices.Collect(maps.Keys(out)))
	}
	names := targettest.Names(t, archive)
	for name, want := range map[string]bool{
		"./": true, "./boot/vmlinuz-6": false, "./etc/machine-id": false, "./etc/hostname": false, "./etc/rcS.d/S05udev": false, "./etc/init.d/.depend.boot": false, "./etc/rc2.d/S01ssh": true,
		"./etc/init.d/cloudy-host-keys": true, "./etc/rcS.d/S99cloudy-host-keys": true,
	} {
		if slices.Contains(names, name) != want {
			t.Errorf("%s in the template: %v", name, !want)
		}
	}
	for name, want := range map[string]string{
		"./etc/inittab": "id:2:initdefault:\n# getty stays here\n", "./etc/resolv.conf": "", "./etc/network/interfaces": interfaces,
	} {
		if got := targettest.Content(t, archive, name); got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
	if long := targettest.Run(t, "tar", "--xattrs", "-tvvf", archive); strings.Contains(long, "user.x") {
		t.Error("attributes in the template")
	}
}

func TestMistakes(t *testing.T) {
	targettest.Refused(t, Target{}, targettest.Debian(nil), nil, "ifupdown")
	both := sysvinit().Apply(nil, []tree.Entry{{Path: "usr/lib/systemd", Type: tree.Dir, Mode: 0o755}, {Path: "usr/lib/systemd/systemd", Type: tree.File, Mode: 0o755}})
	targettest.Refused(t, Target{}, both, nil, "3.10")
	targettest.Build(t, Target{}, both, Options{Host: New, Compress: "xz"})
	targettest.Refused(t, Target{}, sysvinit(), Options{Compress: "zstd"}, "zstd")
	targettest.Refused(t, Target{}, sysvinit(), Options{Host: "openvz6"}, "openvz6")
	if err := (Target{}).Validate("arm64", nil); err == nil {
		t.Error("arm64 was taken")
	}
	targettest.Cancelled(t, Target{}, sysvinit(), nil)
}

func TestFullDisk(t *testing.T) {
	targettest.Full(t, Target{}, sysvinit(), nil)
}
