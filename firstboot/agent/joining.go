package agent

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	mathrand "math/rand/v2"
	"net/netip"
	"slices"
	"time"

	"cloudy/firstboot/durable"
	"cloudy/firstboot/join"
	"cloudy/firstboot/membership"
	"cloudy/firstboot/nodeconfig"
	"cloudy/firstboot/roster"
	"cloudy/firstboot/seed"
)

const ledgerFile = "invitations.json"

// stageJoin makes the node a member: it is one already, it founds the mesh,
// or it has an invitation.
func (a *Agent) stageJoin(ctx context.Context) (string, error) {
	a.mu.Lock()
	st, certs, r := a.standing, a.certs, a.roster
	a.mu.Unlock()
	if st == nil {
		var s standing
		err := durable.ReadJSON(a.statePath(standingFile), &s)
		switch {
		case err == nil:
			if err := a.enter(&s); err != nil {
				return "", err
			}
		case !errors.Is(err, fs.ErrNotExist):
			return "", err
		case a.conf.Mesh.Create:
			if err := a.found(a.conf.Mesh.Network); err != nil {
				return "", err
			}
		case a.seeds.Found() != "":
			if err := a.found(a.seeds.Found()); err != nil {
				return "", err
			}
		default:
			if err := a.tryInvitations(ctx); err != nil {
				return "", err
			}
		}
		a.mu.Lock()
		st, certs, r = a.standing, a.certs, a.roster
		a.mu.Unlock()
	}
	if rev, out := r.Revoked(certs); out {
		a.stopMesh(ctx, true)
		return "", fmt.Errorf("%w: this node was put out of the mesh by %s (%s); reset it and join with a new invitation", errRefused, rev.By.Name(), rev.Reason)
	}
	// A seed that is still there, although the node is a member, is spent.
	if st.Origin != "" {
		for _, s := range a.seeds.Find() {
			if v, err := membership.ParseInvitation(s.Token); err == nil && v.Mesh == r.Mesh().ID && !a.wiped[s.Token] {
				a.wiped[s.Token] = true // or tried: what cannot be written now is tried at the next start
				if err := a.spent(ctx, s); err != nil {
					a.log.Warn("the used invitation cannot be wiped", "where", s.Origin, "error", err)
				}
			}
		}
	}
	detail := "member of " + r.Mesh().Network
	if by := certs[0].By; by != a.id.Key() {
		detail += ", admitted by " + string(by.Name())
	} else {
		detail += ", its root"
	}
	return detail, nil
}

// enter takes up the place in the mesh that s says.
func (a *Agent) enter(s *standing) error {
	mesh, err := membership.ParseMesh(s.Genesis)
	if err != nil {
		return err
	}
	certs, err := s.Chain.Verify(mesh)
	if err != nil {
		return err
	}
	if certs[0].Key != a.id.Key() {
		return fmt.Errorf("the membership is of %s: %w", certs[0].Key.Name(), membership.ErrChain)
	}
	if err := s.Keys.Check(); err != nil {
		return err
	}
	r, skipped, err := roster.Open(mesh, a.statePath("roster"))
	if err != nil {
		return err
	}
	for _, err := range skipped {
		a.log.Warn("left out of the roster", "error", err)
	}
	l, err := join.OpenLedger(a.statePath(ledgerFile), time.Now)
	if err != nil {
		return err
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.standing, a.certs, a.roster, a.ledger = s, certs, r, l
	return nil
}

// found makes a new mesh with this node as its root.
func (a *Agent) found(network string) error {
	m := a.conf.Mesh
	if !nodeconfig.ValidNetwork(network) || m.Network != "" && m.Network != network {
		return fmt.Errorf("%w: this node is to found a mesh named %q, and the image is for %q", errRefused, network, m.Network)
	}
	mesh, err := membership.NewMesh(membership.Genesis{
		Network: network, Roots: []membership.Key{a.id.Key()}, Mode: m.Mode, Prefix4: m.Prefix4, MDNS: "auto", Founded: time.Now().Unix(),
	})
	if err != nil {
		return err
	}
	chain, err := membership.Admit(a.id.Private(), mesh, nil, membership.Certificate{
		Key: a.id.Key(), RSA: membership.HashOf(a.id.RSAPublic()), Role: membership.RoleInviter, Issued: time.Now().Unix(),
	})
	if err != nil {
		return err
	}
	key := make([]byte, 32)
	rand.Read(key)
	s := &standing{Genesis: mesh.Raw, Chain: chain, Keys: membership.GossipKeys{Epoch: 1, Keys: [][]byte{key}}}
	if err := durable.WriteJSON(a.statePath(standingFile), s); err != nil {
		return err
	}
	a.log.Info("mesh founded", "network", network, "id", mesh.ID)
	return a.enter(s)
}

// tryInvitations tries each invitation that is found at each place where its
// issuer may be.
func (a *Agent) tryInvitations(ctx context.Context) error {
	seeds := a.seeds.Find()
	if len(seeds) == 0 {
		return fmt.Errorf("no invitation: put one into %s on the boot partition, or run cloudy-node join: %w", seed.FileName, errWaiting)
	}
	var errs []error
	open := false    // something is worth another attempt
	waiting := false // for somebody's yes
	for _, s := range seeds {
		a.mu.Lock()
		err, was := a.refused[s.Token], a.asked[s.Token]
		a.mu.Unlock()
		if err == nil && time.Now().Before(was.next) {
			err = was.err
		} else if err == nil {
			err = a.tryInvitation(ctx, s)
		}
		if err == nil {
			return nil
		}
		var ref *join.Refusal
		if errors.As(err, &ref) && ref.Code == join.CodePending {
			waiting = true
			if !time.Now().Before(was.next) {
				was = asked{was.n + 1, time.Now().Add(askAgain(was.n)), err}
				a.mu.Lock()
				a.asked[s.Token] = was
				a.mu.Unlock()
			}
		} else if (errors.As(err, &ref) && ref.Permanent()) || errors.Is(err, membership.ErrFormat) || errors.Is(err, membership.ErrSignature) {
			a.mu.Lock()
			a.refused[s.Token] = err
			a.mu.Unlock()
		} else {
			open = true
		}
		errs = append(errs, fmt.Errorf("invitation %s: %w", s.Origin, err))
	}
	err := errors.Join(errs...)
	if waiting && !open {
		return fmt.Errorf("%w: %w", err, errWaiting)
	}
	if !open {
		return fmt.Errorf("%w: %w", errRefused, err)
	}
	return err
}

// asked is an invitation whose member answered that somebody has to approve.
type asked struct {
	n    int       // how often
	next time.Time // before it is not asked again
	err  error
}

// askAgain is how long to wait for a person: longer each time, up to a minute.
func askAgain(n int) time.Duration {
	return 5*time.Second + mathrand.N(min(5*time.Second<<min(n, 10), 55*time.Second))
}

func (a *Agent) tryInvitation(ctx context.Context, s seed.Seed) error {
	v, err := membership.ParseInvitation(s.Token)
	if err != nil {
		return err
	}
	m := a.conf.Mesh
	local := a.endpoints()
	req := membership.Join{
		Invite: s.Token, RSA: a.id.RSAPublic(), Host: a.host,
		Endpoints: local, TincPort: uint16(m.TincPort), JoinPort: uint16(m.JoinPort),
	}
	client := a.client()
	var errs []error
	for to := range a.endpointsOf(ctx, v) {
		a.systemd.notAsleep() // there may be many, each silent for half a minute
		adm, err := client.Join(ctx, to, v, req)
		if err != nil {
			var ref *join.Refusal
			if errors.As(err, &ref) {
				return err // by the issuer itself: its key is pinned
			}
			a.log.Debug("no answer that counts", "at", to, "error", err)
			errs = append(errs, err)
			continue
		}
		if want := m.Network; want != "" && adm.Mesh.Network != want {
			return fmt.Errorf("the invitation is to mesh %q, this image is for %q: %w", adm.Mesh.Network, want, membership.ErrFormat)
		}
		return a.admitted(adm, s, local)
	}
	if len(errs) == 0 {
		return errors.New("the invitation names no address, and no neighbour announces its issuer")
	}
	return errors.Join(errs...)
}

// admitted writes down what an admission brought. The standing comes last:
// before it the node is a newcomer, and asks again.
func (a *Agent) admitted(adm join.Admission, s seed.Seed, local []netip.Addr) error {
	r, _, err := roster.Open(adm.Mesh, a.statePath("roster"))
	if err != nil {
		return err
	}
	for _, rec := range adm.Records {
		if _, err := r.AddNode(rec); err != nil {
			return fmt.Errorf("record from the inviter: %w", err)
		}
	}
	if err := adm.Keys.Check(); err != nil {
		return err
	}
	st := &standing{Genesis: adm.Mesh.Raw, Chain: adm.Chain, Keys: adm.Keys, Salt: adm.Salt, Origin: s.Origin}
	// Seen under an address that it does not have: behind a NAT, where
	// nobody can connect to.
	st.NAT = adm.Observed.IsValid() && !slices.Contains(local, adm.Observed)
	if err := durable.WriteJSON(a.statePath(standingFile), st); err != nil {
		return err
	}
	a.log.Info("admitted", "network", adm.Mesh.Network, "nat", st.NAT)
	return a.enter(st)
}
