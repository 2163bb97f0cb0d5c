package openvz

import (
	"path"
	"regexp"
	"strings"

	"cloudy/builder/tree"
	"cloudy/targets"
	"cloudy/targets/container"
)

// hostKeys makes the SSH host keys that no template carries; Debian's init
// script does not.
const hostKeys = `#!/bin/sh
### BEGIN INIT INFO
# Provides:          cloudy-host-keys
# Required-Start:    $remote_fs
# Required-Stop:
# Default-Start:     S
# Default-Stop:
# Short-Description: make the SSH host keys that are missing
### END INIT INFO
case "$1" in
start) ssh-keygen -A >/dev/null ;;
esac
`

// interfaces is what vzctl's debian-add_ip.sh begins with; it adds venet0.
const interfaces = "# vzctl writes here.\nauto lo\niface lo inet loopback\n"

// getty are lines of /etc/inittab that vzctl's set_console.sh writes itself.
var getty = regexp.MustCompile(`(?m)^[^#\n]*getty.*\n`)

// root is the root filesystem for vzctl. Attributes do not survive its tar,
// so none is written.
func root(r *targets.Request) *tree.Tree {
	c := container.New(r.Root, r.Epoch)
	c.Remove("etc/hostname")
	c.Text("etc/network/interfaces", interfaces)
	c.Text("etc/fstab", "# OpenVZ mounts the root.\nproc /proc proc defaults 0 0\n")
	// A link to systemd-resolved would lead vzctl's set_dns.sh nowhere.
	c.Text("etc/resolv.conf", "")
	if text, ok := c.Read("etc/inittab"); ok {
		c.Text("etc/inittab", getty.ReplaceAllString(text, ""))
	}
	systemd := r.Root.Find("usr/lib/systemd/systemd") != nil
	if !systemd {
		// A first boot is systemd's notion.
		c.Remove("etc/machine-id")
	}
	if !systemd && c.Has("bin/ssh-keygen") {
		c.Script("etc/init.d/cloudy-host-keys", hostKeys)
		c.Link("etc/rcS.d/S99cloudy-host-keys", "../init.d/cloudy-host-keys")
	}
	// startpar starts what these name and looks at no links. Without them the
	// links count (/usr/lib/init/rc); the next insserv makes new ones of them.
	for _, part := range []string{"boot", "start", "stop"} {
		c.Remove("etc/init.d/.depend." + part)
	}
	for i := range r.Root.Entries {
		p := r.Root.Entries[i].Path
		if dir, name := path.Split(p); strings.HasPrefix(dir, "etc/rc") && strings.HasSuffix(dir, ".d/") && len(name) > 3 && name[0] == 'S' && strings.HasPrefix(name[3:], "udev") {
			c.Remove(p)
		}
	}
	t := c.Tree()
	for i := range t.Entries {
		t.Entries[i].Xattrs = nil
	}
	return t
}
