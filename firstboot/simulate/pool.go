package simulate

import (
	"container/heap"
	"math"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/hashicorp/memberlist"

	"cloudy/firstboot/gossip"
)

// pool is one gossip of n agents: memberlist's probes, gossip, suspicion and
// push/pull, with Serf's join intents and the agent's fetching of records on
// top, event by event. What it leaves out is written in docs/scale.md.
type pool struct {
	n     int
	size  sizes
	conf  *memberlist.Config
	rng   *rand.Rand
	loss  float64
	delay func() int64 // one way, in nanoseconds

	now    int64
	seq    int
	events eventHeap
	nodes  []agent

	gossip, fetch count // all nodes together
	pairs         []uint64
	pairCount     int

	watch    func(node int, m message) // sees what is news to a node
	ninety   int64                     // when nine of ten had read a change
	left     int                       // pairs of members that do not know each other
	unread   int                       // records that are known of and not fetched
	fetching bool                      // records are fetched
}

// count is traffic on the overlay, headers of IPv6 included.
type count struct{ packets, bytes int64 }

func (c *count) add(packets, bytes int) { c.packets += int64(packets); c.bytes += int64(bytes) }

func (c count) minus(d count) count { return count{c.packets - d.packets, c.bytes - d.bytes} }

type kind uint8

const (
	alive kind = iota
	suspect
	dead
	intent
)

// message is one statement of the gossip.
type message struct {
	kind    kind
	subject int32
	version int32 // alive: incarnation
	from    int32 // suspect: who says so
}

type broadcast struct {
	message
	id int
}

type agent struct {
	up      bool
	known   []int32 // version of each member, 0: never heard of
	count   int     // of those
	intents []bool
	queue   queue // memberlist's
	intentQ queue // Serf's
	ring    []int32
	at      int
	meets   []int32 // whom it was told of when it joined
	behind  int     // exchanges that follow the last news
	reader
	suspicion
}

// suspicion is what a node thinks of the one member that dies in a run.
type suspicion struct {
	state   kind // alive, suspect, dead
	began   int64
	heard   []int32
	expires int64
}

type event struct {
	at, seq int64
	run     func()
}

type eventHeap []event

func (h eventHeap) Len() int { return len(h) }
func (h eventHeap) Less(i, j int) bool {
	return h[i].at < h[j].at || h[i].at == h[j].at && h[i].seq < h[j].seq
}
func (h eventHeap) Swap(i, j int) { h[i], h[j] = h[j], h[i] }
func (h *eventHeap) Push(x any)   { *h = append(*h, x.(event)) }
func (h *eventHeap) Pop() any {
	old := *h
	x := old[len(old)-1]
	old[len(old)-1] = event{}
	*h = old[:len(old)-1]
	return x
}

// newPool is a pool of which nobody has joined yet.
func newPool(n int, seed uint64, size sizes, loss float64) *pool {
	p := &pool{n: n, size: size, conf: gossip.Profile(), rng: rand.New(rand.NewPCG(seed, 11)), loss: loss}
	// Community links: 5 to 40 ms one way, most of them short.
	p.delay = func() int64 {
		u := p.rng.Float64()
		return int64((5 + 35*u*u) * float64(time.Millisecond))
	}
	p.nodes = make([]agent, n)
	p.pairs = make([]uint64, (n*n+63)/64)
	return p
}

func (p *pool) after(d int64, run func()) {
	p.seq++
	heap.Push(&p.events, event{p.now + d, int64(p.seq), run})
}

// run goes on until the time or until done says so.
func (p *pool) run(until int64, done func() bool) {
	for len(p.events) > 0 && p.events[0].at <= until && (done == nil || !done()) {
		e := heap.Pop(&p.events).(event)
		p.now = e.at
		e.run()
	}
	if done == nil {
		p.now = until
	}
}

// talk notes that two nodes speak to each other over the overlay, which makes
// tinc keep a tunnel between them.
func (p *pool) talk(a, b int32) {
	if a > b {
		a, b = b, a
	}
	i := int(a)*p.n + int(b)
	if p.pairs[i/64]&(1<<(i%64)) == 0 {
		p.pairs[i/64] |= 1 << (i % 64)
		p.pairCount++
	}
}

// start brings a node up, which meets the members that it was told of.
func (p *pool) start(i int32, meets []int32) {
	a := &p.nodes[i]
	a.up = true
	a.known, a.read, a.intents = make([]int32, p.n), make([]int32, p.n), make([]bool, p.n)
	a.known[i], a.read[i], a.count = 1, 1, 1
	p.left += 2 * p.living() // it and everybody else
	p.left -= 2
	a.ring, a.meets = nil, meets
	jitter := func(d time.Duration) int64 { return int64(p.rng.Float64() * float64(d)) }
	p.after(jitter(p.conf.GossipInterval), func() { p.gossipTick(i) })
	p.after(jitter(p.conf.ProbeInterval), func() { p.probeTick(i) })
	p.after(jitter(p.conf.PushPullInterval), func() { p.pushPullTick(i) })
	for _, to := range meets {
		if to != i && p.nodes[to].up {
			p.pushPull(i, to)
		}
	}
	if len(meets) > 0 {
		p.learn(i, message{kind: intent, subject: i})
	}
}

func (p *pool) living() int {
	n := 0
	for i := range p.nodes {
		if p.nodes[i].up {
			n++
		}
	}
	return n
}

// peers chooses k others that a node thinks are there.
func (p *pool) peers(i int32, k int, more func(int32) bool) []int32 {
	a := &p.nodes[i]
	var out []int32
	for try := 0; try < 3*p.n && len(out) < k; try++ {
		j := int32(p.rng.IntN(p.n))
		if j == i || a.known[j] == 0 || slices.Contains(out, j) || more != nil && !more(j) {
			continue
		}
		out = append(out, j)
	}
	return out
}

// take gets the messages for a packet with that many bytes left.
func (p *pool) take(i int32, free int) ([]message, int) {
	a := &p.nodes[i]
	limit := p.conf.RetransmitMult * int(math.Ceil(math.Log10(float64(a.count+1))))
	out, used := a.queue.take(limit, free, p.bytes, nil)
	out, more := a.intentQ.take(limit, free-used, p.bytes, out)
	return out, used + more
}

func (p *pool) bytes(k kind) int {
	switch k {
	case alive:
		return p.size.alive
	case intent:
		return p.size.intent
	}
	return p.size.suspect
}

// send carries a packet, unless it is lost.
func (p *pool) send(from, to int32, own int, msgs []message, arrived func()) {
	bytes, n := own, len(msgs)
	if own > 0 {
		n++
	}
	for _, m := range msgs {
		bytes += p.bytes(m.kind)
	}
	p.gossip.add(1, packet(n, bytes))
	p.talk(from, to)
	if p.loss > 0 && p.rng.Float64() < p.loss {
		return
	}
	p.after(p.delay(), func() {
		if !p.nodes[to].up {
			return
		}
		for _, m := range msgs {
			p.learn(to, m)
		}
		if arrived != nil {
			arrived()
		}
	})
}

func (p *pool) gossipTick(i int32) {
	if !p.nodes[i].up {
		return
	}
	a := &p.nodes[i]
	if !a.queue.empty() || !a.intentQ.empty() {
		for _, to := range p.peers(i, p.conf.GossipNodes, func(j int32) bool { return j != p.victim() || a.state != dead }) {
			msgs, _ := p.take(i, udpBuffer-compoundBytes-cryptoBytes)
			if len(msgs) == 0 {
				break
			}
			p.send(i, to, 0, msgs, nil)
		}
	}
	p.after(int64(p.conf.GossipInterval), func() { p.gossipTick(i) })
}

// victim is the member that dies in a run: always the last.
func (p *pool) victim() int32 { return int32(p.n - 1) }

func (p *pool) pushPullTick(i int32) {
	a := &p.nodes[i]
	if !a.up {
		return
	}
	// pushPullScale: beyond 32 members the interval grows.
	interval := int64(p.conf.PushPullInterval)
	if a.count > 32 {
		interval *= int64(math.Ceil(math.Log2(float64(a.count))-5) + 1)
	}
	p.after(interval, func() { p.pushPullTick(i) })
	p.exchange(i)
}

// exchange is one with a member that the node takes for alive.
func (p *pool) exchange(i int32) {
	a := &p.nodes[i]
	if to := p.peers(i, 1, func(j int32) bool { return j != p.victim() || a.state == alive }); len(to) > 0 {
		p.pushPull(i, to[0])
	}
}

// news makes a node exchange everything with another one, as gossip.catchUp.
func (p *pool) news(i int32) {
	a := &p.nodes[i]
	if a.behind == 0 {
		p.catchUpLater(i)
	}
	a.behind = gossip.CatchUps
}

func (p *pool) catchUpLater(i int32) {
	a := &p.nodes[i]
	pause := int64(gossip.CatchUpPause(a.count))
	p.after(pause+int64(p.rng.Float64()*float64(pause)/2), func() {
		if !a.up {
			return
		}
		if a.behind--; a.behind > 0 {
			p.catchUpLater(i)
		}
		p.exchange(i)
	})
}

// pushPull gives each of two nodes all that the other one knows.
func (p *pool) pushPull(i, j int32) {
	p.talk(i, j)
	if !p.nodes[j].up {
		return
	}
	x, y := slices.Clone(p.nodes[i].known), slices.Clone(p.nodes[j].known)
	packets, bytes := stream(p.size.state(p.nodes[i].count) + p.size.state(p.nodes[j].count))
	p.gossip.add(packets, bytes)
	give := func(to int32, what []int32) {
		if !p.nodes[to].up {
			return
		}
		for s, v := range what {
			if v > p.nodes[to].known[s] {
				p.learn(to, message{kind: alive, subject: int32(s), version: v})
			}
		}
	}
	p.after(3*p.delay(), func() { give(j, x) })
	p.after(4*p.delay(), func() { give(i, y) })
}

// learn is a message that reaches a node, or that it makes itself.
func (p *pool) learn(i int32, m message) {
	a := &p.nodes[i]
	switch m.kind {
	case alive:
		if m.version <= a.known[m.subject] || m.subject == i {
			return
		}
		if a.known[m.subject] == 0 {
			a.count++
			p.left--
		}
		a.known[m.subject] = m.version
		p.enqueue(&a.queue, m)
		p.news(i)
		if p.fetching && a.read[m.subject] < m.version {
			p.wants(i, m.subject)
		}
	case intent:
		if a.intents[m.subject] {
			return
		}
		a.intents[m.subject] = true
		p.enqueue(&a.intentQ, m)
	case suspect:
		if m.subject == i || !p.suspected(i, m) {
			return
		}
		p.enqueue(&a.queue, m)
	case dead:
		if a.state == dead || m.subject == i {
			return
		}
		a.state = dead
		p.enqueue(&a.queue, m)
		p.news(i)
	}
	if p.watch != nil {
		p.watch(int(i), m)
	}
}

// enqueue puts a message into a queue.
func (p *pool) enqueue(q *queue, m message) {
	p.seq++
	q.add(broadcast{message: m, id: p.seq})
}
