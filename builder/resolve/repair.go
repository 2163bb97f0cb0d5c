package resolve

import "slices"

// repairRounds bounds the passes of repair, as apt does.
const repairRounds = 20

// The points of apt's scoring (pkgProblemResolver::Scores in its examples).
var priorityScore = [...]int{0, 3, 2, 1, -1, -2}

const (
	essentialScore    = 100
	addProtectedScore = 10000
	addEssentialScore = 5000
)

// repairer is the second pass, apt's "problem resolver": it visits the marked
// packages, those first that much depends on, and mends or drops the broken.
type repairer struct {
	*solver
	wanted     map[*pkg]bool
	score      []int
	upgradable []bool
}

// repair makes the marked set consistent and says whether it succeeded.
func (s *solver) repair(wanted []*pkg) bool {
	r := &repairer{solver: s, wanted: map[*pkg]bool{}, upgradable: make([]bool, len(s.states))}
	for _, k := range wanted {
		r.wanted[k] = true
	}
	for i := range r.upgradable {
		r.upgradable[i] = true
	}
	if !s.anyBroken() {
		return true
	}
	pre := make([]bool, len(s.states))
	for _, k := range s.installed {
		pre[k.idx] = s.at(k).in != nil
	}
	r.makeScores()
	for round := range repairRounds {
		list := unique(slices.Clone(s.installed), len(s.states))
		slices.SortStableFunc(list, func(a, b *pkg) int { return r.score[b.idx] - r.score[a.idx] })
		change := false
		for _, k := range list {
			if s.broken(k, false) && r.investigate(k, round) {
				change = true
			}
		}
		if !change {
			break
		}
	}
	for _, k := range s.installed {
		if s.at(k).in != nil && !pre[k.idx] {
			s.at(k).auto = true
		}
	}
	return !s.anyBroken()
}

func unique(list []*pkg, n int) []*pkg {
	seen := make([]bool, n)
	return slices.DeleteFunc(list, func(k *pkg) bool {
		was := seen[k.idx]
		seen[k.idx] = true
		return was
	})
}

func (s *solver) anyBroken() bool {
	for _, k := range s.installed {
		if s.broken(k, false) {
			return true
		}
	}
	return false
}

// marked returns the packages that are to be installed, each once.
func (s *solver) marked() []*pkg {
	return slices.DeleteFunc(unique(slices.Clone(s.installed), len(s.states)), func(k *pkg) bool { return s.at(k).in == nil })
}

// makeScores rates each marked package by its priority, by what depends on it,
// and by how important that is.
func (r *repairer) makeScores() {
	r.score = make([]int, len(r.states))
	marked := r.marked()
	for _, k := range marked {
		v := r.at(k).in
		if k.essential || k.important {
			r.score[k.idx] += essentialScore
		}
		r.score[k.idx] += priorityScore[v.prio]
		cs := r.clauses(v)
		for i := range cs {
			w := 1
			if cs[i].kind.negative() {
				w = -1
			} else if cs[i].kind == suggests {
				continue
			}
			for j := range cs[i].alts {
				r.scoreTargets(&cs[i].alts[j], w)
			}
		}
	}
	old := slices.Clone(r.score)
	for _, k := range marked {
		if old[k.idx] <= 0 {
			continue
		}
		cs := r.clauses(r.at(k).in)
		for i := range cs {
			if cs[i].kind.negative() || cs[i].kind == suggests {
				continue
			}
			for j := range cs[i].alts {
				if t := cs[i].alts[j].real; t != nil && r.at(t).in != nil {
					r.score[t.idx] += old[k.idx]
				}
			}
		}
	}
	for _, k := range marked {
		transfer := max(r.score[k.idx]-old[k.idx], old[k.idx]-r.score[k.idx])
		if transfer == 0 {
			continue
		}
		var seen []*pkg
		for _, p := range k.group.provs {
			if o := p.owner.pkg; r.at(o).in == p.owner && !slices.Contains(seen, o) {
				seen = append(seen, o)
				r.score[o.idx] += transfer
			}
		}
	}
	for _, k := range r.u.pkgs {
		if r.wanted[k] {
			r.score[k.idx] += addProtectedScore
		}
		if k.essential || k.important {
			r.score[k.idx] += addEssentialScore
		}
	}
}

func (r *repairer) scoreTargets(a *alt, w int) {
	if a.real != nil {
		if a.rel.Op == "" {
			r.score[a.real.idx] += w
		} else if in := r.at(a.real).in; in == nil || !a.has(in) {
			return
		} else {
			r.score[a.real.idx] += w
		}
	} else if a.rel.Op != "" {
		return
	}
	for _, t := range a.targets {
		if t.pkg != a.real && r.at(t.pkg).in == t {
			r.score[t.pkg.idx] += w
		}
	}
}

// investigate mends or drops one broken package, and says whether anything
// changed.
func (r *repairer) investigate(k *pkg, round int) bool {
	change := false
	var kill []*pkg
	cs := r.clauses(r.at(k).in)
clauses:
	for i := range cs {
		c := &cs[i]
		if r.at(k).in == nil {
			break
		}
		if !c.kind.critical() || r.holds(c) {
			continue
		}
		or := len(c.alts) > 1
		size := len(kill)
		for j := range c.alts {
			a := &c.alts[j]
			if r.holds(c) {
				continue clauses
			}
			if len(a.targets) == 0 && !c.kind.negative() && !r.at(k).protected {
				if or {
					continue
				}
				r.drop(k, c, nil)
				change = true
				break clauses
			}
			done := false
		targets:
			for _, t := range a.targets {
				o := t.pkg
				if c.kind.negative() && r.at(o).in != t {
					continue
				}
				if !c.kind.negative() || r.score[k.idx] <= r.score[o.idx] {
					if r.at(k).protected {
						if r.reinstate(o, k, c) {
							r.score[o.idx] = min(r.score[o.idx], r.score[k.idx])
							break targets
						}
						continue
					}
					if !or {
						r.drop(k, c, o)
					}
					change, done = true, true
					break targets
				}
				if c.kind == breaks && !r.possible(a) {
					// Another version of the other package would do.
					r.mark(o, false, 0, false, r.why[o])
					continue
				}
				if !r.at(o).protected {
					kill = append(kill, o)
				}
			}
			if !or && done {
				break clauses
			}
		}
		if or && size == len(kill) && !r.holds(c) && !r.at(k).protected {
			r.drop(k, c, nil)
			change = true
		}
	}
	if r.at(k).in == nil {
		return change
	}
	for _, o := range kill {
		found := !r.at(o).protected
		if found {
			r.failed[o] = failure{with: k}
			r.set(o, nil)
			change = true
		}
		if (!found || round > 1) && r.score[k.idx] > r.score[o.idx] {
			r.score[o.idx] = r.score[k.idx]
			change = true
		}
	}
	return change
}

// drop takes a broken package out again.
func (r *repairer) drop(k *pkg, c *clause, with *pkg) {
	r.set(k, nil)
	if _, ok := r.failed[k]; !ok {
		f := failure{clause: c}
		if c.kind.negative() {
			f.with = with
		}
		r.failed[k] = f
	}
}

// reinstate installs a package, and what it needs, for one that has to stay.
func (r *repairer) reinstate(k, by *pkg, c *clause) bool {
	if !r.upgradable[k.idx] || r.at(k).cand == nil || r.wanted[k] {
		return false
	}
	r.upgradable[k.idx] = false
	kept := r.at(k).in == nil
	if !r.mark(k, false, 0, false, r.because(by, c)) || r.at(k).in == nil {
		return false
	}
	cs := r.clauses(r.at(k).in)
	for i := range cs {
		if cs[i].kind.critical() && !r.reinstateClause(k, &cs[i]) {
			if kept || !r.at(k).protected {
				r.set(k, nil)
			}
			return false
		}
	}
	return true
}

func (r *repairer) reinstateClause(k *pkg, c *clause) bool {
	failed := false
	for j := range c.alts {
		a := &c.alts[j]
		if r.holds(c) {
			return true
		}
		t := a.real
		if t == nil && len(a.targets) > 0 {
			t = a.targets[0].pkg
		}
		switch {
		case t != nil && r.at(t).protected:
			failed = true
		case !c.kind.negative() && r.possible(a):
			if r.reinstate(t, k, c) {
				return true
			}
			failed = true
		case c.kind.negative():
			return true // the next round deals with it
		default:
			failed = true
		}
	}
	return !failed
}
