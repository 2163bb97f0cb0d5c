package agent

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"os/exec"
	"slices"
	"sync"
	"time"

	"cloudy/firstboot/durable"
	"cloudy/firstboot/join"
	"cloudy/firstboot/membership"
	"cloudy/firstboot/roster"
	"cloudy/firstboot/tinc"
)

// deadAfter is how long a link may be dead before another takes its place;
// lonelyAfter, how long a node without any reachable member waits before it
// asks others to be let in. tinc itself tries again within 60 seconds.
const (
	deadAfter   = 10 * time.Minute
	lonelyAfter = 45 * time.Second
)

// stageMesh runs tincd with the right links, owns the addresses and is done
// when another member is reached, or there is none.
func (a *Agent) stageMesh(ctx context.Context) (string, error) {
	if err := a.chooseLinks(); err != nil {
		return "", err
	}
	if err := a.signRecord(); err != nil {
		return "", err
	}
	// The links are told first: a tincd that knocks at one who does not
	// know its key yet is let wait for 10 seconds.
	a.tellLinks(ctx)
	if err := a.applyTinc(ctx); err != nil {
		return "", err
	}
	if err := a.waitAddress(ctx); err != nil {
		return "", err
	}
	if err := a.serveJoin(ctx); err != nil {
		return "", err
	}
	others := 0
	for _, m := range a.roster.Members() {
		if m.Node.Key != a.id.Key() {
			others++
		}
	}
	if others == 0 {
		return "alone so far", nil
	}
	if err := a.waitReachable(ctx, 10*time.Second); err != nil {
		return "", err
	}
	return fmt.Sprintf("%d of %d members reachable, %d links", len(a.reachable()), others, len(a.standing.Links)), nil
}

// network is this node's tinc.
func (a *Agent) network(links []membership.Name) tinc.Network {
	a.mu.Lock()
	r, id, salt := a.roster, a.id, a.standing.Salt
	a.mu.Unlock()
	m, conf := r.Mesh(), a.conf.Mesh
	self := m.Address4(id.Key(), salt)
	n := tinc.Network{
		Dir: a.path(tincDir), RunDir: a.path(RunDir),
		Mode: m.Mode, Interface: conf.Interface, Port: uint16(conf.TincPort), TCPOnly: conf.TCPOnly,
		KeyPEM:    id.RSAPrivatePEM(),
		Self:      tinc.Host{Name: id.Name(), RSA: id.RSAPublic(), Address4: self, Address6: m.Address6(id.Key())},
		Prefix4:   netip.PrefixFrom(self, netip.MustParsePrefix(m.Prefix4).Bits()),
		Prefix6:   netip.PrefixFrom(m.Address6(id.Key()), m.Prefix6().Bits()),
		ConnectTo: links,
	}
	for _, x := range r.Keeps(id.Key(), links) {
		h := tinc.Host{Name: x.Name(), RSA: x.Node.RSA, Address4: m.Address4(x.Node.Key, x.Node.Salt), Address6: m.Address6(x.Node.Key)}
		for _, e := range x.Node.Endpoints {
			h.Endpoints = append(h.Endpoints, netip.AddrPortFrom(e, x.Node.TincPort))
		}
		n.Hosts = append(n.Hosts, h)
	}
	return n
}

// reachable returns the members that tincd reaches now.
func (a *Agent) reachable() []membership.Name { return a.tincState().Reachable() }

func (a *Agent) tincState() tinc.Network {
	return tinc.Network{RunDir: a.path(RunDir), Self: tinc.Host{Name: a.id.Name()}}
}

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
		// few at a time, by chance: whoever answers lets it in.
		var all []membership.Name
		for _, m := range a.roster.Members() {
			if m.Node.Key != self && len(m.Node.Endpoints) > 0 {
				all = append(all, m.Name())
			}
		}
		rand.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
		links = all[:min(len(all), roster.K)]
		slices.Sort(links)
		a.mu.Lock()
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

// saveStanding writes the standing down; after a reset there is none.
func (a *Agent) saveStanding() error {
	a.saveMu.Lock() // or an older one could be written last
	defer a.saveMu.Unlock()
	a.mu.Lock()
	if a.standing == nil {
		a.mu.Unlock()
		return errNoMember
	}
	s := *a.standing
	a.mu.Unlock()
	return durable.WriteJSON(a.statePath(standingFile), s)
}

// signRecord signs the node's record anew when what it says has changed.
func (a *Agent) signRecord() error {
	m, st := a.roster.Mesh(), a.standing
	n := membership.Node{
		Version: 1, Mesh: m.ID, Key: a.id.Key(), Host: a.host, RSA: a.id.RSAPublic(), Endpoints: a.endpoints(),
		TincPort: uint16(a.conf.Mesh.TincPort), JoinPort: uint16(a.conf.Mesh.JoinPort), Salt: st.Salt, Links: st.Links, Agent: a.opts.Version, Lot: st.Lot,
	}
	if old, _, err := st.Record.Verify(m); err == nil {
		n.Seq = old.Seq
		if st.MinSeq > n.Seq {
			n.Seq = st.MinSeq - 1
		}
		was, _ := json.Marshal(old)
		is, _ := json.Marshal(n)
		if bytes.Equal(was, is) {
			_, err := a.roster.AddNode(st.Record)
			return err
		}
	}
	n.Seq++
	rec, err := membership.SignNode(a.id.Private(), st.Chain, n)
	if err != nil {
		return err
	}
	a.mu.Lock()
	st.Record = rec
	a.mu.Unlock()
	if err := a.saveStanding(); err != nil {
		return err
	}
	_, err = a.roster.AddNode(rec)
	return err
}

// applyTinc writes tinc's configuration and tells tincd what changed.
func (a *Agent) applyTinc(ctx context.Context) error {
	a.tincMu.Lock()
	defer a.tincMu.Unlock()
	a.mu.Lock()
	if a.standing == nil {
		a.mu.Unlock()
		return errors.New("in no mesh")
	}
	links := slices.Clone(a.standing.Links)
	a.mu.Unlock()
	n := a.network(links)
	change, err := n.Write()
	if err != nil {
		return err
	}
	sup := a.supervisor()
	switch {
	case change.Restart:
		return sup.Restart(ctx)
	case change.Reload:
		if err := sup.Reload(ctx); err != nil {
			return err
		}
	}
	if change.Address {
		if _, err := net.InterfaceByName(n.Interface); err == nil {
			if out, err := exec.CommandContext(ctx, "/bin/sh", n.UpScript()).CombinedOutput(); err != nil {
				return fmt.Errorf("change addresses: %w: %s", err, out)
			}
		}
	}
	return sup.Ensure(ctx)
}

// supervisor is who runs tincd.
func (a *Agent) supervisor() tinc.Supervisor {
	a.mu.Lock()
	defer a.mu.Unlock()
	n := tinc.Network{Dir: a.path(tincDir), RunDir: a.path(RunDir), Interface: a.conf.Mesh.Interface}
	switch {
	case a.tincd != nil:
	case a.conf.Mesh.Supervisor == "exec":
		a.tincd = &tinc.Exec{Network: n, Log: a.log}
	case a.privileged():
		a.tincd = tinc.Systemd{Unit: "cloudy-mesh.service"}
	default:
		a.tincd = tinc.Watched{Network: n, PIDFile: a.path(tincPID)}
	}
	return a.tincd
}

// waitAddress waits until the interface has the node's addresses.
func (a *Agent) waitAddress(ctx context.Context) error {
	want := a.roster.Mesh().Address6(a.id.Key())
	for deadline := time.Now().Add(10 * time.Second); ; {
		if i, err := net.InterfaceByName(a.conf.Mesh.Interface); err == nil {
			addrs, _ := i.Addrs()
			for _, x := range addrs {
				if p, err := netip.ParsePrefix(x.String()); err == nil && p.Addr() == want {
					return nil
				}
			}
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("interface %s does not get its address %s", a.conf.Mesh.Interface, want)
		}
		if err := sleep(ctx, 100*time.Millisecond); err != nil {
			return err
		}
	}
}

func (a *Agent) waitReachable(ctx context.Context, limit time.Duration) error {
	for deadline := time.Now().Add(limit); len(a.reachable()) == 0; {
		if time.Now().After(deadline) {
			return errors.New("no member is reachable through tinc")
		}
		if err := sleep(ctx, 100*time.Millisecond); err != nil {
			return err
		}
	}
	return nil
}

func sleep(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(d):
		return nil
	}
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
	client := join.Client{Private: a.id.Private()}
	for _, e := range m.Node.Endpoints {
		w, err := client.Return(ctx, netip.AddrPortFrom(e, m.Node.JoinPort), m.Node.Key, rec)
		if err == nil {
			a.learn(w)
			return true, false
		}
		a.log.Debug("link cannot be told", "member", m.Name(), "at", e, "error", err)
		if ref, ok := refusedAs(err); ok {
			return false, a.contested(ref)
		}
	}
	return false, false
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

// State implements join.Member.
func (a *Agent) State() (join.State, bool) {
	alive := a.alive()
	a.mu.Lock()
	defer a.mu.Unlock()
	st := a.standing
	if st == nil || a.roster == nil || len(st.Record.Record.Payload) == 0 {
		return join.State{}, false
	}
	return join.State{Mesh: a.roster.Mesh(), Chain: st.Chain, Self: st.Record, Keys: st.Keys, Roster: a.roster, Alive: alive}, true
}

// Heard implements join.Member.
func (a *Agent) Heard() {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	if err := a.applyTinc(ctx); err != nil {
		a.log.Warn("tinc", "error", err)
	}
	a.Wake()
}

// serveJoin opens the node's endpoint, once.
func (a *Agent) serveJoin(context.Context) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.listener != nil {
		return nil
	}
	l, err := net.Listen("tcp", fmt.Sprintf(":%d", a.conf.Mesh.JoinPort))
	if err != nil {
		return fmt.Errorf("join endpoint: %w", err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	a.listener, a.stopJoin = l, cancel
	srv := &join.Server{Private: a.id.Private(), Ledger: a.ledger, Member: a, Log: a.log, Now: time.Now}
	go func() {
		if err := srv.Serve(ctx, l); ctx.Err() == nil {
			a.log.Error("join endpoint ended", "error", err)
			a.mu.Lock()
			if a.listener == l {
				a.listener = nil
			}
			a.mu.Unlock()
			cancel()
		}
	}()
	return nil
}
