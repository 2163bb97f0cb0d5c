package lxc

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"cloudy/targets/internal/targettest"
)

func TestBuild(t *testing.T) {
	targettest.Need(t, "xz", "xz-utils")
	out := targettest.Build(t, Target{}, targettest.Debian(nil), nil)
	meta, rootfs := out["node-amd64-x-meta.tar.xz"], out["node-amd64-x-rootfs.tar.xz"]
	targettest.Run(t, "xz", "-t", meta, rootfs)
	if got, want := targettest.Names(t, meta), []string{"config", "config-user", "create-message", "excludes-user", "templates"}; !slices.Equal(got, want) {
		t.Errorf("meta has %v, want %v", got, want)
	}
	for name, want := range map[string]string{"config": "lxc.arch = x86_64\n", "config-user": "/userns.conf\n", "templates": "etc/hostname\netc/hosts\n"} {
		if got := targettest.Content(t, meta, name); !strings.Contains(got, want) {
			t.Errorf("%s: %q lacks %q", name, got, want)
		}
	}
	want := []string{
		"./", "./bin", "./boot/", "./dev/", "./etc/", "./etc/debian_version", "./etc/hostname", "./etc/hosts", "./etc/machine-id", "./etc/os-release", "./etc/resolv.conf",
		"./proc/", "./run/", "./sbin", "./sys/", "./tmp/", "./usr/", "./usr/bin/", "./usr/bin/dash", "./usr/bin/sh", "./usr/lib/", "./usr/lib/os-release", "./usr/lib/systemd/",
		"./usr/lib/systemd/systemd", "./usr/lib/systemd/systemd-networkd", "./usr/sbin/", "./usr/sbin/init",
	}
	if got := targettest.Names(t, rootfs); !slices.Equal(got, want) {
		t.Errorf("rootfs has\n%v, want\n%v", got, want)
	}
	if got := targettest.Content(t, rootfs, "./etc/hostname"); got != "LXC_NAME\n" {
		t.Errorf("the host name is %q", got)
	}
}

func TestMistakes(t *testing.T) {
	if err := (Target{}).Validate("sparc", nil); err == nil {
		t.Error("an unknown architecture was taken")
	}
	targettest.Cancelled(t, Target{}, targettest.Debian(nil), nil)
}

// TestCreateAndStart lets LXC make a container and start it. Its init is
// busybox, so that the test needs no whole Debian.
func TestCreateAndStart(t *testing.T) {
	targettest.Need(t, "lxc-create", "lxc")
	busybox, err := os.ReadFile("/bin/busybox")
	if err != nil {
		targettest.Missing(t, "busybox-static is not installed")
	}
	if os.Geteuid() != 0 {
		targettest.Missing(t, "only root starts a container here")
	}
	root := targettest.Debian(map[string]string{
		"usr/bin/busybox": string(busybox), "usr/bin/dash": "=> usr/bin/busybox", "usr/sbin/init": "-> ../bin/busybox",
		"etc/inittab": "::sysinit:/bin/sh -c 'cat /etc/hostname >/started'\n", "usr/bin/cat": "=> usr/bin/busybox",
	})
	out := targettest.Build(t, Target{}, root, nil)
	dir, err := os.MkdirTemp("", "lxc-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	config := filepath.Join(dir, "default.conf")
	if err := os.WriteFile(config, []byte("lxc.net.0.type = empty\nlxc.apparmor.profile = unconfined\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	targettest.Run(t, "lxc-create", "-P", dir, "-n", "one", "-f", config, "-t", "local", "--",
		"--metadata", out["node-amd64-x-meta.tar.xz"], "--fstree", out["node-amd64-x-rootfs.tar.xz"])
	targettest.Run(t, "lxc-start", "-P", dir, "-n", "one")
	defer targettest.Run(t, "lxc-stop", "-k", "-P", dir, "-n", "one")
	targettest.Run(t, "lxc-wait", "-P", dir, "-n", "one", "-s", "RUNNING", "-t", "120")
	started := filepath.Join(dir, "one/rootfs/started")
	for range 1200 {
		if data, err := os.ReadFile(started); err == nil && string(data) == "one\n" {
			return
		}
		time.Sleep(100 * time.Millisecond)
	}
	data, err := os.ReadFile(started)
	t.Errorf("the container's init wrote %q (%v), want its name", data, err)
}

func TestFullDisk(t *testing.T) {
	targettest.Full(t, Target{}, targettest.Debian(nil), nil)
}
