package simulate

import (
	"slices"
	"time"
)

// Result is what a run of one mesh shows. Bytes and packets are of the
// overlay for gossip and records, of the underlay for tinc; all are for one
// node, unless they say so.
type Result struct {
	Members int

	Joined  time.Duration // from the first start until everybody is in everybody's gossip
	Known   time.Duration // and until everybody has everybody's record
	Startup int64         // bytes of gossip until then, for one node
	Records int64         // bytes of records fetched until then

	Idle        float64 // bytes a second of gossip
	IdlePackets float64

	Change90, ChangeAll time.Duration // from a change at one node until 90 %, all have the record
	ChangePackets       int64         // of the whole mesh: gossip above idle, and fetches
	ChangeBytes         int64

	Death time.Duration // from a member's power cut until all count it out

	Links     int     // of tinc's meta graph, in all
	MostLinks int     // of one node, which is the inviter
	Hops      float64 // between two members, on average over the graph
	Pairs     int     // of members that have a tunnel, after the run
	Underlay  float64 // bytes a second that leave a node while nothing happens, see graph
}

// Config is one run.
type Config struct {
	Members int
	Seed    uint64
	Loss    float64       // share of the packets
	Spread  time.Duration // the newcomers start within this time, one after the other
	Idle    time.Duration // how long idle traffic is counted
}

// Run simulates one mesh from its founding to the death of a member.
func Run(c Config) Result {
	size := newSizes()
	com := newCommunity(c.Seed, c.Members)
	p := newPool(c.Members, c.Seed, size, c.Loss)
	p.fetching = true
	n := int64(c.Members)
	res := Result{Members: c.Members}

	// Everybody joins: the founder first, then each meets those that it was
	// told of, which are its links and some more.
	for i := range c.Members {
		i := int32(i)
		at := int64(0)
		if i > 0 {
			at = int64(c.Spread) * int64(i) / n
		}
		var meets []int32
		for _, l := range com.links[i] {
			meets = append(meets, int32(l))
		}
		p.after(at, func() { p.start(i, meets) })
	}
	limit := int64(2 * time.Hour)
	p.run(limit, func() bool { return p.now >= int64(c.Spread) && p.left == 0 })
	res.Joined = time.Duration(p.now)
	p.run(limit, func() bool { return p.left == 0 && p.unread == 0 })
	res.Known = time.Duration(p.now)
	res.Startup, res.Records = p.gossip.bytes/n, p.fetch.bytes/n

	// What is still in the queues goes out, then all is quiet.
	p.run(p.now+int64(10*time.Minute), nil)
	was, began := p.gossip, p.now
	p.run(p.now+int64(c.Idle), nil)
	idle := p.gossip.minus(was)
	seconds := float64(p.now-began) / 1e9
	res.Idle = float64(idle.bytes) / seconds / float64(n)
	res.IdlePackets = float64(idle.packets) / seconds / float64(n)

	// One node announces another service: its tag changes.
	p.now = began + int64(c.Idle)
	began = p.now
	p.nodes[0].known[0]++
	p.enqueue(&p.nodes[0].queue, message{kind: alive, subject: 0, version: p.nodes[0].known[0]})
	g, f := p.gossip, p.fetch
	version := p.nodes[0].known[0]
	p.run(p.now+int64(time.Hour), func() bool {
		return p.allRead(version)
	})
	res.ChangeAll = time.Duration(p.now - began)
	res.Change90 = time.Duration(p.ninety - began)
	took := float64(p.now-began) / 1e9
	gossip, fetch := p.gossip.minus(g), p.fetch.minus(f)
	res.ChangePackets = gossip.packets - int64(took*float64(idle.packets)/seconds) + fetch.packets
	res.ChangeBytes = gossip.bytes - int64(took*float64(idle.bytes)/seconds) + fetch.bytes

	// The last one loses power.
	p.run(p.now+int64(5*time.Minute), nil)
	began = p.now
	p.nodes[p.victim()].up = false
	out := 1
	p.watch = func(i int, m message) {
		if m.kind == dead {
			out++
		}
	}
	p.run(p.now+int64(2*time.Hour), func() bool { return out == c.Members })
	res.Death = time.Duration(p.now - began)
	res.Pairs = p.pairCount

	graph(com, &res)
	return res
}

// allRead says whether everybody has the founder's record of that version, and
// notes when nine of ten had.
func (p *pool) allRead(version int32) bool {
	n := 0
	for i := range p.nodes {
		if i == 0 || p.nodes[i].read[0] >= version {
			n++
		}
	}
	if p.ninety == 0 && n*10 >= p.n*9 {
		p.ninety = p.now
	}
	return n == p.n
}

// graph measures tinc's meta graph.
func graph(c *community, res *Result) {
	n := len(c.links)
	near := make([][]int, n)
	for i, links := range c.links {
		for _, l := range links {
			near[i] = append(near[i], l)
			near[l] = append(near[l], i)
			res.Links++
		}
	}
	var hops, reached int
	for i := range n {
		res.MostLinks = max(res.MostLinks, len(near[i]))
		if n > 2000 && i%(n/500) != 0 {
			continue // a sample of the large ones
		}
		dist := slices.Repeat([]int{-1}, n)
		dist[i] = 0
		for queue := []int{i}; len(queue) > 0; queue = queue[1:] {
			at := queue[0]
			for _, j := range near[at] {
				if dist[j] < 0 {
					dist[j] = dist[at] + 1
					hops += dist[j]
					reached++
					queue = append(queue, j)
				}
			}
		}
	}
	res.Hops = float64(hops) / float64(max(reached, 1))
	members, links := float64(res.Members), float64(res.Links)
	res.Underlay = res.Idle + res.IdlePackets*tunnelBytes +
		2*float64(res.Pairs)/members*probeBytes + links/members*(metaBytes+linkBytes)
}
