package membership

import (
	"crypto/ed25519"
	"fmt"

	"cloudy/firstboot/nodeconfig"
)

// Revocation ends a membership, for good: the key never comes back.
type Revocation struct {
	Version int    `json:"v"`
	Mesh    Hash   `json:"m"`
	Key     Key    `json:"k"`
	By      Key    `json:"by"`
	Subtree bool   `json:"tree,omitempty"` // and everybody whom the key admitted, directly or not
	Reason  string `json:"why,omitempty"`  // for people
	At      int64  `json:"at"`             // Unix seconds by the signer's clock; for people
}

// SignRevocation signs a revocation.
func SignRevocation(private ed25519.PrivateKey, r Revocation) (Signed, error) {
	r.Version, r.By = version, KeyOf(private)
	return sign(kindRevocation, private, r)
}

// VerifyRevocation checks signature and form. Whether the signer may revoke
// that key is for Revocations, which sees the key's chain.
func VerifyRevocation(s Signed, m Mesh) (Revocation, error) {
	var r Revocation
	if err := s.decode(kindRevocation, &r); err != nil {
		return Revocation{}, err
	}
	if err := checkVersion(kindRevocation, r.Version); err != nil {
		return Revocation{}, err
	}
	if err := s.check(kindRevocation, r.By); err != nil {
		return Revocation{}, err
	}
	if r.Mesh != m.ID {
		return Revocation{}, fmt.Errorf("revocation: %w", ErrMesh)
	}
	if !nodeconfig.Printable(r.Reason, 200) {
		return Revocation{}, fmt.Errorf("revocation: reason: %w", ErrFormat)
	}
	return r, nil
}

// Revoked says whether the member with that chain (as Chain.Verify returned
// it) is out: revoked by one of its ancestors, by itself, or by two roots;
// or below somebody who was so revoked with the whole subtree.
func Revoked(m Mesh, chain []Certificate, list []Revocation) (Revocation, bool) {
	for i, cert := range chain {
		// Those above cert, and cert's own key (a lost node that its
		// owner takes out).
		may := map[Key]bool{cert.Key: true}
		for _, up := range chain[i:] {
			may[up.By] = true
		}
		var byRoots []Key
		for _, r := range list {
			if r.Key != cert.Key || (i > 0 && !r.Subtree) {
				continue
			}
			if may[r.By] {
				return r, true
			}
			if m.IsRoot(r.By) {
				for _, k := range byRoots {
					if k != r.By {
						return r, true
					}
				}
				byRoots = append(byRoots, r.By)
			}
		}
	}
	return Revocation{}, false
}
