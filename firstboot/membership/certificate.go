package membership

import (
	"crypto/ed25519"
	"fmt"
)

// MaxDepth is how many certificates may stand between a node and a root's
// signature, the node's own included.
const MaxDepth = 4

// Role is what a member may do.
type Role string

// The roles.
const (
	RoleNode    Role = "node"    // takes part
	RoleInviter Role = "inviter" // and may invite others
)

// Certificate makes a key a member: signed by the member who invited it, or
// by a root.
type Certificate struct {
	Version int   `json:"v"`
	Mesh    Hash  `json:"m"`
	Key     Key   `json:"k"`
	RSA     Hash  `json:"t"` // of the tinc key, PKCS #1 DER
	Role    Role  `json:"r"`
	Issued  int64 `json:"at"` // Unix seconds by the inviter's clock; for people, nothing expires by it
	By      Key   `json:"by"`
}

// Issue signs a certificate.
func Issue(private ed25519.PrivateKey, c Certificate) (Signed, error) {
	c.Version, c.By = version, KeyOf(private)
	return sign(kindCertificate, private, c)
}

// Chain is a node's certificate and those of its inviters, up to the one
// that a root signed.
type Chain []Signed

// Verify checks the chain and returns its certificates, the node's own
// first. It knows nothing of revocations.
func (c Chain) Verify(m Mesh) ([]Certificate, error) {
	if len(c) == 0 || len(c) > MaxDepth {
		return nil, fmt.Errorf("chain of %d certificates: %w", len(c), ErrChain)
	}
	out := make([]Certificate, len(c))
	for i, s := range c {
		cert := &out[i]
		if err := s.decode(kindCertificate, cert); err != nil {
			return nil, err
		}
		if err := checkVersion(kindCertificate, cert.Version); err != nil {
			return nil, err
		}
		if err := s.check(kindCertificate, cert.By); err != nil {
			return nil, err
		}
		if cert.Mesh != m.ID {
			return nil, fmt.Errorf("certificate: %w", ErrMesh)
		}
		if cert.Role != RoleNode && cert.Role != RoleInviter {
			return nil, fmt.Errorf("certificate: role %.20q: %w", cert.Role, ErrFormat)
		}
		if i > 0 {
			// The signature of the certificate below is by this key,
			// and this key must have been allowed to give it.
			if cert.Key != out[i-1].By || cert.Role != RoleInviter {
				return nil, fmt.Errorf("%s was admitted by %s, who may not invite: %w", out[i-1].Key.Name(), out[i-1].By.Name(), ErrChain)
			}
		}
	}
	if last := out[len(out)-1]; !m.IsRoot(last.By) {
		return nil, fmt.Errorf("%s is no root: %w", last.By.Name(), ErrChain)
	}
	return out, nil
}

// Admit returns the chain of a newcomer that the holder of parent admits.
// For a root, who signs for itself and for others alike, the chain is the
// new certificate alone.
func Admit(private ed25519.PrivateKey, m Mesh, parent Chain, c Certificate) (Chain, error) {
	c.Mesh = m.ID
	signed, err := Issue(private, c)
	if err != nil {
		return nil, err
	}
	chain := Chain{signed}
	if !m.IsRoot(KeyOf(private)) {
		chain = append(chain, parent...)
	}
	if _, err := chain.Verify(m); err != nil {
		return nil, fmt.Errorf("admit %s: %w", c.Key.Name(), err)
	}
	return chain, nil
}
