package join

import (
	"fmt"
	"slices"

	"cloudy/firstboot/membership"
)

// Applicant is a node that waits for somebody to let it in.
type Applicant struct {
	Key  membership.Key `json:"key"`
	Host string         `json:"host"` // what it calls itself
	At   int64          `json:"at"`   // Unix seconds, of its first request
}

// maxWaiting is how many may wait with one invitation: its holder can make
// any number of keys.
const maxWaiting = 10

// wait notes that the node asked, and is the answer to it.
func (l *Ledger) wait(i *Issued, key membership.Key, host string) error {
	known := slices.ContainsFunc(i.Waiting, func(a Applicant) bool { return a.Key == key })
	if !known {
		if len(i.Waiting) >= maxWaiting {
			return refusal(429, CodeBusy, "too many nodes wait with this invitation")
		}
		i.Waiting = append(i.Waiting, Applicant{key, host, l.now().Unix()})
		if err := l.save(); err != nil {
			i.Waiting = i.Waiting[:len(i.Waiting)-1]
			return err
		}
	}
	return refusal(202, CodePending, fmt.Sprintf("somebody has to approve this node, %s", key.Name()))
}

// Decide lets a node that waits in at its next request, or keeps it out. A
// node that was kept out can be approved later.
func (l *Ledger) Decide(name membership.Name, approve bool) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	found := false
	for _, i := range l.list {
		pick := func(k membership.Key) bool { return k.Name() == name }
		var key membership.Key
		if n := slices.IndexFunc(i.Waiting, func(a Applicant) bool { return pick(a.Key) }); n >= 0 {
			key = i.Waiting[n].Key
			i.Waiting = slices.Delete(i.Waiting, n, n+1)
		} else if n := slices.IndexFunc(i.Denied, pick); n >= 0 && approve {
			key = i.Denied[n]
			i.Denied = slices.Delete(i.Denied, n, n+1)
		} else {
			continue
		}
		found = true
		if approve {
			i.Approved = append(i.Approved, key)
		} else {
			i.Denied = append(i.Denied, key)
		}
	}
	if !found {
		return fmt.Errorf("no node %s waits here", name)
	}
	return l.save()
}

// Waiting returns who waits, the first who came first.
func (l *Ledger) Waiting() []Applicant {
	var out []Applicant
	for _, i := range l.List() {
		if !i.Cancelled {
			out = append(out, i.Waiting...)
		}
	}
	slices.SortStableFunc(out, func(a, b Applicant) int { return int(a.At - b.At) })
	return out
}
