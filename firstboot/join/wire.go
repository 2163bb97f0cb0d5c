// Package join is how a node gets into a mesh and back into it: the
// endpoint that every member offers, over TLS 1.3 with the node's own key,
// and the client that speaks to it.
//
// Nobody's certificate authority is asked: a client says whose key it
// expects, and an endpoint that cannot prove to have it gets nothing.
package join

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"math/big"
	"net/netip"
	"time"

	"cloudy/firstboot/membership"
)

// maxRequest bounds a request's body in bytes.
const maxRequest = 16 << 10

// maxResponse bounds an answer's body in bytes.
const maxResponse = 4 << 20

// Request asks to be admitted.
type Request struct {
	Join membership.Signed `json:"join"`
}

// Welcome answers a Request, and a Return.
type Welcome struct {
	Genesis     []byte                  `json:"genesis,omitempty"` // the very bytes of the mesh's genesis
	Chain       membership.Chain        `json:"chain,omitempty"`   // the newcomer's
	Records     []membership.NodeRecord `json:"records"`           // the member that answers first, then others to connect to
	Revocations []membership.Signed     `json:"revocations,omitempty"`
	Keys        membership.GossipKeys   `json:"keys"`
	Salt        uint32                  `json:"salt"` // with which the newcomer's IPv4 address is free as far as the member knows
	Now         int64                   `json:"now"`  // Unix seconds by the member's clock
	Observed    netip.Addr              `json:"observed"`
}

// Return is a member that comes back, or tells of itself: no invitation, its
// TLS certificate proves that it is the one of the record.
type Return struct {
	Record membership.NodeRecord `json:"record"`
}

// Known is what a member knows of all: for who knows little.
type Known struct {
	Nodes    []membership.NodeRecord `json:"nodes"`
	Services []membership.Signed     `json:"services"`
}

// maxKnown bounds the members in a Known, so that it stays below maxResponse.
const maxKnown = 500

// Refusal is an answer that trying again does not change, or does only after
// a while.
type Refusal struct {
	Status int    `json:"-"`
	Code   string `json:"code"`
	Text   string `json:"text"`

	// Record comes with CodeDouble: the record that the member has.
	Record *membership.NodeRecord `json:"record,omitempty"`

	// Revocations come with CodeRevoked: those that put the node out, signed,
	// so that it need not believe the member.
	Revocations []membership.Signed `json:"revocations,omitempty"`
}

func refusal(status int, code, text string) *Refusal {
	return &Refusal{Status: status, Code: code, Text: text}
}

func (r *Refusal) Error() string { return fmt.Sprintf("refused: %s", r.Text) }

// Permanent says whether the same request would be refused for ever.
func (r *Refusal) Permanent() bool {
	switch r.Code {
	case CodeBusy, CodeNotYet, CodeInternal, CodePending:
		return false
	}
	return true
}

// The codes of refusals.
const (
	CodeMalformed = "malformed"    // 400
	CodeSignature = "signature"    // 401: not what the issuer or the sender signed
	CodeForeign   = "foreign"      // 401: of another mesh, another issuer, or unknown here
	CodeRevoked   = "revoked"      // 403
	CodeUsed      = "used"         // 409: by another node
	CodeTaken     = "taken"        // 409: the name belongs to another key
	CodeDouble    = "double"       // 409: a newer record of the same key is known
	CodeExpired   = "expired"      // 410
	CodeCancelled = "cancelled"    // 410
	CodeDenied    = "denied"       // 403: somebody said no
	CodeBusy      = "busy"         // 429: asked too often
	CodePending   = "pending"      // 202: somebody has to approve
	CodeNotYet    = "not-a-member" // 503: the member is not in the mesh itself
	CodeInternal  = "internal"     // 500
)

// ErrImpostor is the error of an endpoint without the expected key.
var ErrImpostor = errors.New("the endpoint does not have the key that was expected")

// certificate is the node's key as TLS wants it. Names and dates in it mean
// nothing: a board without a clock at its first boot is in 1970.
func certificate(private ed25519.PrivateKey) (tls.Certificate, error) {
	key := membership.KeyOf(private)
	template := x509.Certificate{
		SerialNumber: big.NewInt(1),
		Subject:      pkix.Name{CommonName: string(key.Name())},
		DNSNames:     []string{string(key.Name())},
		NotBefore:    time.Unix(0, 0),
		NotAfter:     time.Date(9999, 12, 31, 23, 59, 59, 0, time.UTC), // RFC 5280, section 4.1.2.5: no well-defined end
	}
	der, err := x509.CreateCertificate(rand.Reader, &template, &template, key.Public(), private)
	if err != nil {
		return tls.Certificate{}, fmt.Errorf("TLS certificate: %w", err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: private}, nil
}

// peerKey is the key that the other side proved to have.
func peerKey(state tls.ConnectionState) (membership.Key, bool) {
	if len(state.PeerCertificates) == 0 {
		return membership.Key{}, false
	}
	key, ok := state.PeerCertificates[0].PublicKey.(ed25519.PublicKey)
	if !ok {
		return membership.Key{}, false
	}
	return membership.Key(key), true
}

func serverTLS(private ed25519.PrivateKey) (*tls.Config, error) {
	cert, err := certificate(private)
	if err != nil {
		return nil, err
	}
	return &tls.Config{
		Certificates: []tls.Certificate{cert},
		MinVersion:   tls.VersionTLS13,
		// Possession of the key is proven by the handshake; who the key
		// is, is for the handlers.
		ClientAuth: tls.RequestClientCert,
		NextProtos: []string{"http/1.1"},
	}, nil
}

func clientTLS(cert tls.Certificate, want func(membership.Key) bool) *tls.Config {
	return &tls.Config{
		Certificates:       []tls.Certificate{cert},
		MinVersion:         tls.VersionTLS13,
		InsecureSkipVerify: true, // no authority: VerifyConnection compares the key instead
		NextProtos:         []string{"http/1.1"},
		VerifyConnection: func(s tls.ConnectionState) error {
			if key, ok := peerKey(s); !ok || !want(key) {
				return ErrImpostor
			}
			return nil
		},
	}
}
