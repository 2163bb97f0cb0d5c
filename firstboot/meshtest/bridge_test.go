package meshtest

import (
	"strings"
	"testing"
	"time"

	"cloudy/firstboot/nodeconfig"
)

// avahiAgain ends the node's Avahi the hard way, with its bus if asked, and
// starts it again.
func (n *node) avahiAgain(bus bool) {
	n.l.t.Helper()
	script := "kill -9 $(cat /run/avahi-daemon/pid); sleep 0.3; rm -f /run/avahi-daemon/pid; "
	if bus {
		script += "kill -9 $(cat /run/dbus/pid); sleep 0.3; rm -f /run/dbus/pid /run/dbus/system_bus_socket; dbus-daemon --system --fork; "
	}
	if _, err := n.try("sh", "-c", script+"avahi-daemon -f "+n.root+"/avahi.conf --no-rlimits --no-proc-title -D"); err != nil {
		n.l.t.Fatal(err)
	}
}

// resolved returns the lines of avahi-browse with the text: interface, name,
// host, address.
func (n *node) resolved(kind, text string) (lines []string) {
	out, _ := n.try("timeout", "5", "avahi-browse", "-tpr", kind)
	for line := range strings.Lines(out) {
		if line = strings.ReplaceAll(line, `\032`, " "); strings.HasPrefix(line, "=") && strings.Contains(line, text) {
			lines = append(lines, line)
		}
	}
	return lines
}

// TestBridge: with more members than the limit mDNS is off the overlay, and
// the services of others are in the local Avahi all the same, each once, also
// after Avahi and the bus died; those of a dead node go away.
func TestBridge(t *testing.T) {
	l := newLab(t)
	l.domain(1)
	l.domain(2)
	few := nodeconfig.Mesh{MDNSLimit: 2}
	root := few
	root.Create, root.Network = true, "test"
	a := l.node("a", 1, 2, nodeconfig.Config{Mesh: root})
	b := l.node("b", 1, 3, nodeconfig.Config{Mesh: few})
	c := l.node("c", 2, 2, nodeconfig.Config{Mesh: few})
	a.start()
	a.ready(60 * time.Second)
	a.must("publish", "Grid", "_tahoe-lafs._tcp", "3456", "grid=one")
	a.must("publish", "Secret", "_private-thing._tcp", "1")
	multicast := func(n *node) bool {
		out, _ := n.try("ip", "link", "show", "dev", "cloudy")
		return strings.Contains(out, ",MULTICAST,")
	}
	for _, n := range []*node{c, b} {
		n.start()
		n.takes(a.invite())
		n.ready(60 * time.Second)
		if n == c {
			// Two are few: plain mDNS.
			l.eventually(60*time.Second, "shown over the overlay", func() bool {
				x := c.resolved("_tahoe-lafs._tcp", "Grid on node-a")
				return len(x) > 0 && strings.HasPrefix(x[0], "=;cloudy;") && multicast(c)
			})
		}
	}
	l.eventually(60*time.Second, "off the overlay", func() bool { return !multicast(a) && !multicast(b) && !multicast(c) })

	local := func() bool {
		x := c.resolved("_tahoe-lafs._tcp", "Grid on node-a")
		for _, line := range x {
			// One for each protocol of the loopback at most.
			if !strings.HasPrefix(line, "=;lo;") || !strings.Contains(line, ";node-a.local;") || !strings.Contains(line, `"grid=one"`) {
				return false
			}
		}
		return len(x) == 1 || len(x) == 2
	}
	l.eventually(60*time.Second, "shown by the local Avahi", local)
	sa := a.status()
	l.eventually(60*time.Second, "at the overlay's address", func() bool {
		lines := strings.Join(c.resolved("_tahoe-lafs._tcp", "Grid on node-a"), "\n")
		return strings.Contains(lines, ";"+sa.Address4+";") || strings.Contains(lines, ";"+sa.Address6+";")
	})
	if c.browses("_private-thing._tcp", "Secret") {
		t.Error("a type that nobody asked for is shown")
	}
	l.eventually(60*time.Second, "shown in the node's own domain", func() bool { return len(b.resolved("_tahoe-lafs._tcp", "Grid on node-a")) > 0 })
	// Neighbours are found without the flag, too.
	c.try("ip", "neigh", "flush", "dev", "cloudy")
	l.eventually(60*time.Second, "finding neighbours on the overlay", func() bool { return c.pings(sa.Address6) && c.pings(sa.Address4) })

	c.avahiAgain(false)
	l.eventually(60*time.Second, "shown by the new Avahi", local)
	c.avahiAgain(true)
	l.eventually(60*time.Second, "shown after the bus died", local)

	a.killAll()
	d := l.eventually(150*time.Second, "gone with its node", func() bool { return !c.browses("_tahoe-lafs._tcp", "Grid") })
	t.Logf("gone %s after its node died", d.Round(time.Millisecond))
	// Two are few again.
	l.eventually(60*time.Second, "back on the overlay", func() bool { return multicast(b) && multicast(c) })
}
