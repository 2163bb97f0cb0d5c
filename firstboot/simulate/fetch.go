package simulate

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
