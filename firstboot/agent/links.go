package agent

import (
	"context"
	"math/rand/v2"
	"net/netip"
	"slices"
	"sync"
	"time"

	"cloudy/firstboot/join"
	"cloudy/firstboot/membership"
	"cloudy/firstboot/roster"
)

// deadAfter is how long a link may be dead before another takes its place;
// lonelyAfter, how long a node without any reachable member waits before it
// asks others to be let in. tinc itself tries again within 60 seconds.
const (
	deadAfter   = 10 * time.Minute
	lonelyAfter = 45 * time.Second
)

// chooseLinks keeps three links to members that live, and takes another IPv4
// address where a member with an older right has the same.
func (a *Agent) chooseLinks() error {
	self, st := a.id.Key(), a.standing
	changed := false
	if to, yes := a.roster.Yields(self, st.Salt); yes {
		salt := a.roster.Salt(self, st.Salt+1)
		a.log.Warn("IPv4 address is taken, changing it", "by", to, "salt", salt)
		a.mu.Lock()
		st.Salt = salt
		a.mu.Unlock()
		changed = true
	}
	reach := map[membership.Name]bool{}
	since := a.tincState().Since()
	for n := range since {
		reach[n] = true
	}
	now := time.Now()
	a.mu.Lock()
	if len(reach) > 0 {
		a.lonely = time.Time{}
		clear(a.sought)
	} else if a.lonely.IsZero() {
		a.lonely = now
	}
	lonely := !a.lonely.IsZero() && now.Sub(a.lonely) > lonelyAfter
	var have []membership.Name
	for _, l := range st.Links {
		if reach[l] {
			delete(a.quiet, l)
			if was := a.seen[l]; !was.IsZero() && was != since[l] {
				a.linkBack(l)
			}
			a.seen[l] = since[l]
		} else if a.quiet[l].IsZero() {
			a.quiet[l] = now
		}
		if lonely || (len(reach) > 0 && !reach[l] && now.Sub(a.quiet[l]) > deadAfter) {
			continue
		}
		have = append(have, l)
	}
	a.mu.Unlock()
	var links []membership.Name
	if lonely {
		// Everybody it linked to is out of reach. Others are tried, a
		// few at a time, by chance, and all before anybody again: whoever
		// answers lets it in.
		var all []membership.Name
		for _, m := range a.roster.Members() {
			if m.Node.Key != self && len(m.Node.Endpoints) > 0 {
				all = append(all, m.Name())
			}
		}
		a.mu.Lock()
		for _, l := range st.Links {
			a.sought[l] = now
		}
		rand.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
		slices.SortStableFunc(all, func(x, y membership.Name) int { return a.sought[x].Compare(a.sought[y]) })
		links = all[:min(len(all), roster.K)]
		slices.Sort(links)
		a.lonely = now // for the next round
		clear(a.told)
		a.mu.Unlock()
		a.log.Warn("no member is reachable, trying others", "links", links)
	} else {
		alive := reach
		if len(reach) == 0 {
			alive = nil
		}
		for _, l := range have {
			if alive != nil {
				alive[l] = true // not dead for long enough
			}
		}
		links = a.roster.Links(self, a.certs[0].By, have, alive)
	}
	if !slices.Equal(links, st.Links) {
		a.mu.Lock()
		st.Links = links
		a.mu.Unlock()
		changed = true
	}
	if changed {
		return a.saveStanding()
	}
	return nil
}

// tellLinks gives the members that it links to its record, so that their
// tinc knows its key, and takes what they know. Once for each record.
func (a *Agent) tellLinks(ctx context.Context) {
	a.mu.Lock()
	rec := a.standing.Record
	links := slices.Clone(a.standing.Links)
	a.mu.Unlock()
	digest := rec.Record.Digest()
	ctx, cancel := context.WithTimeout(ctx, tellTimeout)
	defer cancel()
	var wg sync.WaitGroup
	for _, l := range links {
		m, ok := a.roster.Get(l)
		a.mu.Lock()
		t := a.told[l]
		a.mu.Unlock()
		if !ok || (t.digest == digest && time.Since(t.tried) < tellAgain) || time.Since(t.tried) < tellPause {
			continue
		}
		wg.Go(func() {
			t := told{digest: t.digest, tried: time.Now()}
			ok, again := a.tell(ctx, m, rec)
			if ok {
				t.digest = digest
			} else if again {
				t.tried = time.Time{}
			}
			a.mu.Lock()
			a.told[l] = t
			a.mu.Unlock()
		})
	}
	wg.Wait()
}

// told is what a link was told last, and when it was tried.
type told struct {
	digest membership.Hash
	tried  time.Time
}

// tellTimeout bounds one round of telling, tellPause the pace for one that
// does not answer: both hold up the reconciler.
const (
	tellTimeout = 10 * time.Second
	tellPause   = 30 * time.Second
)

// tell gives a member this node's record, at one of its addresses. Where it
// did not take it, again says that there will be a better one at once.
func (a *Agent) tell(ctx context.Context, m roster.Member, rec membership.NodeRecord) (ok, again bool) {
	client := a.client()
	for _, e := range m.Node.Endpoints {
		w, err := client.Return(ctx, netip.AddrPortFrom(e, m.Node.JoinPort), m.Node.Key, rec)
		if err == nil {
			a.learn(w)
			return true, false
		}
		a.log.Debug("link cannot be told", "member", m.Name(), "at", e, "error", err)
		if ref, ok := refusedAs(err); ok {
			a.putOut(ref)
			return false, a.contested(ref)
		}
	}
	return false, false
}

// putOut takes in that this node was put out of the mesh, which the gossip does
// not tell it: everybody cuts it off at once. The stage join does the rest.
func (a *Agent) putOut(ref *join.Refusal) {
	for _, r := range ref.Revocations {
		if news, err := a.roster.AddRevocation(r); err != nil {
			a.log.Warn("a member says that this node was put out", "error", err)
		} else if news {
			a.Wake()
		}
	}
}

// learn takes in what a member told. One bad record spoils no other.
func (a *Agent) learn(w join.Welcome) {
	if _, err := a.adopt(w.Keys); err != nil {
		a.log.Warn("gossip keys from a member", "error", err)
	}
	for _, r := range w.Revocations {
		if _, err := a.roster.AddRevocation(r); err != nil {
			a.log.Debug("revocation", "error", err)
		}
	}
	for _, r := range w.Records {
		if _, err := a.roster.AddNode(r); err != nil {
			a.log.Debug("record", "error", err)
		}
	}
}
