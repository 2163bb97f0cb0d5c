package doctor

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"time"

	"github.com/godbus/dbus/v5"
	"golang.org/x/sys/unix"

	"cloudy/firstboot/agent"
)

func (h Host) tincd(ctx context.Context) Check {
	path, err := exec.LookPath("tincd")
	if err != nil {
		path = "/usr/sbin/tincd" // not in every user's path
	}
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	out, err := exec.CommandContext(ctx, path, "--version").Output()
	if err != nil {
		return Check{"tincd", Bad, "tincd does not run: " + err.Error(), "install the package tinc"}
	}
	version, _, _ := strings.Cut(string(out), "\n")
	if !strings.Contains(version, " 1.0.") {
		return Check{"tincd", Bad, version + ": another version than the mesh's", "install tinc 1.0, as Debian has it"}
	}
	return ok("tincd", "%s", version)
}

func (h Host) tun() Check {
	f, err := os.OpenFile("/dev/net/tun", os.O_RDWR, 0)
	switch {
	case err == nil:
		f.Close()
		return ok("tun device", "/dev/net/tun can be opened")
	case errors.Is(err, os.ErrPermission):
		return Check{"tun device", Warn, "/dev/net/tun cannot be opened by this user", "run cloudy-node doctor as root; in a container, the host must allow character device 10:200"}
	}
	return Check{"tun device", Bad, err.Error(), "modprobe tun; in a container, the host must give it /dev/net/tun (LXC: lxc.mount.entry and lxc.cgroup2.devices.allow = c 10:200 rwm)"}
}

func (h Host) ip() Check {
	if _, err := exec.LookPath("ip"); err != nil {
		return Check{"ip", Bad, "the program ip is missing", "install the package iproute2"}
	}
	return ok("ip", "there")
}

func (h Host) avahi(ctx context.Context) Check {
	const do = "install and start avahi-daemon and dbus; without them the node is in the mesh, and cloudy-node services works, but programs see nothing by mDNS"
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	conn, err := dbus.ConnectSystemBus(dbus.WithContext(ctx))
	if err != nil {
		return Check{"avahi", Warn, "no system bus: " + err.Error(), do}
	}
	defer conn.Close()
	var version string
	if err := conn.Object("org.freedesktop.Avahi", "/").CallWithContext(ctx, "org.freedesktop.Avahi.Server.GetVersionString", 0).Store(&version); err != nil {
		return Check{"avahi", Warn, "avahi-daemon does not answer: " + err.Error(), do}
	}
	return ok("avahi", "%s", version)
}

// oldest is a time that has passed for good: before it a clock is wrong.
var oldest = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

func (h Host) clock() Check {
	now := time.Now().UTC()
	if now.Before(oldest) {
		return Check{"clock", Warn, "the clock says " + now.Format(time.DateOnly), "the mesh does not mind, but services with certificates do: let systemd-timesyncd reach a time server, or give the board a battery"}
	}
	var t unix.Timex
	if state, err := unix.Adjtimex(&t); err == nil && state == 5 { // TIME_ERROR, adjtimex(2): not synchronised
		return Check{"clock", Warn, now.Format(time.DateTime) + " UTC, and nothing keeps it right", "let systemd-timesyncd run and reach a time server; the mesh itself needs no clock"}
	}
	return ok("clock", "%s UTC", now.Format(time.DateTime))
}

func (h Host) entropy() Check {
	var b [1]byte
	if _, err := unix.Getrandom(b[:], unix.GRND_NONBLOCK); errors.Is(err, unix.EAGAIN) {
		return Check{"random numbers", Bad, "the kernel has none yet, and keys wait for them", "wait, or give the board traffic: a key press, the network, a hardware generator"}
	}
	return ok("random numbers", "there are")
}

func (h Host) state() Check {
	dir := h.path(agent.StateDir)
	var st unix.Statfs_t
	if err := unix.Statfs(dir, &st); err != nil {
		return Check{"state", Bad, dir + ": " + err.Error(), "it is made at boot: systemctl restart cloudy-identity"}
	}
	free := uint64(st.Bavail) * uint64(st.Bsize)
	switch {
	case st.Flags&unix.ST_RDONLY != 0:
		return Check{"state", Bad, dir + " is read-only", "the card may be worn out: look at dmesg, and run fsck from another machine"}
	case free < 8<<20:
		return Check{"state", Bad, fmt.Sprintf("%s has %d kB left", dir, free>>10), "make room: journalctl --vacuum-size=50M, apt-get clean"}
	}
	return ok("state", "%s, %d MB left", dir, free>>20)
}
