package join

import (
	"cmp"
	"crypto/ed25519"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"slices"
	"sync"
	"time"

	"cloudy/firstboot/durable"
	"cloudy/firstboot/membership"
)

// keepAfter is how long an expired invitation is remembered: a node that
// used it, and lost the answer to a power cut, may still ask again.
const keepAfter = 30 * 24 * time.Hour

// Use is one node that an invitation admitted.
type Use struct {
	Key   membership.Key   `json:"key"`
	Host  string           `json:"host"`
	At    int64            `json:"at"` // Unix seconds
	Chain membership.Chain `json:"chain"`
}

// Issued is an invitation of this node.
type Issued struct {
	Invitation membership.Invitation `json:"invitation"`
	At         int64                 `json:"at"` // Unix seconds
	Cancelled  bool                  `json:"cancelled,omitempty"`
	Used       []Use                 `json:"used,omitempty"`

	// Approve says that somebody has to say yes to each node. Those that
	// asked and wait, and what was said to others:
	Approve  bool             `json:"approve,omitempty"`
	Waiting  []Applicant      `json:"waiting,omitempty"`
	Approved []membership.Key `json:"approved,omitempty"`
	Denied   []membership.Key `json:"denied,omitempty"`
}

// Ledger is the invitations of this node and who used them, on disk before
// anybody hears of it.
type Ledger struct {
	path string
	now  func() time.Time

	mu   sync.Mutex
	list map[membership.Nonce]*Issued
}

// OpenLedger reads the ledger; a missing file is an empty one.
func OpenLedger(path string, now func() time.Time) (*Ledger, error) {
	l := &Ledger{path: path, now: now, list: map[membership.Nonce]*Issued{}}
	var file []*Issued
	if err := durable.ReadJSON(path, &file); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	for _, i := range file {
		if i == nil {
			return nil, fmt.Errorf("%s: an entry is empty: %w", path, membership.ErrFormat)
		}
		l.list[i.Invitation.Nonce] = i
	}
	return l, nil
}

func (l *Ledger) save() error {
	old := l.now().Add(-keepAfter).Unix()
	var file []*Issued
	for n, i := range l.list {
		if i.Invitation.Expires < old {
			delete(l.list, n)
			continue
		}
		file = append(file, i)
	}
	slices.SortFunc(file, func(a, b *Issued) int {
		return cmp.Or(cmp.Compare(a.At, b.At), cmp.Compare(a.Invitation.Nonce.String(), b.Invitation.Nonce.String()))
	})
	return durable.WriteJSON(l.path, file)
}

// Offer is what an invitation shall be.
type Offer struct {
	Mesh      membership.Hash
	Endpoints []netip.AddrPort
	Lifetime  time.Duration
	Uses      int
	Role      membership.Role
	Holder    *membership.Key
	Approve   bool // each node that comes with it waits until somebody approves
}

// Issue writes an invitation down and returns its text.
func (l *Ledger) Issue(private ed25519.PrivateKey, o Offer) (string, membership.Invitation, error) {
	now := l.now()
	v := membership.Invitation{
		Mesh: o.Mesh, Issuer: membership.KeyOf(private), Endpoints: o.Endpoints,
		Expires: now.Add(o.Lifetime).Unix(), Uses: o.Uses, Role: o.Role, Holder: o.Holder,
	}
	rand.Read(v.Nonce[:])
	token, err := v.Token(private)
	if err != nil {
		return "", v, err
	}
	// What is written down is what a reader of the token gets.
	if v, err = membership.ParseInvitation(token); err != nil {
		return "", v, err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.list[v.Nonce] = &Issued{Invitation: v, At: now.Unix(), Approve: o.Approve}
	return token, v, l.save()
}

// Cancel takes back what is left of an invitation, named by its ID.
func (l *Ledger) Cancel(id string) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, i := range l.list {
		if i.Invitation.ID() == id {
			i.Cancelled = true
			return l.save()
		}
	}
	return fmt.Errorf("no invitation %s", id)
}

// List returns all invitations, the oldest first.
func (l *Ledger) List() []Issued {
	l.mu.Lock()
	defer l.mu.Unlock()
	var out []Issued
	for _, i := range l.list {
		c := *i
		c.Used, c.Waiting = slices.Clone(i.Used), slices.Clone(i.Waiting)
		c.Approved, c.Denied = slices.Clone(i.Approved), slices.Clone(i.Denied)
		out = append(out, c)
	}
	slices.SortFunc(out, func(a, b Issued) int { return cmp.Compare(a.At, b.At) })
	return out
}

// Redeem gives key a chain for an invitation, made by admit, and writes it
// down. The same key gets the same answer again, also after the invitation
// expired: it may have lost the first one.
func (l *Ledger) Redeem(v membership.Invitation, key membership.Key, host string, admit func() (membership.Chain, error)) (membership.Chain, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	i, ok := l.list[v.Nonce]
	if !ok {
		return nil, refusal(401, CodeForeign, "this invitation is not known here")
	}
	for _, u := range i.Used {
		if u.Key == key {
			return u.Chain, nil
		}
	}
	// The ledger's copy decides, not the token's.
	switch v := i.Invitation; {
	case v.Holder != nil && *v.Holder != key:
		return nil, refusal(409, CodeUsed, "this invitation is for another node")
	case len(i.Used) >= v.Uses:
		return nil, refusal(409, CodeUsed, "this invitation was used by another node")
	case i.Cancelled:
		return nil, refusal(410, CodeCancelled, "this invitation was taken back")
	case slices.Contains(i.Denied, key):
		return nil, refusal(403, CodeDenied, "this node was not let in")
	case i.Approve && slices.Contains(i.Approved, key):
		// It came in time, and somebody took theirs to say yes.
	case l.now().Unix() >= v.Expires:
		return nil, refusal(410, CodeExpired, "this invitation has expired")
	case i.Approve:
		return nil, l.wait(i, key, host)
	}
	chain, err := admit()
	if err != nil {
		return nil, err
	}
	i.Used = append(i.Used, Use{Key: key, Host: host, At: l.now().Unix(), Chain: chain})
	if err := l.save(); err != nil {
		i.Used = i.Used[:len(i.Used)-1]
		return nil, err
	}
	return chain, nil
}
