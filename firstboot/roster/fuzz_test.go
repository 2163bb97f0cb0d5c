package roster

import (
	"encoding/json"
	"os"
	"path/filepath"
	"testing"

	"cloudy/firstboot/membership"
)

// FuzzFiles opens a roster with anything in its files, as a card with bad
// blocks has: it opens, and whatever is in it verifies.
func FuzzFiles(f *testing.F) {
	m, add := fuzzMesh(f)
	for _, data := range add {
		f.Add(data)
	}
	f.Add([]byte("{}"))
	f.Add([]byte{0, 0, 0, 0})
	f.Fuzz(func(t *testing.T, data []byte) {
		dir := t.TempDir()
		for _, sub := range []string{"nodes", "services", "revocations"} {
			if err := os.MkdirAll(filepath.Join(dir, sub), 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(filepath.Join(dir, sub, "x.json"), data, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		r, _, err := Open(m, dir)
		if err != nil {
			t.Fatal(err)
		}
		for _, x := range r.Members() {
			if _, _, err := x.Record.Verify(m); err != nil || !x.Name().Valid() {
				t.Errorf("%s: %v", x.Name(), err)
			}
			if x.Services != nil {
				if _, err := membership.VerifyServices(x.Signed, m); err != nil {
					t.Error(err)
				}
			}
		}
		r.Revocations()
	})
}

// fuzzMesh is a mesh, and files of it that are right.
func fuzzMesh(f *testing.F) (membership.Mesh, [][]byte) {
	m, err := membership.NewMesh(membership.Genesis{Network: "test", Roots: []membership.Key{pub(0)}, Mode: "switch", Prefix4: "100.64.0.0/10", MDNS: "auto"})
	if err != nil {
		f.Fatal(err)
	}
	chain, err := membership.Admit(key(0), m, nil, membership.Certificate{Key: pub(1), RSA: membership.HashOf(rsaDER()), Role: membership.RoleNode})
	if err != nil {
		f.Fatal(err)
	}
	rec, err := membership.SignNode(key(1), chain, membership.Node{Mesh: m.ID, Seq: 1, Host: "n", RSA: rsaDER(), TincPort: 1, JoinPort: 1})
	if err != nil {
		f.Fatal(err)
	}
	list, err := membership.SignServices(key(1), membership.Services{Mesh: m.ID, Seq: 1, List: []membership.Service{{Name: "a", Type: "_http._tcp", Port: 1}}})
	if err != nil {
		f.Fatal(err)
	}
	rev, err := membership.SignRevocation(key(0), membership.Revocation{Mesh: m.ID, Key: pub(1)})
	if err != nil {
		f.Fatal(err)
	}
	var out [][]byte
	for _, v := range []any{rec, list, rev} {
		data, err := json.Marshal(v)
		if err != nil {
			f.Fatal(err)
		}
		out = append(out, data)
	}
	return m, out
}
