package resolve

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	"cloudy/builder/deb"
	"cloudy/builder/fail"
)

// Want asks for a package, as the words of `apt-get install` do.
type Want struct {
	Name    string
	Arch    string // of name:arch; empty for native, or whichever architecture has it
	Version string // of name=version, exactly
	Suite   string // of name/suite; dependencies come from there too where the candidates do not suffice
}

// String writes the want as on apt's command line.
func (w Want) String() string {
	s := w.Name
	if w.Arch != "" {
		s += ":" + w.Arch
	}
	if w.Version != "" {
		s += "=" + w.Version
	}
	if w.Suite != "" {
		s += "/" + w.Suite
	}
	return s
}

// Request is what to install into an empty system.
type Request struct {
	// Install is marked in this order, which can matter for the answer, as
	// with apt.
	Install []Want
	// Drop names packages ("name" or "name:arch") that must not come in. A
	// dependency on one is met by an alternative or is an error.
	Drop []string
	// Recommends follows Recommends, as apt does unless told otherwise.
	Recommends bool
	// Essential adds all packages marked essential in the native architecture,
	// before those of Install, as a bootstrap does.
	Essential bool
	// Prefer maps "name:arch" to the version that is the candidate whatever
	// the pins say, for packages that a lock holds; versions that the universe
	// does not have are ignored.
	Prefer map[string]string
}

// Kind is how a package got into a solution.
type Kind string

// The kinds.
const (
	Wanted     Kind = "wanted"
	Essential  Kind = "essential"
	PreDepends Kind = "predepends"
	Depends    Kind = "depends"
	Recommends Kind = "recommends"
)

// Why is the reason for which a package is in: the first one met, of which
// there may be more.
type Why struct {
	Kind     Kind
	By       string // the package that brought it in, "name" or "name:arch"; empty for wanted and essential ones
	Relation string // the relation of By that it fulfils, or the want as written

	by     *pkg
	clause *clause
}

// Choice is one package of a solution.
type Choice struct {
	Package *deb.Package
	Why     Why
	Auto    bool // what apt's extended_states calls Auto-Installed
}

// Solution is a set of packages that can be installed together.
type Solution struct {
	Choices []Choice // by name, then architecture
	// Notes say where a want was read generously, a virtual package that only
	// one package provides, and what is dropped that there is not.
	Notes []string
	// Searched is set when apt's way found nothing and the full search did.
	Searched bool
}

// Packages returns the chosen packages, by name, then architecture.
func (s *Solution) Packages() []*deb.Package {
	out := make([]*deb.Package, len(s.Choices))
	for i := range s.Choices {
		out[i] = s.Choices[i].Package
	}
	return out
}

// Resolve chooses the packages for a request. The answer depends on the
// universe (contents and order) and the request only. A request that cannot
// be fulfilled gives an *Error, of kind fail.User, that lists all problems;
// other errors are a cancelled context and relations that cannot be parsed.
func Resolve(ctx context.Context, u *Universe, req Request) (*Solution, error) {
	s := newSolver(u, req.Recommends)
	sol := &Solution{Notes: u.misspelt(req.Drop)}
	s.prefer(req.Prefer)
	s.drop(req.Drop)
	wants, problems := s.wants(req, sol)
	if len(problems) > 0 {
		return nil, fail.Mark(fail.User, &Error{problems})
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	done := s.classic(wants)
	if s.err != nil {
		return nil, s.err
	}
	if !done {
		found, err := s.search(ctx, req)
		if err != nil {
			return nil, err
		}
		if found == nil {
			return nil, fail.Mark(fail.User, &Error{s.explain(wants)})
		}
		s, sol.Searched = found, true
	}
	s.sweep()
	for _, k := range s.marked() {
		st := s.at(k)
		why := s.why[k]
		if why.clause != nil {
			why.Relation = why.clause.String()
		}
		sol.Choices = append(sol.Choices, Choice{Package: st.in.p, Why: Why{Kind: why.Kind, By: why.By, Relation: why.Relation}, Auto: st.auto})
	}
	slices.SortFunc(sol.Choices, func(a, b Choice) int {
		return cmp.Or(cmp.Compare(a.Package.Name, b.Package.Name), cmp.Compare(a.Package.Architecture, b.Package.Architecture))
	})
	return sol, nil
}

// want is a wanted version.
type want struct {
	v   *version
	why Why
}

// classic is apt's way: mark all that is wanted, then, with all of it
// protected, what it needs; then repair. It says whether the result is sound.
func (s *solver) classic(wants []want) bool {
	var ks []*pkg
	for _, w := range wants {
		k := w.v.pkg
		s.at(k).protected = true
		s.mark(k, false, 0, true, w.why)
		ks = append(ks, k)
	}
	for _, w := range wants {
		s.mark(w.v.pkg, true, 0, true, w.why)
	}
	if !s.repair(ks) {
		return false
	}
	for _, w := range wants {
		if s.at(w.v.pkg).in != w.v {
			return false
		}
	}
	return true
}

// prefer makes the versions of a lock the candidates.
func (s *solver) prefer(versions map[string]string) {
	if len(versions) == 0 {
		return
	}
	for _, k := range s.u.pkgs {
		if want, ok := versions[k.group.name+":"+k.arch]; ok {
			for _, v := range k.versions {
				if v.p.Version == want {
					s.at(k).cand = v
					break
				}
			}
		}
	}
}

// drop protects packages in the state of not being installed.
func (s *solver) drop(names []string) {
	for _, name := range names {
		w := parseName(name)
		g := s.u.groups[w.Name]
		if g == nil {
			continue // what does not exist cannot come in
		}
		for _, k := range g.pkgs {
			if w.Arch == "" || w.Arch == k.arch {
				st := s.at(k)
				st.protected, st.dropped = true, true
			}
		}
	}
}

// wants finds the versions that the request names and makes them candidates.
func (s *solver) wants(req Request, sol *Solution) ([]want, []Problem) {
	var wants []want
	var problems []Problem
	seen := map[*pkg]bool{}
	add := func(v *version, why Why) {
		if !seen[v.pkg] {
			seen[v.pkg] = true
			s.at(v.pkg).cand = v
			wants = append(wants, want{v, why})
		}
	}
	if req.Essential {
		for _, k := range s.u.pkgs {
			c := s.at(k).cand
			if c != nil && c.p.Essential && k.arch == s.u.native && !s.at(k).dropped {
				add(c, Why{Kind: Essential})
			}
		}
	}
	var suites []want
	for _, w := range req.Install {
		v, note, problem := s.find(w)
		if problem != nil {
			problems = append(problems, *problem)
			continue
		}
		if note != "" {
			sol.Notes = append(sol.Notes, note)
		}
		if st := s.at(v.pkg); st.dropped {
			problems = append(problems, Problem{Kind: Dropped, Name: w.Name, Text: fmt.Sprintf("%s is both wanted and dropped", w)})
			continue
		}
		if seen[v.pkg] && (w.Version != "" || w.Suite != "") { // essential, or named twice
			for i := range wants {
				if wants[i].v.pkg == v.pkg {
					wants[i].v = v
					s.at(v.pkg).cand = v
				}
			}
		}
		add(v, Why{Kind: Wanted, Relation: w.String()})
		if w.Suite != "" {
			suites = append(suites, want{v: v})
		}
	}
	// What is wanted counts as there while looking at what the suites need.
	for _, w := range wants {
		s.at(w.v.pkg).in = w.v
	}
	for _, w := range suites {
		s.followSuite(w.v, w.v.p.Suite, map[*pkg]bool{})
	}
	for _, w := range wants {
		s.at(w.v.pkg).in, s.at(w.v.pkg).cand = nil, w.v
	}
	return wants, problems
}

// followSuite makes v the candidate, and for a wanted "name/suite" goes on to
// make versions of that suite candidates for the dependencies of v. It does so
// not only where the candidates would not do, but wherever apt does: a
// candidate counts as fine only if all it depends on is there already. It says
// whether the dependencies can be met.
func (s *solver) followSuite(v *version, suite string, changed map[*pkg]bool) bool {
	s.at(v.pkg).cand = v
	changed[v.pkg] = true
	cs := s.clauses(v)
	for i := range cs {
		c := &cs[i]
		if c.kind.negative() || !s.important(c.kind) || slices.ContainsFunc(c.alts, func(a alt) bool { return s.fine(&a) }) {
			continue
		}
		if !s.switchTo(c, suite, changed) && c.kind.critical() {
			return false
		}
	}
	return true
}

// fine says whether an alternative has a candidate that needs nothing more.
func (s *solver) fine(a *alt) bool {
	for _, t := range a.targets {
		if a.rel.Op != "" && t.pkg != a.real || s.at(t.pkg).cand != t {
			continue
		}
		cs := s.clauses(t)
		ready := true
		for i := range cs {
			if cs[i].kind.critical() && !s.holds(&cs[i]) {
				ready = false
				break
			}
		}
		if ready {
			return true
		}
	}
	return false
}

// switchTo makes a version of the suite the candidate for one of a clause's
// alternatives. Only relations with a version are cause to switch.
func (s *solver) switchTo(c *clause, suite string, changed map[*pkg]bool) bool {
	for i := range c.alts {
		a := &c.alts[i]
		if a.rel.Op == "" || a.real == nil || s.at(a.real).protected {
			continue
		}
		at := slices.IndexFunc(a.real.versions, func(v *version) bool { return v.p.Suite == suite })
		if at < 0 || !a.has(a.real.versions[at]) {
			continue
		}
		v, old := a.real.versions[at], s.at(a.real).cand
		if v == old && changed[v.pkg] || s.followSuite(v, suite, changed) {
			return true
		}
		if i < len(c.alts)-1 {
			s.at(a.real).cand = old
		}
	}
	return false
}
