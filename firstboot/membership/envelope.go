package membership

import (
	"bytes"
	"crypto/ed25519"
	"encoding/json"
	"fmt"
)

// version is that of every statement of this package.
const version = 1

// maxPayload bounds a signed statement in bytes. The largest, a record with
// a 4096-bit RSA key, is about 1.5 KB; a list of 64 services about 30 KB.
const maxPayload = 48 << 10

// kind tells statements apart, so that a signature under one of them never
// counts for another.
type kind string

const (
	kindCertificate kind = "certificate"
	kindInvitation  kind = "invitation"
	kindNode        kind = "node"
	kindServices    kind = "services"
	kindRevocation  kind = "revocation"
	kindJoin        kind = "join"
)

// Signed is a statement as it travels: the very bytes that were signed, so
// that no canonical form of JSON is needed, and the signature over
// "cloudy/KIND/1", a NUL byte and those bytes.
type Signed struct {
	Payload []byte `json:"p"`
	Sig     []byte `json:"s"`
}

// Equal says whether both are the same bytes.
func (s Signed) Equal(t Signed) bool {
	return bytes.Equal(s.Payload, t.Payload) && bytes.Equal(s.Sig, t.Sig)
}

// Digest names the statement: the SHA-256 of its payload.
func (s Signed) Digest() Hash { return HashOf(s.Payload) }

func message(k kind, payload []byte) []byte {
	return append([]byte("cloudy/"+string(k)+"/1\x00"), payload...)
}

func sign(k kind, private ed25519.PrivateKey, v any) (Signed, error) {
	payload, err := json.Marshal(v)
	if err != nil {
		return Signed{}, fmt.Errorf("sign %s: %w", k, err)
	}
	if len(payload) > maxPayload {
		return Signed{}, fmt.Errorf("sign %s: %d bytes are more than %d: %w", k, len(payload), maxPayload, ErrFormat)
	}
	return Signed{payload, ed25519.Sign(private, message(k, payload))}, nil
}

// decode reads the payload without looking at the signature; who calls it
// takes the signer's key out of v and calls check.
func (s Signed) decode(k kind, v any) error {
	if len(s.Payload) > maxPayload {
		return fmt.Errorf("%s: %d bytes: %w", k, len(s.Payload), ErrFormat)
	}
	if err := json.Unmarshal(s.Payload, v); err != nil {
		return fmt.Errorf("%s: %w: %v", k, ErrFormat, err)
	}
	return nil
}

func (s Signed) check(k kind, key Key) error {
	if len(s.Sig) != ed25519.SignatureSize || !ed25519.Verify(key.Public(), message(k, s.Payload), s.Sig) {
		return fmt.Errorf("%s: %w", k, ErrSignature)
	}
	return nil
}

func checkVersion(k kind, v int) error {
	if v != version {
		return fmt.Errorf("%s: version %d is unknown (known: %d): %w", k, v, version, ErrFormat)
	}
	return nil
}
