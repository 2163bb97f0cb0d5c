package meshtest

import (
	"strings"
	"testing"
	"time"

	"cloudy/firstboot/nodeconfig"
)

// TestThreeNodes is the product in small: a founder, one neighbour in its
// broadcast domain and one node in another, admitted by invitation.
func TestThreeNodes(t *testing.T) {
	l := newLab(t)
	l.domain(1)
	l.domain(2)
	a := l.node("a", 1, 2, nodeconfig.Config{Mesh: nodeconfig.Mesh{Create: true, Network: "test"}})
	b := l.node("b", 1, 3, nodeconfig.Config{})
	c := l.node("c", 2, 2, nodeconfig.Config{})
	for _, n := range []*node{a, b, c} {
		n.start()
	}
	sa := a.ready(60 * time.Second)
	if sa.Network != "test" || sa.Address6 == "" {
		t.Fatalf("founder: %+v", sa)
	}
	a.must("publish", "Grid", "_tahoe-lafs._tcp", "3456", "grid=one", "furl=pb://x@y")
	l.eventually(20*time.Second, "announced on the founder itself", func() bool { return a.browses("_tahoe-lafs._tcp", "Grid on node-a") })

	// Nothing crosses without tinc, though packets do.
	l.eventually(20*time.Second, "reached without tinc", func() bool { return c.pings(a.under) })
	if c.pings(sa.Address6) || c.pings(sa.Address4) {
		t.Fatal("the overlay's addresses answer without tinc")
	}
	if c.browses("_tahoe-lafs._tcp", "Grid") {
		t.Fatal("the service crosses without tinc")
	}

	for _, n := range []*node{b, c} {
		token := strings.TrimSpace(a.must("invite", "--no-qr", "--expires", "10m"))
		start := time.Now()
		n.takes(token)
		n.ready(60 * time.Second)
		t.Logf("%s joined in %s", n.name, time.Since(start).Round(time.Millisecond))
	}
	start := time.Now()
	l.eventually(60*time.Second, "service found across domains by Avahi", func() bool { return c.browses("_tahoe-lafs._tcp", "Grid on node-a") })
	t.Logf("Avahi shows the service in the other domain after %s", time.Since(start).Round(time.Millisecond))
	l.eventually(60*time.Second, "everybody known to everybody", func() bool {
		for _, n := range []*node{a, b, c} {
			if s := n.status(); s.Alive != 3 || s.Members != 3 {
				return false
			}
		}
		return true
	})
	// The kernel knows the others' hardware addresses without asking.
	for _, n := range []*node{a, b, c} {
		for _, m := range []*node{a, b, c} {
			mac := strings.TrimSpace(m.sh("cat /sys/class/net/cloudy/address"))
			for _, addr := range []string{m.status().Address4, m.status().Address6} {
				if n != m {
					l.eventually(20*time.Second, n.name+" told where "+addr+" is", func() bool {
						return strings.Contains(n.sh("ip neigh show to "+addr+" dev cloudy"), mac)
					})
				}
			}
		}
	}
	for _, n := range []*node{a, b, c} {
		for _, m := range []*node{a, b, c} {
			s := m.status()
			l.eventually(60*time.Second, n.name+" reaches "+m.name, func() bool { return n.pings(s.Address4) && n.pings(s.Address6) })
		}
		l.eventually(20*time.Second, "service in the catalogue of "+n.name, func() bool {
			out, err := n.cli("services", "_tahoe-lafs._tcp")
			return err == nil && strings.Contains(out, "Grid") && strings.Contains(out, "node-a")
		})
	}
	rss := a.rss()
	t.Logf("the founder's agent has %d KiB resident", rss)
	if rss > 40<<10 {
		t.Errorf("%d KiB resident are more than 40 MiB", rss)
	}
	// It is tinc that carries it.
	before := c.status()
	c.try("ip", "link", "set", "cloudy", "down")
	if a.pings(before.Address6) {
		t.Error("the node answers with its overlay interface down")
	}
}

// TestListedThroughOthers: two nodes do not reach each other, as while their
// tincds have each other's keys wrong; one lists what the other offers all the
// same.
func TestListedThroughOthers(t *testing.T) {
	l, a := founder(t)
	b, c := l.node("b", 1, 3, nodeconfig.Config{}), l.node("c", 2, 2, nodeconfig.Config{})
	l.join(a, b, c)
	l.eventually(60*time.Second, "everybody known to everybody", func() bool {
		return a.status().Alive == 3 && b.status().Alive == 3 && c.status().Alive == 3
	})
	l.nft(c.ns, "table inet deaf {\n chain out {\n type filter hook output priority 0\n ip6 daddr "+b.status().Address6+" tcp dport 7655 drop\n }\n}")
	b.must("publish", "Wiki", "_http._tcp", "80")
	l.eventually(2*time.Minute, "the service listed", func() bool {
		out, err := c.cli("services", "_http._tcp")
		return err == nil && strings.Contains(out, "Wiki")
	})
	if log := c.log(); !strings.Contains(log, "of="+string(b.status().Name)) {
		t.Errorf("it was had from its owner\n%s", log)
	}
}
