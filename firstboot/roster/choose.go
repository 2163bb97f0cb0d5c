package roster

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"slices"

	"cloudy/firstboot/membership"
)

// K is how many links a node holds. With three to random members the mesh
// stays whole when nodes go, at a ninth of the links of connecting to
// everybody among 43.
const K = 3

// Rendezvous is how many members keep a node's host file beside those it
// names in its record, so that it finds a way in when all its links died.
const Rendezvous = 5

// rank orders candidates for a node by highest random weight (Thaler and
// Ravishankar, 1998): every member comes to the same order, and one that
// goes or comes changes no other's place.
func rank(of membership.Name, candidates []membership.Name) []membership.Name {
	weight := func(c membership.Name) uint64 {
		sum := sha256.Sum256([]byte("cloudy-rendezvous/1|" + string(of) + "|" + string(c)))
		return binary.BigEndian.Uint64(sum[:])
	}
	out := slices.Clone(candidates)
	slices.SortFunc(out, func(a, b membership.Name) int {
		return cmp.Or(cmp.Compare(weight(b), weight(a)), cmp.Compare(a, b))
	})
	return out
}

// Links chooses whom self connects to: what it has is kept while it lives;
// then its inviter, then by rendezvous order, up to K. Only members with an
// address can be connected to. Two nodes do not link to each other both ways:
// tinc would set up two connections at once and drop both. alive nil means
// that nobody's state is known.
func (r *Roster) Links(self membership.Key, inviter membership.Key, have []membership.Name, alive map[membership.Name]bool) []membership.Name {
	usable := map[membership.Name]bool{}
	var names []membership.Name
	for _, m := range r.Members() {
		if m.Node.Key == self || len(m.Node.Endpoints) == 0 {
			continue
		}
		if alive != nil && !alive[m.Name()] {
			continue
		}
		if slices.Contains(m.Node.Links, self.Name()) && (!slices.Contains(have, m.Name()) || self.Name() > m.Name()) {
			continue
		}
		usable[m.Name()] = true
		names = append(names, m.Name())
	}
	var out []membership.Name
	add := func(n membership.Name) {
		if len(out) < K && usable[n] && !slices.Contains(out, n) {
			out = append(out, n)
		}
	}
	for _, n := range have {
		add(n)
	}
	add(inviter.Name())
	for _, n := range rank(self.Name(), names) {
		add(n)
	}
	slices.Sort(out)
	return out
}

// Keeps returns the members whose host files self keeps: those it links to,
// those who say that they link to it, those it admitted, and those for whom
// it is one of the rendezvous.
func (r *Roster) Keeps(self membership.Key, links []membership.Name) []Member {
	members := r.Members()
	var names []membership.Name
	for _, m := range members {
		if len(m.Node.Endpoints) > 0 {
			names = append(names, m.Name())
		}
	}
	var out []Member
	for _, m := range members {
		name := m.Name()
		if m.Node.Key == self {
			continue
		}
		keep := slices.Contains(links, name) || slices.Contains(m.Node.Links, self.Name()) || m.Inviter() == self
		if !keep {
			others := slices.DeleteFunc(slices.Clone(names), func(n membership.Name) bool { return n == name })
			top := rank(name, others)
			keep = slices.Contains(top[:min(Rendezvous, len(top))], self.Name())
		}
		if keep {
			out = append(out, m)
		}
	}
	return out
}

// Salt returns the lowest salt from the given one on that gives key an IPv4
// address that no other known member has.
func (r *Roster) Salt(key membership.Key, from uint32) uint32 {
	taken := map[string]bool{}
	for _, m := range r.Members() {
		if m.Node.Key != key {
			taken[r.mesh.Address4(m.Node.Key, m.Node.Salt).String()] = true
		}
	}
	for salt := from; ; salt++ {
		if !taken[r.mesh.Address4(key, salt).String()] || salt-from > 1000 {
			return salt
		}
	}
}

// Yields says whether self, with that salt, has the IPv4 address of another
// member and is the one that must take another: the larger key yields.
func (r *Roster) Yields(self membership.Key, salt uint32) (to membership.Name, yes bool) {
	mine := r.mesh.Address4(self, salt)
	for _, m := range r.Members() {
		if m.Node.Key != self && r.mesh.Address4(m.Node.Key, m.Node.Salt) == mine && bytes.Compare(self[:], m.Node.Key[:]) > 0 {
			return m.Name(), true
		}
	}
	return "", false
}

// Rendezvous returns up to n members with an address that a node may connect
// to, in its rendezvous order. alive nil means that nobody's state is known.
func (r *Roster) Rendezvous(of membership.Key, n int, alive map[membership.Name]bool) []Member {
	var names []membership.Name
	for _, m := range r.Members() {
		if m.Node.Key != of && len(m.Node.Endpoints) > 0 && (alive == nil || alive[m.Name()]) {
			names = append(names, m.Name())
		}
	}
	var out []Member
	for _, name := range rank(of.Name(), names) {
		if m, ok := r.Get(name); ok && len(out) < n {
			out = append(out, m)
		}
	}
	return out
}
