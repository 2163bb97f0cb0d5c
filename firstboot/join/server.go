package join

import (
	"context"
	"crypto/ed25519"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"time"

	"cloudy/firstboot/membership"
	"cloudy/firstboot/roster"
)

// Member is what the endpoint needs of the node that offers it.
type Member interface {
	// State returns the mesh, the node's chain and own record, and the
	// gossip's keys; ok is false while the node is no member itself.
	State() (s State, ok bool)
	// Heard is called after the roster learnt something from a caller, and
	// returns when the node acts upon it: when tinc's host file is written.
	Heard()
}

// State is one moment of a member.
type State struct {
	Mesh   membership.Mesh
	Chain  membership.Chain
	Self   membership.NodeRecord
	Keys   membership.GossipKeys
	Roster *roster.Roster
	Alive  map[membership.Name]bool // nil: not known
}

// Server is a member's endpoint.
type Server struct {
	Private ed25519.PrivateKey
	Ledger  *Ledger
	Member  Member
	Log     *slog.Logger
	Now     func() time.Time

	limits limits
}

// Serve answers on the listener until the context ends.
func (s *Server) Serve(ctx context.Context, l net.Listener) error {
	conf, err := serverTLS(s.Private)
	if err != nil {
		return err
	}
	srv := &http.Server{
		Handler:           s.handler(),
		ReadHeaderTimeout: 5 * time.Second,
		ReadTimeout:       15 * time.Second,
		WriteTimeout:      30 * time.Second,
		IdleTimeout:       30 * time.Second,
		MaxHeaderBytes:    4 << 10,
		ErrorLog:          slog.NewLogLogger(s.Log.Handler(), slog.LevelDebug), // failed handshakes of strangers
	}
	stop := context.AfterFunc(ctx, func() { srv.Close() })
	defer stop()
	if err := srv.Serve(tls.NewListener(&bounded{Listener: l, host: s.host}, conf)); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return ctx.Err()
}

func (s *Server) handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("POST /v1/join", s.post(s.join))
	mux.HandleFunc("POST /v1/return", s.post(s.back))
	mux.HandleFunc("POST /v1/double", s.post(s.double))
	mux.HandleFunc("GET /v1/node/{name}", s.get(func(st State, r *http.Request) any {
		if m, ok := st.Roster.Get(membership.Name(r.PathValue("name"))); ok {
			return m.Record
		}
		return nil
	}))
	mux.HandleFunc("GET /v1/services/{name}", s.get(func(st State, r *http.Request) any {
		if m, ok := st.Roster.Get(membership.Name(r.PathValue("name"))); ok && m.Services != nil {
			return m.Signed
		}
		return nil
	}))
	mux.HandleFunc("GET /v1/known", s.get(func(st State, _ *http.Request) any {
		var k Known
		for _, m := range st.Roster.Members() {
			if len(k.Nodes) == maxKnown {
				break
			}
			k.Nodes = append(k.Nodes, m.Record)
			if m.Services != nil {
				k.Services = append(k.Services, m.Signed)
			}
		}
		return k
	}))
	mux.HandleFunc("GET /v1/revocations", s.get(func(st State, _ *http.Request) any {
		list, _ := st.Roster.Revocations()
		return list
	}))
	return mux
}

// post is what requests from anywhere have in common: the rate limit before
// all else, a bound on the body, an answer that is data.
func (s *Server) post(handle func(State, *http.Request) (*Welcome, error)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		from := remote(r)
		if !s.limits.allow(s.host(from), s.Now()) {
			w.Header().Set("Retry-After", "10")
			refuse(w, refusal(429, CodeBusy, "asked too often"))
			return
		}
		r.Body = http.MaxBytesReader(w, r.Body, maxRequest)
		st, ok := s.Member.State()
		if !ok {
			refuse(w, refusal(503, CodeNotYet, "this node is in no mesh itself"))
			return
		}
		welcome, err := handle(st, r)
		var ref *Refusal
		switch {
		case errors.As(err, &ref):
		case errors.Is(err, membership.ErrRevoked):
			ref = refusal(403, CodeRevoked, "this node was revoked")
		case errors.Is(err, membership.ErrSignature):
			ref = refusal(401, CodeSignature, "bad signature")
		case errors.Is(err, membership.ErrMesh), errors.Is(err, membership.ErrChain):
			ref = refusal(401, CodeForeign, "not of this mesh")
		case errors.Is(err, roster.ErrTaken):
			ref = refusal(409, CodeTaken, "the name belongs to another key")
		case errors.Is(err, membership.ErrFormat):
			ref = refusal(400, CodeMalformed, "malformed request")
		case err != nil:
			ref = refusal(500, CodeInternal, "internal error")
		default:
			welcome.Now, welcome.Observed = s.Now().Unix(), from
			s.Log.Info("let in", "from", from, "path", r.URL.Path)
			answer(w, http.StatusOK, welcome)
			return
		}
		s.Log.Warn("refused", "from", from, "path", r.URL.Path, "code", ref.Code, "error", err)
		refuse(w, ref)
	}
}

// get is for members: the mesh's own address is the only one that answers.
func (s *Server) get(handle func(State, *http.Request) any) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		st, ok := s.Member.State()
		local, _ := r.Context().Value(http.LocalAddrContextKey).(net.Addr)
		if !ok || local == nil || !within(st.Mesh, local.String()) || !within(st.Mesh, r.RemoteAddr) {
			refuse(w, refusal(403, CodeForeign, "for members, on the mesh's addresses"))
			return
		}
		v := handle(st, r)
		if v == nil {
			refuse(w, refusal(404, "unknown", "not known here"))
			return
		}
		answer(w, http.StatusOK, v)
	}
}

func within(m membership.Mesh, addr string) bool {
	a, err := netip.ParseAddrPort(addr)
	return err == nil && m.Prefix6().Contains(a.Addr())
}

func remote(r *http.Request) netip.Addr {
	a, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		return netip.Addr{}
	}
	return a.Addr().Unmap().WithZone("")
}

func answer(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	json.NewEncoder(w).Encode(v)
}

func refuse(w http.ResponseWriter, r *Refusal) { answer(w, r.Status, r) }

func decode(r *http.Request, v any) error {
	if err := json.NewDecoder(r.Body).Decode(v); err != nil {
		return fmt.Errorf("request: %w: %v", membership.ErrFormat, err)
	}
	return nil
}
