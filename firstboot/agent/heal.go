package agent

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"slices"
	"sync"
	"syscall"
	"time"

	"cloudy/firstboot/membership"
	"cloudy/firstboot/roster"
	"cloudy/firstboot/tinc"
)

// When two keys that a tincd of version 1.0 gives another one arrive in the wrong
// order (see opening.go), that one is left with the old one. Their meta connection
// stands, and says that the other is reachable, but every packet between them
// is dropped until tinc gives up on UDP, some 40 seconds later. It is noticed
// by asking the member itself, and healed by starting tincd again, which makes
// new keys. The one who holds the link does so: of a newcomer and a member with
// forty others, that is the newcomer.
//
// It is a strong medicine, for all links end with it and the others see the
// node go and come back. On a machine that cannot keep up every link seems to
// be deaf, and starting tincd again makes it worse, for everybody. So a link
// has time enough to answer for an attempt to be sent again three times, one
// that answers is a sign that it is not this node that is slow, and the pause
// between two attempts grows.
const (
	probeEvery   = 4 * time.Second
	probeTimeout = 8 * time.Second

	// deafFor is longer than tinc needs to notice that a member is dead
	// (PingInterval and PingTimeout), so that only what it does not
	// notice counts. deafAll is the same for a node none of whose several
	// links answers.
	deafFor = 17 * time.Second
	deafAll = time.Minute

	// healPause is between two attempts. tincd gives up on UDP by itself
	// after 45 seconds, and changes its keys once in an hour.
	// It doubles with each, until there was none for healForget.
	healPause    = 5 * time.Minute
	healPauseMax = 30 * time.Minute
	healForget   = 2 * time.Hour
)

// healer decides when to start tincd again.
type healer struct {
	deaf   map[membership.Name]time.Time // since when a reachable link does not answer
	healed time.Time
	pause  time.Duration // after that
}

// heard takes the outcome of a round of probes, which were sent at the time, of
// links that tinc calls reachable. It says whether to heal now.
func (h *healer) heard(asked time.Time, answers map[membership.Name]bool) bool {
	if h.deaf == nil {
		h.deaf = map[membership.Name]time.Time{}
	}
	for l := range h.deaf {
		if answered, asked := answers[l]; answered || !asked {
			delete(h.deaf, l)
		}
	}
	var longest time.Duration
	for l, answered := range answers {
		if answered {
			continue
		}
		if h.deaf[l].IsZero() {
			h.deaf[l] = asked
		}
		longest = max(longest, asked.Sub(h.deaf[l]))
	}
	limit := deafFor
	if len(answers) > 1 && len(h.deaf) == len(answers) {
		limit = deafAll
	}
	if since := asked.Sub(h.healed); longest < limit || since < h.pause {
		return false
	} else if since > healForget {
		h.pause = 0
	}
	h.healed, h.pause = asked, min(max(2*h.pause, healPause), healPauseMax)
	clear(h.deaf)
	return true
}

// watchLinks probes the node's links until the context ends.
func (a *Agent) watchLinks(ctx context.Context) {
	var h healer
	for sleep(ctx, probeEvery) == nil {
		a.mu.Lock()
		st, r, id, sup := a.standing, a.roster, a.id, a.tincd
		var links []membership.Name
		if st != nil {
			links = slices.Clone(st.Links)
		}
		a.mu.Unlock()
		if st == nil || r == nil || id == nil || sup == nil {
			continue
		}
		asked := time.Now()
		answers := a.probe(ctx, r, links)
		if ctx.Err() == nil && h.heard(asked, answers) {
			a.heal(ctx, sup, answers)
		}
	}
}

// probe asks the links that tinc reaches, and says which of them answered.
func (a *Agent) probe(ctx context.Context, r *roster.Roster, links []membership.Name) map[membership.Name]bool {
	answers := map[membership.Name]bool{}
	var mu sync.Mutex
	var wg sync.WaitGroup
	for _, l := range a.reachable() {
		m, ok := r.Get(l)
		if !ok || !slices.Contains(links, l) {
			continue
		}
		wg.Go(func() {
			asked := time.Now()
			ok := answersOn(ctx, netip.AddrPortFrom(m.Address6, m.Node.JoinPort))
			a.noteLatency(l, time.Since(asked), ok)
			mu.Lock()
			answers[l] = ok
			mu.Unlock()
		})
	}
	wg.Wait()
	return answers
}

// heal starts tincd again.
func (a *Agent) heal(ctx context.Context, sup tinc.Supervisor, answers map[membership.Name]bool) {
	a.log.Warn("a link is up and nothing crosses it, starting tincd again")
	a.mu.Lock()
	for l, answered := range answers {
		if !answered {
			a.linkBack(l)
		}
	}
	clear(a.seen) // that the others come back is this node's own doing
	g := a.gossip
	a.mu.Unlock()
	a.tincMu.Lock()
	err := sup.Restart(ctx)
	a.tincMu.Unlock()
	if err != nil {
		a.log.Warn("tincd", "error", err)
	}
	if g != nil {
		g.CatchUp() // on what was said meanwhile
	}
}

// answersOn says whether a host answers at all: that nobody listens there is
// an answer.
func answersOn(ctx context.Context, to netip.AddrPort) bool {
	c, err := (&net.Dialer{Timeout: probeTimeout}).DialContext(ctx, "tcp", to.String())
	if err == nil {
		c.Close()
	}
	return err == nil || errors.Is(err, syscall.ECONNREFUSED)
}
