package membership

import (
	"encoding/json"
	"testing"
)

// FuzzGossipTags: what the gossip says of keys is compared, never trusted. Of
// two tags at most one is newer, and none is newer than itself.
func FuzzGossipTags(f *testing.F) {
	tag := GossipKeys{Epoch: 3, Keys: [][]byte{make([]byte, gossipKeySize)}}.Tag()
	f.Add(tag, GossipKeys{Epoch: 4, Keys: [][]byte{make([]byte, gossipKeySize)}}.Tag())
	f.Add(tag, "")
	f.Add("18446744073709551615.AAAAAAAAAAAA", "18446744073709551616.AAAAAAAAAAAA")
	f.Add("+1.AAAAAAAAAAAA", "1.AAAAAAAAAAAA")
	f.Fuzz(func(t *testing.T, a, b string) {
		if Newer(a, a) && a != "" && Newer(b, b) {
			t.Errorf("%q or %q is newer than itself", a, b)
		}
		if Newer(a, b) && Newer(b, a) {
			t.Errorf("%q and %q are each newer than the other", a, b)
		}
		if Newer(a, tag) && Newer(tag, b) && !Newer(a, b) {
			t.Errorf("%q is newer than %q, that than %q, and the first not than the last", a, tag, b)
		}
	})
}

// FuzzGossipKeys: keys that pass their check can be named and used.
func FuzzGossipKeys(f *testing.F) {
	add := func(g GossipKeys) {
		b, err := json.Marshal(g)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	key := make([]byte, gossipKeySize)
	add(GossipKeys{Epoch: 1, Keys: [][]byte{key}})
	add(GossipKeys{Epoch: 1<<64 - 1, Keys: [][]byte{key, key, key}})
	add(GossipKeys{Keys: [][]byte{key[:16], nil}})
	f.Fuzz(func(t *testing.T, data []byte) {
		var g GossipKeys
		if json.Unmarshal(data, &g) != nil {
			return
		}
		tag := g.Tag()
		if g.Check() != nil {
			return
		}
		if len(g.Keys) < 1 || len(g.Keys) > 3 || len(g.Keys[0]) != gossipKeySize {
			t.Errorf("%+v", g)
		}
		if Newer(tag, tag) || !Newer(tag, "") {
			t.Errorf("tag %q", tag)
		}
	})
}

// FuzzRecord reads what a member would store of another: it verifies again
// after it was written, with the same digest.
func FuzzRecord(f *testing.F) {
	m := testMesh(f, 1)
	rec, err := SignNode(key(11), admit(f, m, 1, nil, 11, RoleNode), Node{Mesh: m.ID, Host: "a", RSA: rsaDER(), TincPort: 1, JoinPort: 1, Seq: 7})
	if err != nil {
		f.Fatal(err)
	}
	b, err := json.Marshal(rec)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b)
	f.Add([]byte(`{"chain":[],"record":{"p":"","s":""}}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		var r NodeRecord
		if json.Unmarshal(data, &r) != nil {
			return
		}
		n, certs, err := r.Verify(m)
		if err != nil {
			return
		}
		// The fuzzer has no key: this is what was signed, whatever is around it.
		if n.Key != KeyOf(key(11)) || n.Seq != 7 || certs[0].Key != n.Key {
			t.Fatalf("a record that nobody signed: %+v", n)
		}
		again, err := json.Marshal(r)
		if err != nil {
			t.Fatal(err)
		}
		var back NodeRecord
		if err := json.Unmarshal(again, &back); err != nil || back.Record.Digest() != r.Record.Digest() {
			t.Errorf("another record after it was stored: %v", err)
		}
		if _, _, err := back.Verify(m); err != nil {
			t.Errorf("stored, and no longer right: %v", err)
		}
	})
}
