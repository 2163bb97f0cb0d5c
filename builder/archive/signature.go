package archive

import (
	"bytes"
	"embed"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strings"
	"time"

	"github.com/ProtonMail/go-crypto/openpgp/armor"
	"github.com/ProtonMail/go-crypto/openpgp/clearsign"
	pgperrors "github.com/ProtonMail/go-crypto/openpgp/errors"
	"github.com/ProtonMail/go-crypto/openpgp/packet"
	openpgp "github.com/ProtonMail/go-crypto/openpgp/v2"
)

// debianKeys are the public keys of the Debian archive; keys/README.md says
// where they come from.
//
//go:embed keys/*.pgp
var debianKeys embed.FS

// DebianKeyring returns the embedded keys of the Debian archive in the
// binary format.
func DebianKeyring() ([]byte, error) {
	names, err := fs.Glob(debianKeys, "keys/*.pgp")
	if err != nil {
		return nil, err
	}
	var all []byte
	for _, name := range names {
		data, err := debianKeys.ReadFile(name)
		if err != nil {
			return nil, err
		}
		all = append(all, data...)
	}
	return all, nil
}

// Keyring is a set of trusted public keys.
type Keyring struct{ keys openpgp.EntityList }

// ReadKeyring reads public keys, armoured (any number of blocks) or binary.
// With fingerprints (of primary keys, 40 or 64 hexadecimal digits, spaces
// allowed), only those keys are kept, and one that is missing is an error.
func ReadKeyring(data []byte, fingerprints []string) (*Keyring, error) {
	all, err := readKeys(data)
	if err != nil {
		return nil, fmt.Errorf("keyring: %w", err)
	}
	if len(all) == 0 {
		return nil, errors.New("keyring: holds no public key")
	}
	if len(fingerprints) == 0 {
		return &Keyring{all}, nil
	}
	ring := &Keyring{}
	for _, text := range fingerprints {
		want, err := hex.DecodeString(strings.ReplaceAll(strings.TrimPrefix(text, "0x"), " ", ""))
		if err != nil || (len(want) != 20 && len(want) != 32) {
			return nil, fmt.Errorf("keyring: %q is not a full fingerprint (40 hexadecimal digits)", text)
		}
		found := false
		for _, e := range all {
			if bytes.Equal(e.PrimaryKey.Fingerprint, want) {
				ring.keys = append(ring.keys, e)
				found = true
			}
		}
		if !found {
			return nil, fmt.Errorf("keyring: has no key with the fingerprint %s", text)
		}
	}
	return ring, nil
}

func readKeys(data []byte) (openpgp.EntityList, error) {
	const begin = "-----BEGIN PGP"
	if !bytes.Contains(data, []byte(begin)) {
		return openpgp.ReadKeyRing(bytes.NewReader(data))
	}
	var all openpgp.EntityList
	for {
		i := bytes.Index(data, []byte(begin))
		if i < 0 {
			return all, nil
		}
		data = data[i:]
		keys, err := openpgp.ReadArmoredKeyRing(bytes.NewReader(data))
		if err != nil {
			return nil, err
		}
		all = append(all, keys...)
		data = data[len(begin):]
	}
}

// Fingerprints returns the fingerprints of the primary keys in capital
// hexadecimal digits, in the keyring's order.
func (k *Keyring) Fingerprints() []string {
	var list []string
	for _, e := range k.keys {
		list = append(list, fingerprint(e.PrimaryKey))
	}
	return list
}

func fingerprint(k *packet.PublicKey) string {
	return strings.ToUpper(hex.EncodeToString(k.Fingerprint))
}

const clearsignBegin = "-----BEGIN PGP SIGNED MESSAGE-----"

// signedText splits an InRelease file into the text that is signed and the
// signatures. Nothing may stand around the one message: what is outside is
// not signed, and a reader that takes it for signed can be deceived.
func signedText(data []byte) (text []byte, block *clearsign.Block, err error) {
	if !bytes.HasPrefix(data, []byte(clearsignBegin)) {
		return nil, nil, fmt.Errorf("%w: not a clear-signed file (it begins with %.40q)", ErrSignature, data)
	}
	block, rest := clearsign.Decode(data)
	if block == nil {
		return nil, nil, fmt.Errorf("%w: malformed clear-signed file", ErrSignature)
	}
	if len(bytes.TrimSpace(rest)) > 0 {
		return nil, nil, fmt.Errorf("%w: something follows the signature", ErrSignature)
	}
	return block.Plaintext, block, nil
}

// maxSkew is how far a signature may lie in the future of this machine's
// clock. apt allows 10 seconds; virtual machines wake up further off.
const maxSkew = 10 * time.Minute

// verifyInline checks a clear-signed file and returns the signed text and the
// fingerprint of the primary key that signed it.
func (k *Keyring) verifyInline(data []byte, now time.Time) (text []byte, signer string, err error) {
	text, block, err := signedText(data)
	if err != nil {
		return nil, "", err
	}
	signer, err = k.verify(block.Bytes, block.ArmoredSignature.Body, now)
	return text, signer, err
}

// verifyDetached checks a Release file with its Release.gpg.
func (k *Keyring) verifyDetached(data, signature []byte, now time.Time) (signer string, err error) {
	var sig io.Reader = bytes.NewReader(signature)
	if bytes.HasPrefix(signature, []byte("-----BEGIN")) {
		block, err := armor.Decode(sig)
		if err != nil {
			return "", fmt.Errorf("%w: Release.gpg: %w", ErrSignature, err)
		}
		sig = block.Body
	}
	return k.verify(data, sig, now)
}

// verify looks for one good signature, by a key of the ring that has not
// expired, among all of them: Debian signs each file with several keys, and
// old ones expire. As with apt, a wrong signature by a known key spoils the
// others.
func (k *Keyring) verify(signed []byte, signature io.Reader, now time.Time) (string, error) {
	cfg := &packet.Config{Time: func() time.Time { return now.Add(maxSkew) }, MinRSABits: 2048}
	md, err := openpgp.VerifyDetachedSignatureReader(k.keys, bytes.NewReader(signed), signature, cfg)
	if err != nil {
		return "", fmt.Errorf("%w: %w", ErrSignature, err)
	}
	if _, err := io.Copy(io.Discard, md.UnverifiedBody); err != nil {
		return "", fmt.Errorf("%w: %w", ErrSignature, err)
	}
	good := ""
	var why []string
	for _, c := range md.SignatureCandidates {
		err := c.SignatureError
		if err == nil && c.SignedBy == nil {
			err = pgperrors.ErrUnknownIssuer
		}
		if err == nil {
			err = expired(c.SignedBy, now)
		}
		if err == nil {
			if good == "" {
				good = fingerprint(c.SignedBy.Entity.PrimaryKey)
			}
			continue
		}
		why = append(why, fmt.Sprintf("key %016X: %v", c.IssuerKeyId, err))
		if !harmless(err) {
			return "", fmt.Errorf("%w (%s)", ErrSignature, why[len(why)-1])
		}
	}
	if good == "" {
		return "", fmt.Errorf("%w (%s)", ErrSignature, strings.Join(why, "; "))
	}
	return good, nil
}

// harmless tells errors that make a signature worth nothing from those that
// show that the file was changed.
func harmless(err error) bool {
	for _, e := range []error{errKeyExpired, pgperrors.ErrUnknownIssuer, pgperrors.ErrKeyExpired,
		pgperrors.ErrKeyRevoked, pgperrors.ErrSignatureExpired} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}

var errKeyExpired = errors.New("the key has expired")

// expired tells whether a key is past its time now. The library judges a key
// at the time of the signature, gpgv at the present.
func expired(key *openpgp.Key, now time.Time) error {
	self, err := key.Entity.PrimarySelfSignature(now, nil)
	if err != nil {
		return err
	}
	if key.Entity.PrimaryKey.KeyExpired(self, now) {
		return errKeyExpired
	}
	if !key.IsPrimary() && key.SelfSignature != nil && key.PublicKey.KeyExpired(key.SelfSignature, now) {
		return errKeyExpired
	}
	return nil
}
