package simulate

import (
	"crypto/ed25519"
	"crypto/x509"
	"encoding/binary"
	"fmt"
	"math/big"
	"math/rand/v2"
	"net/netip"

	"crypto/rsa"

	"cloudy/firstboot/membership"
	"cloudy/firstboot/roster"
)

// community is a mesh's members with the very records, chains and links that
// the agent would make: keys from a seed, links by roster.Links out of what a
// newcomer is told when it joins.
type community struct {
	mesh    membership.Mesh
	records []membership.NodeRecord
	links   [][]int // of each member, to members by number
}

// newCommunity founds a mesh and lets n-1 newcomers in, one after the other,
// all by the founder's invitation.
func newCommunity(seed uint64, n int) *community {
	r := rand.New(rand.NewPCG(seed, 7))
	key := func() ed25519.PrivateKey {
		raw := make([]byte, ed25519.SeedSize)
		for i := 0; i < len(raw); i += 8 {
			binary.LittleEndian.PutUint64(raw[i:], r.Uint64())
		}
		return ed25519.NewKeyFromSeed(raw)
	}
	check := func(err error) {
		if err != nil {
			panic("simulate: " + err.Error())
		}
	}
	// A number of the right length stands for tinc's key: nobody uses it.
	modulus := new(big.Int).Lsh(big.NewInt(1), 2047)
	for i := range 31 {
		modulus.Or(modulus, new(big.Int).Lsh(new(big.Int).SetUint64(r.Uint64()), uint(64*i)))
	}
	tinc := x509.MarshalPKCS1PublicKey(&rsa.PublicKey{N: modulus.SetBit(modulus, 0, 1), E: 65537})
	root := key()
	mesh, err := membership.NewMesh(membership.Genesis{
		Network: "scale", Roots: []membership.Key{membership.KeyOf(root)}, Mode: "switch", Prefix4: "100.64.0.0/10", MDNS: "auto",
	})
	check(err)
	c := &community{mesh: mesh, links: make([][]int, n)}
	known := roster.Memory(mesh) // the founder's
	number := map[membership.Name]int{}
	for i := range n {
		private, role := root, membership.RoleInviter
		if i > 0 {
			private, role = key(), membership.RoleNode
		}
		self := membership.KeyOf(private)
		chain, err := membership.Admit(root, mesh, nil, membership.Certificate{Key: self, RSA: membership.HashOf(tinc), Role: role, Issued: 1_800_000_000})
		check(err)
		node := membership.Node{
			Mesh: mesh.ID, Seq: 2, Host: fmt.Sprintf("node-%d", i), RSA: tinc, TincPort: 655, JoinPort: 7655, Agent: "0123456789ab",
			Endpoints: []netip.Addr{netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)})},
		}
		if i > 0 {
			// What the founder's welcome brings: its own record and
			// those of the rendezvous.
			mine := roster.Memory(mesh)
			told := []membership.NodeRecord{c.records[0]}
			for _, m := range known.Rendezvous(self, roster.Rendezvous, nil) {
				told = append(told, m.Record)
			}
			for _, rec := range told {
				_, err := mine.AddNode(rec)
				check(err)
			}
			node.Links = mine.Links(self, membership.KeyOf(root), nil, nil)
			for _, l := range node.Links {
				c.links[i] = append(c.links[i], number[l])
			}
		}
		rec, err := membership.SignNode(private, chain, node)
		check(err)
		_, err = known.AddNode(rec)
		check(err)
		c.records = append(c.records, rec)
		number[self.Name()] = i
	}
	return c
}
