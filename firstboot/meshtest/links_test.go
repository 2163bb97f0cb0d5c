package meshtest

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/x509"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"cloudy/firstboot/agent"
	"cloudy/firstboot/durable"
	"cloudy/firstboot/identity"
	"cloudy/firstboot/membership"
	"cloudy/firstboot/nodeconfig"
)

// off is a power cut: agent and tincd are gone at once. The node's bus and
// Avahi, which have nothing to do with links, go on.
func (n *node) off() {
	n.l.t.Helper()
	n.stop(syscall.SIGKILL)
	data, err := os.ReadFile(filepath.Join(n.root, agent.RunDir, "tincd.pid"))
	var pid int
	if _, scan := fmt.Sscan(string(data), &pid); err != nil || scan != nil {
		n.l.t.Fatalf("tincd of %s: %v, %v", n.name, err, scan)
	}
	syscall.Kill(pid, syscall.SIGKILL)
}

// join starts nodes with one invitation for all of them and waits until they
// are members.
func (l *lab) join(by *node, nodes ...*node) {
	l.t.Helper()
	token := by.invite("--uses", fmt.Sprint(len(nodes)))
	for _, n := range nodes {
		n.write("boot/cloudy.txt", token)
		n.start()
	}
	for _, n := range nodes {
		n.ready(120 * time.Second)
	}
}

// TestAllLinksDead: everybody whom a node links to, and who links to it, loses
// power at one moment, its inviter among them. It finds a way in to those who
// are left. Then they all come back, the founder last.
func TestAllLinksDead(t *testing.T) {
	l, a := founder(t)
	var others []*node
	for i := range 8 {
		others = append(others, l.node(fmt.Sprintf("n%d", i), 1+i%2, 10+i, nodeconfig.Config{}))
	}
	l.join(a, others...)
	all := append([]*node{a}, others...)
	l.eventually(120*time.Second, "everybody known to everybody", func() bool {
		for _, n := range all {
			if s := n.status(); s.Alive != len(all) || s.Members != len(all) {
				return false
			}
		}
		return true
	})
	// The one with the fewest neighbours, so that some are left.
	var x *node
	var dead []*node
	l.eventually(60*time.Second, "a node with three links, the founder's among them, that leaves some without", func() bool {
		byName := map[string]*node{}
		links := map[*node][]string{}
		for _, n := range all {
			s := n.status()
			byName[string(s.Name)], links[n] = n, s.Links
		}
		x = nil
		for _, n := range others {
			var near []*node
			for name, m := range byName {
				if slices.Contains(links[n], name) || slices.Contains(links[m], string(n.status().Name)) {
					near = append(near, m)
				}
			}
			if len(links[n]) == 3 && slices.Contains(near, a) && (x == nil || len(near) < len(dead)) {
				x, dead = n, near
			}
		}
		return x != nil && len(dead) <= 6
	})
	var left []*node
	addr := map[*node]string{}
	for _, n := range all {
		addr[n] = n.status().Address6
		if n != x && !slices.Contains(dead, n) {
			left = append(left, n)
		}
	}
	for _, n := range dead {
		n.off()
	}
	took := l.eventually(120*time.Second, "let in by others", func() bool {
		return !slices.ContainsFunc(left, func(n *node) bool { return !x.pings(addr[n]) || !n.pings(addr[x]) })
	})
	t.Logf("%s lost all %d neighbours and reached the %d others after %s", x.name, len(dead), len(left), took.Round(time.Second))

	for _, n := range dead {
		if n != a {
			n.start()
		}
	}
	a.start()
	took = l.eventually(180*time.Second, "all back", func() bool {
		for _, n := range all {
			if !n.pings(addr[x]) || !x.pings(addr[n]) || n.status().Alive != len(all) {
				return false
			}
		}
		return true
	})
	t.Logf("everybody is back and heard of %s after the power was", took.Round(time.Second))
}

// TestPartition: the mesh falls apart into two halves; each works, admits a
// node, and finds its services. The two newcomers have one IPv4 address, which
// nobody could know. When the halves meet, all is one again, and the newcomer
// with the larger key has another address.
func TestPartition(t *testing.T) {
	l := newLab(t)
	need(t, toolHas("nft"), "needs nft")
	l.domain(1)
	l.domain(2)
	a := l.node("a", 1, 2, nodeconfig.Config{Mesh: nodeconfig.Mesh{Create: true, Network: "test", Prefix4: "100.64.9.0/24"}})
	a.start()
	a.ready(60 * time.Second)
	b := l.node("b", 2, 2, nodeconfig.Config{})
	b.start()
	b.takes(a.invite("--inviter"))
	b.ready(60 * time.Second)
	a2, b2 := l.node("a2", 1, 3, nodeconfig.Config{}), l.node("b2", 2, 3, nodeconfig.Config{})
	l.join(a, a2, b2)
	addr := map[*node]string{}
	for _, n := range []*node{a, b, a2, b2} {
		addr[n] = n.status().Address6
	}

	l.nft(l.router(), "add table inet cut; add chain inet cut through { type filter hook forward priority 0; }; add rule inet cut through iifname br1 oifname br2 drop; add rule inet cut through iifname br2 oifname br1 drop")
	l.eventually(90*time.Second, "apart", func() bool { return !a.pings(addr[b]) && !b2.pings(addr[a2]) })
	c, d := l.node("c", 1, 4, nodeconfig.Config{}), l.node("d", 2, 4, nodeconfig.Config{})
	sameAddress(t, a, c, d)
	c.start()
	d.start()
	c.takes(a.invite())
	d.takes(b.invite())
	sc, sd := c.ready(120*time.Second), d.ready(120*time.Second)
	if sc.Address4 != sd.Address4 || sc.Address6 == sd.Address6 {
		t.Fatalf("addresses %s and %s, %s and %s", sc.Address4, sd.Address4, sc.Address6, sd.Address6)
	}
	addr[c], addr[d] = sc.Address6, sd.Address6
	a.must("publish", "Left", "_http._tcp", "80")
	b.must("publish", "Right", "_http._tcp", "80")
	finds := func(n *node, name string) bool {
		out, err := n.cli("services", "_http._tcp")
		return err == nil && strings.Contains(out, name)
	}
	l.eventually(90*time.Second, "two meshes that work", func() bool {
		return c.pings(addr[a2]) && d.pings(addr[b2]) && finds(c, "Left") && finds(d, "Right")
	})
	if finds(c, "Right") || finds(d, "Left") || c.pings(addr[d]) {
		t.Error("something crosses between the halves")
	}

	l.nft(l.router(), "delete table inet cut")
	all := []*node{a, b, a2, b2, c, d}
	took := l.eventually(180*time.Second, "one mesh again", func() bool {
		for _, n := range all {
			if s := n.status(); s.Members != len(all) || s.Alive != len(all) || !finds(n, "Left") || !finds(n, "Right") {
				return false
			}
		}
		return c.pings(addr[d]) && a2.pings(addr[b2])
	})
	t.Logf("one mesh again after %s", took.Round(time.Second))
	var nc, nd agent.Status
	l.eventually(60*time.Second, "two addresses", func() bool {
		nc, nd = c.status(), d.status()
		return nc.Address4 != nd.Address4
	})
	if (nc.Address4 == sc.Address4) == (nd.Address4 == sd.Address4) {
		t.Errorf("%s and %s became %s and %s: one of them was to change", sc.Address4, sd.Address4, nc.Address4, nd.Address4)
	}
	l.eventually(60*time.Second, "reached by IPv4", func() bool {
		return a.pings(nc.Address4) && a.pings(nd.Address4) && b2.pings(nc.Address4) && b2.pings(nd.Address4) && c.pings(nd.Address4) && d.pings(nc.Address4)
	})
}

// sameAddress gives two nodes that were not started yet identities with the
// same IPv4 address in the founder's mesh, which nobody else has.
func sameAddress(t *testing.T, founder *node, nodes ...*node) {
	t.Helper()
	var st struct{ Genesis []byte }
	if err := durable.ReadJSON(filepath.Join(founder.root, agent.StateDir, "mesh.json"), &st); err != nil {
		t.Fatal(err)
	}
	mesh, err := membership.ParseMesh(st.Genesis)
	if err != nil {
		t.Fatal(err)
	}
	taken := map[string]bool{}
	for _, n := range founder.l.nodes {
		taken[n.status().Address4] = true
	}
	want := ""
	for _, n := range nodes {
		for {
			seed := make([]byte, ed25519.SeedSize)
			rand.Read(seed)
			got := mesh.Address4(membership.KeyOf(ed25519.NewKeyFromSeed(seed)), 0).String()
			if taken[got] || want != "" && got != want {
				continue
			}
			want = got
			id, err := identity.New(nil)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := x509.ParsePKCS1PrivateKey(id.TincRSA); err != nil {
				t.Fatal(err)
			}
			id.Seed = seed
			if err := durable.WriteJSON(filepath.Join(n.root, agent.StateDir, "identity.json"), id); err != nil {
				t.Fatal(err)
			}
			break
		}
	}
}
