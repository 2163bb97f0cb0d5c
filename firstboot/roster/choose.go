package roster

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"net/netip"
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

// weight is how much a candidate weighs for a node: who weighs most ranks
// first (highest random weight; Thaler and Ravishankar, 1998). Every member
// comes to the same order, and one that goes or comes changes no other's place.
func weight(of, candidate membership.Name) uint64 {
	text := make([]byte, 0, 64)
	text = append(append(append(append(text, "cloudy-rendezvous/1|"...), of...), '|'), candidate...)
	sum := sha256.Sum256(text)
	return binary.BigEndian.Uint64(sum[:])
}

// rank orders candidates for a node.
func rank(of membership.Name, candidates []membership.Name) []membership.Name {
	type weighed struct {
		name   membership.Name
		weight uint64
	}
	list := make([]weighed, len(candidates))
	for i, c := range candidates {
		list[i] = weighed{c, weight(of, c)}
	}
	slices.SortFunc(list, func(a, b weighed) int {
		return cmp.Or(cmp.Compare(b.weight, a.weight), cmp.Compare(a.name, b.name))
	})
	out := make([]membership.Name, len(list))
	for i, x := range list {
		out[i] = x.name
	}
	return out
}

// among says whether self is one of the first n in a node's rank, without
// making all of it. The node itself does not count.
func among(self, of membership.Name, candidates []membership.Name, n int) bool {
	mine, before := weight(of, self), 0
	for _, c := range candidates {
		if c == of || c == self {
			continue
		}
		if w := weight(of, c); w > mine || w == mine && c < self {
			if before++; before == n {
				return false
			}
		}
	}
	return slices.Contains(candidates, self)
}

// Links chooses whom self connects to: what it has is kept while it lives;
// then its inviter, then by rendezvous order, up to K. Only members with an
// address can be connected to. Two nodes do not link to each other both ways:
// tinc would set up two connections at once and drop both. alive nil means
// that nobody's state is known.
func (r *Roster) Links(self membership.Key, inviter membership.Key, have []membership.Name, alive map[membership.Name]bool) []membership.Name {
	own := self.Name()
	usable := map[membership.Name]bool{}
	var names []membership.Name
	for _, m := range r.Members() {
		if m.Node.Key == self || len(m.Node.Endpoints) == 0 {
			continue
		}
		if alive != nil && !alive[m.Name()] {
			continue
		}
		if slices.Contains(m.Node.Links, own) && (!slices.Contains(have, m.Name()) || own > m.Name()) {
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
	if len(out) < K {
		for _, n := range rank(own, names) {
			add(n)
		}
	}
	slices.Sort(out)
	return out
}

// kept is an answer of Keeps, which takes a hash for each two members.
type kept struct {
	version uint64
	self    membership.Key
	links   []membership.Name
	out     []Member
}

// Keeps returns the members whose host files self keeps: those it links to,
// those who say that they link to it, those it admitted, and those for whom
// it is one of the rendezvous. The slice must not be changed.
func (r *Roster) Keeps(self membership.Key, links []membership.Name) []Member {
	r.mu.Lock()
	defer r.mu.Unlock()
	if k := r.kept; k.version == r.version && k.self == self && slices.Equal(k.links, links) {
		return k.out
	}
	members, own := r.list(), self.Name()
	var names []membership.Name
	for _, m := range members {
		if len(m.Node.Endpoints) > 0 {
			names = append(names, m.Name())
		}
	}
	var out []Member
	for _, m := range members {
		if m.Node.Key == self {
			continue
		}
		if slices.Contains(links, m.Name()) || slices.Contains(m.Node.Links, own) || m.Inviter() == self ||
			among(own, m.Name(), names, Rendezvous) {
			out = append(out, m)
		}
	}
	r.kept = kept{r.version, self, slices.Clone(links), out}
	return out
}

// Salt returns the lowest salt from the given one on that gives key an IPv4
// address that no other known member has.
func (r *Roster) Salt(key membership.Key, from uint32) uint32 {
	taken := map[netip.Addr]bool{}
	for _, m := range r.Members() {
		if m.Node.Key != key {
			taken[m.Address4] = true
		}
	}
	for salt := from; ; salt++ {
		if !taken[r.mesh.Address4(key, salt)] || salt-from > 1000 {
			return salt
		}
	}
}

// Yields says whether self, with that salt, has the IPv4 address of another
// member and is the one that must take another: the larger key yields.
func (r *Roster) Yields(self membership.Key, salt uint32) (to membership.Name, yes bool) {
	mine := r.mesh.Address4(self, salt)
	for _, m := range r.Members() {
		if m.Node.Key != self && m.Address4 == mine && bytes.Compare(self[:], m.Node.Key[:]) > 0 {
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
