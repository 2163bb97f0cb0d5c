package simulate

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
