// Package membership is who belongs to a mesh, as signed statements that any
// node checks offline: the genesis that names the community's roots,
// certificates that chain to them, invitations, the records of nodes and
// their services, and revocations. It does no input or output and asks no
// clock.
package membership

import (
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
)

// What can be wrong with a statement.
var (
	ErrSignature = errors.New("bad signature")
	ErrMesh      = errors.New("of another mesh")
	ErrChain     = errors.New("certificate chain does not reach a root of the mesh")
	ErrRevoked   = errors.New("revoked")
	ErrFormat    = errors.New("malformed")
)

// Key is the Ed25519 public key (RFC 8032) that is a node's identity. Its
// text is unpadded URL-safe base64, 43 characters.
type Key [ed25519.PublicKeySize]byte

// KeyOf returns the public half of a private key.
func KeyOf(private ed25519.PrivateKey) Key { return Key(private.Public().(ed25519.PublicKey)) }

// Public returns the key as crypto/ed25519 has it.
func (k Key) Public() ed25519.PublicKey { return k[:] }

func (k Key) String() string { return base64.RawURLEncoding.EncodeToString(k[:]) }

// MarshalText writes the base64 form.
func (k Key) MarshalText() ([]byte, error) { return []byte(k.String()), nil }

// UnmarshalText reads the base64 form and nothing else.
func (k *Key) UnmarshalText(text []byte) error { return unmarshal32((*[32]byte)(k), text, "key") }

// Name returns the node's name in the mesh: "c" and 12 hexadecimal digits of
// the key's SHA-256. It is also its name in tinc, which knows letters,
// digits and underscores only.
func (k Key) Name() Name {
	sum := sha256.Sum256(k[:])
	return Name("c" + hex.EncodeToString(sum[:6]))
}

// Name is a node's name, see Key.Name.
type Name string

// Valid says whether the name has the only form that names have. Nothing
// else becomes a file name or a line of a configuration.
func (n Name) Valid() bool {
	return len(n) == 13 && n[0] == 'c' && strings.Trim(string(n[1:]), "0123456789abcdef") == ""
}

// Hash is a SHA-256, as text in unpadded URL-safe base64.
type Hash [sha256.Size]byte

// HashOf returns the SHA-256 of data.
func HashOf(data []byte) Hash { return sha256.Sum256(data) }

func (h Hash) String() string { return base64.RawURLEncoding.EncodeToString(h[:]) }

// Short returns the first 16 characters of the text (96 bits), which is what
// travels in gossip.
func (h Hash) Short() string { return h.String()[:16] }

// MarshalText writes the base64 form.
func (h Hash) MarshalText() ([]byte, error) { return []byte(h.String()), nil }

// UnmarshalText reads the base64 form and nothing else.
func (h *Hash) UnmarshalText(text []byte) error { return unmarshal32((*[32]byte)(h), text, "hash") }

func unmarshal32(to *[32]byte, text []byte, what string) error {
	// Strict: without it several texts would mean one key.
	raw, err := base64.RawURLEncoding.Strict().DecodeString(string(text))
	if err != nil || len(raw) != 32 || len(text) != 43 {
		return fmt.Errorf("%s %.50q: %w", what, text, ErrFormat)
	}
	copy(to[:], raw)
	return nil
}
