package meshtest

import (
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"cloudy/firstboot/nodeconfig"
)

// copyTo copies the disk of a node whose agent does not run.
func (n *node) copyTo(to *node) {
	n.l.t.Helper()
	for _, dir := range []string{"var", "etc"} {
		if out, err := exec.Command("cp", "-a", filepath.Join(n.root, dir), to.root).CombinedOutput(); err != nil {
			n.l.t.Fatalf("%v: %s", err, out)
		}
	}
}

// TestCopiedCard: a member's card is copied. In a machine that can be told
// from the first one the copy notices before it does anything. Where
// there is nothing to tell them apart by, both run with one key: both notice,
// one of them becomes somebody else, and the other is a member as before.
func TestCopiedCard(t *testing.T) {
	l, a := founder(t)
	b := l.node("b", 2, 2, nodeconfig.Config{})
	b.write("sys/class/dmi/id/product_uuid", "11111111-2222-3333-4444-555555555555\n")
	b.write("boot/cloudy.txt", a.invite())
	b.start()
	sb := b.ready(60 * time.Second)
	sa := a.status()
	b.stop(syscall.SIGTERM)
	c := l.node("c", 1, 3, nodeconfig.Config{})
	d := l.node("d", 1, 4, nodeconfig.Config{})
	b.copyTo(c)
	b.copyTo(d)
	b.start()
	b.ready(60 * time.Second)

	c.write("sys/class/dmi/id/product_uuid", "66666666-2222-3333-4444-555555555555\n")
	c.start()
	l.eventually(30*time.Second, "the copy in another machine noticed", func() bool {
		s := c.status()
		return s.Cloned && s.Name != "" && s.Name != sb.Name && s.Network == ""
	})
	c.takes(a.invite())
	sc := c.ready(60 * time.Second)
	if s := b.status(); s.Doubled || s.Name != sb.Name {
		t.Errorf("the first one is not left alone: %+v", s)
	}

	// A virtual machine without marks: it runs as its original does.
	d.start()
	took := l.eventually(600*time.Second, "noticed by both, and one of them another node", func() bool {
		x, y := b.status(), d.status()
		return x.Doubled && y.Doubled && x.Name != "" && y.Name != "" && x.Name != y.Name && x.Cloned != y.Cloned
	})
	stays, leaves := b, d
	if d.status().Name == sb.Name {
		stays, leaves = d, b
	}
	t.Logf("noticed and settled after %s; %s stays", took.Round(time.Second), stays.name)
	if s := leaves.status(); s.Network != "" || s.Members != 0 {
		t.Errorf("the one that became another is a member: %+v", s)
	}
	took = l.eventually(150*time.Second, "the one that stays reached by all", func() bool {
		return stays.status().Name == sb.Name && a.pings(sb.Address6) && c.pings(sb.Address6) && stays.pings(sa.Address6) && stays.pings(sc.Address6)
	})
	t.Logf("at peace %s later", took.Round(time.Second))
	leaves.takes(a.invite())
	s := leaves.ready(90 * time.Second)
	l.eventually(60*time.Second, "the other one a node of its own", func() bool { return a.pings(s.Address6) && stays.pings(s.Address6) })
}
