package agent

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"time"

	"cloudy/firstboot/gossip"
	"cloudy/firstboot/membership"
	"cloudy/firstboot/roster"
)

// startUp is how long a member that is new may take to be heard of.
const startUp = 20 * time.Second

// stageDiscover takes part in the gossip and learns what it has of news.
func (a *Agent) stageDiscover(ctx context.Context) (string, error) {
	a.mu.Lock()
	g := a.gossip
	a.mu.Unlock()
	if g == nil {
		var err error
		g, err = gossip.Start(gossip.Config{
			Name: a.id.Name(), Bind: a.roster.Mesh().Address6(a.id.Key()), Port: a.conf.Mesh.GossipPort,
			Keys: a.standing.Keys, Tags: a.tags(), Log: serfLog{a.log}, Changed: a.Wake,
		})
		if err != nil {
			return "", err
		}
		a.mu.Lock()
		a.gossip = g
		a.mu.Unlock()
	}
	if err := g.SetTags(a.tags()); err != nil {
		return "", err
	}
	alive := a.alive()
	var missing []roster.Member
	known := 0
	for _, m := range a.roster.Members() {
		if m.Node.Key == a.id.Key() {
			continue
		}
		known++
		if !alive[m.Name()] {
			missing = append(missing, m)
		}
	}
	// Serf finds back those that it knew; those that it never met are met
	// here: all at the start, a few now and then later.
	if len(missing) == 0 || len(alive) > 0 {
		a.silent = time.Time{}
	} else if a.silent.IsZero() {
		a.silent = time.Now()
	}
	if len(missing) > 0 && (len(alive) == 0 || time.Since(a.lastJoin) > 30*time.Second) {
		if err := a.meet(g, missing); err != nil && len(alive) == 0 && time.Since(a.silent) > startUp {
			return "", fmt.Errorf("nobody answers in the gossip: %w", err)
		}
	}
	if !a.silent.IsZero() && time.Since(a.silent) > startUp {
		// Reached by tinc, not heard: the keys may have changed while
		// this node was away. Its links have the new ones.
		a.mu.Lock()
		clear(a.told)
		a.mu.Unlock()
		a.silent = time.Now()
	}
	a.fetchNews(ctx)
	if err := a.rotate(alive); err != nil {
		return "", err
	}
	return fmt.Sprintf("%d of %d other members heard of now", len(a.alive()), known), nil
}

// tags are what the gossip shall say of this node.
func (a *Agent) tags() gossip.Tags {
	_, rev := a.roster.Revocations()
	a.mu.Lock()
	defer a.mu.Unlock()
	t := gossip.Tags{Node: a.standing.Record.Record.Digest().Short(), Revocations: rev, Keys: a.standing.Keys.Tag()}
	if len(a.standing.Services.Payload) > 0 {
		t.Services = a.standing.Services.Digest().Short()
	}
	return t
}

// alive returns the other members that the gossip hears of now. Who is no
// member is not among them, whatever the gossip says.
func (a *Agent) alive() map[membership.Name]bool {
	a.mu.Lock()
	g, r, id := a.gossip, a.roster, a.id
	a.mu.Unlock()
	out := map[membership.Name]bool{}
	if g == nil || r == nil {
		return out
	}
	for _, p := range g.Peers() {
		if m, ok := r.Get(p.Name); ok && p.Alive && p.Name != id.Name() && p.Addr == m.Address6 {
			out[p.Name] = true
		}
	}
	return out
}

// meet joins some of the members in the gossip, those that this node links to
// and that tinc reaches first: one that answers tells of all others. One that
// does not answer takes half a minute, so this goes on beside the stages; the
// error is that of the last time.
func (a *Agent) meet(g *gossip.Node, missing []roster.Member) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.meeting {
		return a.unmet
	}
	a.meeting, a.lastJoin = true, time.Now()
	links, reached := a.standing.Links, a.reachable()
	rank := func(m roster.Member) int {
		switch name := m.Name(); {
		case slices.Contains(links, name) && slices.Contains(reached, name):
			return 0
		case slices.Contains(reached, name):
			return 1
		}
		return 2
	}
	// By chance within a rank: the same few may be off for good.
	rand.Shuffle(len(missing), func(i, j int) { missing[i], missing[j] = missing[j], missing[i] })
	slices.SortStableFunc(missing, func(x, y roster.Member) int { return rank(x) - rank(y) })
	var addrs []netip.Addr
	for _, m := range missing[:min(len(missing), 5)] {
		addrs = append(addrs, m.Address6)
	}
	go func() {
		_, err := g.Join(addrs)
		a.mu.Lock()
		a.meeting, a.unmet = false, err
		a.mu.Unlock()
		if err == nil {
			a.Wake()
		}
	}()
	return a.unmet
}

// serfLog gives Serf's lines to the agent's log, at their level.
type serfLog struct{ log *slog.Logger }

func (l serfLog) Write(p []byte) (int, error) {
	text := string(bytes.TrimSpace(p))
	level := slog.LevelDebug
	if strings.Contains(text, "[ERR]") {
		level = slog.LevelWarn
	}
	l.log.Log(context.Background(), level, text)
	return len(p), nil
}
