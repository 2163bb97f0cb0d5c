package join

import (
	"fmt"
	"net/http"

	"cloudy/firstboot/membership"
	"cloudy/firstboot/roster"
)

// join admits a newcomer. The checks come in the order of what they cost and
// of what they tell a stranger.
func (s *Server) join(st State, r *http.Request) (*Welcome, error) {
	var req Request
	if err := decode(r, &req); err != nil {
		return nil, err
	}
	j, err := membership.VerifyJoin(req.Join)
	if err != nil {
		return nil, err
	}
	v, err := membership.ParseInvitation(j.Invite)
	if err != nil {
		return nil, err
	}
	self := membership.KeyOf(s.Private)
	if v.Issuer != self || v.Mesh != st.Mesh.ID {
		return nil, refusal(401, CodeForeign, "this invitation was not given out here")
	}
	if key, ok := peerKey(*r.TLS); !ok || key != j.Key {
		return nil, refusal(401, CodeSignature, "the connection is not the newcomer's")
	}
	if m, ok := st.Roster.Get(j.Key.Name()); ok && m.Node.Key != j.Key {
		return nil, fmt.Errorf("%s: %w", j.Key.Name(), roster.ErrTaken)
	}
	chain, err := s.Ledger.Redeem(v, j.Key, j.Host, func() (membership.Chain, error) {
		return membership.Admit(s.Private, st.Mesh, st.Chain, membership.Certificate{
			Key: j.Key, RSA: membership.HashOf(j.RSA), Role: v.Role, Issued: s.Now().Unix(),
		})
	})
	if err != nil {
		return nil, err
	}
	certs, err := chain.Verify(st.Mesh)
	if err != nil {
		return nil, err
	}
	if _, out := st.Roster.Revoked(certs); out {
		return nil, revoked(st, certs)
	}
	if certs[0].RSA != membership.HashOf(j.RSA) {
		// The same key with another tinc key: half of an identity file
		// cannot be, so somebody plays.
		return nil, refusal(409, CodeUsed, "admitted before with another tinc key")
	}
	w := s.welcome(st, j.Key)
	w.Genesis, w.Chain = st.Mesh.Raw, chain
	return w, nil
}

// back takes a member's record and gives it what it needs to connect.
func (s *Server) back(st State, r *http.Request) (*Welcome, error) {
	var req Return
	if err := decode(r, &req); err != nil {
		return nil, err
	}
	n, certs, err := req.Record.Verify(st.Mesh)
	if err != nil {
		return nil, err
	}
	if key, ok := peerKey(*r.TLS); !ok || key != n.Key {
		return nil, refusal(401, CodeSignature, "the connection is not the member's")
	}
	if _, out := st.Roster.Revoked(certs); out {
		return nil, revoked(st, certs)
	}
	if m, ok := st.Roster.Get(n.Key.Name()); ok && m.Node.Key == n.Key &&
		(m.Node.Seq > n.Seq || m.Node.Seq == n.Seq && m.Record.Record.Digest() != req.Record.Record.Digest()) {
		ref := refusal(409, CodeDouble, "a newer record of this node is known")
		ref.Record = &m.Record
		return nil, ref
	}
	if _, err := st.Roster.AddNode(req.Record); err != nil {
		return nil, err
	}
	s.Member.Heard()
	w := s.welcome(st, n.Key)
	w.Revocations, _ = st.Roster.Revocations()
	return w, nil
}

// revoked is the answer to a node that is out.
func revoked(st State, certs []membership.Certificate) *Refusal {
	ref := refusal(403, CodeRevoked, "this node was revoked")
	ref.Revocations = st.Roster.RevocationsOf(certs)
	return ref
}

// Doubled is a Member that wants to know when somebody has a record of its own
// key that it may not have signed.
type Doubled interface {
	Double(rec membership.NodeRecord)
}

// double takes a record of this node's own key. Anybody may show it: it is the
// key that signed it.
func (s *Server) double(st State, r *http.Request) (*Welcome, error) {
	var req Return
	if err := decode(r, &req); err != nil {
		return nil, err
	}
	n, _, err := req.Record.Verify(st.Mesh)
	if err != nil {
		return nil, err
	}
	if n.Key != membership.KeyOf(s.Private) {
		return nil, refusal(401, CodeForeign, "this is not the record of this node")
	}
	if d, ok := s.Member.(Doubled); ok {
		d.Double(req.Record)
	}
	return &Welcome{}, nil
}

// welcome is what both get: whom they may connect to.
func (s *Server) welcome(st State, key membership.Key) *Welcome {
	w := &Welcome{Records: []membership.NodeRecord{st.Self}, Keys: st.Keys, Salt: st.Roster.Salt(key, 0)}
	if m, ok := st.Roster.Get(key.Name()); ok {
		w.Salt = m.Node.Salt
	}
	for _, m := range st.Roster.Rendezvous(key, roster.Rendezvous, st.Alive) {
		if m.Node.Key != membership.KeyOf(s.Private) {
			w.Records = append(w.Records, m.Record)
		}
	}
	return w
}
