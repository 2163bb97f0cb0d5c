package simulate

import (
	"container/heap"
	"math"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/hashicorp/memberlist"
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
	read    []int32 // version of the record that it has
	want    []message
	busy    int // fetches that run
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
	p := &pool{n: n, size: size, conf: memberlist.DefaultWANConfig(), rng: rand.New(rand.NewPCG(seed, 11)), loss: loss}
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
	a.ring = nil
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

// queue is memberlist's queue of broadcasts: those that were sent least often
// go first, of those the newest; a newer one of a subject replaces the older.
type queue struct {
	tiers  [][]broadcast // by how often they were sent, the newest last
	latest map[int32]int // id of the subject's last one
}

func (q *queue) empty() bool { return len(q.latest) == 0 }

func (q *queue) put(tier int, b broadcast) {
	for len(q.tiers) <= tier {
		q.tiers = append(q.tiers, nil)
	}
	q.tiers[tier] = append(q.tiers[tier], b)
}

func (q *queue) add(b broadcast) {
	if q.latest == nil {
		q.latest = map[int32]int{}
	}
	q.latest[b.subject] = b.id
	q.put(0, b)
}

// take adds messages for a packet with that many bytes left.
func (q *queue) take(limit, free int, size func(kind) int, out []message) ([]message, int) {
	used := 0
	type moved struct {
		tier int
		b    broadcast
	}
	var again []moved
	for tier := 0; tier < len(q.tiers); tier++ {
		t := q.tiers[tier]
		for len(t) > 0 {
			b := t[len(t)-1]
			if q.latest[b.subject] != b.id {
				t = t[:len(t)-1] // replaced
				continue
			}
			s := size(b.kind) + compoundEach
			if used+s > free {
				break
			}
			t = t[:len(t)-1]
			used += s
			out = append(out, b.message)
			if tier+1 < limit {
				again = append(again, moved{tier + 1, b})
			} else {
				delete(q.latest, b.subject)
			}
		}
		q.tiers[tier] = t
	}
	for _, m := range again {
		q.put(m.tier, m.b)
	}
	return out, used
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

func (p *pool) probeTick(i int32) {
	a := &p.nodes[i]
	if !a.up {
		return
	}
	p.after(int64(p.conf.ProbeInterval), func() { p.probeTick(i) })
	to := p.nextProbe(i)
	if to < 0 {
		return
	}
	msgs, _ := p.take(i, udpBuffer-p.size.ping-compoundBytes-cryptoBytes)
	answered := false
	p.send(i, to, p.size.ping, msgs, func() {
		back, _ := p.take(to, udpBuffer-p.size.ack-compoundBytes-cryptoBytes)
		p.send(to, i, p.size.ack, back, func() { answered = true })
	})
	p.after(int64(p.conf.ProbeTimeout), func() {
		if answered || !p.nodes[i].up {
			return
		}
		for _, over := range p.peers(i, p.conf.IndirectChecks, func(j int32) bool { return j != to }) {
			p.send(i, over, p.size.ping+20, nil, func() {
				p.send(over, to, p.size.ping, nil, func() {
					p.send(to, over, p.size.ack, nil, func() { p.send(over, i, p.size.ack, nil, func() { answered = true }) })
				})
			})
		}
		// And over TCP, which loses nothing.
		packets, bytes := stream(p.size.ping + p.size.ack + 2*cryptoBytes)
		p.gossip.add(packets, bytes)
		if p.nodes[to].up {
			p.after(4*p.delay(), func() { answered = true })
		}
	})
	p.after(int64(p.conf.ProbeInterval), func() {
		if !answered && p.nodes[i].up && to == p.victim() {
			p.learn(i, message{kind: suspect, subject: to, from: i})
		}
	})
}

// nextProbe goes through the others in an order by chance, anew each round.
func (p *pool) nextProbe(i int32) int32 {
	a := &p.nodes[i]
	for try := 0; try < 2; try++ {
		for a.at < len(a.ring) {
			j := a.ring[a.at]
			a.at++
			if j == p.victim() && a.state == dead {
				continue
			}
			return j
		}
		a.ring, a.at = a.ring[:0], 0
		for j := range a.known {
			if int32(j) != i && a.known[j] > 0 {
				a.ring = append(a.ring, int32(j))
			}
		}
		p.rng.Shuffle(len(a.ring), func(x, y int) { a.ring[x], a.ring[y] = a.ring[y], a.ring[x] })
	}
	return -1
}

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
	if to := p.peers(i, 1, func(j int32) bool { return j != p.victim() || a.state == alive }); len(to) > 0 {
		p.pushPull(i, to[0])
	}
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
		if p.fetching && a.read[m.subject] < m.version {
			a.want = append(a.want, m)
			p.unread++
			p.fetchMore(i)
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
	}
	if p.watch != nil {
		p.watch(int(i), m)
	}
}

// suspected is memberlist's suspicion: a timer that confirmations shorten. It
// says whether the message is to be passed on.
func (p *pool) suspected(i int32, m message) bool {
	a := &p.nodes[i]
	if a.state == dead {
		return false
	}
	least := p.conf.SuspicionMult * int(math.Max(1, math.Log10(float64(a.count)))*1000)
	lo := int64(least) * int64(p.conf.ProbeInterval) / 1000
	hi := int64(p.conf.SuspicionMaxTimeoutMult) * lo
	k := p.conf.SuspicionMult - 2
	if a.count-2 < k {
		k = 0
	}
	if a.state == suspect {
		if len(a.heard) > k || slices.Contains(a.heard, m.from) {
			return false
		}
	} else {
		a.state, a.began, a.heard = suspect, p.now, nil
	}
	a.heard = append(a.heard, m.from)
	timeout := lo
	if k > 0 {
		frac := math.Log(float64(len(a.heard))) / math.Log(float64(k+1))
		timeout = max(lo, hi-int64(frac*float64(hi-lo)))
	}
	a.expires = a.began + timeout
	p.after(max(0, a.expires-p.now), func() {
		if b := &p.nodes[i]; b.up && b.state == suspect && p.now >= b.expires {
			p.learn(i, message{kind: dead, subject: m.subject})
		}
	})
	return true
}

// enqueue puts a message into a queue.
func (p *pool) enqueue(q *queue, m message) {
	p.seq++
	q.add(broadcast{message: m, id: p.seq})
}

// fetchers is the agent's: how many members are asked at once.
const fetchers = 4

// fetchMore asks owners for records that are news, as the agent does.
func (p *pool) fetchMore(i int32) {
	a := &p.nodes[i]
	for a.busy < fetchers && len(a.want) > 0 {
		m := a.want[0]
		a.want = a.want[1:]
		a.busy++
		requests, payload := 1, p.size.services
		if a.read[m.subject] == 0 {
			requests, payload = 2, p.size.record+p.size.services
		}
		p.talk(i, m.subject)
		data := (payload + segment - 1) / segment
		p.fetch.add(requests*fetchPackets+data, requests*fetchBytes+payload+data*tcp6Bytes)
		// For each: TCP, TLS and HTTP are three round trips; a key of tinc
		// for a pair that is new is one more.
		trips := int64(requests*6 + 2)
		p.after(trips*p.delay(), func() {
			a.busy--
			a.read[m.subject] = max(a.read[m.subject], m.version)
			p.unread--
			p.fetchMore(i)
		})
	}
}
