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
	"sync"
	"time"

	"cloudy/firstboot/gossip"
	"cloudy/firstboot/join"
	"cloudy/firstboot/membership"
	"cloudy/firstboot/roster"
)

// fetchers is how many members are asked at once.
const fetchers = 4

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
		if m, ok := r.Get(p.Name); ok && p.Alive && p.Name != id.Name() && p.Addr == r.Mesh().Address6(m.Node.Key) {
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
		addrs = append(addrs, a.roster.Mesh().Address6(m.Node.Key))
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

// fetchNews gets the records whose digests in the gossip differ from what is
// known, from their owners, in the background.
func (a *Agent) fetchNews(ctx context.Context) {
	_, revocations := a.roster.Revocations()
	type want struct {
		peer gossip.Peer
		what []string
	}
	var list []want
	now := time.Now()
	a.mu.Lock()
	g, busy, keys := a.gossip, a.busy, a.standing.Keys.Tag()
	a.mu.Unlock()
	if g == nil || busy {
		return
	}
	for _, p := range g.Peers() {
		if !p.Alive || p.Name == a.id.Name() || !a.roster.Mesh().Prefix6().Contains(p.Addr) {
			continue
		}
		m, known := a.roster.Get(p.Name)
		w := want{peer: p}
		need := func(what, digest string) {
			if now.After(a.badFetch[what+"/"+digest+"/"+string(p.Name)]) {
				w.what = append(w.what, what)
			}
		}
		if !known || m.Record.Record.Digest().Short() != p.Tags.Node {
			need("node", p.Tags.Node)
		}
		if p.Tags.Services != "" && (!known || m.Services == nil || m.Signed.Digest().Short() != p.Tags.Services) {
			need("services", p.Tags.Services)
		}
		if p.Tags.Revocations != "" && p.Tags.Revocations != revocations {
			need("revocations", p.Tags.Revocations)
		}
		// Only from members: keys are not signed, who has them is.
		if known && membership.Newer(p.Tags.Keys, keys) {
			need("keys", p.Tags.Keys)
		}
		if len(w.what) > 0 {
			list = append(list, w)
		}
	}
	if len(list) == 0 {
		return
	}
	a.mu.Lock()
	a.busy = true
	a.mu.Unlock()
	go func() {
		var wg sync.WaitGroup
		slots := make(chan bool, fetchers)
		news := false
		for _, w := range list {
			wg.Add(1)
			slots <- true
			go func() {
				defer func() { <-slots; wg.Done() }()
				for _, what := range w.what {
					changed, err := a.fetch(ctx, w.peer, what)
					if err != nil {
						a.log.Debug("fetch", "what", what, "from", w.peer.Name, "error", err)
					}
					a.mu.Lock()
					news = news || changed
					if !changed {
						digest := map[string]string{"node": w.peer.Tags.Node, "services": w.peer.Tags.Services, "revocations": w.peer.Tags.Revocations, "keys": w.peer.Tags.Keys}[what]
						a.badFetch[what+"/"+digest+"/"+string(w.peer.Name)] = time.Now().Add(20 * time.Second)
					}
					a.mu.Unlock()
				}
			}()
		}
		wg.Wait()
		a.mu.Lock()
		a.busy = false
		if len(a.badFetch) > 10000 {
			clear(a.badFetch)
		}
		a.mu.Unlock()
		if news {
			a.Wake()
		}
	}()
}

// fetch gets one thing from its owner and takes it in.
func (a *Agent) fetch(ctx context.Context, p gossip.Peer, what string) (bool, error) {
	a.mu.Lock()
	r, st := a.roster, a.standing
	if r == nil || st == nil {
		a.mu.Unlock()
		return false, nil
	}
	rec := st.Record
	a.mu.Unlock()
	port := uint16(a.conf.Mesh.JoinPort)
	if m, ok := r.Get(p.Name); ok {
		port = m.Node.JoinPort
	}
	to := netip.AddrPortFrom(p.Addr, port)
	client := join.Client{Private: a.id.Private()}
	switch what {
	case "node":
		var rec membership.NodeRecord
		if err := client.Fetch(ctx, to, p.Name, "node/"+string(p.Name), &rec); err != nil {
			return false, err
		}
		news, err := r.AddNode(rec)
		if m, ok := r.Get(p.Name); ok && err == nil && !news && m.Record.Record.Digest() != rec.Record.Digest() {
			// It has a record that it does not know of: see double.go.
			return false, client.Show(ctx, to, m.Node.Key, m.Record)
		}
		return news, err
	case "services":
		var s membership.Signed
		if err := client.Fetch(ctx, to, p.Name, "services/"+string(p.Name), &s); err != nil {
			return false, err
		}
		return r.AddServices(s)
	case "keys":
		m, ok := r.Get(p.Name)
		if !ok {
			return false, nil
		}
		w, err := client.Return(ctx, to, m.Node.Key, rec)
		if err != nil {
			if ref, ok := refusedAs(err); ok {
				a.contested(ref)
			}
			return false, err
		}
		return a.adopt(w.Keys)
	default:
		var list []membership.Signed
		if err := client.Fetch(ctx, to, p.Name, "revocations", &list); err != nil {
			return false, err
		}
		changed := false
		for _, s := range list {
			c, err := r.AddRevocation(s)
			if err != nil {
				a.log.Debug("revocation", "error", err)
			}
			changed = changed || c
		}
		return changed, nil
	}
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
