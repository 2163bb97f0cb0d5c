package join

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"sync"
	"time"

	"cloudy/firstboot/membership"
)

// attempt bounds one request; an unreachable address costs connectTimeout.
const (
	attempt        = 30 * time.Second
	connectTimeout = 8 * time.Second
)

// Client speaks to the endpoints of members. A node has one: its certificate is
// made once for all connections.
type Client struct {
	private     ed25519.PrivateKey
	certificate func() (tls.Certificate, error)
}

// NewClient returns the client of the node with that key.
func NewClient(private ed25519.PrivateKey) *Client {
	return &Client{private, sync.OnceValues(func() (tls.Certificate, error) { return certificate(private) })}
}

// Session is a connection to one member's endpoint, for several requests.
type Session struct {
	to   netip.AddrPort
	http http.Client
}

// open prepares a session; curves nil are Go's. It connects with the first
// request, and gives away nothing before the endpoint proved its key.
func (c *Client) open(to netip.AddrPort, want func(membership.Key) bool, curves []tls.CurveID) (*Session, error) {
	cert, err := c.certificate()
	if err != nil {
		return nil, err
	}
	conf := clientTLS(cert, want)
	conf.CurvePreferences = curves
	return &Session{to, http.Client{
		Transport: &http.Transport{
			DialContext:         (&net.Dialer{Timeout: connectTimeout}).DialContext,
			TLSClientConfig:     conf,
			TLSHandshakeTimeout: 15 * time.Second,
			MaxIdleConns:        1,
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return errors.New("redirected") },
	}}, nil
}

// Close ends the session.
func (s *Session) Close() { s.http.CloseIdleConnections() }

func (s *Session) do(ctx context.Context, method, path string, body, out any) error {
	ctx, cancel := context.WithTimeout(ctx, attempt)
	defer cancel()
	var data []byte
	var err error
	if body != nil {
		if data, err = json.Marshal(body); err != nil {
			return err
		}
	}
	req, err := http.NewRequestWithContext(ctx, method, "https://"+s.to.String()+path, bytes.NewReader(data))
	if err != nil {
		return err
	}
	resp, err := s.http.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	data, err = io.ReadAll(io.LimitReader(resp.Body, maxResponse+1))
	if err != nil {
		return err
	}
	if len(data) > maxResponse {
		return fmt.Errorf("%s: answer of more than %d bytes", s.to, maxResponse)
	}
	if resp.StatusCode != http.StatusOK {
		ref := Refusal{Status: resp.StatusCode}
		if err := json.Unmarshal(data, &ref); err != nil || ref.Code == "" {
			return fmt.Errorf("%s: status %d", s.to, resp.StatusCode)
		}
		return &ref
	}
	if err := json.Unmarshal(data, out); err != nil {
		return fmt.Errorf("%s: answer: %w: %v", s.to, membership.ErrFormat, err)
	}
	return nil
}

// once is a session of one request.
func (c *Client) once(ctx context.Context, to netip.AddrPort, want func(membership.Key) bool, method, path string, body, out any) error {
	s, err := c.open(to, want, nil)
	if err != nil {
		return err
	}
	defer s.Close()
	return s.do(ctx, method, path, body, out)
}

// Admission is what a newcomer has when it was let in, verified.
type Admission struct {
	Mesh  membership.Mesh
	Chain membership.Chain
	Welcome
}

// Join asks at one endpoint. A *Refusal is the member's answer; any other
// error is one of the way there, or of an answer that does not verify.
func (c *Client) Join(ctx context.Context, to netip.AddrPort, v membership.Invitation, j membership.Join) (Admission, error) {
	req, err := membership.SignJoin(c.private, j)
	if err != nil {
		return Admission{}, err
	}
	var w Welcome
	issuer := func(k membership.Key) bool { return k == v.Issuer }
	if err := c.once(ctx, to, issuer, "POST", "/v1/join", Request{req}, &w); err != nil {
		return Admission{}, err
	}
	return admission(w, membership.KeyOf(c.private), v, j)
}

// admission verifies what an inviter answered to key.
func admission(w Welcome, key membership.Key, v membership.Invitation, j membership.Join) (Admission, error) {
	mesh, err := membership.ParseMesh(w.Genesis)
	if err != nil {
		return Admission{}, err
	}
	if mesh.ID != v.Mesh {
		return Admission{}, fmt.Errorf("genesis: %w", membership.ErrMesh)
	}
	certs, err := w.Chain.Verify(mesh)
	if err != nil {
		return Admission{}, err
	}
	if certs[0].Key != key || certs[0].By != v.Issuer || certs[0].RSA != membership.HashOf(j.RSA) {
		return Admission{}, fmt.Errorf("certificate is not the one asked for: %w", membership.ErrChain)
	}
	return Admission{mesh, w.Chain, w}, nil
}

// Return tells a member of this node's record; want is the member's key. The
// answer's records are verified by who takes them into a roster.
func (c *Client) Return(ctx context.Context, to netip.AddrPort, want membership.Key, rec membership.NodeRecord) (Welcome, error) {
	var w Welcome
	err := c.once(ctx, to, func(k membership.Key) bool { return k == want }, "POST", "/v1/return", Return{rec}, &w)
	return w, err
}

// Show gives a member a record of its own key that is newer than what it said
// itself; want is its key.
func (c *Client) Show(ctx context.Context, to netip.AddrPort, want membership.Key, rec membership.NodeRecord) error {
	return c.once(ctx, to, func(k membership.Key) bool { return k == want }, "POST", "/v1/double", Return{rec}, &Welcome{})
}

// Visit prepares to fetch from a member over the mesh. What is fetched is
// signed and for everybody, so that the key exchange need not outlast quantum
// computers: without that it takes half the bytes.
func (c *Client) Visit(to netip.AddrPort, name membership.Name) (*Session, error) {
	return c.open(to, func(k membership.Key) bool { return k.Name() == name }, []tls.CurveID{tls.X25519})
}

// Fetch reads "node/NAME", "services/NAME", "revocations" or "known". The
// answer is signed by whom it is of.
func (s *Session) Fetch(ctx context.Context, what string, out any) error {
	return s.do(ctx, "GET", "/v1/"+what, nil, out)
}
