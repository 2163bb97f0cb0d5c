package membership

import (
	"crypto/ed25519"
	"crypto/sha256"
	"fmt"
	"net/netip"
	"strconv"
	"strings"
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

// GossipKeys are the keys of the gossip's encryption. Members hand them to
// members; the newer ones count, see Newer.
type GossipKeys struct {
	Epoch uint64   `json:"epoch"`
	Keys  [][]byte `json:"keys"` // AES-256; the first one encrypts, all decrypt
}

// gossipKeySize is that of AES-256, in bytes.
const gossipKeySize = 32

// Check says whether the keys can be used.
func (g GossipKeys) Check() error {
	if len(g.Keys) == 0 || len(g.Keys) > 3 {
		return fmt.Errorf("%d gossip keys: %w", len(g.Keys), ErrFormat)
	}
	for _, k := range g.Keys {
		if len(k) != gossipKeySize {
			return fmt.Errorf("gossip key of %d bytes: %w", len(k), ErrFormat)
		}
	}
	return nil
}

// Tag names the keys without telling them: the epoch and 48 bits of a hash.
// 32 random bytes are not guessed from that.
func (g GossipKeys) Tag() string {
	h := sha256.New()
	h.Write([]byte("cloudy-gossip-keys/1"))
	for _, k := range g.Keys {
		h.Write(k)
	}
	return fmt.Sprintf("%d.%x", g.Epoch, h.Sum(nil)[:6])
}

// Newer says whether tag a names keys that replace those of tag b: a higher
// epoch, or, when two members changed the keys at once, the larger hash, so
// that all come to the same. A malformed tag is never newer.
func Newer(a, b string) bool {
	epoch := func(tag string) (uint64, string, bool) {
		e, hash, ok := strings.Cut(tag, ".")
		n, err := strconv.ParseUint(e, 10, 64)
		return n, hash, ok && err == nil && len(hash) == 12
	}
	na, ha, ok := epoch(a)
	nb, hb, okb := epoch(b)
	if !ok || !okb {
		return ok
	}
	return na > nb || na == nb && ha > hb
}
