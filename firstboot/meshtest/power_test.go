package meshtest

import (
	"encoding/json"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"cloudy/firstboot/agent"
	"cloudy/firstboot/identity"
	"cloudy/firstboot/nodeconfig"
)

// TestKilledAtEveryWrite: two agents, a founder and one that joins, die at
// each step of each of their writes, before, in the middle and after it. What
// is on disk is whole every time, and when there is no step left to die at
// the two are a mesh.
func TestKilledAtEveryWrite(t *testing.T) {
	l := newLab(t)
	bin := special(t)
	l.domain(1)
	l.domain(2)
	type life struct {
		*node
		deaths int
		name   string
	}
	newLife := func(name string, domain int, conf nodeconfig.Config) *life {
		n := &life{node: l.node(name, domain, 2, conf)}
		n.bin, n.env = bin, []string{"CLOUDY_CRASH_LOG=" + filepath.Join(l.dir, name+".crash")}
		// The host keys of SSH are made where there is a server.
		if err := os.MkdirAll(filepath.Join(n.root, "etc/ssh"), 0o755); err != nil {
			t.Fatal(err)
		}
		n.start()
		return n
	}
	// raise looks at a dead node's files and starts it again.
	raise := func(n *life) bool {
		select {
		case <-n.done:
		default:
			return false
		}
		n.deaths++
		n.name = checkIdentity(t, n.root, n.name, false)
		checkState(t, n.node)
		n.start()
		return true
	}
	lives := []*life{newLife("a", 1, nodeconfig.Config{Mesh: nodeconfig.Mesh{Create: true, Network: "test"}})}
	a := lives[0]
	token := ""
	quiet := time.Now()
	start := time.Now()
	for len(lives) < 2 || time.Since(quiet) < 15*time.Second || !lives[1].status().Ready {
		if time.Since(start) > 10*time.Minute {
			t.Fatalf("no end of it: %d and %d deaths\n%s", a.deaths, lives[len(lives)-1].deaths, l.logs())
		}
		for _, n := range lives {
			if raise(n) {
				quiet = time.Now()
			}
		}
		time.Sleep(50 * time.Millisecond)
		if token == "" && a.status().Ready {
			// The answer can be lost with its sender; the invitation
			// then is in its list, unused.
			if out, err := a.cli("invite", "--no-qr"); err == nil {
				token = strings.TrimSpace(out)
			}
		}
		if token != "" && len(lives) == 1 {
			b := newLife("b", 2, nodeconfig.Config{})
			b.write("/boot/firmware/cloudy.txt", token+"\n")
			lives = append(lives, b)
		}
	}
	b := lives[1]
	t.Logf("the founder died %d times, the newcomer %d times, in %s", a.deaths, b.deaths, time.Since(start).Round(time.Second))
	if a.deaths < 40 || b.deaths < 40 {
		t.Errorf("%d and %d deaths: the points are not met", a.deaths, b.deaths)
	}
	for _, n := range lives {
		if got := checkIdentity(t, n.root, n.name, true); got != string(n.status().Name) {
			t.Errorf("%s is %s, its file says %s", n.node.name, n.status().Name, got)
		}
	}
	l.eventually(60*time.Second, "together", func() bool {
		return a.pings(b.status().Address6) && a.status().Alive == 2 && b.status().Alive == 2
	})
	if got := a.status().Members; got != 2 {
		t.Errorf("%d members", got)
	}
	if left, _ := os.ReadFile(filepath.Join(b.root, "boot/firmware/cloudy.txt")); strings.Contains(string(left), token) {
		t.Error("the invitation was not wiped")
	}
	for _, n := range lives {
		filepath.WalkDir(filepath.Join(n.root, agent.StateDir), func(path string, _ fs.DirEntry, err error) error {
			if err == nil && strings.HasSuffix(path, ".cloudy-tmp") {
				t.Errorf("left over: %s", path)
			}
			return nil
		})
	}
}

// checkState looks whether the files of a dead agent are whole: its state,
// and what tincd would start with.
func checkState(t *testing.T, n *node) {
	t.Helper()
	id, err := identity.Files{Root: n.root, State: agent.StateDir}.Load()
	filepath.WalkDir(filepath.Join(n.root, agent.StateDir), func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(path, ".json") {
			return nil
		}
		data, err := os.ReadFile(path)
		if err != nil || !json.Valid(data) {
			t.Fatalf("%s: %v: %.100q", path, err, data)
		}
		if info, err := d.Info(); err != nil || info.Mode().Perm() != 0o600 {
			t.Fatalf("%s: mode %v, %v", path, info.Mode(), err)
		}
		return nil
	})
	tinc := filepath.Join(n.root, "etc/tinc/cloudy")
	conf, confErr := os.ReadFile(filepath.Join(tinc, "tinc.conf"))
	if confErr != nil {
		return // no tincd starts without
	}
	if err != nil {
		t.Fatalf("tinc is configured for a node without identity: %v", err)
	}
	if !strings.Contains(string(conf), "Name = "+string(id.Name())+"\n") || !strings.HasSuffix(string(conf), "\n") {
		t.Fatalf("tinc.conf: %q", conf)
	}
	if key, err := os.ReadFile(filepath.Join(tinc, "rsa_key.priv")); err != nil || string(key) != string(id.RSAPrivatePEM()) {
		t.Fatalf("tinc's key: %v", err)
	}
	for line := range strings.Lines(string(conf)) {
		if to, ok := strings.CutPrefix(line, "ConnectTo = "); ok {
			host, err := os.ReadFile(filepath.Join(tinc, "hosts", strings.TrimSpace(to)))
			if err != nil || !strings.HasSuffix(string(host), "-----END RSA PUBLIC KEY-----\n") {
				t.Fatalf("the host file of link %s: %v: %q", to, err, host)
			}
		}
	}
}
