// Package identity gives a node what no other node has: its key and with it
// its name, tinc's key, machine-id, SSH host keys and host name.
//
// Everything is made once, written atomically and made again only when the
// system runs on other hardware than the one it was made for, which is how a
// copied card shows itself.
package identity

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"time"

	"cloudy/firstboot/durable"
	"cloudy/firstboot/membership"
)

// rsaBits is the size of tinc's key. tinc 1.0.36 makes 2048 by default.
const rsaBits = 2048

// ErrPartial is the error of an identity file that does not hold what it must.
var ErrPartial = errors.New("incomplete identity")

// Identity is the secret core of a node: one file, so that its parts are
// always those of one node.
type Identity struct {
	Seed     []byte   `json:"seed"`             // of the Ed25519 key (RFC 8032), 32 bytes
	TincRSA  []byte   `json:"tinc_rsa"`         // PKCS #1 DER
	Hardware []string `json:"hardware"`         // hashes of what identifies the machine, see Hardware
	Copied   bool     `json:"copied,omitempty"` // made because the system had been copied from another machine
	Created  int64    `json:"created"`          // Unix seconds by the node's clock, which may be wrong

	private ed25519.PrivateKey
	rsa     *rsa.PrivateKey
}

// Private returns the node's key.
func (id *Identity) Private() ed25519.PrivateKey { return id.private }

// Key returns the public half of the node's key.
func (id *Identity) Key() membership.Key { return membership.KeyOf(id.private) }

// Name returns the node's name in the mesh.
func (id *Identity) Name() membership.Name { return id.Key().Name() }

// RSAPublic returns tinc's public key as PKCS #1 DER.
func (id *Identity) RSAPublic() []byte { return x509.MarshalPKCS1PublicKey(&id.rsa.PublicKey) }

// RSAPrivatePEM returns tinc's private key as tincd reads it.
func (id *Identity) RSAPrivatePEM() []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: id.TincRSA})
}

func (id *Identity) load() error {
	if len(id.Seed) != ed25519.SeedSize {
		return fmt.Errorf("%w: key of %d bytes", ErrPartial, len(id.Seed))
	}
	key, err := x509.ParsePKCS1PrivateKey(id.TincRSA)
	if err != nil {
		return fmt.Errorf("%w: tinc key: %v", ErrPartial, err)
	}
	id.private, id.rsa = ed25519.NewKeyFromSeed(id.Seed), key
	return nil
}

// New makes an identity. It blocks until the kernel's random numbers are
// seeded (getrandom(2)), which on a board without a source of its own can
// take a while at first boot.
func New(hardware []string) (*Identity, error) {
	id := &Identity{Seed: make([]byte, ed25519.SeedSize), Hardware: hardware, Created: time.Now().Unix()}
	rand.Read(id.Seed)
	key, err := rsa.GenerateKey(rand.Reader, rsaBits)
	if err != nil {
		return nil, fmt.Errorf("tinc key: %w", err)
	}
	id.TincRSA = x509.MarshalPKCS1PrivateKey(key)
	return id, id.load()
}

// Files is where a node keeps its identity. Root is "/" on a node, and a
// folder in tests and when an image is looked at from outside.
type Files struct {
	Root  string
	State string // inside Root: the agent's state folder
}

func (f Files) path(p string) string { return filepath.Join(f.Root, p) }

// identityFile is the core's name in the state folder.
const identityFile = "identity.json"

// Load reads the core. The error of a node that has none is fs.ErrNotExist.
func (f Files) Load() (*Identity, error) {
	var id Identity
	path := f.path(filepath.Join(f.State, identityFile))
	if err := durable.ReadJSON(path, &id); err != nil {
		return nil, err
	}
	if err := id.load(); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return &id, nil
}

// Report says what Ensure did.
type Report struct {
	Created bool // the core was made now
	Cloned  bool // because this is another machine than the one of the core that was here
}

// Ensure loads the core or makes it. When the one that is there was made on
// another machine, forget is called, which must remove everything that hangs
// on the old identity, and a new one is made. A crash in between leaves the
// old core for the next Ensure to find.
func (f Files) Ensure(ctx context.Context, forget func() error) (*Identity, Report, error) {
	var rep Report
	now := f.Hardware()
	id, err := f.Load()
	switch {
	case err == nil && !otherMachine(id.Hardware, now):
		return id, rep, nil
	case err == nil:
		rep.Cloned = true
		if err := forget(); err != nil {
			return nil, rep, fmt.Errorf("forget the identity of another machine: %w", err)
		}
		if err := f.forgetSystem(); err != nil {
			return nil, rep, err
		}
	case !errors.Is(err, fs.ErrNotExist):
		// Never made anew over one that cannot be read: the membership
		// that hangs on it would be lost.
		return nil, rep, err
	}
	if err := ctx.Err(); err != nil {
		return nil, rep, err
	}
	if id, err = New(now); err != nil {
		return nil, rep, err
	}
	rep.Created, id.Copied = true, rep.Cloned
	return id, rep, durable.WriteJSON(f.path(filepath.Join(f.State, identityFile)), id)
}

// Forget removes everything that identifies the node, the core last.
func (f Files) Forget() error {
	if err := f.forgetSystem(); err != nil {
		return err
	}
	return durable.Remove(f.path(filepath.Join(f.State, identityFile)))
}
