package agent

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"os"
	"time"

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
