package agent

import (
	"context"
	"math/rand/v2"
	"net/netip"
	"slices"
	"time"

	"cloudy/firstboot/gossip"
	"cloudy/firstboot/join"
	"cloudy/firstboot/membership"
	"cloudy/firstboot/roster"
)

const (
	fetchers = 4 // members that are asked at once
	fewToAsk = 4 // members that are asked each in any case

	// askAllAgain is between two times that a member is asked for all.
	askAllAgain = 20 * time.Second

	// fetchFirst is how long what could not be had is not asked for; it
	// doubles each time, up to fetchMost. A member that has just come is
	// often heard of before it can be reached.
	fetchFirst = time.Second
	fetchMost  = 5 * time.Minute
)

// missed is what could not be had.
type missed struct {
	until time.Time // it is not asked for
	pause time.Duration
}

// again is what follows when it could not be had once more.
func (m missed) again(now time.Time) missed {
	pause := min(max(2*m.pause, fetchFirst), fetchMost)
	return missed{now.Add(pause/2 + rand.N(pause)), pause}
}

// fetchNews gets the records whose digests in the gossip differ from what is
// known, from their owners, in the background.
func (a *Agent) fetchNews(ctx context.Context) {
	_, revocations := a.roster.Revocations()
	var list []want
	now, self := time.Now(), a.id.Name()
	a.mu.Lock()
	g := a.gossip
	a.mu.Unlock()
	if g == nil {
		return
	}
	heard := g.Peers()
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.busy {
		return
	}
	keys, links := a.standing.Keys.Tag(), a.standing.Links
	peers, prefix := 0, a.roster.Mesh().Prefix6()
	for _, p := range heard {
		if !p.Alive || p.Name == self || !prefix.Contains(p.Addr) {
			continue
		}
		peers++
		m, known := a.roster.Get(p.Name)
		w := want{peer: p}
		need := func(what, digest string) {
			if now.After(a.missed[what+"/"+digest+"/"+string(p.Name)].until) {
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
	if len(list) >= fewToAsk && 2*len(list) > peers && now.Sub(a.askedAll) > askAllAgain {
		a.busy, a.askedAll = true, now
		from := max(slices.IndexFunc(list, func(w want) bool { return slices.Contains(links, w.peer.Name) }), 0)
		go func() {
			a.fetchKnown(ctx, list[from].peer)
			a.mu.Lock()
			a.busy = false
			a.mu.Unlock()
			a.Wake() // for what that one had not
		}()
		return
	}
	if len(a.missed) > 10000 {
		clear(a.missed)
	}
	for _, w := range list {
		// One that does not answer holds up nobody else.
		name := w.peer.Name
		if a.fetching[name] {
			continue
		}
		a.fetching[name] = true
		go func() {
			a.fetchSlots <- struct{}{}
			news := a.fetchAll(ctx, w)
			<-a.fetchSlots
			a.mu.Lock()
			delete(a.fetching, name)
			a.mu.Unlock()
			if news {
				a.Wake()
			}
		}()
	}
}

// want is what is to be fetched of a member.
type want struct {
	peer gossip.Peer
	what []string
}

// digest is what the gossip says of one of those.
func (w want) digest(what string) string {
	return map[string]string{"node": w.peer.Tags.Node, "services": w.peer.Tags.Services, "revocations": w.peer.Tags.Revocations, "keys": w.peer.Tags.Keys}[what]
}

// fetchKnown asks one member for what it knows of all: a newcomer would have to
// ask each. What that one has not, or not as new, is left for its owner.
func (a *Agent) fetchKnown(ctx context.Context, p gossip.Peer) {
	v, err := a.visit(p)
	if err != nil {
		return
	}
	defer v.Close()
	var known join.Known
	if err := v.Fetch(ctx, "known", &known); err != nil {
		a.log.Debug("fetch", "what", "known", "from", p.Name, "error", err)
	}
	for _, rec := range known.Nodes {
		if _, err := v.roster.AddNode(rec); err != nil {
			a.log.Debug("record", "error", err)
		}
	}
	for _, s := range known.Services {
		if _, err := v.roster.AddServices(s); err != nil {
			a.log.Debug("services", "error", err)
		}
	}
}

// visit is a connection to a member, for what is fetched from it.
type visit struct {
	*join.Session
	name   membership.Name
	roster *roster.Roster
	client *join.Client
	to     netip.AddrPort
}

func (a *Agent) visit(p gossip.Peer) (*visit, error) {
	a.mu.Lock()
	v := visit{name: p.Name, roster: a.roster}
	member := a.standing != nil && v.roster != nil
	a.mu.Unlock()
	if !member {
		return nil, errNoMember
	}
	port := uint16(a.conf.Mesh.JoinPort)
	if m, ok := v.roster.Get(p.Name); ok {
		port = m.Node.JoinPort
	}
	v.client, v.to = a.client(), netip.AddrPortFrom(p.Addr, port)
	var err error
	v.Session, err = v.client.Visit(v.to, p.Name)
	return &v, err
}

// fetchAll gets what is wanted of a member: from it, or where it does not
// answer, from another one.
func (a *Agent) fetchAll(ctx context.Context, w want) (news bool) {
	news, answered := a.fetchFrom(ctx, w.peer, w)
	if !answered {
		if other, ok := a.link(w.peer.Name); ok {
			more, _ := a.fetchFrom(ctx, other, w)
			news = news || more
		}
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.roster == nil {
		return false
	}
	for _, what := range w.what {
		if !has(a.roster, w, what) {
			what += "/" + w.digest(what) + "/" + string(w.peer.Name)
			m := a.missed[what].again(time.Now())
			a.missed[what] = m
			time.AfterFunc(time.Until(m.until), a.Wake)
		}
	}
	return news
}

// fetchFrom asks one member for what is wanted of one, and says whether it
// answered at all.
func (a *Agent) fetchFrom(ctx context.Context, from gossip.Peer, w want) (news, answered bool) {
	v, err := a.visit(from)
	if err != nil {
		return false, true
	}
	defer v.Close()
	for _, what := range w.what {
		if has(v.roster, w, what) {
			continue // came another way by now
		}
		changed, err := a.fetch(ctx, v, w.peer, what)
		if err != nil {
			a.log.Debug("fetch", "what", what, "of", w.peer.Name, "from", from.Name, "error", err)
			if _, refused := refusedAs(err); !refused {
				return news, false
			}
		}
		news = news || changed
	}
	return news, true
}

// has says whether what the gossip has the digest of is known.
func has(r *roster.Roster, w want, what string) bool {
	m, known := r.Get(w.peer.Name)
	switch what {
	case "node":
		return known && m.Record.Record.Digest().Short() == w.peer.Tags.Node
	case "services":
		return known && m.Services != nil && m.Signed.Digest().Short() == w.peer.Tags.Services
	case "revocations":
		_, digest := r.Revocations()
		return digest == w.peer.Tags.Revocations
	}
	return false
}

// link returns one of the living members that this node links to, or that
// links to it: they are reached in any case.
func (a *Agent) link(but membership.Name) (gossip.Peer, bool) {
	a.mu.Lock()
	g, st, r, self := a.gossip, a.standing, a.roster, a.id.Name()
	a.mu.Unlock()
	if g == nil || st == nil || r == nil {
		return gossip.Peer{}, false
	}
	var near []gossip.Peer
	for _, p := range g.Peers() {
		m, ok := r.Get(p.Name)
		if ok && p.Alive && p.Name != but && p.Addr == m.Address6 && (slices.Contains(st.Links, p.Name) || slices.Contains(m.Node.Links, self)) {
			near = append(near, p)
		}
	}
	if len(near) == 0 {
		return gossip.Peer{}, false
	}
	return near[rand.N(len(near))], true
}

// fetch gets one thing of a member and takes it in.
func (a *Agent) fetch(ctx context.Context, v *visit, p gossip.Peer, what string) (bool, error) {
	switch what {
	case "node":
		var rec membership.NodeRecord
		if err := v.Fetch(ctx, "node/"+string(p.Name), &rec); err != nil {
			return false, err
		}
		news, err := v.roster.AddNode(rec)
		if m, ok := v.roster.Get(p.Name); ok && err == nil && !news && v.name == p.Name && m.Record.Record.Digest() != rec.Record.Digest() {
			// It has a record that it does not know of: see double.go.
			return false, v.client.Show(ctx, v.to, m.Node.Key, m.Record)
		}
		return news, err
	case "services":
		var list membership.Signed
		if err := v.Fetch(ctx, "services/"+string(p.Name), &list); err != nil {
			return false, err
		}
		return v.roster.AddServices(list)
	case "keys":
		m, ok := v.roster.Get(v.name)
		a.mu.Lock()
		st := a.standing
		a.mu.Unlock()
		if !ok || st == nil {
			return false, nil
		}
		w, err := v.client.Return(ctx, v.to, m.Node.Key, st.Record)
		if err != nil {
			if ref, ok := refusedAs(err); ok {
				a.contested(ref)
			}
			return false, err
		}
		return a.adopt(w.Keys)
	default:
		var list []membership.Signed
		if err := v.Fetch(ctx, "revocations", &list); err != nil {
			return false, err
		}
		changed := false
		for _, s := range list {
			c, err := v.roster.AddRevocation(s)
			if err != nil {
				a.log.Debug("revocation", "error", err)
			}
			changed = changed || c
		}
		return changed, nil
	}
}
