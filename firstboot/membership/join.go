package membership

import (
	"crypto/ed25519"
	"fmt"
	"net/netip"
)

// Join is what a newcomer asks for, signed with the key that it wants to be
// admitted with.
type Join struct {
	Version   int          `json:"v"`
	Invite    string       `json:"invite"` // the token
	Key       Key          `json:"k"`
	RSA       []byte       `json:"rsa"` // tinc's public key, PKCS #1 DER
	Host      string       `json:"host"`
	Endpoints []netip.Addr `json:"at,omitempty"`
	TincPort  uint16       `json:"tinc"`
	JoinPort  uint16       `json:"join"`
}

// SignJoin signs a request.
func SignJoin(private ed25519.PrivateKey, j Join) (Signed, error) {
	j.Version, j.Key = version, KeyOf(private)
	return sign(kindJoin, private, j)
}

// VerifyJoin checks that the sender has the key that it names, and the form
// of what it says.
func VerifyJoin(s Signed) (Join, error) {
	var j Join
	if err := s.decode(kindJoin, &j); err != nil {
		return Join{}, err
	}
	if err := checkVersion(kindJoin, j.Version); err != nil {
		return Join{}, err
	}
	if err := s.check(kindJoin, j.Key); err != nil {
		return Join{}, err
	}
	bad := func(what string) (Join, error) { return Join{}, fmt.Errorf("join: %s: %w", what, ErrFormat) }
	if _, err := CheckRSA(j.RSA); err != nil {
		return Join{}, err
	}
	if !hostForm.MatchString(j.Host) {
		return bad("host name")
	}
	if len(j.Endpoints) > maxEndpoints || j.TincPort == 0 || j.JoinPort == 0 {
		return bad("endpoints")
	}
	for _, a := range j.Endpoints {
		if !Reachable(a) {
			return bad("endpoint " + a.String())
		}
	}
	return j, nil
}

// GossipKeys are the keys of the gossip's encryption, the one in use first.
// Members hand them to members; the higher epoch counts.
type GossipKeys struct {
	Epoch uint64   `json:"epoch"`
	Keys  [][]byte `json:"keys"` // AES-256, the one to encrypt with first
}
