package resolve

import (
	"fmt"
	"strings"
)

// ProblemKind is what kind of thing is wrong.
type ProblemKind string

// The kinds of problems.
const (
	NotFound      ProblemKind = "not found"     // no such package
	NoVersion     ProblemKind = "no version"    // the package exists, but not the version or suite
	Virtual       ProblemKind = "virtual"       // several packages provide the name
	Dropped       ProblemKind = "dropped"       // needed, but the request drops it
	Unsatisfiable ProblemKind = "unsatisfiable" // a dependency that nothing fulfils
	Conflict      ProblemKind = "conflict"      // two packages that exclude each other
)

// Problem is one reason why a request cannot be fulfilled.
type Problem struct {
	Kind        ProblemKind
	Name        string   // the package that is missing, unfit or in conflict
	Chain       []string // from a wanted package to the one with the problem
	Suggestions []string // names that may have been meant
	Text        string   // the whole of it as one sentence
}

// Error lists all problems of a request.
type Error struct{ Problems []Problem }

func (e *Error) Error() string {
	s := make([]string, len(e.Problems))
	for i, p := range e.Problems {
		s[i] = p.Text
	}
	return strings.Join(s, "\n")
}

// cause is equal for problems that are cured in the same way: one package that
// many need, or a conflict seen from either side.
func (p *Problem) cause() string {
	if p.Kind != Conflict || len(p.Chain) == 0 {
		return string(p.Kind) + " " + p.Name
	}
	a, b := p.Chain[len(p.Chain)-1], p.Name
	return string(p.Kind) + " " + min(a, b) + " " + max(a, b)
}

// explain finds out why the wanted packages could not be installed.
func (s *solver) explain(wants []want) []Problem {
	var out []Problem
	at := map[string]int{} // of the problem in out, by its cause
	more := map[int]int{}
	add := func(k *pkg, v *version) {
		for _, p := range s.explainOne(k, v) {
			i, known := at[p.cause()]
			if !known {
				at[p.cause()] = len(out)
				out = append(out, p)
				continue
			}
			if p.Text != out[i].Text && p.Kind != Conflict {
				more[i]++
			}
			if len(p.Chain) < len(out[i].Chain) {
				out[i] = p
			}
		}
	}
	for _, w := range wants {
		if s.at(w.v.pkg).in != w.v {
			add(w.v.pkg, w.v)
		}
	}
	for _, k := range s.marked() { // wanted ones, and what they need and could not get
		if s.broken(k, false) {
			add(k, s.at(k).in)
		}
	}
	for i, n := range more {
		out[i].Text += fmt.Sprintf(" (and %d more need it)", n)
	}
	if len(out) == 0 {
		out = append(out, Problem{Kind: Unsatisfiable, Text: "the wanted packages cannot be installed together"})
	}
	return out
}

// explainOne follows each broken clause of a package down to its cause.
func (s *solver) explainOne(k *pkg, v *version) []Problem {
	var out []Problem
	cs := s.clauses(v)
	for i := range cs {
		c := &cs[i]
		if c.kind.critical() && !s.holds(c) {
			out = append(out, s.trace([]*pkg{k}, c))
		}
	}
	if len(out) == 0 {
		if f, ok := s.failed[k]; ok && f.clause != nil {
			out = append(out, s.trace([]*pkg{k}, f.clause))
		}
	}
	return out
}

// trace describes why a clause of the chain's last package does not hold.
func (s *solver) trace(chain []*pkg, c *clause) Problem {
	k := chain[len(chain)-1]
	if c.kind.negative() {
		return s.conflict(chain, c)
	}
	// A target that exists but failed tells more than the clause above it.
	for i := range c.alts {
		for _, t := range c.alts[i].targets {
			f, ok := s.failed[t.pkg]
			if !ok || s.at(t.pkg).dropped || contains(chain, t.pkg) {
				continue
			}
			if f.clause != nil && !(f.clause.kind.negative() && f.with == nil) && owns(s, t.pkg, f.clause) {
				return s.trace(append(chain, t.pkg), f.clause)
			}
			if f.with != nil {
				return Problem{
					Kind: Conflict, Name: s.u.name(t.pkg), Chain: s.names(append(chain, t.pkg)),
					Text: fmt.Sprintf("%s %s %s, but %s%s", s.u.name(k), verb(c.kind), c, s.clash(t, f), s.route(chain)),
				}
			}
		}
	}
	p := Problem{Kind: Unsatisfiable, Name: c.alts[0].rel.Name, Chain: s.names(chain)}
	reasons := make([]string, len(c.alts))
	for i := range c.alts {
		reasons[i] = s.absence(&c.alts[i], &p)
	}
	p.Text = fmt.Sprintf("%s %s %s, but %s%s", s.u.name(k), verb(c.kind), c, strings.Join(reasons, "; "), s.route(chain))
	return p
}

// clash describes why a version had to give way to another package.
func (s *solver) clash(t *version, f failure) string {
	name, with := s.u.name(t.pkg), s.u.name(f.with)
	var v *version // of the other one
	if v = s.at(f.with).in; v == nil {
		v = f.with.versions[0]
	}
	text := ""
	switch {
	case f.clause == nil || !f.clause.kind.negative():
		text = fmt.Sprintf("%s is in conflict with %s", name, with)
	case f.clause.alts[0].implicit && f.clause.kind == breaks:
		text = fmt.Sprintf("%s %s and %s %s would have to be of one version", name, t.p.Version, with, v.p.Version)
	case f.clause.alts[0].implicit:
		text = fmt.Sprintf("%s and %s cannot be installed together", name, with)
	default:
		text = fmt.Sprintf("%s %s %s", with, verb(f.clause.kind), f.clause)
	}
	return text + s.path(f.with)
}

// owns says whether a clause is one of the package's own.
func owns(s *solver, k *pkg, c *clause) bool {
	for _, v := range k.versions {
		cs := s.clauses(v)
		for i := range cs {
			if &cs[i] == c {
				return true
			}
		}
	}
	return false
}

// conflict describes a negative clause that something protected violates.
func (s *solver) conflict(chain []*pkg, c *clause) Problem {
	k := chain[len(chain)-1]
	p := Problem{Kind: Conflict, Name: c.alts[0].rel.Name, Chain: s.names(chain)}
	with := p.Name
	var other *pkg
	for _, t := range c.alts[0].targets {
		if s.at(t.pkg).in == t {
			other = t.pkg
			with = s.u.name(other) + " " + t.p.Version
			p.Name = s.u.name(other)
			break
		}
	}
	if other == nil && len(c.alts[0].targets) > 0 {
		other = c.alts[0].targets[0].pkg
		with = s.u.name(other)
	}
	if c.alts[0].implicit {
		p.Text = fmt.Sprintf("%s and %s cannot be installed together", s.u.name(k), with)
		if c.kind == breaks {
			p.Text += ": they would have to be of one version"
		}
	} else {
		p.Text = fmt.Sprintf("%s %s %s, but %s is to be installed", s.u.name(k), verb(c.kind), c, with)
	}
	if other != nil {
		p.Text += s.path(other)
	}
	p.Text += s.route(chain)
	return p
}

// absence says why none of an alternative's targets can be had.
func (s *solver) absence(a *alt, p *Problem) string {
	g := s.u.groups[a.rel.Name]
	if g == nil || len(g.pkgs) == 0 && len(g.provs) == 0 {
		text := "there is no package " + a.rel.Name
		if similar := s.u.similar(a.rel.Name); len(similar) > 0 {
			p.Suggestions = append(p.Suggestions, similar...)
		}
		return text
	}
	for _, t := range a.targets {
		if s.at(t.pkg).dropped {
			p.Kind, p.Name = Dropped, s.u.name(t.pkg)
			return s.u.name(t.pkg) + " is dropped by the request"
		}
	}
	if len(a.targets) > 0 {
		t := a.targets[0]
		if c := t.pkg.candidate(); c != nil && c != t {
			return fmt.Sprintf("the candidate of %s is %s, not %s", s.u.name(t.pkg), c.p.Version, available([]*version{t}))
		}
		if t.pin <= 0 {
			return s.u.name(t.pkg) + " is pinned away"
		}
		return s.u.name(t.pkg) + " cannot be installed"
	}
	if a.real != nil {
		vs := a.real.versions
		if len(vs) == 1 && vs[0].p.Suite != "" {
			return fmt.Sprintf("%s has %s", vs[0].p.Suite, vs[0].p.Version)
		}
		return "there is " + available(vs)
	}
	if len(g.pkgs) > 0 {
		return fmt.Sprintf("%s exists for %s only", a.rel.Name, g.pkgs[0].arch)
	}
	if a.rel.Op != "" {
		return "its providers have no such version"
	}
	return "none of its providers fits"
}

// verb reads "depends on" for Depends.
func verb(k kind) string {
	return [...]string{"pre-depends on", "depends on", "conflicts with", "breaks", "recommends", "suggests"}[k]
}

// route tells how the chain's last package came in, "; wanted -> a -> b".
func (s *solver) route(chain []*pkg) string {
	names := s.names(chain)
	if why, ok := s.why[chain[0]]; ok && why.by != nil {
		names = append(s.origin(chain[0]), names[1:]...)
	}
	kind := "wanted"
	if len(names) > 0 && s.why[chain[0]].Kind == Essential {
		kind = "essential"
	}
	return fmt.Sprintf("; %s -> %s", kind, strings.Join(names, " -> "))
}

// path tells who brought a package in, in parentheses, if anybody did.
func (s *solver) path(k *pkg) string {
	o := s.origin(k)
	if len(o) < 2 {
		return ""
	}
	return " (for " + strings.Join(o, " -> ") + ")"
}

// origin is the chain of packages from a wanted one to k.
func (s *solver) origin(k *pkg) []string {
	var names []string
	for at, n := k, 0; at != nil && n < 100; at, n = s.why[at].by, n+1 {
		names = append([]string{s.u.name(at)}, names...)
	}
	return names
}

func (s *solver) names(ks []*pkg) []string {
	out := make([]string, len(ks))
	for i, k := range ks {
		out[i] = s.u.name(k)
	}
	return out
}

func contains(ks []*pkg, k *pkg) bool {
	for _, o := range ks {
		if o == k {
			return true
		}
	}
	return false
}
