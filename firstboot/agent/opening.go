package agent

import (
	"slices"
	"time"

	"cloudy/firstboot/membership"
)

// Two tincds that talk to each other give each other a key, on the way that
// tinc knows at that moment. When a link between them comes up meanwhile, the
// next key takes the new way and can overtake the one before: each then has
// another key for the same packets, and drops them (see heal.go; seen in most
// starts of 43 nodes, with several links at once). So a node that is new in
// the mesh takes up one link, gets its keys over it, and takes up the others
// then.
const (
	settle = 4 * time.Second

	// openLimit is how long the one link may take. It may be dead.
	openLimit = 8 * time.Second
)

// opening is how a new node takes up its links.
type opening struct {
	began time.Time
	done  bool
}

// links are those of the chosen ones that tincd is to have now. The first one
// is preferred; since says when tinc found whom it reaches.
func (o *opening) links(now time.Time, chosen []membership.Name, first membership.Name, since map[membership.Name]time.Time) []membership.Name {
	if o.began.IsZero() {
		o.began = now
	}
	settled := false
	for _, t := range since {
		settled = settled || now.Sub(t) >= settle
	}
	o.done = o.done || settled || len(since) == 0 && now.Sub(o.began) >= openLimit
	if o.done || len(chosen) < 2 {
		return chosen
	}
	if slices.Contains(chosen, first) {
		return []membership.Name{first}
	}
	return chosen[:1]
}
