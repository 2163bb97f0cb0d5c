package lab

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"cloudy/builder/recipe"
)

// The addresses of a lab, which nobody outside of it sees: a /24 for each
// site, a /30 for each link.
const (
	sitePrefix = "10.60.%d.%d" // site, host
	linkPrefix = "10.61.%d.%d" // link, end
)

// Node is one node of a lab as it is to be.
type Node struct {
	Name    string     `json:"name"`
	Site    int        `json:"site"`
	Address netip.Addr `json:"address"` // in the site's network
	Founder bool       `json:"founder,omitempty"`
	Memory  int64      `json:"memory,omitempty"` // bytes
}

// siteAddress returns a host's address in a site; host 1 is the router.
func siteAddress(site, host int) netip.Addr {
	return netip.MustParseAddr(fmt.Sprintf(sitePrefix, site+1, host))
}

// linkAddress returns the address of one end of a link: 0 is A, 1 is B.
func linkAddress(link, end int) netip.Addr {
	return netip.MustParseAddr(fmt.Sprintf(linkPrefix, link/64, link%64*4+1+end))
}

// nodesOf lays out the nodes of a lab.
func nodesOf(l *recipe.Lab) []Node {
	var out []Node
	for i := range l.Sites {
		s := &l.Sites[i]
		for n := range s.Nodes {
			name := s.Node(n + 1)
			out = append(out, Node{Name: name, Site: i, Address: siteAddress(i, n+2), Founder: name == l.Founder, Memory: s.Memory})
		}
	}
	return out
}

// route says through which link, and which end of it, a site's router sends
// what is for another site.
type route struct {
	to, link, end int // end is the far one
}

// hop is what a link costs beside its delay, so that of two ways without
// delay the shorter one is taken.
const hop = 100 * time.Microsecond

// routes returns what each site's router needs to know, by the least delay
// over the links for which up is true (Dijkstra, from each site).
func routes(l *recipe.Lab, up func(link int) bool) [][]route {
	index := map[string]int{}
	for i := range l.Sites {
		index[l.Sites[i].Name] = i
	}
	type step struct {
		cost  time.Duration
		first route // the first hop on the way
		known bool
	}
	out := make([][]route, len(l.Sites))
	for from := range l.Sites {
		best := make([]step, len(l.Sites))
		best[from].known = true
		done := make([]bool, len(l.Sites))
		for range l.Sites {
			at := -1
			for i := range best {
				if best[i].known && !done[i] && (at < 0 || best[i].cost < best[at].cost) {
					at = i
				}
			}
			if at < 0 {
				break
			}
			done[at] = true
			for k := range l.Links {
				a, b := index[l.Links[k].A], index[l.Links[k].B]
				if !up(k) || a != at && b != at {
					continue
				}
				to, end := b, 1
				if b == at {
					to, end = a, 0
				}
				cost := best[at].cost + l.Links[k].Path.Delay + hop
				if best[to].known && best[to].cost <= cost {
					continue
				}
				first := best[at].first
				if at == from {
					first = route{link: k, end: end}
				}
				best[to] = step{cost, first, true}
			}
		}
		for to := range best {
			if to != from && best[to].known {
				r := best[to].first
				r.to = to
				out[from] = append(out[from], r)
			}
		}
		slices.SortFunc(out[from], func(a, b route) int { return cmp.Compare(a.to, b.to) })
	}
	return out
}
