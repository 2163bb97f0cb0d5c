package meshtest

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"cloudy/firstboot/agent"
	"cloudy/firstboot/nodeconfig"
)

// TestInvitationsAbused: an invitation that has expired, one that was tampered
// with and one that was stolen, and an endpoint that is not the inviter's.
func TestInvitationsAbused(t *testing.T) {
	l, a := founder(t)
	need(t, toolHas("nft"), "needs nft")
	thief, owner := l.node("z", 2, 2, nodeconfig.Config{}), l.node("o", 2, 3, nodeconfig.Config{})

	// Tampered with, on the boot partition, where no command looks at it.
	token := a.invite()
	owner.write("boot/cloudy.txt", tampered(token, len(token)-50))
	owner.start()
	l.eventually(30*time.Second, "refused as tampered with", func() bool { return owner.refused("bad signature") })

	short := a.invite("--expires", "1s")
	time.Sleep(1100 * time.Millisecond) // the invitation's own time
	owner.takes(short)
	l.eventually(30*time.Second, "refused as expired", func() bool { return owner.refused("has expired") })

	// Stolen: the thief is in, once, and everybody sees it.
	thief.start()
	thief.takes(token)
	sz := thief.ready(60 * time.Second)
	owner.takes(token)
	l.eventually(30*time.Second, "refused as used", func() bool { return owner.refused("used by another node") })
	if list := a.must("invite", "--list"); !strings.Contains(list, string(sz.Name)) {
		t.Errorf("the inviter does not see who used it:\n%s", list)
	}
	if sz.Role != "node" {
		t.Errorf("the thief is %s", sz.Role)
	}
	if out, err := thief.cli("invite", "--no-qr"); err == nil {
		t.Errorf("the thief gives out invitations: %s", out)
	}
	a.must("revoke", string(sz.Name))
	l.eventually(30*time.Second, "the thief out", func() bool { return !a.pings(sz.Address6) })

	// An impostor has the inviter's address, and keys of its own.
	e := l.node("e", 1, 9, nodeconfig.Config{Mesh: nodeconfig.Mesh{Create: true, Network: "evil"}})
	e.start()
	e.ready(60 * time.Second)
	l.nft(l.router(), "add table ip lie; add chain ip lie pre { type nat hook prerouting priority -100; }; add rule ip lie pre iifname br2 tcp dport 7655 dnat to "+e.under)
	token = a.invite()
	owner.takes(token)
	l.eventually(30*time.Second, "the impostor noticed", func() bool {
		for _, x := range owner.status().Stages {
			if x.Name == "join" && x.State == agent.Failed && strings.Contains(x.Error, "does not have the key") {
				return true
			}
		}
		return false
	})
	if log, _ := os.ReadFile(filepath.Join(e.root, "agent.log")); strings.Contains(string(log), "cloudy1.") || strings.Contains(string(log), "let in") {
		t.Errorf("the impostor got something:\n%s", log)
	}
	l.nft(l.router(), "delete table ip lie")
	so := owner.ready(120 * time.Second)
	l.eventually(60*time.Second, "the owner reached", func() bool { return a.pings(so.Address6) })
}

// TestMaliciousMembers: a member sends what it likes, to the endpoint and into
// the gossip; a stranger floods the endpoint and tries a gossip key that
// leaked; an inviter lets in whom it should not. The mesh goes on.
func TestMaliciousMembers(t *testing.T) {
	l, a := founder(t)
	b, m := l.node("b", 1, 3, nodeconfig.Config{}), l.node("m", 2, 2, nodeconfig.Config{})
	l.join(a, b, m)
	b.must("publish", "Wiki", "_http._tcp", "80")
	sa, sb, sm := a.status(), b.status(), m.status()
	whole := func() bool {
		out, err := a.cli("services", "_http._tcp")
		return err == nil && strings.Contains(out, "Wiki") && a.pings(sb.Address6) && b.pings(sa.Address6) && b.status().Ready
	}
	l.eventually(60*time.Second, "a mesh", func() bool { return whole() && a.status().Alive == 3 && b.status().Alive == 3 })

	// What each does is in evil_test.go; it runs in the node's namespaces.
	evil := func(n *node, what string, env ...string) {
		t.Helper()
		if out, err := n.evil(what, append(env, "EVIL_ROOT="+n.root, "EVIL_AT="+a.under, "EVIL_OVER="+sa.Address6, "EVIL_NAME="+string(sa.Name), "EVIL_VICTIM="+string(sb.Name), "EVIL_VICTIM_ROOT="+b.root, "EVIL_SELF="+sm.Address6)...); err != nil {
			t.Fatalf("%s: %v\n%s\n%s", what, err, out, a.log())
		} else {
			t.Logf("%s:\n%s", what, out)
		}
	}
	evil(m, "records")
	checkHosts(t, a)
	evil(m, "gossip")
	for range 20 { // as long as the false news have to spread
		if s := a.status(); s.Members != 3 {
			t.Fatalf("%d members: %s", s.Members, a.must("members"))
		}
		time.Sleep(100 * time.Millisecond)
	}
	l.eventually(60*time.Second, "whole after false news", func() bool { return whole() && a.status().Alive == 3 })
	checkHosts(t, a)

	// A stranger, with the gossip's key, and many connections.
	s, late := l.node("s", 2, 9, nodeconfig.Config{}), l.node("n", 2, 3, nodeconfig.Config{})
	evil(s, "leaked", "EVIL_KEYS="+a.root)
	ctx, cancel := context.WithCancel(context.Background())
	flood := s.evilCommand(ctx, "flood", "EVIL_AT="+a.under)
	if err := flood.Start(); err != nil {
		t.Fatal(err)
	}
	time.Sleep(2 * time.Second) // let it come to speed
	start := time.Now()
	l.join(a, late)
	t.Logf("joined in %s while the endpoint was flooded", time.Since(start).Round(100*time.Millisecond))
	if flood.ProcessState != nil || flood.Process.Signal(nil) == nil && false {
		t.Error("the flood was over")
	}
	if kib := a.rss(); kib > 64<<10 {
		t.Errorf("%d KiB resident under the flood", kib)
	}
	l.eventually(60*time.Second, "whole under the flood", whole)
	cancel()
	flood.Wait()

	// An inviter gone bad, and those it let in.
	i, j := l.node("i", 1, 5, nodeconfig.Config{}), l.node("j", 2, 5, nodeconfig.Config{})
	i.write("boot/cloudy.txt", a.invite("--inviter"))
	i.start()
	si := i.ready(60 * time.Second)
	l.join(i, j)
	sj := j.status()
	if sj.Inviter != si.Name {
		t.Errorf("inviter %s", sj.Inviter)
	}
	l.eventually(60*time.Second, "reached", func() bool { return b.pings(sj.Address6) && a.pings(si.Address6) })
	l.eventually(60*time.Second, "known to the root", func() bool { return strings.Contains(a.must("members"), string(sj.Name)) })
	a.must("revoke", string(si.Name), "--subtree")
	l.eventually(60*time.Second, "inviter and admitted out", func() bool {
		return !a.pings(si.Address6) && !a.pings(sj.Address6) && !b.pings(si.Address6) && !b.pings(sj.Address6)
	})
	for _, n := range []*node{a, b} {
		l.eventually(60*time.Second, "forgotten by "+n.name, func() bool {
			out := n.must("members")
			return !strings.Contains(out, string(si.Name)) && !strings.Contains(out, string(sj.Name))
		})
	}
	l.eventually(60*time.Second, "whole after the revocation", whole)
}

// hostLine is every line that a host file may have.
var hostLine = regexp.MustCompile(`^(Address = [0-9a-f.:]+( \d+)?|Port = \d+|Subnet = ([0-9a-f.:]+/\d+|1:0:0:0:0:0#[12]0)|(Cipher|Digest) = [a-z0-9-]+|(MACLength|Compression) = \d+|-----(BEGIN|END) RSA PUBLIC KEY-----|[A-Za-z0-9+/=]{1,64}|)$`)

// checkHosts looks for anything in tinc's folder that is not of the agent.
func checkHosts(t *testing.T, n *node) {
	t.Helper()
	dir := filepath.Join(n.root, "etc/tinc/cloudy")
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if !slices.Contains([]string{"host-down", "host-up", "hosts", "rsa_key.priv", "tinc-up", "tinc.conf"}, e.Name()) {
			t.Errorf("%s in tinc's folder", e.Name())
		}
	}
	hosts, err := os.ReadDir(filepath.Join(dir, "hosts"))
	if err != nil || len(hosts) < 2 {
		t.Fatalf("%d host files, %v", len(hosts), err)
	}
	for _, h := range hosts {
		data, err := os.ReadFile(filepath.Join(dir, "hosts", h.Name()))
		if err != nil || len(h.Name()) != 13 {
			t.Errorf("host file %q: %v", h.Name(), err)
		}
		for line := range strings.Lines(string(data)) {
			if !hostLine.MatchString(strings.TrimSuffix(line, "\n")) {
				t.Errorf("host file %s: %q", h.Name(), line)
			}
		}
	}
}

// evilCommand runs a part of TestEvil in the node.
func (n *node) evilCommand(ctx context.Context, what string, env ...string) *exec.Cmd {
	cmd := n.command(ctx, os.Args[0], "-test.run=^TestEvil$/^"+what+"$", "-test.v")
	cmd.Env = append(append(os.Environ(), "EVIL="+what), env...)
	return cmd
}

func (n *node) evil(what string, env ...string) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	out, err := n.evilCommand(ctx, what, env...).CombinedOutput()
	return string(out), err
}
