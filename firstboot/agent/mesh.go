package agent

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os/exec"
	"slices"
	"time"

	"cloudy/firstboot/durable"
	"cloudy/firstboot/join"
	"cloudy/firstboot/membership"
	"cloudy/firstboot/roster"
	"cloudy/firstboot/tinc"
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
	if err := a.tellNeighbours(); err != nil {
		a.log.Debug("tell the kernel", "error", err)
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
		Drain:     m.IsRoot(id.Key()),
		KeyPEM:    id.RSAPrivatePEM(),
		Self:      tinc.Host{Name: id.Name(), RSA: id.RSAPublic(), Address4: self, Address6: m.Address6(id.Key())},
		Prefix4:   netip.PrefixFrom(self, netip.MustParsePrefix(m.Prefix4).Bits()),
		Prefix6:   netip.PrefixFrom(m.Address6(id.Key()), m.Prefix6().Bits()),
		ConnectTo: links,
	}
	for _, x := range r.Keeps(id.Key(), links) {
		h := tinc.Host{Name: x.Name(), RSA: x.Node.RSA, Address4: x.Address4, Address6: x.Address6}
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
	return tinc.Network{Dir: a.path(tincDir), RunDir: a.path(RunDir), Self: tinc.Host{Name: a.id.Name()}}
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
	if old, ok := a.lastRecord(); ok {
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

// lastRecord is what the node said of itself the last time.
func (a *Agent) lastRecord() (membership.Node, bool) {
	if m, ok := a.roster.Get(a.id.Name()); ok && m.Record.Equal(a.standing.Record) {
		return m.Node, true // verified
	}
	n, _, err := a.standing.Record.Verify(a.roster.Mesh())
	return n, err == nil
}

// applied is what tinc's configuration was written from.
type applied struct {
	roster  *roster.Roster
	version uint64
	links   []membership.Name
	salt    uint32
	at      time.Time
}

func (x applied) same(y applied) bool {
	return x.roster == y.roster && x.version == y.version && x.salt == y.salt && slices.Equal(x.links, y.links)
}

// applyTinc writes tinc's configuration and tells tincd what changed. Where
// nothing new is known it looks at the files once in a tick.
func (a *Agent) applyTinc(ctx context.Context) error {
	a.tincMu.Lock()
	defer a.tincMu.Unlock()
	a.mu.Lock()
	if a.standing == nil {
		a.mu.Unlock()
		return errors.New("in no mesh")
	}
	now := time.Now()
	chosen, inviter := slices.Clone(a.standing.Links), a.certs[0].By.Name()
	want := applied{a.roster, a.roster.Version(), nil, a.standing.Salt, now}
	a.mu.Unlock()
	n := a.tincState()
	if a.opening.began.IsZero() && n.Exists() {
		a.opening.done = true // has been in the mesh
	}
	since := n.Since()
	want.links = a.opening.links(now, chosen, inviter, since)
	if len(want.links) < len(chosen) && len(since) > 0 {
		time.AfterFunc(settle, a.Wake)
	}
	sup := a.supervisor()
	if want.same(a.applied) && want.at.Sub(a.applied.at) < tick {
		return sup.Ensure(ctx)
	}
	a.applied = applied{}
	n = a.network(want.links)
	change, err := n.Write()
	if err != nil {
		return err
	}
	switch {
	case change.Restart:
		err := sup.Restart(ctx)
		if err == nil {
			a.applied = want
		}
		return err
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
	a.applied = want
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
