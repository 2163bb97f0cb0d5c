package deb

import "fmt"

// Needs answers which packages of a set need which others of it, by Depends
// and Pre-Depends, as dpkg matches them: architectures and Multi-Arch count
// (deb-control(5)), versions too, also those of Provides. What the set cannot
// satisfy is taken as being there already.
type Needs struct {
	set    []*Package
	native string

	real map[string][]int // by name
	// virtual are the packages that provide a name, with the provided version.
	virtual map[string][]provided
	direct  [2]map[int][]int // answers of Direct
}

type provided struct {
	by int
	as Relation
}

// NewNeeds looks at a set of packages for a native architecture. An error
// says that a relation field cannot be parsed.
func NewNeeds(set []*Package, native string) (*Needs, error) {
	n := &Needs{set: set, native: native, real: map[string][]int{}, virtual: map[string][]provided{}, direct: [2]map[int][]int{{}, {}}}
	for i, p := range set {
		n.real[p.Name] = append(n.real[p.Name], i)
		rel, err := ParseRelations(p.Provides)
		if err != nil {
			return nil, fmt.Errorf("%s: Provides: %w", p, err)
		}
		for _, alts := range rel {
			for _, r := range alts {
				n.virtual[r.Name] = append(n.virtual[r.Name], provided{i, r})
			}
		}
	}
	return n, nil
}

// Direct returns what package i of the set needs at once, as places in the
// set: by Pre-Depends alone, or by Depends as well. Of alternatives the first
// counts that is there; where only virtual packages are, all that provide it.
func (n *Needs) Direct(i int, preOnly bool) ([]int, error) {
	memo := n.direct[0]
	if preOnly {
		memo = n.direct[1]
	}
	if out, ok := memo[i]; ok {
		return out, nil
	}
	p := n.set[i]
	fields := []string{p.PreDepends}
	if !preOnly {
		fields = append(fields, p.Depends)
	}
	var out []int
	for _, f := range fields {
		rel, err := ParseRelations(f)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", p, err)
		}
		for _, alts := range rel {
			for _, r := range alts {
				if found := n.satisfying(r, p); len(found) > 0 {
					out = append(out, found...)
					break
				}
			}
		}
	}
	memo[i] = out
	return out, nil
}

// satisfying returns the packages that satisfy a dependency of p.
func (n *Needs) satisfying(r Relation, p *Package) []int {
	for _, i := range n.real[r.Name] {
		if n.fits(r, p, n.set[i], false) && r.SatisfiedBy(n.set[i].Version) {
			return []int{i}
		}
	}
	var out []int
	for _, v := range n.virtual[r.Name] {
		// Only a versioned Provides satisfies a versioned dependency (Policy 7.5).
		if n.fits(r, p, n.set[v.by], true) && (r.Op == "" || v.as.Op == "=" && r.SatisfiedBy(v.as.Version)) {
			out = append(out, v.by)
		}
	}
	return out
}

// fits tells whether the architecture of q is one that a dependency of p accepts.
func (n *Needs) fits(r Relation, p, q *Package, virtual bool) bool {
	switch r.Qualifier {
	case "":
		return q.MultiArch == "foreign" || n.arch(p) == n.arch(q)
	case "any":
		return virtual || q.MultiArch == "allowed" || q.MultiArch == "foreign"
	case "native":
		return n.arch(q) == n.native
	}
	return n.arch(q) == r.Qualifier
}

// arch is the architecture that a package counts as: "all" is the native one.
func (n *Needs) arch(p *Package) string {
	if p.Architecture == "all" || p.Architecture == "" {
		return n.native
	}
	return p.Architecture
}

// Closure adds to out all that package i of the set needs: first by
// Pre-Depends alone or by Depends as well, then all that those need. i itself
// is not added, unless it is there.
func (n *Needs) Closure(i int, preOnly bool, out map[int]bool) error {
	queue, err := n.Direct(i, preOnly)
	if err != nil {
		return err
	}
	for len(queue) > 0 {
		k := queue[0]
		queue = queue[1:]
		if k == i || out[k] {
			continue
		}
		out[k] = true
		more, err := n.Direct(k, false)
		if err != nil {
			return err
		}
		queue = append(queue[:len(queue):len(queue)], more...)
	}
	return nil
}
