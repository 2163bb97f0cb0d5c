package membership

import (
	"crypto/ed25519"
	"encoding/base64"
	"fmt"
	"net/netip"
	"regexp"
	"strings"
)

// invitationPrefix begins the text of an invitation, and says its version.
const invitationPrefix = "cloudy1."

// maxInvitation bounds the text in bytes: it must fit a kernel command line
// (2048 on most architectures) and a QR code that a phone reads.
const maxInvitation = 1200

// Nonce names an invitation.
type Nonce [16]byte

// MarshalText writes unpadded URL-safe base64.
func (n Nonce) MarshalText() ([]byte, error) {
	return []byte(base64.RawURLEncoding.EncodeToString(n[:])), nil
}

// UnmarshalText reads it.
func (n *Nonce) UnmarshalText(text []byte) error {
	raw, err := base64.RawURLEncoding.Strict().DecodeString(string(text))
	if err != nil || len(raw) != len(n) || len(text) != 22 {
		return fmt.Errorf("nonce %.30q: %w", text, ErrFormat)
	}
	copy(n[:], raw)
	return nil
}

func (n Nonce) String() string { t, _ := n.MarshalText(); return string(t) }

// Invitation lets its holder join. Short names: it is typed and scanned.
type Invitation struct {
	Mesh      Hash             `json:"m"`
	Issuer    Key              `json:"i"` // the key that the join endpoint must prove to have
	Endpoints []netip.AddrPort `json:"e"`
	Nonce     Nonce            `json:"n"`
	Expires   int64            `json:"x"`           // Unix seconds, by the issuer's clock
	Uses      int              `json:"u"`           // how many nodes it admits
	Role      Role             `json:"r,omitempty"` // empty: RoleNode
	Holder    *Key             `json:"k,omitempty"` // the only key that may use it
}

// Token signs the invitation and returns its text.
func (v Invitation) Token(private ed25519.PrivateKey) (string, error) {
	v.Issuer = KeyOf(private)
	s, err := sign(kindInvitation, private, v)
	if err != nil {
		return "", err
	}
	token := invitationPrefix + base64.RawURLEncoding.EncodeToString(s.Payload) + "." + base64.RawURLEncoding.EncodeToString(s.Sig)
	if len(token) > maxInvitation {
		return "", fmt.Errorf("invitation of %d characters, more than %d: %w", len(token), maxInvitation, ErrFormat)
	}
	return token, nil
}

var (
	tokenForm  = regexp.MustCompile(`cloudy1\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]{86}`)
	wholeToken = regexp.MustCompile(`^` + tokenForm.String() + `$`)
)

// FindToken returns the first invitation in a text, which may be a URL, a
// mail or a file that somebody saved with a word processor; or "".
func FindToken(text string) string {
	return tokenForm.FindString(strings.ReplaceAll(text, "\x00", "")) // UTF-16 from a well-known editor
}

// ParseInvitation reads a token and checks that its issuer signed it.
func ParseInvitation(token string) (Invitation, error) {
	var v Invitation
	bad := func(what string) (Invitation, error) {
		return Invitation{}, fmt.Errorf("invitation: %s: %w", what, ErrFormat)
	}
	if len(token) > maxInvitation {
		return bad("too long")
	}
	rest, ok := strings.CutPrefix(token, invitationPrefix)
	if !ok {
		return bad("does not begin with " + invitationPrefix)
	}
	head, tail, ok := strings.Cut(rest, ".")
	if !ok {
		return bad("is cut short")
	}
	// One invitation has one spelling: strict base64 refuses stray bits at
	// the end, but skips line breaks wherever they are.
	if !wholeToken.MatchString(token) {
		return bad("is cut short, or more than an invitation")
	}
	enc := base64.RawURLEncoding.Strict()
	payload, err := enc.DecodeString(head)
	if err != nil {
		return bad("base64")
	}
	sig, err := enc.DecodeString(tail)
	if err != nil {
		return bad("base64")
	}
	s := Signed{payload, sig}
	if err := s.decode(kindInvitation, &v); err != nil {
		return Invitation{}, err
	}
	if err := s.check(kindInvitation, v.Issuer); err != nil {
		return Invitation{}, err
	}
	switch {
	case len(v.Endpoints) > 8:
		return bad("endpoints")
	case v.Uses < 1 || v.Uses > 10000:
		return bad("uses")
	case v.Role != "" && v.Role != RoleNode && v.Role != RoleInviter:
		return bad("role")
	}
	if v.Role == "" {
		v.Role = RoleNode
	}
	return v, nil
}

// ID is what people see of an invitation in lists, and what cancels it: its
// holder's secret is the signature, not the nonce, but no more than needed
// is shown.
func (v Invitation) ID() string { return v.Nonce.String()[:8] }
