package resolve

import (
	"fmt"

	"cloudy/builder/deb"
)

// kind is the field that a relation comes from.
type kind uint8

const (
	preDepends kind = iota
	depends
	conflicts
	breaks
	recommends
	suggests
)

var kindNames = [...]string{"Pre-Depends", "Depends", "Conflicts", "Breaks", "Recommends", "Suggests"}

func (k kind) String() string { return kindNames[k] }

func (k kind) negative() bool { return k == conflicts || k == breaks }

// critical relations must hold for a package to work.
func (k kind) critical() bool { return k <= breaks }

// clause is one item of a relationship field: alternatives of which one must
// be installed or, when negative, one relation whose targets must all be absent.
type clause struct {
	kind kind
	alts []alt
}

// alt is one alternative, with the versions that it names.
type alt struct {
	rel deb.Relation
	// prefer is the group whose own packages go before other providers.
	prefer *group
	target target
	// real is the package that the relation names, when there is one.
	real     *pkg
	implicit bool // between architectures of one package, not written down
	targets  []*version
}

func (c *clause) String() string {
	if c.kind.negative() && c.alts[0].implicit {
		return "one architecture at a time"
	}
	s := ""
	for i, a := range c.alts {
		if i > 0 {
			s += " | "
		}
		s += a.rel.String()
	}
	return s
}

// clauses returns the relations of a version in the order in which apt looks
// at them. The universe does not keep them: few packages are ever asked.
func (u *Universe) clauses(v *version) ([]clause, error) {
	var out []clause
	for _, field := range [...]struct {
		kind kind
		text string
	}{
		{preDepends, v.p.PreDepends}, {depends, v.p.Depends}, {conflicts, v.p.Conflicts}, {breaks, v.p.Breaks},
		{recommends, v.p.Recommends}, {suggests, v.p.Suggests},
	} {
		if field.text == "" {
			continue
		}
		rels, err := deb.ParseRelations(field.text)
		if err != nil {
			return nil, fmt.Errorf("%s: %s: %w", v.p, field.kind, err)
		}
		for _, or := range rels {
			if field.kind.negative() { // no alternatives there: each stands for itself
				for _, r := range or {
					out = append(out, clause{field.kind, []alt{u.negative(v, r)}})
				}
				continue
			}
			c := clause{field.kind, make([]alt, len(or))}
			for i, r := range or {
				c.alts[i] = u.positive(v, r)
			}
			out = append(out, c)
		}
	}
	return append(out, u.siblings(v)...), nil
}

// positive finds the versions that satisfy r, a relation of v.
func (u *Universe) positive(v *version, r deb.Relation) alt {
	a := alt{rel: r}
	g := u.groups[r.Name]
	if g == nil {
		return a
	}
	if r.Qualifier == "any" {
		a.target = target{g, "any"}
		for _, k := range g.pkgs {
			a.add(r, k.versions, func(t *version) bool { return t.allowed })
		}
		a.provided(r, g, func(p provide) bool { return p.owner.allowed && p.qualifier == "" || p.qualifier == "any" })
		return a
	}
	arch := v.pkg.arch
	switch r.Qualifier {
	case "":
		a.prefer = g
	case "native":
		arch = u.native
	default:
		arch = r.Qualifier
	}
	a.target = target{g, arch}
	a.real = g.pkg(arch)
	if a.real != nil {
		a.add(r, a.real.versions, nil)
	}
	if r.Qualifier != "" {
		a.provided(r, g, func(p provide) bool { return p.owner.pkg.arch == arch })
		return a
	}
	for _, k := range g.pkgs {
		if k.arch != arch {
			a.add(r, k.versions, func(t *version) bool { return t.foreign })
		}
	}
	a.provided(r, g, func(p provide) bool {
		if p.qualifier != "" {
			return p.qualifier == arch
		}
		return p.owner.foreign || p.owner.pkg.arch == arch
	})
	return a
}

// negative finds the versions that a Conflicts or Breaks of v excludes: of all
// architectures, but neither v's own package nor other providers of a name
// that v provides itself and conflicts with by another version of itself.
func (u *Universe) negative(v *version, r deb.Relation) alt {
	a := alt{rel: r}
	g := u.groups[r.Name]
	if g == nil {
		return a
	}
	a.target = target{g, v.pkg.arch}
	for _, k := range g.pkgs {
		switch {
		case r.Qualifier == "any" || r.Qualifier != "" && r.Qualifier != "native" && k.arch != r.Qualifier:
			continue
		case r.Qualifier == "native" && k.arch != u.native:
			continue
		case g == v.pkg.group && (k == v.pkg || v.same):
			continue
		}
		a.add(r, k.versions, nil)
	}
	a.provided(r, g, func(p provide) bool {
		if p.owner.pkg.group == v.pkg.group {
			return false
		}
		switch r.Qualifier {
		case "":
			return true
		case "any":
			return p.owner.allowed
		case "native":
			return p.owner.pkg.arch == u.native
		}
		return p.owner.pkg.arch == r.Qualifier
	})
	a.real = g.pkg(v.pkg.arch)
	return a
}

// provided returns the groups of the names that a version provides.
func (u *Universe) provided(v *version) []*group {
	rels, err := deb.ParseRelations(v.p.Provides)
	if err != nil {
		return nil // Add would not have taken it
	}
	var out []*group
	for _, or := range rels {
		for _, r := range or {
			if g := u.groups[r.Name]; g != nil {
				out = append(out, g)
			}
		}
	}
	return out
}

// siblings are the unwritten relations between the architectures of a
// package: Multi-Arch: same packages have to be of one version, of others
// there can be but one architecture.
func (u *Universe) siblings(v *version) []clause {
	var out []clause
	for _, k := range v.pkg.group.pkgs {
		if k == v.pkg {
			continue
		}
		a := alt{rel: deb.Relation{Name: k.group.name, Qualifier: k.arch}, real: k, implicit: true}
		for _, t := range k.versions {
			if !v.same || deb.CompareVersions(t.p.Version, v.p.Version) != 0 {
				a.targets = append(a.targets, t)
			}
		}
		if len(a.targets) > 0 {
			kind := conflicts
			if v.same {
				kind = breaks
			}
			out = append(out, clause{kind, []alt{a}})
		}
	}
	return out
}

func (a *alt) add(r deb.Relation, vs []*version, ok func(*version) bool) {
	for _, t := range vs {
		if (ok == nil || ok(t)) && r.SatisfiedBy(t.p.Version) {
			a.targets = append(a.targets, t)
		}
	}
}

// provided adds the providers. One without a version satisfies no relation
// that has one (Policy 7.5).
func (a *alt) provided(r deb.Relation, g *group, ok func(provide) bool) {
	for i := len(g.provs) - 1; i >= 0; i-- { // apt's lists of providers run backwards
		p := g.provs[i]
		if !ok(p) || r.Op != "" && (p.version == "" || !r.SatisfiedBy(p.version)) {
			continue
		}
		if p.owner.pkg.group != g || !a.has(p.owner) {
			a.targets = append(a.targets, p.owner)
		}
	}
}

func (a *alt) has(v *version) bool {
	for _, t := range a.targets {
		if t == v {
			return true
		}
	}
	return false
}
