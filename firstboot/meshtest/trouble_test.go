package meshtest

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"cloudy/firstboot/agent"
	"cloudy/firstboot/nodeconfig"
)

// TestBadNetwork: the inviter is away when the node boots, the node is
// behind a NAT, and what is between them loses a tenth of the packets.
func TestBadNetwork(t *testing.T) {
	need(t, toolHas("nft"), "needs nft")
	l, a := founder(t)
	c := l.node("c", 2, 2, nodeconfig.Config{})
	token := a.invite()
	sa := a.status()
	// Domain 2 is behind a NAT: nobody connects into it.
	rules := `table ip nat {
  chain post { type nat hook postrouting priority 100; oifname "br1" ip saddr 10.50.2.0/24 masquerade; }
}
table ip filter {
  chain forward { type filter hook forward priority 0; iifname "br1" oifname "br2" ct state new drop; numgen random mod 10 == 0 drop; }
}`
	cmd := exec.Command("ip", "netns", "exec", l.router(), "nft", "-f", "-")
	cmd.Stdin = strings.NewReader(rules)
	if out, err := cmd.CombinedOutput(); err != nil {
		need(t, false, "nft does not work here: "+string(out))
	}
	a.stop(syscall.SIGTERM)
	c.write("/proc/cmdline", "root=/dev/sda1 quiet cloudy.invite="+token+"\n")
	c.start()
	l.eventually(30*time.Second, "trying", func() bool {
		for _, x := range c.status().Stages {
			if x.Name == "join" {
				return x.State == agent.Failed && x.Attempts >= 2
			}
		}
		return false
	})
	a.start()
	start := time.Now()
	sc := c.ready(90 * time.Second)
	t.Logf("joined %s after the inviter came", time.Since(start).Round(time.Millisecond))
	l.eventually(60*time.Second, "reached through the NAT", func() bool { return a.pings(sc.Address6) && c.pings(sa.Address6) })
	out := a.must("members", "--json")
	if strings.Contains(out, "10.50.2.2") {
		t.Errorf("the record names an address that nobody reaches:\n%s", out)
	}
	if sc.Seed != "kernel command line" {
		t.Errorf("seed %q", sc.Seed)
	}
}

func toolHas(name string) bool { _, err := exec.LookPath(name); return err == nil }

// TestRestarts: Avahi dies and comes back, tincd is killed, a service stops
// answering; what is announced follows each time. Then the node that all
// links lead to goes for good, and the others find each other.
func TestRestarts(t *testing.T) {
	l := newLab(t)
	l.domain(1)
	l.domain(2)
	a := l.node("a", 1, 2, nodeconfig.Config{Mesh: nodeconfig.Mesh{Create: true, Network: "test"}})
	a.start()
	a.ready(60 * time.Second)
	flag := filepath.Join(l.dir, "up")
	if err := os.WriteFile(flag, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	b := l.node("b", 1, 3, nodeconfig.Config{Services: []nodeconfig.Service{{
		Name: "web", Enabled: true, Announce: &nodeconfig.Announce{Type: "_http._tcp", Port: 80},
		Health: &nodeconfig.Health{Command: []string{"test", "-e", flag}, Interval: nodeconfig.Duration(time.Second)},
	}}})
	c := l.node("c", 2, 2, nodeconfig.Config{})
	for _, n := range []*node{b, c} {
		n.write("/boot/cloudy.txt", a.invite())
		n.start()
		n.ready(60 * time.Second)
	}
	shown := func() bool { return c.browses("_http._tcp", "web on node-b") }
	listed := func() bool {
		out, err := c.cli("services", "_http._tcp")
		return err == nil && strings.Contains(out, "web")
	}
	l.eventually(60*time.Second, "shown in the other domain", func() bool { return shown() && listed() })

	// A service that is dead is not announced.
	os.Remove(flag)
	l.eventually(40*time.Second, "withdrawn", func() bool { return !listed() && !shown() })
	os.WriteFile(flag, nil, 0o644)
	l.eventually(40*time.Second, "announced again", listed)

	// Avahi starts again and knows nothing of us.
	if _, err := b.try("sh", "-c", "kill -9 $(cat /run/avahi-daemon/pid); sleep 0.3; rm -f /run/avahi-daemon/pid; avahi-daemon -f "+b.root+"/avahi.conf --no-rlimits --no-proc-title -D"); err != nil {
		t.Fatal(err)
	}
	l.eventually(40*time.Second, "announced to the new Avahi", func() bool { return b.browses("_http._tcp", "web on node-b") })

	// The bus dies as well, and takes Avahi with it.
	for _, name := range []string{"dbus-daemon", "avahi-daemon"} {
		for _, pid := range b.pids(name) {
			syscall.Kill(pid, syscall.SIGKILL)
		}
	}
	l.eventually(40*time.Second, "noticed that there is no bus", func() bool {
		for _, x := range b.status().Stages {
			if x.Name == "announce" {
				return x.State == agent.Failed
			}
		}
		return false
	})
	b.sh("rm -f /run/dbus/pid /run/avahi-daemon/pid; dbus-daemon --system --fork && avahi-daemon -f " + b.root + "/avahi.conf --no-rlimits --no-proc-title -D")
	l.eventually(60*time.Second, "announced over the new bus", func() bool { return b.browses("_http._tcp", "web on node-b") })
	out, _ := b.try("timeout", "5", "avahi-browse", "-tp", "_http._tcp")
	for line := range strings.Lines(out) {
		if f := strings.Split(line, ";"); len(f) > 3 && strings.Contains(f[3], "web") && strings.ReplaceAll(f[3], `\032`, " ") != "web on node-b" {
			t.Errorf("announced twice: %s", line)
		}
	}

	// tincd dies; it comes back by itself.
	sc := c.status()
	pid, err := os.ReadFile(filepath.Join(c.root, agent.RunDir, "tincd.pid"))
	if err != nil {
		t.Fatal(err)
	}
	var p int
	fmt.Sscan(string(pid), &p)
	syscall.Kill(p, syscall.SIGKILL)
	d := l.eventually(60*time.Second, "back after tincd died", func() bool { return a.pings(sc.Address6) })
	t.Logf("back %s after tincd was killed", d.Round(time.Millisecond))

	// The founder and inviter of both goes for good.
	sb := b.status()
	a.killAll()
	d = l.eventually(120*time.Second, "together without the founder", func() bool { return c.pings(sb.Address6) && b.pings(sc.Address6) })
	t.Logf("together %s after the founder died", d.Round(time.Millisecond))
	l.eventually(120*time.Second, "the founder is not counted as alive", func() bool { return b.status().Alive == 2 && c.status().Alive == 2 })
}

// TestDeafLink: nothing crosses the overlay although tinc has its link, as
// when tincd's keys differ. The rule is bound to the interface that is there
// now, so a tincd that starts again gets out of it, as it does out of that.
func TestDeafLink(t *testing.T) {
	need(t, toolHas("nft"), "needs nft")
	l, a := founder(t)
	c := l.node("c", 2, 2, nodeconfig.Config{})
	c.start()
	c.takes(a.invite())
	c.ready(60 * time.Second)
	sa := a.status()
	l.eventually(30*time.Second, "connected", func() bool { return c.pings(sa.Address6) })
	for _, args := range []string{"add table inet deaf", "add chain inet deaf in { type filter hook input priority 0; }", "add rule inet deaf in iif cloudy drop"} {
		if out, err := c.try(append([]string{"nft"}, args)...); err != nil {
			t.Fatal(out, err)
		}
	}
	if c.pings(sa.Address6) {
		t.Fatal("the link is not deaf")
	}
	d := l.eventually(60*time.Second, "healed", func() bool { return c.pings(sa.Address6) })
	t.Logf("healed after %s", d.Round(time.Millisecond))
}
