package meshtest

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"cloudy/firstboot/agent"
	"cloudy/firstboot/nodeconfig"
)

// up starts the agent and waits until it knows who it is.
func (n *node) up() {
	n.l.t.Helper()
	n.start()
	n.l.eventually(60*time.Second, "up", func() bool { return n.status().Name != "" })
}

// TestApprovedAndFound: an invitation that needs somebody's yes; and one whose
// addresses are wrong by now, with the issuer found on the cable, and an
// impostor that announces itself as the issuer there.
func TestApprovedAndFound(t *testing.T) {
	l, a := founder(t)
	b := l.node("b", 1, 3, nodeconfig.Config{})
	c := l.node("c", 2, 2, nodeconfig.Config{})
	d := l.node("d", 1, 4, nodeconfig.Config{})
	sa := a.status()

	token := a.invite("--approve", "--uses", "2")
	names := map[*node]string{}
	for _, n := range []*node{b, c} {
		n.up()
		n.must("join", token)
		l.eventually(30*time.Second, "waiting for a yes", func() bool {
			s := n.status()
			names[n] = string(s.Name)
			for _, x := range s.Stages {
				if x.Name == "join" {
					return x.State == agent.Waiting && strings.Contains(x.Error, "approve")
				}
			}
			return false
		})
	}
	out := a.must("members", "--pending")
	if !strings.Contains(out, names[b]) || !strings.Contains(out, "node-c") {
		t.Errorf("pending:\n%s", out)
	}
	if got := a.status(); got.Members != 1 {
		t.Errorf("%d members before anybody said yes", got.Members)
	}
	a.must("approve", names[b])
	a.must("deny", names[c])
	b.ready(120 * time.Second)
	l.eventually(120*time.Second, "kept out", func() bool { return c.refused("not let in") })
	if _, err := a.cli("approve", "c000000000000"); err == nil {
		t.Error("a node that nobody knows is approved")
	}

	// The issuer moves to another address, as routers have it, and the
	// impostor is on the same cable: a node of the mesh, but not the issuer.
	token = a.invite()
	l.ip("-n", a.ns, "addr", "del", a.under+"/24", "dev", "u0")
	l.ip("-n", a.ns, "addr", "add", "10.50.1.77/24", "dev", "u0")
	l.ip("-n", a.ns, "route", "replace", "default", "via", "10.50.1.1")
	fake := b.command(t.Context(), "avahi-publish", "-s", "Another", "_cloudy-join._tcp", "7655", "v=1", "i="+string(sa.Name))
	if err := fake.Start(); err != nil {
		t.Fatal(err)
	}
	defer fake.Wait()
	defer fake.Process.Kill()
	d.up()
	d.must("join", token)
	sd := d.ready(120 * time.Second)
	if sd.Inviter != sa.Name {
		t.Errorf("admitted by %s", sd.Inviter)
	}
}

// TestOwnerCommands: services on and off, search for scripts, the three kinds
// of reset and the doctor, on a founder and a node.
func TestOwnerCommands(t *testing.T) {
	l := newLab(t)
	l.domain(1)
	flag := filepath.Join(l.dir, "up")
	if err := os.WriteFile(flag, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	web := nodeconfig.Service{
		Name: "web", Announce: &nodeconfig.Announce{Type: "_http._tcp", Port: 80, TXT: map[string]string{"path": "/"}},
		Health: &nodeconfig.Health{Command: []string{"test", "-e", flag}, Interval: nodeconfig.Duration(time.Second)},
	}
	a := l.node("a", 1, 2, nodeconfig.Config{Mesh: nodeconfig.Mesh{Create: true, Network: "test"}, Services: []nodeconfig.Service{web}})
	b := l.node("b", 1, 3, nodeconfig.Config{})
	a.start()
	a.ready(60 * time.Second)
	b.up()
	if out, err := b.cli("doctor"); err != nil || !strings.Contains(out, "is in no mesh") {
		t.Errorf("doctor of a node in no mesh: %v\n%s", err, out)
	}
	b.must("join", a.invite())
	b.ready(60 * time.Second)

	found := func(n *node) bool { _, err := n.cli("search", "http"); return err == nil }
	if found(b) {
		t.Fatal("a service that is off is found")
	}
	if _, err := a.cli("services", "on", "wiki"); err == nil || !strings.Contains(err.Error(), "there are web") {
		t.Errorf("a service that is not there: %v", err)
	}
	a.must("services", "on", "web")
	l.eventually(60*time.Second, "found", func() bool { return found(b) })
	sa := a.status()
	if out := b.must("search", "_http._tcp"); out != fmt.Sprintf("web\t_http._tcp\tnode-a\t%s\t%s\t80\tpath=/\n", sa.Address4, sa.Address6) {
		t.Errorf("search: %q", out)
	}
	if out := a.must("services", "--own"); !strings.Contains(out, "web") || !strings.Contains(out, "up") {
		t.Errorf("own services:\n%s", out)
	}
	a.must("publish", "Wiki", "_http._tcp", "8080")
	a.must("reset", "--services")
	l.eventually(60*time.Second, "as in the image", func() bool { return !found(b) && !found(a) })
	if s := a.status(); s.Members != 2 || s.Name != sa.Name {
		t.Errorf("the node lost more than its services: %+v", s)
	}
	l.eventually(60*time.Second, "in order", func() bool {
		out, err := b.cli("doctor", "--json")
		return err == nil && strings.Contains(out, `"mesh"`) && !strings.Contains(out, `"bad"`)
	})

	b.write("/boot/firmware/cloudy.txt", "hostname = river\r\n")
	sb := b.status()
	b.must("reset", "--factory")
	l.eventually(60*time.Second, "as on its first day", func() bool {
		s := b.status()
		return s.Name != "" && s.Name != sb.Name && s.Network == "" && s.Host == "river"
	})
	if left, _ := os.ReadDir(filepath.Join(b.root, "etc/tinc/cloudy")); len(left) != 0 {
		t.Errorf("tinc's files are left: %v", left)
	}
	b.must("join", a.invite())
	b.ready(60 * time.Second)
}
