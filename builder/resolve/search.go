package resolve

import (
	"context"
	"errors"
)

// Bounds of the search: decisions over all, and for one recommended package.
const (
	maxDecisions          = 20_000
	maxRecommendDecisions = 500
)

var errGaveUp = errors.New("too many alternatives to try")

// searcher looks for any set that fulfils all critical relations, where apt's
// way, which never goes back on a decision about protected packages, finds
// none. It takes candidates only, and alternatives in apt's order: the first
// solution found is the nearest to what apt would choose.
type searcher struct {
	*solver
	ctx       context.Context
	value     []int8 // by pkg.idx: chosen, excluded, or zero
	trail     []*pkg // assigned packages, in order
	open      []need // positive clauses of chosen packages
	decisions int
	limit     int
}

const (
	chosen   = 1
	excluded = -1
)

// need is a clause with the package that it belongs to.
type need struct {
	k *pkg
	c *clause
}

// search returns a solver that holds a solution, or nil when there is none, or
// none within bounds.
func (s *solver) search(ctx context.Context, req Request) (*solver, error) {
	n := newSolver(s.u, s.recommends)
	n.prefer(req.Prefer)
	n.drop(req.Drop)
	wants, _ := n.wants(req, &Solution{})
	r := &searcher{solver: n, ctx: ctx, value: make([]int8, len(n.states)), limit: maxDecisions}
	for _, k := range n.u.pkgs {
		if n.at(k).dropped || n.at(k).cand == nil {
			r.value[k.idx] = excluded
		}
	}
	for _, w := range wants {
		if !r.choose(w.v.pkg, w.why) {
			return nil, nil
		}
	}
	switch ok, err := r.solve(0); {
	case errors.Is(err, errGaveUp):
		return nil, nil
	case err != nil || !ok:
		return nil, err
	}
	if n.recommends {
		if err := r.addRecommended(); err != nil {
			return nil, err
		}
	}
	for _, k := range r.trail {
		if r.value[k.idx] == chosen {
			st := n.at(k)
			st.in, st.auto = st.cand, n.why[k].by != nil
			n.installed = append(n.installed, k)
		}
	}
	return n, n.err
}

// choose assigns a package, excludes what it conflicts with, and notes what it
// needs; false means a contradiction.
func (r *searcher) choose(k *pkg, why Why) bool {
	if v := r.value[k.idx]; v != 0 {
		return v == chosen
	}
	r.value[k.idx] = chosen
	r.trail = append(r.trail, k)
	r.why[k] = why
	cs := r.clauses(r.at(k).cand)
	for i := range cs {
		c := &cs[i]
		if !c.kind.critical() {
			continue
		}
		if !c.kind.negative() {
			r.open = append(r.open, need{k, c})
			continue
		}
		for _, t := range c.alts[0].targets {
			if r.at(t.pkg).cand == t && !r.exclude(t.pkg) {
				return false
			}
		}
	}
	return true
}

func (r *searcher) exclude(k *pkg) bool {
	if v := r.value[k.idx]; v != 0 {
		return v == excluded
	}
	r.value[k.idx] = excluded
	r.trail = append(r.trail, k)
	return true
}

// back undoes all assignments after a mark.
func (r *searcher) back(trail, open int) {
	for _, k := range r.trail[trail:] {
		r.value[k.idx] = 0
	}
	r.trail, r.open = r.trail[:trail], r.open[:open]
}

// fulfilled says whether a clause has a chosen target.
func (r *searcher) fulfilled(c *clause) bool {
	for i := range c.alts {
		for _, t := range c.alts[i].targets {
			if r.value[t.pkg.idx] == chosen && r.at(t.pkg).cand == t {
				return true
			}
		}
	}
	return false
}

// options are the solutions of a clause that are not excluded.
func (r *searcher) options(c *clause) []*version {
	all := r.solutions(c)
	out := all[:0]
	for _, t := range all {
		if r.value[t.pkg.idx] != excluded {
			out = append(out, t)
		}
	}
	return out
}

// propagate assigns all that has but one option, from open clause number from;
// it says whether there is no contradiction, and the first clause with a choice.
func (r *searcher) propagate(from int) (ok bool, choice *need) {
	for again := true; again; {
		again, choice = false, nil
		for i := from; i < len(r.open); i++ {
			n := r.open[i]
			if r.fulfilled(n.c) {
				continue
			}
			switch options := r.options(n.c); len(options) {
			case 0:
				return false, nil
			case 1:
				if !r.choose(options[0].pkg, r.because(n.k, n.c)) {
					return false, nil
				}
				again = true
			default:
				if choice == nil {
					choice = &n
				}
			}
		}
	}
	return true, choice
}

// solve fulfils the open clauses from number from on, and says whether it can.
func (r *searcher) solve(from int) (bool, error) {
	ok, choice := r.propagate(from)
	if !ok || choice == nil {
		return ok, nil
	}
	for _, t := range r.options(choice.c) {
		if r.decisions++; r.decisions > r.limit {
			return false, errGaveUp
		}
		if r.decisions%256 == 0 && r.ctx.Err() != nil {
			return false, r.ctx.Err()
		}
		trail, open := len(r.trail), len(r.open)
		if r.choose(t.pkg, r.because(choice.k, choice.c)) {
			if ok, err := r.solve(from); ok || err != nil {
				return ok, err
			}
		}
		r.back(trail, open)
		// From here on this option is out, until the caller goes back.
		if !r.exclude(t.pkg) {
			return false, nil
		}
	}
	return false, nil
}

// addRecommended adds what chosen packages recommend, one by one, where that
// fits in with what is chosen already.
func (r *searcher) addRecommended() error {
	for i := 0; i < len(r.trail); i++ {
		k := r.trail[i]
		if r.value[k.idx] != chosen {
			continue
		}
		cs := r.clauses(r.at(k).cand)
		for j := range cs {
			c := &cs[j]
			if c.kind != recommends || r.fulfilled(c) {
				continue
			}
			for _, t := range r.options(c) {
				trail, open := len(r.trail), len(r.open)
				r.decisions, r.limit = 0, maxRecommendDecisions
				ok := r.choose(t.pkg, r.because(k, c))
				if ok {
					var err error
					if ok, err = r.solve(open); err != nil && !errors.Is(err, errGaveUp) {
						return err
					}
				}
				if ok {
					break
				}
				r.back(trail, open)
			}
		}
	}
	return nil
}
