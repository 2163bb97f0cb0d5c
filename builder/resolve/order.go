package resolve

import (
	"slices"

	"cloudy/builder/deb"
)

// Order is how a set of packages is put in.
type Order struct {
	// Base is how many of the batches, from the first, belong to the closure
	// of the essential packages.
	Base int
	// Configure lists batches: when the packages of one batch are configured,
	// all that they depend on is configured already, or is in the same batch.
	// A batch of several packages is a cycle of dependencies; its members
	// stand in the order in which to configure them.
	Configure [][]*deb.Package
	// Broken says which dependencies the order violates inside cycles.
	Broken []BrokenEdge
}

// BrokenEdge is a dependency within a cycle that is not configured before its
// dependent.
type BrokenEdge struct{ Package, Before *deb.Package }

// Flat returns the packages of all batches.
func (o *Order) Flat() []*deb.Package {
	var out []*deb.Package
	for _, b := range o.Configure {
		out = append(out, b...)
	}
	return out
}

// ConfigureOrder is Batches as one list.
func ConfigureOrder(packages []*deb.Package, hasPostinst func(name string) bool) ([]*deb.Package, error) {
	o, err := Batches(packages, hasPostinst)
	if err != nil {
		return nil, err
	}
	return o.Flat(), nil
}

// Batches orders packages so that each comes after all that its Depends and
// Pre-Depends need of the set, the closure of the essential packages before
// everything else (maintainer scripts use essential packages without depending
// on them, Policy 3.8). The order depends on the set only, not on how the
// slice is sorted. An error says that a relation field cannot be parsed.
//
// Where packages depend on each other in a circle, the circle is cut as dpkg
// does (Policy 7.2): at a package without postinst script, which hasPostinst
// tells by its name (nil: all have one), since being configured means little
// for it. Pre-Depends are never cut as long as there is a Depends in the circle.
func Batches(packages []*deb.Package, hasPostinst func(name string) bool) (*Order, error) {
	o, err := newOrderer(packages, hasPostinst)
	if err != nil {
		return nil, err
	}
	out := &Order{}
	for _, scc := range o.components(func(n int) bool { return o.early[n] }) {
		out.add(o, o.cut(scc))
	}
	out.Base = len(out.Configure)
	for _, scc := range o.components(func(n int) bool { return !o.early[n] }) {
		out.add(o, o.cut(scc))
	}
	return out, nil
}

// add appends a batch, and notes what it violates within itself.
func (o *Order) add(g *orderer, nodes []int) {
	batch := make([]*deb.Package, len(nodes))
	after := map[int]bool{}
	for i, n := range nodes {
		batch[i] = g.nodes[n].p
		after[n] = true
	}
	o.Configure = append(o.Configure, batch)
	for _, n := range nodes {
		delete(after, n)
		seen := map[int]bool{}
		for _, e := range g.edges[n] {
			if after[e.to] && !seen[e.to] {
				seen[e.to] = true
				o.Broken = append(o.Broken, BrokenEdge{g.nodes[n].p, g.nodes[e.to].p})
			}
		}
	}
}

// nativeOf guesses the native architecture of a set: that of its essential
// packages, or the one that most packages have.
func nativeOf(packages []*deb.Package) string {
	count := map[string]int{}
	best := ""
	for _, p := range packages {
		if p.Architecture == "all" {
			continue
		}
		count[p.Architecture]++
		if p.Essential {
			count[p.Architecture] += len(packages)
		}
		if best == "" || count[p.Architecture] > count[best] {
			best = p.Architecture
		}
	}
	return best
}

// edge says that a node needs another one configured first.
type edge struct {
	to  int
	pre bool // by Pre-Depends
}

// orderer is the graph of dependencies among a set of packages.
type orderer struct {
	nodes    []*version
	edges    [][]edge
	postinst []bool
	early    []bool // essential, or needed by something essential
}

func newOrderer(packages []*deb.Package, hasPostinst func(string) bool) (*orderer, error) {
	sorted := slices.SortedFunc(slices.Values(packages), func(a, b *deb.Package) int {
		return compareStrings(a.Name, b.Name, a.Architecture, b.Architecture)
	})
	var archs []string
	for _, p := range sorted {
		if p.Architecture != "all" {
			archs = append(archs, p.Architecture)
		}
	}
	u := NewUniverse(nativeOf(sorted), archs...)
	for _, p := range sorted {
		u.Add(p, 1)
	}
	o := &orderer{nodes: u.versions, edges: make([][]edge, len(u.versions)), postinst: make([]bool, len(u.versions)), early: make([]bool, len(u.versions))}
	for n, v := range o.nodes {
		o.postinst[n] = hasPostinst == nil || hasPostinst(v.p.Name)
		cs, err := u.clauses(v)
		if err != nil {
			return nil, err
		}
		for i := range cs {
			if cs[i].kind > depends {
				continue
			}
			// All alternatives that are there: whichever the script uses works.
			for j := range cs[i].alts {
				for _, t := range cs[i].alts[j].targets {
					if int(t.idx) != n {
						o.edges[n] = append(o.edges[n], edge{int(t.idx), cs[i].kind == preDepends})
					}
				}
			}
		}
	}
	var stack []int
	for n, v := range o.nodes {
		if v.p.Essential {
			o.early[n] = true
			stack = append(stack, n)
		}
	}
	for len(stack) > 0 {
		n := stack[len(stack)-1]
		stack = stack[:len(stack)-1]
		for _, e := range o.edges[n] {
			if !o.early[e.to] {
				o.early[e.to] = true
				stack = append(stack, e.to)
			}
		}
	}
	return o, nil
}

// components returns the strongly connected components of the nodes that in
// accepts, dependencies first (Tarjan's algorithm yields them in that order).
func (o *orderer) components(in func(int) bool) [][]int {
	var (
		out   [][]int
		stack []int
		index = make([]int, len(o.nodes)) // zero: not visited
		low   = make([]int, len(o.nodes))
		on    = make([]bool, len(o.nodes))
		next  = 0
		visit func(int)
	)
	visit = func(n int) {
		next++
		index[n], low[n] = next, next
		stack, on[n] = append(stack, n), true
		for _, e := range o.edges[n] {
			switch {
			case !in(e.to):
			case index[e.to] == 0:
				visit(e.to)
				low[n] = min(low[n], low[e.to])
			case on[e.to]:
				low[n] = min(low[n], index[e.to])
			}
		}
		if low[n] == index[n] {
			at := slices.Index(stack, n)
			scc := slices.Clone(stack[at:])
			for _, m := range scc {
				on[m] = false
			}
			stack = stack[:at]
			slices.Sort(scc)
			out = append(out, scc)
		}
	}
	for n := range o.nodes {
		if in(n) && index[n] == 0 {
			visit(n)
		}
	}
	return out
}

// cut orders the members of a circle: again and again it takes a package whose
// dependencies within the circle are all done. When there is none it takes the
// one that suffers least: no Pre-Depends open, then without postinst, then
// with the fewest dependencies open, then the first by name.
func (o *orderer) cut(scc []int) []int {
	if len(scc) < 2 {
		return scc
	}
	open := map[int]bool{}
	for _, n := range scc {
		open[n] = true
	}
	var out []int
	for len(open) > 0 {
		best, bestCost := -1, 0
		for _, n := range scc {
			if !open[n] {
				continue
			}
			if cost := o.cost(n, open); best < 0 || cost < bestCost {
				best, bestCost = n, cost
			}
		}
		out = append(out, best)
		delete(open, best)
	}
	return out
}

// cost rates how bad it is to configure a node while others are open.
func (o *orderer) cost(n int, open map[int]bool) int {
	pre, dep := 0, 0
	seen := map[int]bool{}
	for _, e := range o.edges[n] {
		if open[e.to] && e.to != n {
			if e.pre {
				pre++
			}
			// A package that needs no configuring is as good as configured once
			// it is unpacked, but what it depends on may be missing.
			if !seen[e.to] {
				seen[e.to] = true
				dep++
			}
		}
	}
	cost := pre*1_000_000 + dep
	if dep > 0 && o.postinst[n] {
		cost += 1000
	}
	return cost
}

func compareStrings(pairs ...string) int {
	for i := 0; i+1 < len(pairs); i += 2 {
		if pairs[i] != pairs[i+1] {
			if pairs[i] < pairs[i+1] {
				return -1
			}
			return 1
		}
	}
	return 0
}
