package join

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"time"

	"cloudy/firstboot/membership"
)

// attempt bounds one request; an unreachable address costs connectTimeout.
const (
	attempt        = 30 * time.Second
	connectTimeout = 8 * time.Second
)

// Client speaks to the endpoints of members.
type Client struct {
	Private ed25519.PrivateKey
}

func (c Client) do(ctx context.Context, to netip.AddrPort, want func(membership.Key) bool, method, path string, body, out any) error {
	conf, err := clientTLS(c.Private, want)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, attempt)
	defer cancel()
	var data []byte
	if body != nil {
		if data, err = json.Marshal(body); err != nil {
			return err
		}
	}
	req, err := http.NewRequestWithContext(ctx, method, "https://"+to.String()+path, bytes.NewReader(data))
	if err != nil {
		return err
	}
	transport := &http.Transport{
		DialContext:         (&net.Dialer{Timeout: connectTimeout}).DialContext,
		TLSClientConfig:     conf,
		TLSHandshakeTimeout: 15 * time.Second,
		DisableKeepAlives:   true,
	}
	resp, err := (&http.Client{Transport: transport, CheckRedirect: func(*http.Request, []*http.Request) error {
		return errors.New("redirected")
	}}).Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	data, err = io.ReadAll(io.LimitReader(resp.Body, maxResponse+1))
	if err != nil {
		return err
	}
	if len(data) > maxResponse {
		return fmt.Errorf("%s: answer of more than %d bytes", to, maxResponse)
	}
	if resp.StatusCode != http.StatusOK {
		ref := Refusal{Status: resp.StatusCode}
		if err := json.Unmarshal(data, &ref); err != nil || ref.Code == "" {
			return fmt.Errorf("%s: status %d", to, resp.StatusCode)
		}
		return &ref
	}
	if err := json.Unmarshal(data, out); err != nil {
		return fmt.Errorf("%s: answer: %w: %v", to, membership.ErrFormat, err)
	}
	return nil
}

// Admission is what a newcomer has when it was let in, verified.
type Admission struct {
	Mesh  membership.Mesh
	Chain membership.Chain
	Welcome
}

// Join asks at one endpoint. A *Refusal is the member's answer; any other
// error is one of the way there, or of an answer that does not verify.
func (c Client) Join(ctx context.Context, to netip.AddrPort, v membership.Invitation, j membership.Join) (Admission, error) {
	req, err := membership.SignJoin(c.Private, j)
	if err != nil {
		return Admission{}, err
	}
	var w Welcome
	issuer := func(k membership.Key) bool { return k == v.Issuer }
	if err := c.do(ctx, to, issuer, "POST", "/v1/join", Request{req}, &w); err != nil {
		return Admission{}, err
	}
	return admission(w, membership.KeyOf(c.Private), v, j)
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
func (c Client) Return(ctx context.Context, to netip.AddrPort, want membership.Key, rec membership.NodeRecord) (Welcome, error) {
	var w Welcome
	err := c.do(ctx, to, func(k membership.Key) bool { return k == want }, "POST", "/v1/return", Return{rec}, &w)
	return w, err
}

// Show gives a member a record of its own key that is newer than what it said
// itself; want is its key.
func (c Client) Show(ctx context.Context, to netip.AddrPort, want membership.Key, rec membership.NodeRecord) error {
	return c.do(ctx, to, func(k membership.Key) bool { return k == want }, "POST", "/v1/double", Return{rec}, &Welcome{})
}

// Fetch reads something from a member over the mesh: "node/NAME",
// "services/NAME" or "revocations". The answer is signed by whom it is of.
func (c Client) Fetch(ctx context.Context, to netip.AddrPort, name membership.Name, what string, out any) error {
	return c.do(ctx, to, func(k membership.Key) bool { return k.Name() == name }, "GET", "/v1/"+what, nil, out)
}
