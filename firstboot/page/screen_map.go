package page

import (
	"cmp"
	"net/url"
	"slices"
	"sort"
	"strconv"
)

// The map is drawn around this node: those it links to on the first ring,
// those behind them on the next, each in the direction of who leads there.
// It needs no search for a good place, so a small board draws it for every
// reader, and a node is found where it was before.

// point is a member's place, in tenths of a unit of the drawing. There are no
// floating-point numbers here: many small boards have no unit for them.
type point struct{ x, y, ring int }

// ringGap is between two rings, ringRoom what a member takes on its ring, both
// in tenths of a unit.
const (
	ringGap  = 620
	ringRoom = 210
)

// turn is a full turn, in the steps that an angle has, fine those between two
// of the table.
const (
	fine = 32
	turn = 256 * fine
)

// cosines of the first quarter of a turn, in 1/1024.
var cosines = [64 + 1]int16{
	1024, 1024, 1023, 1021, 1019, 1016, 1013, 1009, 1004, 999, 993, 987, 980,
	972, 964, 955, 946, 936, 926, 915, 903, 891, 878, 865, 851, 837,
	822, 807, 792, 775, 759, 742, 724, 706, 688, 669, 650, 630, 610,
	590, 569, 548, 526, 505, 483, 460, 438, 415, 392, 369, 345, 321,
	297, 273, 249, 224, 200, 175, 150, 125, 100, 75, 50, 25, 0,
}

func cos(a int) int {
	a &= turn - 1
	if a > turn/2 {
		a = turn - a
	}
	sign := 1
	if a > turn/4 {
		a, sign = turn/2-a, -1
	}
	c := int(cosines[a/fine])
	if rest := a % fine; rest > 0 {
		c += (int(cosines[a/fine+1]) - c) * rest / fine
	}
	return sign * c
}

func sin(a int) int { return cos(a - turn/4) }

// on is the place on a ring, the top being where angles begin.
func on(ring, radius, a int) point { return point{radius * sin(a) >> 10, -radius * cos(a) >> 10, ring} }

// place lays the members out and returns the radius of the last ring, in
// tenths of a unit.
func place(members []Member, links []Link) (map[string]point, int) {
	next := map[string][]string{}
	host := map[string]string{}
	self := ""
	for i := range members {
		m := &members[i]
		host[m.Name] = m.Host + m.Name
		if m.Self {
			self = m.Name
		}
	}
	for i := range links {
		l := &links[i]
		if host[l.A] == "" || host[l.B] == "" || l.A == l.B {
			continue
		}
		next[l.A] = append(next[l.A], l.B)
		next[l.B] = append(next[l.B], l.A)
	}
	byHost := func(list []string) []string {
		sort.SliceStable(list, func(i, j int) bool { return host[list[i]] < host[list[j]] })
		return list
	}
	// Breadth first: who is how far away, and behind whom.
	rings := [][]string{{self}}
	parent := map[string]string{self: self}
	for at := rings[0]; len(at) > 0; {
		var ring []string
		for _, n := range at {
			for _, o := range byHost(next[n]) {
				if parent[o] == "" {
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
	for i := range members {
		if n := members[i].Name; parent[n] == "" {
			apart = append(apart, n)
		}
	}
	if len(apart) > 0 {
		rings = append(rings, byHost(apart))
	}
	// Every ring is spread evenly, in the order of what its members are
	// behind, and turned to where they are.
	out := map[string]point{self: {}}
	angle := map[string]int{}
	radius := 0
	for r, ring := range rings[1:] {
		radius = max(radius+ringGap, len(ring)*ringRoom*10/63) // a circle is 6.3 radii
		start, best := 0, -1<<30
		for try := 0; try < turn && r > 0; try += turn / 64 {
			near := 0
			for i, n := range ring {
				if p := parent[n]; p != "" {
					near += cos(angle[p] - try - i*turn/len(ring))
				}
			}
			if near > best {
				start, best = try, near
			}
		}
		for i, n := range ring {
			angle[n] = start + i*turn/len(ring)
			out[n] = on(r+1, radius, angle[n])
		}
	}
	return out, radius
}

// labelled is up to how many members are named on the map; on a fuller one
// only this node and those that it links to are.
const labelled = 26

func (v *view) mesh() part {
	if !v.facts.Member {
		return group(v.heading(v.say(mMap), ""), v.outside())
	}
	members, links := v.node().Members(), v.node().Links()
	return group(
		v.heading(v.say(mMap), v.say(mMapLead)),
		el(`div id="map" class="card map-card"`, v.live("map", v.drawing(members, links))),
		v.legend(),
		v.linkTables(members, links),
	)
}

// outside is what stands in place of the mesh while there is none.
func (v *view) outside() part {
	return v.empty("M10 10 5 5M10 10l6-3M10 10l-3 6M8 10a2 2 0 1 0 4 0 2 2 0 1 0-4 0M4 4h.01M16.5 6.5h.01M6.5 16.5h.01", mNotInMesh, mNotInMeshWhat,
		el("p", el(`a class="button primary" href="/join"`, v.say(mJoinNow))))
}

// tenths writes a coordinate.
//
//go:noinline
func tenths(n int) string {
	s := ""
	if n < 0 {
		s, n = "-", -n
	}
	return s + strconv.Itoa(n/10) + "." + strconv.Itoa(n%10)
}

func (v *view) drawing(members []Member, links []Link) part {
	at, radius := place(members, links)
	half := radius + 440
	wide := half + 300 // room for names at the sides
	var under, lines, nodes pile
	for r := ringGap; r <= radius; r += ringGap {
		under.add(el(`circle class="ring"`, attr("r", tenths(r))))
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
		d := "M" + tenths(a.x) + " " + tenths(a.y)
		if a.ring == b.ring {
			d += "Q" + tenths((a.x+b.x)*8/25) + " " + tenths((a.y+b.y)*8/25) + " " + tenths(b.x) + " " + tenths(b.y)
		} else {
			d += "L" + tenths(b.x) + " " + tenths(b.y)
		}
		lines.add(el("path", class("edge "+kind), attr("d", d)))
		if s := v.lang.latency(l.Latency); s != "" && (a.ring == 0 || b.ring == 0) && len(members) <= labelled {
			lines.add(el(`text class="edge-label"`, attr("x", tenths((a.x+b.x)/2)), attr("y", tenths((a.y+b.y)/2)), text(s)))
		}
	}
	for i := range members {
		m := &members[i]
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
		// This node's name stands above; in the middle there is no room.
		if !m.Self && (len(members) <= labelled || p.ring <= 1) {
			label = el(`text class="node-label"`, attr("x", tenths(p.x)), attr("y", tenths(p.y+190)), text(short(m.Host)))
		}
		r := "6.5"
		if m.Self {
			r = "9"
		}
		nodes.add(el("a", href("/member?name="+url.QueryEscape(m.Name)), attr("aria-label", title),
			el("title", text(title)),
			el(`circle class="hit"`, attr("cx", tenths(p.x)), attr("cy", tenths(p.y)), attr("r", "13")),
			el("circle", class("node "+kind), attr("cx", tenths(p.x)), attr("cy", tenths(p.y)), attr("r", r)), label))
	}
	box := tenths(-wide) + " " + tenths(-half) + " " + tenths(2*wide) + " " + tenths(2*half)
	return el("svg", class("map"+crowd(wide)), attr("viewBox", box), attr("role", "group"), attr("aria-label", v.lang.sayf(mMapLabel, len(members), len(links))),
		under.part(), lines.part(), nodes.part())
}

// crowd is the class of a drawing of that size: names in it are scaled with
// it, so that they come out readable.
func crowd(half int) string {
	switch {
	case half > 3400:
		return " map-huge"
	case half > 2200:
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
	var out pile
	for _, x := range legend {
		var sign part
		if x.line {
			sign = el(`path d="M-10 0H10"`, class("edge "+x.kind))
		} else {
			sign = el(`circle r="7"`, class("node "+x.kind))
		}
		out.add(el("li", el(`svg class="map legend-sign" viewBox="-10 -10 20 20" aria-hidden="true"`, sign), v.say(x.title)))
	}
	return el(`ul class="legend"`, attr("aria-label", v.lang.say(mLegend)), out.part())
}

// legend are the signs of the map.
var legend = []struct {
	line  bool
	kind  string
	title message
}{
	{false, "self", mThisNode}, {false, "alive", mAlive}, {false, "silent", mSilent},
	{true, "good", mLegendGood}, {true, "warn", mLegendFair}, {true, "bad", mLegendPoor}, {true, "up", mLegendUnknown}, {true, "down", mLegendDown},
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
	return group(
		el(`section class="part" aria-labelledby="h-own"`, el(`h2 id="h-own"`, v.say(mLinksOwn)),
			el(`div id="links"`, v.live("links", v.linkTable(mLinksOwn, members, own)))),
		when(len(others) > 0, el(`details class="part"`,
			el("summary", v.say(mLinksOthers), text(" "), el(`span class="count"`, text(strconv.Itoa(len(others))))),
			el(`div id="links-others"`, v.live("links-others", v.linkTable(mLinksOthers, members, others))))),
	)
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
		return host[a.A]+" "+host[a.B] < host[b.A]+" "+host[b.B]
	})
	link := func(n string) part {
		return el("a", href("/member?name="+url.QueryEscape(n)), text(cmp.Or(host[n], n)))
	}
	t := v.table(caption, mLink, mState, mLatency)
	for _, l := range links {
		state := badge("off", v.say(mLegendDown))
		if l.Up {
			state = badge("good", v.say(mLinkUp))
		}
		latency := v.latency(l.Latency)
		if latency == "" {
			latency = el(`span class="hint"`, v.say(mUnknown))
		}
		t.row(group(link(l.A), text(" – "), link(l.B)), state, latency)
	}
	return t.part()
}
