package agent

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"net/netip"
	"os"
	"time"

	"cloudy/firstboot/durable"
	"cloudy/firstboot/join"
	"cloudy/firstboot/membership"
)

// Socket is the control socket inside the root. Its mode is the permission:
// who may open it may do everything.
const Socket = "run/cloudy/control.sock"

// InviteRequest asks for an invitation.
type InviteRequest struct {
	Lifetime time.Duration   `json:"lifetime"` // nanoseconds
	Uses     int             `json:"uses"`
	Role     membership.Role `json:"role"`
	Approve  bool            `json:"approve,omitempty"` // each node waits until somebody approves it here
}

// PendingInfo is a node that waits to be let in.
type PendingInfo struct {
	Name membership.Name `json:"name"`
	Host string          `json:"host"`
	At   time.Time       `json:"at"`
}

// DecideRequest lets a node that waits in, or keeps it out.
type DecideRequest struct {
	Name    membership.Name `json:"name"`
	Approve bool            `json:"approve"`
}

// ServiceRequest turns a service of this node on or off.
type ServiceRequest struct {
	Name string `json:"name"`
	On   bool   `json:"on"`
}

// InviteAnswer is a new invitation.
type InviteAnswer struct {
	Token   string    `json:"token"`
	ID      string    `json:"id"`
	Expires time.Time `json:"expires"`
}

// RevokeRequest puts a member out.
type RevokeRequest struct {
	Name    membership.Name `json:"name"`
	Subtree bool            `json:"subtree"`
	Reason  string          `json:"reason"`
}

// ResetRequest undoes. Without any of these the node leaves the mesh and
// stays who it is.
type ResetRequest struct {
	Identity bool `json:"identity,omitempty"` // new keys and names, too
	Services bool `json:"services,omitempty"` // only this: what is on, and what was published by hand, is as in the image
	Factory  bool `json:"factory,omitempty"`  // all of it, and a seed counts again
}

// MemberInfo is a member as people see it.
type MemberInfo struct {
	Name     membership.Name `json:"name"`
	Host     string          `json:"host"`
	Self     bool            `json:"self,omitempty"`
	Alive    bool            `json:"alive"`
	Role     membership.Role `json:"role"`
	Inviter  membership.Name `json:"inviter"`
	Address4 string          `json:"address4"`
	Address6 string          `json:"address6"`
	At       []netip.Addr    `json:"at"`
	Links    []string        `json:"links"`
	Services int             `json:"services"`
	Agent    string          `json:"agent,omitempty"`
}

func (a *Agent) serveControl(ctx context.Context) error {
	path := a.path(Socket)
	// A socket that somebody answers at is another agent's.
	if c, err := net.Dial("unix", path); err == nil {
		c.Close()
		return fmt.Errorf("another agent runs: it answers at %s", path)
	}
	os.Remove(path)
	l, err := net.Listen("unix", path)
	if err != nil {
		return fmt.Errorf("control socket: %w", err)
	}
	if err := os.Chmod(path, 0o660); err != nil {
		l.Close()
		return err
	}
	srv := &http.Server{Handler: a.control(), ReadTimeout: 10 * time.Second}
	context.AfterFunc(ctx, func() { srv.Close() })
	go srv.Serve(l)
	return nil
}

// errNoMember is the answer to what only a member can do.
var errNoMember = errors.New("this node is in no mesh yet")

func (a *Agent) control() http.Handler {
	mux := http.NewServeMux()
	handle := func(pattern string, f func(*http.Request) (any, error)) {
		mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) {
			v, err := f(r)
			w.Header().Set("Content-Type", "application/json")
			if err != nil {
				w.WriteHeader(http.StatusBadRequest)
				v = map[string]string{"error": err.Error()}
			}
			json.NewEncoder(w).Encode(v)
		})
	}
	handle("GET /status", func(*http.Request) (any, error) { return a.Status(), nil })
	handle("GET /members", func(*http.Request) (any, error) { return a.Members(), nil })
	handle("GET /services", func(r *http.Request) (any, error) { return a.Search(r.URL.Query().Get("type")), nil })
	handle("GET /invitations", func(*http.Request) (any, error) { return a.invitations() })
	handle("GET /pending", func(*http.Request) (any, error) { return a.Pending() })
	handle("GET /own", func(*http.Request) (any, error) { return a.OwnServices(), nil })
	handle("POST /decide", with(a.decide))
	handle("POST /service", with(func(ctx context.Context, q ServiceRequest) (struct{}, error) {
		return struct{}{}, a.SetService(ctx, q.Name, q.On)
	}))
	handle("POST /invite", with(a.invite))
	handle("POST /cancel", with(a.cancel))
	handle("POST /join", with(a.typeIn))
	handle("POST /revoke", with(a.revoke))
	handle("POST /publish", with(a.publish))
	handle("POST /unpublish", with(a.unpublish))
	handle("POST /reset", with(a.reset))
	handle("GET /passwords", func(*http.Request) (any, error) { return a.passwords() })
	handle("POST /password", with(a.renewPassword))
	return mux
}

// with decodes the request's body for f.
func with[Q, A any](f func(context.Context, Q) (A, error)) func(*http.Request) (any, error) {
	return func(r *http.Request) (any, error) {
		var q Q
		if err := json.NewDecoder(http.MaxBytesReader(nil, r.Body, 64<<10)).Decode(&q); err != nil {
			return nil, fmt.Errorf("request: %w", err)
		}
		return f(r.Context(), q)
	}
}

func (a *Agent) member() (*standing, *join.Ledger, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.standing == nil || a.ledger == nil {
		return nil, nil, errNoMember
	}
	return a.standing, a.ledger, nil
}

func (a *Agent) invitations() (any, error) {
	_, l, err := a.member()
	if err != nil {
		return nil, err
	}
	return l.List(), nil
}

func (a *Agent) invite(_ context.Context, q InviteRequest) (InviteAnswer, error) {
	_, l, err := a.member()
	if err != nil {
		return InviteAnswer{}, err
	}
	if a.certs[0].Role != membership.RoleInviter {
		return InviteAnswer{}, errors.New("this node may not invite: it was admitted as a plain member")
	}
	if q.Role == membership.RoleInviter && !a.roster.Mesh().IsRoot(a.id.Key()) && len(a.certs) >= membership.MaxDepth-1 {
		return InviteAnswer{}, errors.New("this node is too far from the root to admit inviters")
	}
	var at []netip.AddrPort
	for _, e := range a.endpoints() {
		at = append(at, netip.AddrPortFrom(e, uint16(a.conf.Mesh.JoinPort)))
	}
	if len(at) == 0 {
		return InviteAnswer{}, errors.New("this node has no address that others reach")
	}
	token, v, err := l.Issue(a.id.Private(), join.Offer{
		Mesh: a.roster.Mesh().ID, Endpoints: at[:min(len(at), 4)], Lifetime: q.Lifetime, Uses: q.Uses, Role: q.Role, Approve: q.Approve,
	})
	return InviteAnswer{token, v.ID(), time.Unix(v.Expires, 0)}, err
}

func (a *Agent) cancel(_ context.Context, id string) (struct{}, error) {
	_, l, err := a.member()
	if err != nil {
		return struct{}{}, err
	}
	return struct{}{}, l.Cancel(id)
}

// Pending returns the nodes that wait here to be let in.
func (a *Agent) Pending() ([]PendingInfo, error) {
	_, l, err := a.member()
	if err != nil {
		return nil, err
	}
	out := []PendingInfo{}
	for _, w := range l.Waiting() {
		out = append(out, PendingInfo{w.Key.Name(), w.Host, time.Unix(w.At, 0)})
	}
	return out, nil
}

func (a *Agent) decide(_ context.Context, q DecideRequest) (struct{}, error) {
	_, l, err := a.member()
	if err != nil {
		return struct{}{}, err
	}
	return struct{}{}, l.Decide(q.Name, q.Approve)
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
	if _, _, err := a.member(); err != nil {
		return none, err
	}
	m, ok := a.roster.Get(q.Name)
	if !ok {
		return none, fmt.Errorf("no member %s is known here", q.Name)
	}
	rev := membership.Revocation{Mesh: a.roster.Mesh().ID, Key: m.Node.Key, Subtree: q.Subtree, Reason: q.Reason, At: time.Now().Unix()}
	s, err := membership.SignRevocation(a.id.Private(), rev)
	if err != nil {
		return none, err
	}
	if _, err := a.roster.AddRevocation(s); err != nil {
		return none, err
	}
	if _, still := a.roster.Get(q.Name); still {
		return none, fmt.Errorf("%s was admitted by others: those above it, or one more root, must revoke it as well", q.Name)
	}
	a.Heard() // cut off first, then new keys
	return none, a.rotateStart()
}

func (a *Agent) publish(_ context.Context, s membership.Service) (struct{}, error) {
	if err := s.Check(); err != nil {
		return struct{}{}, err
	}
	a.mu.Lock()
	a.extra[s.Type+"|"+s.Name] = s
	a.mu.Unlock()
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

func (a *Agent) reset(ctx context.Context, q ResetRequest) (struct{}, error) {
	a.mu.Lock()
	a.pending = &q
	a.mu.Unlock()
	a.rush()
	return struct{}{}, nil
}

// doReset runs in the reconciler, between two rounds.
func (a *Agent) doReset(ctx context.Context) error {
	a.mu.Lock()
	q, becomes := a.pending, a.becomes
	a.pending, a.becomes = nil, false
	if becomes {
		a.double.marked = time.Now()
		a.status.Cloned = true
	}
	a.mu.Unlock()
	if q == nil {
		return nil
	}
	a.log.Warn("reset", "identity", q.Identity, "services", q.Services, "factory", q.Factory)
	if q.Services || q.Factory {
		if err := a.forgetServices(ctx); err != nil {
			return err
		}
		if !q.Identity && !q.Factory {
			return nil
		}
	}
	if err := a.forgetMesh(ctx); err != nil {
		return err
	}
	what := ""
	switch {
	case q.Factory:
		what = resetFactory
	case q.Identity:
		what = resetIdentity
	default:
		return nil
	}
	a.mu.Lock()
	if a.id != nil {
		a.becoming = a.id.Name()
	}
	a.mu.Unlock()
	return a.wish(ctx, "reset", Wish{Reset: what})
}

// forgetServices makes what is on and off as the image has it.
func (a *Agent) forgetServices(ctx context.Context) error {
	a.mu.Lock()
	clear(a.extra)
	clear(a.health)
	back := map[string]bool{}
	for name := range a.choices() {
		for _, s := range a.conf.Services {
			if s.Name == name {
				back[name] = s.Enabled
			}
		}
	}
	a.mu.Unlock()
	if err := durable.Remove(a.statePath(publishedFile)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if len(back) == 0 {
		return nil
	}
	// The image's choice stands there as the owner's, so that what was on
	// is turned off again.
	if err := durable.WriteJSON(a.statePath(servicesFile), back); err != nil {
		return err
	}
	return a.wish(ctx, "services", Wish{Services: true})
}

// Members returns everybody who is known, with the node itself.
func (a *Agent) Members() []MemberInfo {
	alive := a.alive()
	a.mu.Lock()
	r, id := a.roster, a.id
	a.mu.Unlock()
	out := []MemberInfo{}
	if r == nil {
		return out
	}
	for _, m := range r.Members() {
		self := m.Node.Key == id.Key()
		info := MemberInfo{
			Name: m.Name(), Host: m.Node.Host, Self: self, Alive: self || alive[m.Name()], Role: m.Certs[0].Role, Inviter: m.Inviter().Name(),
			Address4: m.Address4.String(), Address6: m.Address6.String(),
			At: m.Node.Endpoints, Agent: m.Node.Agent,
		}
		for _, l := range m.Node.Links {
			info.Links = append(info.Links, string(l))
		}
		if m.Services != nil {
			info.Services = len(m.Services.List)
		}
		out = append(out, info)
	}
	return out
}
