package agent

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"time"

	"cloudy/firstboot/durable"
	"cloudy/firstboot/identity"
	"cloudy/firstboot/join"
	"cloudy/firstboot/membership"
	"cloudy/firstboot/nodeconfig"
	"cloudy/firstboot/roster"
)

// What an owner has done: over the control socket and on the node's page.

// errNoMember is the answer to what only a member can do.
var errNoMember = errors.New("this node is in no mesh yet")

// errMayNotInvite is the answer of a member that was not made an inviter.
var errMayNotInvite = errors.New("this node may not invite: it was admitted as a plain member")

// place is the node's place in a mesh as somebody who asks finds it: a reset
// may take it away at any moment.
type place struct {
	id     *identity.Identity
	certs  []membership.Certificate
	roster *roster.Roster
	ledger *join.Ledger
}

func (a *Agent) member() (place, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.standing == nil || a.ledger == nil {
		return place{}, errNoMember
	}
	return place{a.id, a.certs, a.roster, a.ledger}, nil
}

func (a *Agent) invitations() (any, error) {
	m, err := a.member()
	if err != nil {
		return nil, err
	}
	return m.ledger.List(), nil
}

func (a *Agent) invite(_ context.Context, q InviteRequest) (InviteAnswer, error) {
	m, err := a.member()
	if err != nil {
		return InviteAnswer{}, err
	}
	if m.certs[0].Role != membership.RoleInviter {
		return InviteAnswer{}, errMayNotInvite
	}
	if q.Role == membership.RoleInviter && !m.roster.Mesh().IsRoot(m.id.Key()) && len(m.certs) >= membership.MaxDepth-1 {
		return InviteAnswer{}, errors.New("this node is too far from the root to admit inviters")
	}
	var at []netip.AddrPort
	for _, e := range a.endpoints() {
		at = append(at, netip.AddrPortFrom(e, uint16(a.conf.Mesh.JoinPort)))
	}
	if len(at) == 0 {
		return InviteAnswer{}, errors.New("this node has no address that others reach")
	}
	token, v, err := m.ledger.Issue(m.id.Private(), join.Offer{
		Mesh: m.roster.Mesh().ID, Endpoints: at[:min(len(at), 4)], Lifetime: q.Lifetime, Uses: q.Uses, Role: q.Role, Approve: q.Approve,
	})
	return InviteAnswer{token, v.ID(), time.Unix(v.Expires, 0)}, err
}

func (a *Agent) cancel(_ context.Context, id string) (struct{}, error) {
	m, err := a.member()
	if err != nil {
		return struct{}{}, err
	}
	return struct{}{}, m.ledger.Cancel(id)
}

// Pending returns the nodes that wait here to be let in.
func (a *Agent) Pending() ([]PendingInfo, error) {
	m, err := a.member()
	if err != nil {
		return nil, err
	}
	out := []PendingInfo{}
	for _, w := range m.ledger.Waiting() {
		out = append(out, PendingInfo{w.Key.Name(), w.Host, time.Unix(w.At, 0)})
	}
	return out, nil
}

func (a *Agent) decide(_ context.Context, q DecideRequest) (struct{}, error) {
	m, err := a.member()
	if err != nil {
		return struct{}{}, err
	}
	return struct{}{}, m.ledger.Decide(q.Name, q.Approve)
}

// typeIn takes an invitation from a person.
func (a *Agent) typeIn(_ context.Context, text string) (struct{}, error) {
	a.mu.Lock()
	member := a.standing != nil
	a.mu.Unlock()
	if member {
		return struct{}{}, errors.New("this node is in a mesh already; cloudy-node reset takes it out")
	}
	token := membership.FindToken(text)
	if token == "" {
		return struct{}{}, errors.New("this is no invitation")
	}
	if _, err := membership.ParseInvitation(token); err != nil {
		return struct{}{}, err
	}
	if err := a.seeds.Type(token); err != nil {
		return struct{}{}, err
	}
	a.rush()
	return struct{}{}, nil
}

// rush wakes the reconciler and lets no stage wait for its next attempt.
func (a *Agent) rush() {
	a.mu.Lock()
	a.hurry = true
	a.mu.Unlock()
	select {
	case a.rushed <- struct{}{}:
	default:
	}
}

func (a *Agent) revoke(_ context.Context, q RevokeRequest) (struct{}, error) {
	var none struct{}
	self, err := a.member()
	if err != nil {
		return none, err
	}
	m, ok := self.roster.Get(q.Name)
	if !ok {
		return none, fmt.Errorf("no member %s is known here", q.Name)
	}
	rev := membership.Revocation{Mesh: self.roster.Mesh().ID, Key: m.Node.Key, Subtree: q.Subtree, Reason: q.Reason, At: time.Now().Unix()}
	s, err := membership.SignRevocation(self.id.Private(), rev)
	if err != nil {
		return none, err
	}
	if _, err := self.roster.AddRevocation(s); err != nil {
		return none, err
	}
	if _, still := self.roster.Get(q.Name); still {
		return none, fmt.Errorf("%s was admitted by others: those above it, or one more root, must revoke it as well", q.Name)
	}
	a.Heard() // cut off first, then new keys
	return none, a.rotateStart()
}

func (a *Agent) publish(_ context.Context, s membership.Service) (struct{}, error) {
	if err := s.Check(); err != nil {
		return struct{}{}, err
	}
	key := s.Type + "|" + s.Name
	a.mu.Lock()
	_, known := a.extra[key]
	// Whether the image's are on or not: one turned on later has its place.
	full := !known && len(a.extra)+a.conf.Announces() >= nodeconfig.MaxAnnounced
	if !full {
		a.extra[key] = s
	}
	a.mu.Unlock()
	if full {
		return struct{}{}, fmt.Errorf("a node announces at most %d services; unpublish one first", nodeconfig.MaxAnnounced)
	}
	return struct{}{}, a.saveExtra()
}

func (a *Agent) unpublish(_ context.Context, s membership.Service) (struct{}, error) {
	key := s.Type + "|" + s.Name
	a.mu.Lock()
	_, ok := a.extra[key]
	delete(a.extra, key)
	a.mu.Unlock()
	if !ok {
		return struct{}{}, fmt.Errorf("%s (%s) is not published by hand", s.Name, s.Type)
	}
	return struct{}{}, a.saveExtra()
}

const publishedFile = "published.json"

func (a *Agent) saveExtra() error {
	a.mu.Lock()
	list := a.extra
	err := durable.WriteJSON(a.statePath(publishedFile), list)
	a.mu.Unlock()
	a.rush()
	return err
}
