package agent

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"slices"
	"syscall"
	"time"

	"cloudy/firstboot/membership"
)

// When two tincds of version 1.0 ask each other for a key at the same moment,
// one can be left with an old one. Their meta connection stands, and says
// that the other is reachable, but every packet between them is dropped until
// tinc gives up on UDP, some 40 seconds later (measured: one cold start of
// five among 30 nodes). It is noticed by asking the member itself, and healed
// by starting tincd again, which makes new keys. The one who holds the link
// does so: of a newcomer and a member with forty others, that is the newcomer.
const (
	probeEvery   = 4 * time.Second
	probeTimeout = 2 * time.Second

	// deafFor is longer than tinc needs to notice that a member is dead
	// (PingInterval and PingTimeout), so that only what it does not
	// notice counts.
	deafFor = 17 * time.Second

	// healPause is between two attempts: tinc's own cure takes 45 seconds.
	healPause = time.Minute
)

// healer decides when to start tincd again.
type healer struct {
	deaf   map[membership.Name]time.Time // since when a reachable link does not answer
	healed time.Time
}

// heard takes the outcome of a round of probes, of links that tinc calls
// reachable, and says whether to heal now.
func (h *healer) heard(now time.Time, answers map[membership.Name]bool) bool {
	if h.deaf == nil {
		h.deaf = map[membership.Name]time.Time{}
	}
	for l := range h.deaf {
		if answered, asked := answers[l]; answered || !asked {
			delete(h.deaf, l)
		}
	}
	heal := false
	for l, answered := range answers {
		if answered {
			continue
		}
		if h.deaf[l].IsZero() {
			h.deaf[l] = now
		}
		heal = heal || now.Sub(h.deaf[l]) >= deafFor
	}
	if !heal || now.Sub(h.healed) < healPause {
		return false
	}
	h.healed = now
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
		answers := map[membership.Name]bool{}
		for _, l := range a.reachable() {
			m, ok := r.Get(l)
			if ok && slices.Contains(links, l) {
				asked := time.Now()
				answers[l] = answersOn(ctx, netip.AddrPortFrom(m.Address6, m.Node.JoinPort))
				a.noteLatency(l, time.Since(asked), answers[l])
			}
		}
		if ctx.Err() == nil && h.heard(time.Now(), answers) {
			a.log.Warn("a link is up and nothing crosses it, starting tincd again")
			a.mu.Lock()
			for l, answered := range answers {
				if !answered {
					a.linkBack(l)
				}
			}
			a.mu.Unlock()
			a.tincMu.Lock()
			err := sup.Restart(ctx)
			a.tincMu.Unlock()
			if err != nil {
				a.log.Warn("tincd", "error", err)
			}
		}
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
