package resolve

import "slices"

// state is what apt's depcache keeps of a package. On an empty system there is
// nothing to remove or upgrade, so a package is either to be installed (in
// not nil) or not.
type state struct {
	cand *version // what would be installed
	in   *version // what is to be installed
	// protected states are not changed by anyone but the user: wanted and
	// dropped packages, and those being decided on further up the stack.
	protected bool
	auto      bool // comes in for another package only
	dropped   bool // the user said never

	lost   *version // the candidate that was taken away
	lostAt int32    // when, by the solver's clock
}

// solver is one run of Resolve.
type solver struct {
	u          *Universe
	recommends bool
	states     []state    // by pkg.idx
	parsed     [][]clause // by version.idx, nil: not parsed yet
	read       []bool     // by version.idx
	err        error      // a relation field that cannot be parsed
	why        map[*pkg]Why
	failed     map[*pkg]failure
	installed  []*pkg // all that ever were, in order of being marked

	// apt remembers for each relation whether a candidate could fulfil it, and
	// looks again only when a package of the relation's name is marked or
	// unmarked, not when one loses its candidate. What it still believes in
	// decides which packages it tries, so the same is done here, with a clock.
	clock   int32
	touched map[target]int32
}

// target is what a relation is about: a name in one architecture, or in "any".
type target struct {
	group *group
	arch  string
}

// failure is why a package could not be installed.
type failure struct {
	clause *clause // the relation that does not hold
	with   *pkg    // for a negative one: what is in the way
}

func newSolver(u *Universe, recommends bool) *solver {
	s := &solver{
		u: u, recommends: recommends,
		states:  make([]state, len(u.pkgs)),
		parsed:  make([][]clause, len(u.versions)),
		read:    make([]bool, len(u.versions)),
		why:     map[*pkg]Why{},
		failed:  map[*pkg]failure{},
		touched: map[target]int32{},
	}
	for i, k := range u.pkgs {
		s.states[i].cand = k.candidate()
	}
	return s
}

func (s *solver) at(k *pkg) *state { return &s.states[k.idx] }

// clauses are the relations of v. A field that cannot be parsed ends the run
// with an error; until then it counts as empty.
func (s *solver) clauses(v *version) []clause {
	if !s.read[v.idx] {
		s.read[v.idx] = true
		cs, err := s.u.clauses(v)
		if err != nil && s.err == nil {
			s.err = err
		}
		s.parsed[v.idx] = cs
	}
	return s.parsed[v.idx]
}

// important says whether a relation is to be followed.
func (s *solver) important(k kind) bool {
	return k.critical() || k == recommends && s.recommends
}

// present says whether one of the alternative's targets is to be installed.
func (s *solver) present(a *alt) bool {
	for _, t := range a.targets {
		if s.at(t.pkg).in == t {
			return true
		}
	}
	return false
}

// possible says whether one of the alternative's targets is a candidate, or
// was one when apt looked last.
func (s *solver) possible(a *alt) bool {
	for _, t := range a.targets {
		st := s.at(t.pkg)
		if st.cand == t || st.lost == t && st.lostAt > s.touched[a.target] {
			return true
		}
	}
	return false
}

// lose takes the candidate away from a package.
func (s *solver) lose(k *pkg) {
	st := s.at(k)
	if st.cand != nil {
		s.clock++
		st.lost, st.lostAt = st.cand, s.clock
		st.cand = nil
	}
}

// set changes what is to be installed of a package, and looks again at the
// relations with its names.
func (s *solver) set(k *pkg, v *version) {
	st := s.at(k)
	if st.in == v {
		return
	}
	st.in = v
	s.clock++
	s.touched[target{k.group, k.arch}] = s.clock
	c := st.cand
	if c == nil {
		return
	}
	s.touchProvided(c, k.group)
	if c.p.Provides != "" {
		for _, g := range s.u.provided(c) {
			s.touched[target{g, k.arch}] = s.clock
			s.touchProvided(c, g)
		}
	}
}

// touchProvided looks again at what c provides by its Multi-Arch field.
func (s *solver) touchProvided(c *version, g *group) {
	if c.allowed {
		s.touched[target{g, "any"}] = s.clock
	}
	if c.foreign {
		for a := range s.u.archRank {
			s.touched[target{g, a}] = s.clock
		}
	}
}

// holds says whether a clause is fulfilled by what is to be installed.
func (s *solver) holds(c *clause) bool {
	for i := range c.alts {
		if s.present(&c.alts[i]) {
			return !c.kind.negative()
		}
	}
	return c.kind.negative()
}

// broken says whether a package is to be installed with an unfulfilled
// critical relation or, if policy is set, an unfulfilled important one.
func (s *solver) broken(k *pkg, policy bool) bool {
	v := s.at(k).in
	if v == nil {
		return false
	}
	cs := s.clauses(v)
	for i := range cs {
		if (cs[i].kind.critical() || policy && s.important(cs[i].kind)) && !s.holds(&cs[i]) {
			return true
		}
	}
	return false
}

// solutions are the candidates that satisfy a clause, in apt's order of
// preference: alternative by alternative, the providers of each sorted.
func (s *solver) solutions(c *clause) []*version {
	var out []*version
	for i := range c.alts {
		a := &c.alts[i]
		from := len(out)
		for _, t := range a.targets {
			st := s.at(t.pkg)
			// What the user dropped, and what had to give way, is no solution.
			if st.cand == t && !(st.protected && st.in == nil && !c.kind.negative()) {
				out = append(out, t)
			}
		}
		if len(out)-from > 1 {
			slices.SortStableFunc(out[from:], func(x, y *version) int { return s.compareProviders(a, x, y) })
		}
	}
	return slices.Compact(out)
}

// compareProviders is negative when x goes before y as a solution of a.
func (s *solver) compareProviders(a *alt, x, y *version) int {
	if x == y {
		return 0
	}
	first := func(x, y bool) int {
		switch {
		case x == y:
			return 0
		case x:
			return -1
		}
		return 1
	}
	p, q := x.pkg, y.pkg
	if c := first(s.at(p).protected, s.at(q).protected); c != 0 {
		return c
	}
	if p.group != q.group && a.prefer != nil {
		if c := first(p.group == a.prefer, q.group == a.prefer); c != 0 {
			return c
		}
	}
	if c := first(p.essential, q.essential); c != 0 {
		return c
	}
	if c := first(p.important, q.important); c != 0 {
		return c
	}
	if p.arch != q.arch {
		return s.u.archRank[p.arch] - s.u.archRank[q.arch]
	}
	if x.prio != y.prio {
		return int(x.prio) - int(y.prio)
	}
	return first(s.u.later(p, q), s.u.later(q, p))
}
