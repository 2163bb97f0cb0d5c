package page

import (
	"cmp"
	"math"
	"net/url"
	"slices"
	"sort"
	"strconv"
)

// The map is drawn around this node: those it links to on the first ring,
// those behind them on the next, each in the direction of who leads there.
// It needs no search for a good place, so a small board draws it for every
// reader, and a node is found where it was before.

// point is a member's place, in units of the drawing.
type point struct {
	x, y float64
	ring int
}

// ringGap is between two rings, ringRoom what a member takes on its ring.
const (
	ringGap  = 62.0
	ringRoom = 21.0
)

// place lays the members out and returns the radius of the last ring.
func place(members []Member, links []Link) (map[string]point, float64) {
	next := map[string][]string{}
	host := map[string]string{}
	self := ""
	for _, m := range members {
		host[m.Name] = m.Host + m.Name
		if m.Self {
			self = m.Name
		}
	}
	for _, l := range links {
		if host[l.A] == "" || host[l.B] == "" || l.A == l.B {
			continue
		}
		next[l.A] = append(next[l.A], l.B)
		next[l.B] = append(next[l.B], l.A)
	}
	byHost := func(list []string) []string {
		sort.Slice(list, func(i, j int) bool { return host[list[i]] < host[list[j]] })
		return slices.Compact(list)
	}
	// Breadth first: who is how far away, and behind whom.
	rings := [][]string{{self}}
	seen := map[string]bool{self: true}
	parent := map[string]string{}
	for at := rings[0]; len(at) > 0; {
		var ring []string
		for _, n := range at {
			for _, o := range byHost(next[n]) {
				if !seen[o] {
					seen[o] = true
					parent[o] = n
					ring = append(ring, o)
				}
			}
		}
		if len(ring) > 0 {
			rings = append(rings, ring)
		}
		at = ring
	}
	// Those whom no known link leads to stand on the outermost ring.
	var apart []string
	for _, m := range members {
		if !seen[m.Name] {
			apart = append(apart, m.Name)
		}
	}
	if byHost(apart); len(apart) > 0 {
		rings = append(rings, apart)
	}
	radius := make([]float64, len(rings))
	for i := 1; i < len(rings); i++ {
		radius[i] = max(radius[i-1]+ringGap, float64(len(rings[i]))*ringRoom/(2*math.Pi))
	}
	// Every ring is spread evenly, in the order of what its members are
	// behind, and turned to where they are.
	out := map[string]point{}
	angle := map[string]float64{}
	for r, ring := range rings {
		if r == 0 {
			out[self] = point{}
			continue
		}
		step := 2 * math.Pi / float64(len(ring))
		start := -math.Pi / 2
		if r > 1 {
			var x, y float64
			for i, n := range ring {
				a := angle[parent[n]] - float64(i)*step
				x, y = x+math.Cos(a), y+math.Sin(a)
			}
			start = math.Atan2(y, x)
			if math.Hypot(x, y) < 1e-9 {
				start = -math.Pi/2 + step/2
			}
		}
		for i, n := range ring {
			a := start + float64(i)*step
			angle[n] = a
			out[n] = point{radius[r] * math.Cos(a), radius[r] * math.Sin(a), r}
		}
	}
	return out, radius[len(radius)-1]
}

// labelled is up to how many members are named on the map; on a fuller one
// only this node and those that it links to are.
const labelled = 26

func (v *view) mesh() part {
	if !v.facts.Member {
		return group{v.heading(v.say(mMap), nil), v.outside()}
	}
	members, links := v.node().Members(), v.node().Links()
	return group{
		v.heading(v.say(mMap), v.say(mMapLead)),
		el(`div id="map" class="card map-card"`, v.live("map", v.drawing(members, links))),
		v.legend(),
		v.linkTables(members, links),
	}
}

// outside is what stands in place of the mesh while there is none.
func (v *view) outside() part {
	return v.empty("M10 10 5 5M10 10l6-3M10 10l-3 6M8 10a2 2 0 1 0 4 0 2 2 0 1 0-4 0M4 4h.01M16.5 6.5h.01M6.5 16.5h.01", mNotInMesh, mNotInMeshWhat,
		el("p", el(`a class="button primary" href="/join"`, v.say(mJoinNow))))
}

func coordinate(f float64) string { return strconv.FormatFloat(f, 'f', 1, 64) }

func (v *view) drawing(members []Member, links []Link) part {
	at, radius := place(members, links)
	byName := map[string]Member{}
	for _, m := range members {
		byName[m.Name] = m
	}
	half := radius + 44
	wide := half + 30 // room for names at the sides
	var under, lines, nodes group
	for r := ringGap; r < radius+1; r += ringGap {
		under = append(under, el(`circle class="ring"`, attr{"r", coordinate(r)}))
	}
	for _, l := range links {
		a, okA := at[l.A]
		b, okB := at[l.B]
		if !okA || !okB {
			continue
		}
		kind := "down"
		if l.Up {
			kind = "up"
			if l.Latency.Time > 0 {
				kind, _ = quality(l.Latency)
			}
		}
		// Lines within a ring bow inwards, or they would hide behind it.
		d := "M" + coordinate(a.x) + " " + coordinate(a.y)
		if a.ring == b.ring {
			d += "Q" + coordinate((a.x+b.x)*0.32) + " " + coordinate((a.y+b.y)*0.32) + " " + coordinate(b.x) + " " + coordinate(b.y)
		} else {
			d += "L" + coordinate(b.x) + " " + coordinate(b.y)
		}
		lines = append(lines, el("path", class("edge "+kind), attr{"d", d}))
		if s := v.lang.latency(l.Latency); s != "" && (a.ring == 0 || b.ring == 0) && len(members) <= labelled {
			lines = append(lines, el(`text class="edge-label"`, attr{"x", coordinate((a.x + b.x) / 2)}, attr{"y", coordinate((a.y + b.y) / 2)}, text(s)))
		}
	}
	for _, m := range members {
		p := at[m.Name]
		kind, word := "alive", mAlive
		switch {
		case m.Self:
			kind, word = "self", mThisNode
		case !m.Alive:
			kind, word = "silent", mSilent
		}
		title := m.Host + ", " + v.lang.say(word)
		if s := v.lang.latency(m.Latency); s != "" {
			title += ", " + s
		}
		var label part
		if len(members) <= labelled || p.ring <= 1 {
			label = el(`text class="node-label"`, attr{"x", coordinate(p.x)}, attr{"y", coordinate(p.y + 19)}, text(short(m.Host)))
		}
		r := "6.5"
		if m.Self {
			r = "9"
		}
		nodes = append(nodes, el("a", href("/member?name="+url.QueryEscape(m.Name)), attr{"aria-label", title},
			el("title", text(title)),
			el(`circle class="hit"`, attr{"cx", coordinate(p.x)}, attr{"cy", coordinate(p.y)}, attr{"r", "13"}),
			el("circle", class("node "+kind), attr{"cx", coordinate(p.x)}, attr{"cy", coordinate(p.y)}, attr{"r", r}), label))
	}
	box := coordinate(-wide) + " " + coordinate(-half) + " " + coordinate(2*wide) + " " + coordinate(2*half)
	return el("svg", class("map"+crowd(wide)), attr{"viewBox", box}, attr{"role", "group"}, attr{"aria-label", v.lang.say(mMapLabel, len(members), len(links))},
		under, lines, nodes)
}

// crowd is the class of a drawing of that size: names in it are scaled with
// it, so that they come out readable.
func crowd(half float64) string {
	switch {
	case half > 340:
		return " map-huge"
	case half > 220:
		return " map-large"
	}
	return ""
}

// short cuts a name to what fits on the map.
func short(s string) string {
	if r := []rune(s); len(r) > 15 {
		return string(r[:14]) + "…"
	}
	return s
}

func (v *view) legend() part {
	dot := func(kind string, m message) part {
		return el("li", el(`svg class="map legend-sign" viewBox="-10 -10 20 20" aria-hidden="true"`, el("circle", class("node "+kind), attr{"r", "7"})), v.say(m))
	}
	line := func(kind string, m message) part {
		return el("li", el(`svg class="map legend-sign" viewBox="-10 -10 20 20" aria-hidden="true"`, el("path", class("edge "+kind), attr{"d", "M-10 0H10"})), v.say(m))
	}
	return el(`ul class="legend"`, attr{"aria-label", v.lang.say(mLegend)},
		dot("self", mThisNode), dot("alive", mAlive), dot("silent", mSilent),
		line("good", mLegendGood), line("warn", mLegendFair), line("bad", mLegendPoor), line("up", mLegendUnknown), line("down", mLegendDown))
}

// linkTables are the map in words: this node's links, and, folded away, those
// of the others.
func (v *view) linkTables(members []Member, links []Link) part {
	self := v.facts.Name
	var own, others []Link
	for _, l := range links {
		if l.A == self || l.B == self {
			own = append(own, l)
		} else {
			others = append(others, l)
		}
	}
	return group{
		el(`section class="part" aria-labelledby="h-own"`, el(`h2 id="h-own"`, v.say(mLinksOwn)),
			el(`div id="links"`, v.live("links", v.linkTable(mLinksOwn, members, own)))),
		when(len(others) > 0, el(`details class="part"`,
			el("summary", v.say(mLinksOthers), text(" "), el(`span class="count"`, text(strconv.Itoa(len(others))))),
			el(`div id="links-others"`, v.live("links-others", v.linkTable(mLinksOthers, members, others))))),
	}
}

func (v *view) linkTable(caption message, members []Member, links []Link) part {
	if len(links) == 0 {
		return v.empty("M8 12 12 8M6 10l-2 2a2.8 2.8 0 0 0 4 4l2-2M14 10l2-2a2.8 2.8 0 0 0-4-4l-2 2", mNoLinks, mNoLinksWhat)
	}
	host := map[string]string{}
	for _, m := range members {
		host[m.Name] = m.Host
	}
	links = slices.Clone(links)
	sort.SliceStable(links, func(i, j int) bool {
		a, b := links[i], links[j]
		return cmp.Or(cmp.Compare(host[a.A], host[b.A]), cmp.Compare(host[a.B], host[b.B])) < 0
	})
	link := func(n string) part {
		return el("a", href("/member?name="+url.QueryEscape(n)), text(cmp.Or(host[n], n)))
	}
	var rows [][]part
	for _, l := range links {
		state := badge("off", v.say(mLegendDown))
		if l.Up {
			state = badge("good", v.say(mLinkUp))
		}
		latency := v.latency(l.Latency)
		if latency == nil {
			latency = el(`span class="hint"`, v.say(mUnknown))
		}
		rows = append(rows, []part{group{link(l.A), text(" – "), link(l.B)}, state, latency})
	}
	return v.table(caption, []message{mLink, mState, mLatency}, rows)
}
