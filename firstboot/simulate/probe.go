package simulate

import (
	"math"
	"slices"
)

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
