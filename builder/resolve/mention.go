package resolve

// Between two providers that are equal in all else apt takes the one whose
// name it met last while reading the indexes, be it as a package or in another
// package's relation. That sounds arbitrary, and is, but it decides real
// cases, so the order of first mention is computed here, once, when the first
// such case comes up.

// later says whether apt met a after b.
func (u *Universe) later(a, b *pkg) bool {
	u.mentions.Do(u.readMentions)
	return u.rank[a.idx] > u.rank[b.idx]
}

func (u *Universe) readMentions() {
	m := mentioner{u: u, rank: make([]int32, len(u.pkgs))}
	// Only packages that share a provided name with another package can ever
	// be compared. A bit for a hash of their names passes over all others.
	for _, g := range u.groups {
		for i := range g.provs {
			if g.provs[i].owner.pkg.group != g.provs[0].owner.pkg.group || len(g.pkgs) > 0 {
				for _, p := range g.provs {
					m.expect(p.owner.pkg.group.name)
				}
				m.expect(g.name)
				break
			}
		}
	}
	for _, v := range u.versions {
		m.see(v.pkg)
		p := v.p
		for _, field := range [...]struct {
			text string
			// apt makes no package for the name in a negative relation or
			// replacement when it has met it in any architecture.
			onlyNew bool
		}{
			{p.PreDepends, false}, {p.Depends, false}, {p.Conflicts, true}, {p.Breaks, true}, {p.Recommends, false},
			{p.Suggests, false}, {p.Replaces, true}, {p.Enhances, false}, {p.Provides, v.foreign},
		} {
			if field.text != "" {
				m.field(field.text, v.pkg.arch, field.onlyNew)
			}
		}
	}
	u.rank = m.rank
}

type mentioner struct {
	u    *Universe
	rank []int32 // zero: not met yet
	n    int32
	bits [1 << 12]uint64
}

// hashStep is one step of FNV-1a.
func hashStep(h uint32, c byte) uint32 { return (h ^ uint32(c)) * 16777619 }

const (
	hashStart = 2166136261
	hashMask  = 1<<18 - 1
)

func (m *mentioner) expect(name string) {
	h := uint32(hashStart)
	for i := range len(name) {
		h = hashStep(h, name[i])
	}
	h = (h ^ h>>16) & hashMask
	m.bits[h>>6] |= 1 << (h & 63)
}

func (m *mentioner) see(k *pkg) {
	if m.rank[k.idx] == 0 {
		m.n++
		m.rank[k.idx] = m.n
	}
}

// field takes the names out of a relationship field. It looks for names only,
// so it does without the full parser, which would cost ten times as much.
func (m *mentioner) field(s, arch string, onlyNew bool) {
	for i := 0; i < len(s); {
		c := s[i]
		if c == ' ' || c == ',' || c == '|' || c == '\n' || c == '\t' {
			i++
			continue
		}
		start, h := i, uint32(hashStart)
		for i < len(s) {
			if c = s[i]; c <= ' ' || c == ',' || c == '|' || c == '(' || c == ':' {
				break
			}
			h = hashStep(h, c)
			i++
		}
		h = (h ^ h>>16) & hashMask
		// A name with an architecture is another package to apt.
		if m.bits[h>>6]&(1<<(h&63)) != 0 && (i >= len(s) || s[i] != ':') {
			m.name(s[start:i], arch, onlyNew)
		}
		for i < len(s) && s[i] != ',' && s[i] != '|' {
			i++
		}
	}
}

func (m *mentioner) name(name, arch string, onlyNew bool) {
	g := m.u.groups[name]
	if g == nil || len(g.pkgs) == 0 {
		return
	}
	if onlyNew {
		for _, k := range g.pkgs {
			if m.rank[k.idx] != 0 {
				return
			}
		}
	}
	if k := g.pkg(arch); k != nil {
		m.see(k)
	}
}
