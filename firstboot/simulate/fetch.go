package simulate

import (
	"slices"
	"time"
)

// What the agent has under these names.
const (
	fetchers   = 4 // members that are asked at once
	fewToAsk   = 4 // members that are asked each in any case
	roundPause = int64(100 * time.Millisecond)
)

// reader is a node's fetching of records.
type reader struct {
	read  []int32 // version of each member's record that it has
	want  []int32 // members with news, in the order of hearing
	runs  bool    // a round is due, or goes on
	list  []int32 // what is left of the round
	asked int     // requests of it that are under way
}

// wants notes that there is a newer record of a member.
func (p *pool) wants(i, subject int32) {
	a := &p.nodes[i]
	if !slices.Contains(a.want, subject) {
		a.want = append(a.want, subject)
		p.unread++
	}
	if !a.runs {
		a.runs = true
		p.after(roundPause, func() { p.fetchNews(i) })
	}
}

// fetchNews is a round of the agent: who knows little asks one member for all
// that it knows, and then the owners of what is left.
func (p *pool) fetchNews(i int32) {
	a := &p.nodes[i]
	a.list, a.want = a.want, nil
	if len(a.list) < fewToAsk || 2*len(a.list) <= a.count-1 {
		p.fetchMore(i)
		return
	}
	from := a.list[max(slices.IndexFunc(a.list, func(m int32) bool { return slices.Contains(a.meets, m) }), 0)]
	known, payload := slices.Clone(p.nodes[from].read), 0
	for _, v := range known {
		if v > 0 {
			payload += p.size.record + p.size.services
		}
	}
	p.request(i, from, 1, payload, func() {
		for m, v := range known {
			a.read[m] = max(a.read[m], v)
		}
		p.fetchMore(i)
	})
}

// fetchMore goes on with a round.
func (p *pool) fetchMore(i int32) {
	a := &p.nodes[i]
	for a.asked < fetchers && len(a.list) > 0 {
		m := a.list[0]
		a.list = a.list[1:]
		if a.read[m] >= a.known[m] {
			p.unread--
			continue
		}
		requests, payload := 1, p.size.services
		if a.read[m] == 0 {
			requests, payload = 2, p.size.record+p.size.services
		}
		a.asked++
		version := a.known[m]
		p.request(i, m, requests, payload, func() {
			a.asked--
			a.read[m] = max(a.read[m], version)
			p.unread--
			p.fetchMore(i)
		})
	}
	if a.asked > 0 || len(a.list) > 0 {
		return
	}
	a.runs = len(a.want) > 0
	if a.runs {
		p.after(roundPause, func() { p.fetchNews(i) })
	}
}

// request carries requests in one connection, and their answers.
func (p *pool) request(from, to int32, requests, payload int, done func()) {
	p.talk(from, to)
	data := (payload + segment - 1) / segment
	p.fetch.add(fetchPackets+(requests-1)*againPackets+data, fetchBytes+(requests-1)*againBytes+payload+data*tcp6Bytes)
	// TCP, TLS and HTTP are three round trips, each further request is one;
	// so is a key of tinc for a pair that is new.
	p.after(int64(6+2*(requests-1)+2)*p.delay(), done)
}
