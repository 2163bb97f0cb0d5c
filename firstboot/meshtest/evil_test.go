package meshtest

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/memberlist"
	"github.com/hashicorp/serf/serf"

	"cloudy/firstboot/agent"
	"cloudy/firstboot/durable"
	"cloudy/firstboot/identity"
	"cloudy/firstboot/join"
	"cloudy/firstboot/membership"
)

// TestEvil is no test of its own: TestMaliciousMembers runs its parts inside
// of nodes, as the program of somebody who means harm.
func TestEvil(t *testing.T) {
	what := os.Getenv("EVIL")
	if what == "" {
		return
	}
	t.Run("records", evilRecords)
	t.Run("gossip", evilGossip)
	t.Run("leaked", evilLeaked)
	t.Run("flood", evilFlood)
}

// place is what a member has on disk.
type place struct {
	Genesis []byte
	Chain   membership.Chain
	Keys    membership.GossipKeys
	Record  membership.NodeRecord
}

func readPlace(t *testing.T, root string) (p place) {
	t.Helper()
	if err := durable.ReadJSON(filepath.Join(root, agent.StateDir, "mesh.json"), &p); err != nil {
		t.Fatal(err)
	}
	return p
}

// evilRecords sends records that a member signed, and should not have.
func evilRecords(t *testing.T) {
	root, at := os.Getenv("EVIL_ROOT"), netip.MustParseAddrPort(os.Getenv("EVIL_AT")+":7655")
	id, err := identity.Files{Root: root, State: agent.StateDir}.Load()
	if err != nil {
		t.Fatal(err)
	}
	me, victim := readPlace(t, root), readPlace(t, os.Getenv("EVIL_VICTIM_ROOT"))
	mesh, err := membership.ParseMesh(me.Genesis)
	if err != nil {
		t.Fatal(err)
	}
	mine, _, err := me.Record.Verify(mesh)
	if err != nil {
		t.Fatal(err)
	}
	other, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	sign := func(kind string, payload []byte) membership.Signed {
		return membership.Signed{Payload: payload, Sig: ed25519.Sign(id.Private(), append([]byte("cloudy/"+kind+"/1\x00"), payload...))}
	}
	client := join.NewClient(id.Private())
	founder := membership.Name(os.Getenv("EVIL_NAME"))
	var key membership.Key
	for _, m := range me.Chain { // the root admitted this node
		var c membership.Certificate
		if json.Unmarshal(m.Payload, &c) == nil && c.By.Name() == founder {
			key = c.By
		}
	}
	send := func(name string, rec membership.NodeRecord, taken bool) {
		t.Helper()
		for {
			_, err := client.Return(t.Context(), at, key, rec)
			var ref *join.Refusal
			if errors.As(err, &ref) && ref.Code == join.CodeBusy {
				time.Sleep(time.Second)
				continue
			}
			fmt.Printf("%s: %v\n", name, err)
			if (err == nil) != taken {
				t.Errorf("%s: %v", name, err)
			}
			return
		}
	}
	seq := mine.Seq + 1000
	change := func(f func(*membership.Node)) membership.NodeRecord {
		n := mine
		n.Seq = seq
		f(&n)
		payload, err := json.Marshal(n)
		if err != nil {
			t.Fatal(err)
		}
		return membership.NodeRecord{Chain: me.Chain, Record: sign("node", payload)}
	}
	send("host name with a line of tinc.conf", change(func(n *membership.Node) { n.Host = "x\nConnectTo = evil" }), false)
	send("the loopback as address", change(func(n *membership.Node) { n.Endpoints = []netip.Addr{netip.MustParseAddr("127.0.0.1")} }), false)
	send("a group as address", change(func(n *membership.Node) { n.Endpoints = []netip.Addr{netip.MustParseAddr("ff02::fb")} }), false)
	send("a path as link", change(func(n *membership.Node) { n.Links = []membership.Name{"../../../etc/passwd"} }), false)
	send("another tinc key", change(func(n *membership.Node) { n.RSA = x509.MarshalPKCS1PublicKey(&other.PublicKey) }), false)
	send("control characters as version", change(func(n *membership.Node) { n.Agent = "\x1b[2J" }), false)
	send("another mesh", change(func(n *membership.Node) { n.Mesh[0]++ }), false)
	send("the victim's key, by this node", change(func(n *membership.Node) {
		var v membership.Node
		json.Unmarshal(victim.Record.Record.Payload, &v)
		n.Key = v.Key
	}), false)
	send("the victim's record", victim.Record, false)
	send("the victim's chain", membership.NodeRecord{Chain: victim.Chain, Record: change(func(*membership.Node) {}).Record}, false)
	payload, _ := json.Marshal(mine)
	payload = bytes.Replace(payload, []byte(`"v":1`), []byte(`"v":1,"ProxyCommand":"x","Address":"evil\nConnectTo = evil","tinc-up":"#!/bin/sh"`), 1)
	payload = bytes.Replace(payload, fmt.Appendf(nil, `"seq":%d`, mine.Seq), fmt.Appendf(nil, `"seq":%d`, seq), 1)
	send("fields of no record", membership.NodeRecord{Chain: me.Chain, Record: sign("node", payload)}, true)
}

// evilSerf is a gossip of any name; the address is the node's.
func evilSerf(t *testing.T, name, bind string, port int, keys membership.GossipKeys, tags map[string]string) *serf.Serf {
	t.Helper()
	conf := serf.DefaultConfig()
	conf.Init()
	conf.NodeName, conf.Tags = name, tags
	conf.EnableNameConflictResolution = false
	conf.MemberlistConfig = memberlist.DefaultWANConfig()
	m := conf.MemberlistConfig
	m.BindAddr, m.BindPort, m.AdvertiseAddr, m.AdvertisePort = bind, port, bind, port
	ring, err := memberlist.NewKeyring(keys.Keys, keys.Keys[0])
	if err != nil {
		t.Fatal(err)
	}
	m.Keyring = ring
	conf.Logger = log.New(io.Discard, "", 0)
	m.Logger = conf.Logger
	s, err := serf.Create(conf)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// evilGossip tells lies: names that are paths, the victim's name at another
// address with another record, a name that belongs to nobody, other keys.
func evilGossip(t *testing.T) {
	me := readPlace(t, os.Getenv("EVIL_ROOT"))
	self := os.Getenv("EVIL_SELF")
	tags := map[string]string{"n": "AAAAAAAAAAAAAAAA", "s": "BBBBBBBBBBBBBBBB", "r": "../../../../etc", "k": "18446744073709551615.AAAAAAAAAAAA"}
	var all []*serf.Serf
	for i, name := range []string{"../../../etc/passwd", os.Getenv("EVIL_VICTIM"), "c000000000000", "c" + strings.Repeat("f", 11) + "\n", strings.Repeat("n", 120)} {
		s := evilSerf(t, name, self, 8000+i, me.Keys, tags)
		n, err := s.Join([]string{net.JoinHostPort(os.Getenv("EVIL_OVER"), "7946")}, true)
		fmt.Printf("%.40q: met %d, %v\n", name, n, err)
		all = append(all, s)
	}
	for i := range 20 { // events and queries that nobody asked for
		all[0].UserEvent("evil", make([]byte, 256), false)
		all[2].Query("evil", []byte{byte(i)}, nil)
	}
	time.Sleep(8 * time.Second)
	for _, s := range all {
		s.Shutdown() // without a goodbye
	}
}

// evilLeaked has the gossip's key and is no member.
func evilLeaked(t *testing.T) {
	stolen := readPlace(t, os.Getenv("EVIL_KEYS"))
	at := os.Getenv("EVIL_AT")
	var bind string
	addrs, _ := net.InterfaceAddrs()
	for _, a := range addrs {
		if p, err := netip.ParsePrefix(a.String()); err == nil && p.Addr().Is4() && !p.Addr().IsLoopback() {
			bind = p.Addr().String()
		}
	}
	s := evilSerf(t, "c111111111111", bind, 7946, stolen.Keys, nil)
	defer s.Shutdown()
	for _, to := range []string{net.JoinHostPort(at, "7946"), net.JoinHostPort(os.Getenv("EVIL_OVER"), "7946")} {
		if n, err := s.Join([]string{to}, true); n != 0 || err == nil {
			t.Errorf("the gossip answers at %s", to)
		} else {
			fmt.Printf("%s: %v\n", to, err)
		}
	}
	// The catalogue is for members as well.
	conf := &tls.Config{InsecureSkipVerify: true}
	c, err := tls.Dial("tcp", net.JoinHostPort(at, "7655"), conf)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	fmt.Fprintf(c, "GET /v1/revocations HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
	answer, _ := io.ReadAll(c)
	if !bytes.Contains(answer, []byte("403")) {
		t.Errorf("a stranger gets %q", answer)
	}
}

// evilFlood holds connections, speaks half a sentence, and asks all the time,
// until it is killed.
func evilFlood(t *testing.T) {
	at := net.JoinHostPort(os.Getenv("EVIL_AT"), "7655")
	conf := &tls.Config{InsecureSkipVerify: true}
	for range 300 { // silent ones
		go func() {
			for {
				if c, err := net.DialTimeout("tcp", at, 5*time.Second); err == nil {
					io.Copy(io.Discard, c)
					c.Close()
				}
				time.Sleep(200 * time.Millisecond)
			}
		}()
	}
	junk := bytes.Repeat([]byte("x"), 1<<20)
	for range 8 { // loud ones
		go func() {
			for {
				c, err := tls.DialWithDialer(&net.Dialer{Timeout: 5 * time.Second}, "tcp", at, conf)
				if err == nil {
					fmt.Fprintf(c, "POST /v1/join HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n", len(junk))
					c.Write(junk)
					c.Close()
				}
				time.Sleep(50 * time.Millisecond)
			}
		}()
	}
	time.Sleep(5 * time.Minute)
}
