package roster

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"errors"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"

	"cloudy/firstboot/membership"
)

var rsaDER = sync.OnceValue(func() []byte {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		panic(err)
	}
	return x509.MarshalPKCS1PublicKey(&key.PublicKey)
})

func key(n byte) ed25519.PrivateKey {
	seed := make([]byte, ed25519.SeedSize)
	seed[0] = n
	return ed25519.NewKeyFromSeed(seed)
}

func pub(n byte) membership.Key { return membership.KeyOf(key(n)) }

type world struct {
	t    *testing.T
	mesh membership.Mesh
	dir  string
	*Roster
}

// newWorld is a roster of a mesh whose root is key 0.
func newWorld(t *testing.T, prefix4 string) *world {
	t.Helper()
	m, err := membership.NewMesh(membership.Genesis{Network: "test", Roots: []membership.Key{pub(0)}, Mode: "switch", Prefix4: prefix4, MDNS: "auto"})
	if err != nil {
		t.Fatal(err)
	}
	w := &world{t: t, mesh: m, dir: t.TempDir()}
	w.open()
	return w
}

func (w *world) open() []error {
	w.t.Helper()
	r, skipped, err := Open(w.mesh, w.dir)
	if err != nil {
		w.t.Fatal(err)
	}
	w.Roster = r
	return skipped
}

// node adds member n with that sequence number.
func (w *world) node(n byte, seq uint64, change func(*membership.Node)) (bool, error) {
	w.t.Helper()
	chain, err := membership.Admit(key(0), w.mesh, nil, membership.Certificate{Key: pub(n), RSA: membership.HashOf(rsaDER()), Role: membership.RoleNode})
	if err != nil {
		w.t.Fatal(err)
	}
	node := membership.Node{
		Mesh: w.mesh.ID, Seq: seq, Host: "n", RSA: rsaDER(), Endpoints: []netip.Addr{netip.AddrFrom4([4]byte{10, 0, 0, n + 1})}, TincPort: 655, JoinPort: 7655,
	}
	if change != nil {
		change(&node)
	}
	rec, err := membership.SignNode(key(n), chain, node)
	if err != nil {
		w.t.Fatal(err)
	}
	return w.AddNode(rec)
}

func TestSequence(t *testing.T) {
	w := newWorld(t, "100.64.0.0/10")
	for _, tt := range []struct {
		seq  uint64
		news bool
	}{{2, true}, {2, false}, {1, false}, {3, true}} {
		if news, err := w.node(1, tt.seq, nil); err != nil || news != tt.news {
			t.Errorf("sequence %d: %v, %v", tt.seq, news, err)
		}
	}
	if m, ok := w.Get(pub(1).Name()); !ok || m.Node.Seq != 3 {
		t.Errorf("%+v", m)
	}
	if skipped := w.open(); len(skipped) > 0 || len(w.Members()) != 1 {
		t.Errorf("read back: %v, %d members", skipped, len(w.Members()))
	}
	// A damaged file costs one member.
	w.node(2, 1, nil)
	os.WriteFile(filepath.Join(w.dir, "nodes", string(pub(1).Name())+".json"), []byte("{"), 0o600)
	if skipped := w.open(); len(skipped) != 1 || len(w.Members()) != 1 {
		t.Errorf("with a damaged file: %v, %d members", skipped, len(w.Members()))
	}
}

func TestRevocationLasts(t *testing.T) {
	w := newWorld(t, "100.64.0.0/10")
	w.node(1, 1, nil)
	w.node(2, 1, nil)
	revoke := func(by, whom byte) error {
		s, err := membership.SignRevocation(key(by), membership.Revocation{Mesh: w.mesh.ID, Key: pub(whom)})
		if err != nil {
			t.Fatal(err)
		}
		_, err = w.AddRevocation(s)
		return err
	}
	if err := revoke(9, 1); !errors.Is(err, ErrUnfit) {
		t.Errorf("by a stranger: %v", err)
	}
	if err := revoke(2, 1); err != nil {
		t.Error(err)
	}
	if len(w.Members()) != 2 {
		t.Error("a member put out one that it did not admit")
	}
	if err := revoke(0, 1); err != nil {
		t.Error(err)
	}
	_, before := w.Revocations()
	w.open()
	if _, after := w.Revocations(); after != before || after == "" {
		t.Errorf("digest %q, read back %q", before, after)
	}
	if _, ok := w.Get(pub(1).Name()); ok {
		t.Error("the revoked member is there")
	}
	if _, err := w.node(1, 5, nil); !errors.Is(err, membership.ErrRevoked) {
		t.Errorf("the revoked member comes back: %v", err)
	}
}

// TestHoldersMeet: whoever a node links to keeps its host file, and enough
// others do.
func TestHoldersMeet(t *testing.T) {
	w := newWorld(t, "100.64.0.0/10")
	const n = 40
	links := map[byte][]membership.Name{}
	for i := range byte(n) {
		links[i] = w.Links(pub(i), pub(0), nil, nil)
		if _, err := w.node(i, 1, func(x *membership.Node) { x.Links = links[i] }); err != nil {
			t.Fatal(err)
		}
	}
	holders := map[membership.Name]int{}
	for i := range byte(n) {
		var kept []membership.Name
		for _, m := range w.Keeps(pub(i), links[i]) {
			kept = append(kept, m.Name())
			holders[m.Name()]++
		}
		for j := range byte(n) {
			if slices.Contains(links[j], pub(i).Name()) && !slices.Contains(kept, pub(j).Name()) {
				t.Errorf("%d links to %d, which does not keep its file", j, i)
			}
		}
	}
	for i := range byte(n) {
		if i > K && len(links[i]) != K {
			t.Errorf("node %d has %d links", i, len(links[i]))
		}
		if holders[pub(i).Name()] < Rendezvous {
			t.Errorf("node %d has %d holders", i, holders[pub(i).Name()])
		}
	}
	// A dead link is replaced, the others stay.
	alive := map[membership.Name]bool{}
	for i := range byte(n) {
		alive[pub(i).Name()] = true
	}
	have := links[n-1]
	delete(alive, have[0])
	now := w.Links(pub(n-1), pub(0), have, alive)
	if len(now) != K || slices.Contains(now, have[0]) || !slices.Contains(now, have[1]) || !slices.Contains(now, have[2]) {
		t.Errorf("links %v became %v", have, now)
	}
}

func TestAddressConflict(t *testing.T) {
	// 14 addresses for 10 nodes: they meet.
	w := newWorld(t, "10.9.8.0/28")
	for i := range byte(10) {
		salt := w.Salt(pub(i), 0)
		if _, err := w.node(i, 1, func(x *membership.Node) { x.Salt = salt }); err != nil {
			t.Fatal(err)
		}
	}
	seen := map[netip.Addr]bool{}
	for _, m := range w.Members() {
		seen[w.mesh.Address4(m.Node.Key, m.Node.Salt)] = true
	}
	if len(seen) != 10 {
		t.Fatalf("10 nodes have %d addresses", len(seen))
	}
	// Two partitions admitted one each, with the same address: of the two
	// exactly one yields.
	w = newWorld(t, "10.9.8.0/28")
	for i := range byte(30) {
		w.node(i, 1, nil)
	}
	for i := range byte(30) {
		for j := range i {
			if w.mesh.Address4(pub(i), 0) != w.mesh.Address4(pub(j), 0) {
				continue
			}
			pair := newWorld(t, "10.9.8.0/28")
			pair.node(i, 1, nil)
			pair.node(j, 1, nil)
			_, a := pair.Yields(pub(i), 0)
			_, b := pair.Yields(pub(j), 0)
			if a == b {
				t.Errorf("%d and %d: yield %v and %v", i, j, a, b)
			}
			return
		}
	}
	t.Error("30 nodes in 14 addresses, and none met")
}

// TestAmong: who is among the first is so by the whole order, too.
func TestAmong(t *testing.T) {
	var names []membership.Name
	for i := range 30 {
		names = append(names, pub(byte(i)).Name())
	}
	for _, of := range names[:10] {
		others := slices.DeleteFunc(slices.Clone(names), func(n membership.Name) bool { return n == of })
		top := rank(of, others)[:Rendezvous]
		for _, self := range others {
			if got, want := among(self, of, names, Rendezvous), slices.Contains(top, self); got != want {
				t.Errorf("%s among the first of %s: %v", self, of, got)
			}
		}
	}
	if among(names[0], names[1], names[1:], Rendezvous) {
		t.Error("who is no candidate is among the first")
	}
}

// TestKnown: what is known is not verified again, and nothing else is taken for
// it: not the same words with another signature, nor what was known before.
func TestKnown(t *testing.T) {
	w := newWorld(t, "100.64.0.0/10")
	var recs []membership.NodeRecord
	var lists []membership.Signed
	for seq := range uint64(3) {
		w.node(1, seq+1, nil)
		m, _ := w.Get(pub(1).Name())
		recs = append(recs, m.Record)
		list, err := membership.SignServices(key(1), membership.Services{Mesh: w.mesh.ID, Seq: seq + 1})
		if err != nil {
			t.Fatal(err)
		}
		if news, err := w.AddServices(list); err != nil || !news {
			t.Fatalf("%t, %v", news, err)
		}
		lists = append(lists, list)
	}
	if len(w.whose) != 2 {
		t.Errorf("%d statements of one member are kept", len(w.whose))
	}
	for i := range recs {
		if _, ok := w.owner(recs[i].Record); ok != (i == 2) {
			t.Errorf("record %d is known: %t", i+1, ok)
		}
		news, err := w.AddNode(recs[i])
		more, err2 := w.AddServices(lists[i])
		if news || more || err != nil || err2 != nil {
			t.Errorf("again: %t, %v, %t, %v", news, err, more, err2)
		}
	}
	forged := recs[2]
	forged.Record.Sig = slices.Clone(forged.Record.Sig)
	forged.Record.Sig[5]++
	if _, err := w.AddNode(forged); !errors.Is(err, membership.ErrSignature) {
		t.Errorf("another signature: %v", err)
	}
	list := lists[2]
	list.Sig = slices.Clone(list.Sig)
	list.Sig[5]++
	if _, err := w.AddServices(list); !errors.Is(err, membership.ErrSignature) {
		t.Errorf("another signature: %v", err)
	}
	rev, err := membership.SignRevocation(key(0), membership.Revocation{Mesh: w.mesh.ID, Key: pub(1)})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.AddRevocation(rev); err != nil || len(w.whose) != 0 {
		t.Errorf("%v, and %d statements of nobody are kept", err, len(w.whose))
	}
	if _, err := w.AddNode(recs[2]); !errors.Is(err, membership.ErrRevoked) {
		t.Errorf("of one who is out: %v", err)
	}
}
