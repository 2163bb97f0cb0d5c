package page

import (
	"net/url"
	"sort"
	"strconv"
)

func (v *view) overview() part {
	f := &v.facts
	return group(
		v.heading(text(f.Host), ""),
		v.statusBox(),
		el(`div id="next"`, v.live("next", v.nextStep())),
		v.copies(),
		el(`section class="card" aria-labelledby="c-stages"`,
			el(`div class="card-head"`, el(`h2 id="c-stages"`, v.say(mStages)), el(`a href="/stages"`, v.say(mDetails))),
			el(`ol id="steps" class="steps"`, v.live("steps", v.steps()))),
		el(`div class="cards"`,
			v.card("c-addresses", mAddresses, el(`div id="addresses"`, v.live("addresses", v.addresses()))),
			v.card("c-machine", mMachine, el(`div id="machine"`, v.live("machine", v.machine()))),
			v.card("c-mesh", mMesh, el(`div id="mesh"`, v.live("mesh", v.meshCard()))),
			v.card("c-own", mOwn, el(`div id="own"`, v.live("own", v.ownCard()))),
		),
	)
}

// nextStep is the one thing to do now, if there is one.
func (v *view) nextStep() part {
	if v.facts.Member || !v.admin() {
		return ""
	}
	if s, ok := v.facts.current(); ok && s.Name == "join" && (s.State == Waiting || s.State == Refused) {
		return el("p", el(`a class="button primary" href="/join"`, v.say(mJoinNow)))
	}
	return ""
}

func (v *view) addresses() part {
	f := &v.facts
	var outside pile
	for _, a := range f.Addresses {
		outside.add(el("div", code(a)))
	}
	var out part = outside.part()
	if outside.part() == "" {
		out = v.say(mNone)
	}
	var a4, a6 part
	if f.Member {
		a4, a6 = code(f.Address4), code(f.Address6)
	}
	return v.list(row{mAddress4, a4}, row{mAddress6, a6}, row{mOutside, out}, row{mNodeName, code(f.Name)})
}

func (v *view) machine() part {
	f := &v.facts
	var model, load part
	if f.Model != "" {
		model = text(f.Model)
	}
	if f.Load >= 0 {
		load = text(v.lang.decimal(f.Load, 2))
	}
	return v.list(
		row{mModel, model},
		row{mUptime, text(v.lang.duration(f.Uptime))},
		row{mLoad, load},
		row{mMemory, v.meter(mMemory, f.Memory, f.MemoryAll)},
		row{mDisk, v.meter(mDisk, f.Disk, f.DiskAll)},
	)
}

// meter draws how full something is. A width in a style is not allowed here,
// one of a rectangle is.
func (v *view) meter(what message, used, all uint64) part {
	if all == 0 {
		return ""
	}
	share := min(100, 100*float64(used)/float64(all))
	kind := "good"
	if share > 90 {
		kind = "bad"
	} else if share > 75 {
		kind = "warn"
	}
	label := v.lang.sayf(mOf, v.lang.size(used), v.lang.size(all))
	return group(
		text(label),
		el("svg", class("meter "+kind), attr("viewBox", "0 0 100 4"), attr("preserveAspectRatio", "none"), attr("role", "img"),
			attr("aria-label", v.lang.say(what)+": "+v.lang.decimal(share, 0)+" %"),
			el(`rect class="meter-all" width="100" height="4"`),
			el(`rect class="meter-used"`, attr("width", strconv.FormatFloat(share, 'f', 1, 64)), attr("height", "4"))),
	)
}

func (v *view) meshCard() part {
	f := &v.facts
	if !f.Member {
		return el(`p class="hint"`, v.say(mNotInMesh))
	}
	members := v.node().Members()
	latency := map[string]Latency{}
	for _, m := range members {
		latency[m.Name] = m.Latency
	}
	var links pile
	for _, l := range f.Links {
		links.add(el("div", v.memberLink(l), text(" "), v.latency(latency[l])))
	}
	var list part = links.part()
	if links.part() == "" {
		list = v.say(mNone)
	}
	return v.list(
		row{mNetwork, text(f.Network)},
		row{mMembers, v.sayf(mAliveOf, f.Alive, f.Members)},
		row{mLinks, list},
	)
}

func (v *view) ownCard() part {
	list := v.node().Services()
	if len(list) == 0 {
		return el(`p class="hint"`, v.say(mNoServices))
	}
	sort.SliceStable(list, func(i, j int) bool { return list[i].On && !list[j].On })
	var out pile
	for _, s := range list[:min(len(list), 8)] {
		out.add(el("li", el("span", text(s.title())), v.serviceState(s)))
	}
	return el(`ul class="lines"`, out.part())
}

// memberLink is a member by its host name.
func (v *view) memberLink(name string) part {
	return el("a", href("/member?name="+url.QueryEscape(name)), text(v.hostOf(name)))
}

// hostOf is the host name of a member, or its name in the mesh.
func (v *view) hostOf(name string) string {
	for _, m := range v.node().Members() {
		if m.Name == name && m.Host != "" {
			return m.Host
		}
	}
	return name
}

// latency is a latency with its quality in colour and in words.
func (v *view) latency(x Latency) part {
	s := v.lang.latency(x)
	if s == "" {
		return ""
	}
	kind, word := quality(x)
	return badge(kind, group(text(s), el(`span class="unseen"`, text(", "), v.say(word))))
}

// quality sorts latencies by what people notice: nothing, something, a wait.
func quality(x Latency) (kind string, word message) {
	switch ms := x.Time.Milliseconds(); {
	case ms < goodLatency:
		return "good", mQualityGood
	case ms < fairLatency:
		return "warn", mQualityFair
	}
	return "bad", mQualityPoor
}

// The bounds of qualities in milliseconds.
const (
	goodLatency = 50
	fairLatency = 150
)
