package meshtest

import (
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"cloudy/firstboot/nodeconfig"
)

// TestPoorLink: a node at the end of a radio link that loses a fifth of the
// frames each way, takes 200 ms and carries 512 kbit/s becomes a member, is
// reached, and finds what there is.
func TestPoorLink(t *testing.T) {
	l, a := founder(t)
	b := l.node("b", 1, 3, nodeconfig.Config{})
	l.join(a, b)
	b.must("publish", "Grid", "_tahoe-lafs._tcp", "3456", "grid=one")
	p := l.nodeOn(line{loss: 0.2, delay: 200 * time.Millisecond, rate: 512_000}.lay(l), "p", 2, 2, nodeconfig.Config{})
	lost := 0
	for range 20 {
		if _, err := p.try("ping", "-n", "-c1", "-W2", a.under); err != nil {
			lost++
		}
	}
	if lost == 0 {
		t.Fatal("the link loses nothing; the test proves nothing")
	}
	p.write("boot/cloudy.txt", a.invite())
	start := time.Now()
	p.start()
	sp := p.ready(240 * time.Second)
	t.Logf("joined after %s over a link that lost %d of 20 pings", time.Since(start).Round(time.Second), lost)
	reached := func(from *node, addr string) bool {
		_, err := from.try("ping", "-n", "-c6", "-i0.3", "-W2", addr)
		return err == nil // one answer is enough
	}
	sb := b.status()
	took := l.eventually(120*time.Second, "reached both ways", func() bool {
		return reached(a, sp.Address6) && reached(p, sb.Address6) && reached(b, sp.Address4)
	})
	t.Logf("reached both ways %s later", took.Round(time.Second))
	took = l.eventually(120*time.Second, "the service found", func() bool {
		out, err := p.cli("services", "_tahoe-lafs._tcp")
		return err == nil && strings.Contains(out, "Grid")
	})
	t.Logf("the service found %s later", took.Round(time.Second))
}

// TestNarrowLinks: one node has a link with an MTU of 1280, another one of
// which no UDP comes through, a third and a fourth are behind two NATs. All
// reach each other with packets that fill the overlay's MTU.
func TestNarrowLinks(t *testing.T) {
	l, a := founder(t)
	need(t, toolHas("nft"), "needs nft")
	l.domain(3)
	l.domain(4)
	narrow := func(ns, dev, peerNS, peer string) {
		l.cable(ns, dev, peerNS, peer)
		l.ip("-n", ns, "link", "set", dev, "mtu", "1280")
		l.ip("-n", peerNS, "link", "set", peer, "mtu", "1280")
	}
	m := l.nodeOn(narrow, "m", 1, 7, nodeconfig.Config{})
	u := l.node("u", 2, 2, nodeconfig.Config{})
	x, y := l.node("x", 3, 2, nodeconfig.Config{}), l.node("y", 4, 2, nodeconfig.Config{})
	l.nft(l.router(), `table inet f {
  chain through {
    type filter hook forward priority 0
    iifname "br2" meta l4proto udp drop
    oifname "br2" meta l4proto udp drop
    oifname { "br3", "br4" } ct state new drop
  }
}
table ip nat {
  chain post {
    type nat hook postrouting priority 100
    ip saddr { 10.50.3.0/24, 10.50.4.0/24 } masquerade
  }
}`)
	if _, err := u.try("ping", "-n", "-c1", "-W1", x.under); err == nil {
		t.Fatal("the NAT lets somebody in")
	}
	// A bridge takes the least MTU of its ports: the founder's domain is
	// narrow, and it must learn so.
	l.join(a, m, u, x, y)
	nodes := []*node{a, m, u, x, y}
	addr := map[*node]string{}
	for _, n := range nodes {
		addr[n] = n.status().Address6
	}
	type pair struct{ from, to *node }
	var deaf []pair
	for _, n := range nodes {
		for _, o := range nodes {
			if o != n {
				deaf = append(deaf, pair{n, o})
			}
		}
	}
	defer func() {
		for _, p := range deaf {
			t.Logf("%s does not reach %s", p.from.name, p.to.name)
		}
	}()
	took := l.eventually(240*time.Second, "reached by full packets", func() bool {
		deaf = slices.DeleteFunc(deaf, func(p pair) bool {
			// More than the overlay's MTU, so one of the fragments fills it.
			_, err := p.from.try("ping", "-n", "-c1", "-W2", "-s1452", addr[p.to])
			return err == nil
		})
		return len(deaf) == 0
	})
	t.Logf("everybody reached by everybody with 1500 bytes after %s", took.Round(time.Second))
	out := a.must("members", "--json")
	for _, n := range []*node{x, y} {
		if strings.Contains(out, n.under+`"`) {
			t.Errorf("the record of %s names an address that nobody reaches:\n%s", n.name, out)
		}
	}
}

// TestWrongClock: a board without a clock starts in January 1970, where every
// invitation is from the future and every certificate too.
func TestWrongClock(t *testing.T) {
	l, a := founder(t)
	bin := special(t)
	c := l.node("c", 2, 2, nodeconfig.Config{})
	c.bin = bin
	c.env = []string{"CLOUDY_TEST_CLOCK=1767225600"} // from 2026 to 1970
	// tincd and the scripts are told the same lie, where that can be done;
	// the agent is static and does not see this.
	if lib, _ := exec.Command("sh", "-c", "ls /usr/lib/*/faketime/libfaketime.so.1").Output(); len(lib) > 0 {
		c.env = append(c.env, "LD_PRELOAD="+strings.TrimSpace(string(lib)), "FAKETIME=-20454d", "DONT_FAKE_MONOTONIC=1")
	} else {
		need(t, false, "needs libfaketime")
	}
	c.write("boot/cloudy.txt", a.invite("--expires", "5m"))
	c.start()
	sc := c.ready(90 * time.Second)
	if y := sc.Updated.UTC().Year(); y < 1969 || y > 1971 {
		t.Fatalf("the node thinks it is %s; the test proves nothing", sc.Updated)
	}
	log, err := os.ReadFile(c.root + "/agent.log")
	if err != nil || !strings.Contains(string(log), "time=1970-") {
		t.Fatalf("its log is not of 1970: %v", err)
	}
	l.eventually(60*time.Second, "reached", func() bool { return a.pings(sc.Address6) && a.status().Alive == 2 })
	c.must("publish", "Old", "_http._tcp", "80")
	l.eventually(60*time.Second, "found", func() bool {
		out, err := a.cli("services", "_http._tcp")
		return err == nil && strings.Contains(out, "Old")
	})
	// It comes back as it came, and its clock jumps to the right time.
	c.stop(9)
	c.env = nil
	c.start()
	c.ready(90 * time.Second)
	l.eventually(90*time.Second, "reached after the clock was set", func() bool { return a.pings(sc.Address6) })
}
