package archivetest

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"strings"
	"time"

	"github.com/ProtonMail/go-crypto/openpgp"
	"github.com/ProtonMail/go-crypto/openpgp/armor"
	"github.com/ProtonMail/go-crypto/openpgp/clearsign"
	"github.com/ProtonMail/go-crypto/openpgp/packet"
)

// Key is a key that signs archives.
type Key struct {
	entity *openpgp.Entity
}

// KeyOptions make keys that are not as they should be.
type KeyOptions struct {
	Created  time.Time     // zero: a year before Date
	Lifetime time.Duration // zero: for ever
}

// NewKey makes an Ed25519 key that is valid since a year before Date.
func NewKey() (*Key, error) { return NewKeyWith(KeyOptions{}) }

// NewKeyWith makes an Ed25519 key.
func NewKeyWith(o KeyOptions) (*Key, error) {
	if o.Created.IsZero() {
		o.Created = Date.AddDate(-1, 0, 0)
	}
	cfg := &packet.Config{
		Algorithm:       packet.PubKeyAlgoEdDSA,
		Time:            func() time.Time { return o.Created },
		KeyLifetimeSecs: uint32(o.Lifetime / time.Second),
	}
	e, err := openpgp.NewEntity("Test Archive", "", "test@example.org", cfg)
	if err != nil {
		return nil, fmt.Errorf("make key: %w", err)
	}
	return &Key{entity: e}, nil
}

// Fingerprint is the primary key's in capital hexadecimal digits.
func (k *Key) Fingerprint() string {
	return strings.ToUpper(hex.EncodeToString(k.entity.PrimaryKey.Fingerprint))
}

// Binary is the public key as apt wants it in a .gpg file.
func (k *Key) Binary() []byte {
	var buf bytes.Buffer
	if err := k.entity.Serialize(&buf); err != nil {
		panic(err) // into memory, of a key that we made
	}
	return buf.Bytes()
}

// Armored is the public key as apt wants it in a .asc file.
func (k *Key) Armored() []byte {
	var buf bytes.Buffer
	w, err := armor.Encode(&buf, openpgp.PublicKeyType, nil)
	if err == nil {
		_, err = w.Write(k.Binary())
	}
	if err == nil {
		err = w.Close()
	}
	if err != nil {
		panic(err)
	}
	return append(buf.Bytes(), '\n')
}

func configAt(at time.Time) *packet.Config {
	return &packet.Config{Time: func() time.Time { return at }}
}

// Clearsign returns text as an InRelease file signed at that time.
func (k *Key) Clearsign(text []byte, at time.Time) ([]byte, error) {
	return Clearsign(text, at, k)
}

// Clearsign signs with several keys, as Debian does.
func Clearsign(text []byte, at time.Time, keys ...*Key) ([]byte, error) {
	var private []*packet.PrivateKey
	for _, k := range keys {
		private = append(private, k.entity.PrivateKey)
	}
	var buf bytes.Buffer
	w, err := clearsign.EncodeMulti(&buf, private, configAt(at))
	if err != nil {
		return nil, fmt.Errorf("sign: %w", err)
	}
	if _, err := w.Write(text); err != nil {
		return nil, fmt.Errorf("sign: %w", err)
	}
	if err := w.Close(); err != nil {
		return nil, fmt.Errorf("sign: %w", err)
	}
	return append(buf.Bytes(), '\n'), nil
}

// Detach returns an armoured signature of text, as in Release.gpg.
func (k *Key) Detach(text []byte, at time.Time) ([]byte, error) {
	var buf bytes.Buffer
	if err := openpgp.ArmoredDetachSign(&buf, k.entity, bytes.NewReader(text), configAt(at)); err != nil {
		return nil, fmt.Errorf("sign: %w", err)
	}
	return append(buf.Bytes(), '\n'), nil
}
