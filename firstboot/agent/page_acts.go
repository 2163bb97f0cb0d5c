package agent

import (
	"context"
	"errors"
	"time"

	"cloudy/firstboot/membership"
	"cloudy/firstboot/page"
)

// What the page changes goes the way that the control socket's requests go.

// Invitations implements page.Node.
func (p pageNode) Invitations() []page.Invitation {
	m, err := p.a.member()
	if err != nil {
		return nil
	}
	var out []page.Invitation
	for _, i := range m.ledger.List() {
		v := i.Invitation
		x := page.Invitation{ID: v.ID(), Expires: time.Unix(v.Expires, 0), Uses: v.Uses, Inviter: v.Role == membership.RoleInviter, Cancelled: i.Cancelled}
		for _, u := range i.Used {
			x.Used = append(x.Used, u.Host)
		}
		out = append(out, x)
	}
	return out
}

// Invite implements page.Node.
func (p pageNode) Invite(ctx context.Context, q page.InviteRequest) (page.Invitation, error) {
	r := InviteRequest{Lifetime: q.Lifetime, Uses: q.Uses, Approve: q.Approve}
	if q.Inviter {
		r.Role = membership.RoleInviter
	}
	v, err := p.a.invite(ctx, r)
	if err != nil {
		return page.Invitation{}, pageError(err)
	}
	return page.Invitation{ID: v.ID, Token: v.Token, Expires: v.Expires, Uses: q.Uses, Inviter: q.Inviter}, nil
}

func pageError(err error) error {
	switch {
	case errors.Is(err, errNoMember):
		return page.ErrNotMember
	case errors.Is(err, errMayNotInvite):
		return page.ErrMayNotInvite
	}
	return err
}

// Cancel implements page.Node.
func (p pageNode) Cancel(ctx context.Context, id string) error {
	_, err := p.a.cancel(ctx, id)
	return pageError(err)
}

// Waiting implements page.Node.
func (p pageNode) Waiting() []page.Applicant {
	list, err := p.a.Pending()
	if err != nil {
		return nil // in no mesh: nobody asks here
	}
	var out []page.Applicant
	for _, w := range list {
		out = append(out, page.Applicant{Name: string(w.Name), Host: w.Host, Since: w.At})
	}
	return out
}

// Decide implements page.Node.
func (p pageNode) Decide(ctx context.Context, name string, approve bool) error {
	_, err := p.a.decide(ctx, DecideRequest{membership.Name(name), approve})
	return pageError(err)
}

// Join implements page.Node.
func (p pageNode) Join(ctx context.Context, text string) error {
	a := p.a
	a.mu.Lock()
	member := a.standing != nil
	a.mu.Unlock()
	if member {
		return page.ErrAlreadyMember
	}
	if _, err := membership.ParseInvitation(membership.FindToken(text)); err != nil {
		return page.ErrNoInvitation
	}
	_, err := a.typeIn(ctx, text)
	return err
}

// Revoke implements page.Node.
func (p pageNode) Revoke(ctx context.Context, name, reason string, subtree bool) error {
	_, err := p.a.revoke(ctx, RevokeRequest{Name: membership.Name(name), Subtree: subtree, Reason: reason})
	return pageError(err)
}

// Switch implements page.Node.
func (p pageNode) Switch(ctx context.Context, service string, on bool) error {
	return p.a.SetService(ctx, service, on)
}

// Publish implements page.Node.
func (p pageNode) Publish(ctx context.Context, x page.Announcement) error {
	_, err := p.a.publish(ctx, membership.Service{Name: x.Name, Type: x.Type, Port: uint16(x.Port)})
	return err
}

// Unpublish implements page.Node.
func (p pageNode) Unpublish(ctx context.Context, x page.Announcement) error {
	_, err := p.a.unpublish(ctx, membership.Service{Name: x.Name, Type: x.Type})
	return err
}

// Resets implements page.Node.
func (p pageNode) Resets() []page.ResetKind {
	return []page.ResetKind{page.ResetServices, page.ResetMesh, page.ResetIdentity, page.ResetFactory}
}

// Reset implements page.Node.
func (p pageNode) Reset(ctx context.Context, kind page.ResetKind) error {
	_, err := p.a.reset(ctx, ResetRequest{Services: kind == page.ResetServices, Identity: kind == page.ResetIdentity, Factory: kind == page.ResetFactory})
	return err
}
