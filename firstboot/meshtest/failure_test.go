package meshtest

import (
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"cloudy/firstboot/agent"
	"cloudy/firstboot/durable"
	"cloudy/firstboot/membership"
	"cloudy/firstboot/nodeconfig"
)

// founder is a lab with one founder in domain 1, and a second domain.
func founder(t *testing.T) (*lab, *node) {
	l := newLab(t)
	l.domain(1)
	l.domain(2)
	a := l.node("a", 1, 2, nodeconfig.Config{Mesh: nodeconfig.Mesh{Create: true, Network: "test"}})
	a.start()
	a.ready(60 * time.Second)
	return l, a
}

// refused says whether the node's join was refused for that reason.
func (n *node) refused(why string) bool {
	for _, x := range n.status().Stages {
		if x.Name == "join" {
			return x.State == agent.Refused && strings.Contains(x.Error, why)
		}
	}
	return false
}

func (n *node) invite(args ...string) string {
	n.l.t.Helper()
	return strings.TrimSpace(n.must(append([]string{"invite", "--no-qr"}, args...)...))
}

// tampered is the token with another character at one place.
func tampered(token string, at int) string {
	c := "A"
	if token[at] == 'A' {
		c = "B"
	}
	return token[:at] + c + token[at+1:]
}

// TestKilledWhileJoining kills a node's agent at random moments, from before
// its keys to after its first record; the inviter is killed now and then as
// well.
func TestKilledWhileJoining(t *testing.T) {
	l, a := founder(t)
	b := l.node("b", 2, 2, nodeconfig.Config{})
	// The seed on the boot partition, as an editor of another system
	// leaves it.
	token := a.invite()
	b.write("/boot/firmware/cloudy.txt", "my invitation:\r\n"+token+"\r\n")
	for i := range 40 {
		b.start()
		if i%10 == 6 {
			a.stop(syscall.SIGKILL)
			a.start()
		}
		time.Sleep(rand.N(700 * time.Millisecond))
		b.stop(syscall.SIGKILL)
	}
	b.start()
	s := b.ready(90 * time.Second)
	a.ready(60 * time.Second)
	l.eventually(60*time.Second, "reached by the founder", func() bool { return a.pings(s.Address6) })
	if s.Seed == "" || s.Inviter == "" {
		t.Errorf("status %+v", s)
	}
	left, err := os.ReadFile(filepath.Join(b.root, "boot/firmware/cloudy.txt"))
	if err != nil || strings.Contains(string(left), "cloudy1.") {
		t.Errorf("the used invitation was not wiped: %q, %v", left, err)
	}
	// One invitation, one member: the attempts were all of one node.
	if out := a.must("invite", "--list"); !strings.Contains(out, "1 of 1") {
		t.Errorf("invitations:\n%s", out)
	}
	if got := a.status(); got.Members != 2 {
		t.Errorf("%d members", got.Members)
	}
}

// TestRefusedAndRevoked: a used invitation is refused for good and another
// one helps; a revoked member is cut off by all and cannot come back; reset
// and a new invitation bring the machine back as another node.
func TestRefusedAndRevoked(t *testing.T) {
	l, a := founder(t)
	b := l.node("b", 1, 3, nodeconfig.Config{})
	c := l.node("c", 2, 2, nodeconfig.Config{})
	b.start()
	c.start()
	token := a.invite()
	b.takes(token)
	b.ready(60 * time.Second)

	c.takes(token)
	l.eventually(20*time.Second, "refused", func() bool { return c.refused("used by another node") })
	for _, at := range []int{len("cloudy1."), len(token) / 3, len(token) - 86, len(token) - 43, len(token) - 1} {
		if _, err := c.cli("join", tampered(token, at)); err == nil {
			t.Errorf("an invitation tampered with at %d is taken", at)
		}
	}
	c.takes(a.invite())
	sc := c.ready(60 * time.Second)
	l.eventually(30*time.Second, "reached by everybody", func() bool { return a.pings(sc.Address6) && b.pings(sc.Address6) })

	a.must("revoke", string(sc.Name), "--reason", "test")
	d := l.eventually(30*time.Second, "cut off", func() bool { return !a.pings(sc.Address6) && !b.pings(sc.Address6) })
	t.Logf("cut off everywhere after %s", d.Round(time.Millisecond))
	// The gossip has a new key, and only that; the revoked one has it not.
	keys := func(n *node) string {
		var s struct{ Keys membership.GossipKeys }
		if err := durable.ReadJSON(filepath.Join(n.root, agent.StateDir, "mesh.json"), &s); err != nil {
			t.Fatal(err)
		}
		if s.Keys.Epoch < 4 || len(s.Keys.Keys) != 1 {
			return ""
		}
		return s.Keys.Tag()
	}
	l.eventually(60*time.Second, "on new keys", func() bool { return keys(a) != "" && keys(a) == keys(b) })
	if keys(c) == keys(a) {
		t.Error("the revoked node has the new key")
	}
	// It stays out, also when it starts again.
	c.stop(syscall.SIGTERM)
	c.start()
	l.eventually(60*time.Second, "told that it was revoked", func() bool {
		if b.pings(sc.Address6) {
			t.Fatal("the revoked node is back")
		}
		return c.refused("put out of the mesh")
	})
	if s := b.status(); s.Members != 2 {
		t.Errorf("b knows %d members\n%s", s.Members, b.log())
	}

	c.must("reset", "--identity")
	l.eventually(20*time.Second, "another node", func() bool { s := c.status(); return s.Name != "" && s.Name != sc.Name && s.Network == "" })
	c.takes(a.invite())
	s := c.ready(60 * time.Second)
	l.eventually(30*time.Second, "reached as another node", func() bool { return b.pings(s.Address6) })

	// One sleeps through the next change, and comes back without help.
	c.stop(syscall.SIGTERM)
	l.eventually(90*time.Second, "silent", func() bool { return a.status().Alive == 2 })
	d2 := l.node("d", 2, 3, nodeconfig.Config{})
	d2.start()
	d2.takes(a.invite())
	sd := d2.ready(60 * time.Second)
	l.eventually(30*time.Second, "known", func() bool { return a.status().Members == 4 })
	before := keys(a)
	a.must("revoke", string(sd.Name))
	l.eventually(60*time.Second, "on newer keys", func() bool { return keys(a) != "" && keys(a) != before && keys(a) == keys(b) })
	c.start()
	d = l.eventually(90*time.Second, "heard again after it slept", func() bool {
		return c.status().Alive == 3 && a.status().Alive == 3 && keys(c) == keys(a)
	})
	t.Logf("the sleeper is back after %s", d.Round(time.Millisecond))
}

// TestRevokedByItsNeighbour: who is put out by the only member that it reaches
// is cut off before the gossip can tell it, and is told all the same.
func TestRevokedByItsNeighbour(t *testing.T) {
	l, a := founder(t)
	b := l.node("b", 1, 3, nodeconfig.Config{})
	l.join(a, b)
	a.must("revoke", string(b.status().Name), "--reason", "lost")
	d := l.eventually(5*time.Minute, "told that it was revoked", func() bool { return b.refused("put out of the mesh") })
	t.Logf("told after %s", d.Round(time.Second))
}
