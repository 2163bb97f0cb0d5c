package agent

import (
	"crypto/ed25519"
	"net"
	"net/netip"
	"path/filepath"
	"strings"
	"testing"

	"cloudy/firstboot/membership"
	"cloudy/firstboot/seed"
)

// systemd listens as systemd does, and returns what it was told so far.
func systemd(t *testing.T) func() []string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "notify")
	c, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	t.Setenv("NOTIFY_SOCKET", path)
	return func() (list []string) {
		// A last one marks the end: the socket keeps their order.
		notify("END")
		for buf := make([]byte, 4096); ; {
			n, err := c.Read(buf)
			if err != nil {
				t.Fatal(err)
			}
			if string(buf[:n]) == "END" {
				return list
			}
			list = append(list, string(buf[:n]))
		}
	}
}

func TestNotify(t *testing.T) {
	told := systemd(t)
	var n notifier
	n.tell("join: waiting")
	n.tell("join: waiting")
	n.tell("in mesh test")
	list := told()
	if len(list) != 2 || list[0] != "READY=1\nWATCHDOG=1\nSTATUS=join: waiting\n" || !strings.Contains(list[1], "in mesh test") {
		t.Errorf("told %q", list)
	}
	t.Setenv("NOTIFY_SOCKET", "")
	n.tell("nobody listens")
}

// TestLongJoinIsNoSleep: an invitation with many addresses, none of which
// answers, is tried for minutes; the watchdog hears of it at each.
func TestLongJoinIsNoSleep(t *testing.T) {
	a := wishful(t)
	if _, err := a.makeIdentity(t.Context()); err != nil {
		t.Fatal(err)
	}
	v := membership.Invitation{Uses: 1, Expires: 1}
	var open []net.Listener // all at once, or two could be the same
	for range 3 {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		open = append(open, l)
		v.Endpoints = append(v.Endpoints, netip.MustParseAddrPort(l.Addr().String()))
	}
	for _, l := range open {
		l.Close()
	}
	token, err := v.Token(ed25519.NewKeyFromSeed(make([]byte, ed25519.SeedSize)))
	if err != nil {
		t.Fatal(err)
	}
	told := systemd(t)
	if err := a.tryInvitation(t.Context(), seed.Seed{Token: token}); err == nil {
		t.Fatal("joined nobody")
	}
	n := 0
	for _, x := range told() {
		n += strings.Count(x, "WATCHDOG=1")
	}
	if n < len(v.Endpoints) {
		t.Errorf("the watchdog heard %d times of %d attempts", n, len(v.Endpoints))
	}
}
