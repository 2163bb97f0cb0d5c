// Package sign makes and checks signatures of files that minisign(1) reads,
// and whose keys it makes: Ed25519 over the BLAKE2b-512 digest of a file
// (the format "ED" of https://jedisct1.github.io/minisign/), with a comment
// that the signature covers too.
package sign

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"aead.dev/minisign"

	"cloudy/builder/fail"
)

// Suffix is what the name of a signature has after the name of its file.
const Suffix = ".minisig"

// ErrSignature is a signature that does not fit its file or is of another key.
var ErrSignature = errors.New("bad signature")

// maxSignature bounds what is read of a signature, in bytes: four short lines.
const maxSignature = 64 << 10

// Secret is a key to sign with.
type Secret struct{ key minisign.PrivateKey }

// Public is a key to verify with.
type Public struct{ key minisign.PublicKey }

// ID is the key's number as minisign writes it, 16 hexadecimal digits.
func (p Public) ID() string { return fmt.Sprintf("%016X", p.key.ID()) }

// String is the key as minisign's option -P takes it: 56 characters of base64.
func (p Public) String() string { return p.key.String() }

// Text is the key's file as minisign writes it.
func (p Public) Text() []byte {
	return fmt.Appendf(nil, "untrusted comment: minisign public key %s\n%s\n", p.ID(), p)
}

// Public returns the key that verifies what s signs.
func (s Secret) Public() Public { return Public{s.key.Public().(minisign.PublicKey)} }

// Generate makes a new key.
func Generate() (Secret, error) {
	_, key, err := minisign.GenerateKey(nil)
	return Secret{key}, err
}

// Text is the key's file, encrypted with the password (scrypt, as minisign
// does; it takes a second and 1 GiB of memory), or open when it is empty.
func (s Secret) Text(password string) ([]byte, error) {
	var text []byte
	var err error
	if password == "" {
		text, err = s.key.MarshalText()
	} else {
		text, err = minisign.EncryptKey(password, s.key)
	}
	return append(bytes.TrimRight(text, "\n"), '\n'), err
}

// ParseSecret reads the text of a secret key. password is asked for the
// password of an encrypted one. Errors are the user's.
func ParseSecret(text []byte, password func() (string, error)) (Secret, error) {
	text = bytes.TrimSpace(text)
	var s Secret
	if !minisign.IsEncrypted(text) {
		if err := s.key.UnmarshalText(text); err != nil {
			return s, fail.WithHint(fail.User, errors.New("not a secret key of minisign"), "'cloudy key generate' and 'minisign -G' make one")
		}
		return s, nil
	}
	pw, err := password()
	if err != nil {
		return s, err
	}
	if s.key, err = minisign.DecryptKey(pw, text); err != nil {
		return s, fail.Mark(fail.User, errors.New("the password is not that of the key"))
	}
	return s, nil
}

// ReadSecret reads the file of a secret key; see ParseSecret.
func ReadSecret(path string, password func() (string, error)) (Secret, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return Secret{}, fail.Mark(fail.User, fmt.Errorf("read the key: %w", err))
	}
	s, err := ParseSecret(text, password)
	if err != nil {
		return s, fmt.Errorf("key %s: %w", path, err)
	}
	return s, nil
}

// ParsePublic reads a public key: its file's text or the key alone. Errors
// are the user's.
func ParsePublic(text string) (Public, error) {
	var p Public
	text = strings.TrimSpace(text)
	if _, key, two := strings.Cut(text, "\n"); two && strings.HasPrefix(text, "untrusted comment:") {
		text = strings.TrimSpace(key)
	}
	if err := p.key.UnmarshalText([]byte(text)); err != nil {
		return p, fail.WithHint(fail.User, errors.New("not a public key of minisign"), "it is the file NAME.pub, or the line of 56 characters in it")
	}
	return p, nil
}

// ReadPublic reads a public key out of a file, or takes the argument itself
// for one when there is no such file.
func ReadPublic(arg string) (Public, error) {
	text, err := os.ReadFile(arg)
	if errors.Is(err, os.ErrNotExist) {
		if p, perr := ParsePublic(arg); perr == nil {
			return p, nil
		}
	}
	if err != nil {
		return Public{}, fail.Mark(fail.User, fmt.Errorf("read the key: %w", err))
	}
	p, err := ParsePublic(string(text))
	if err != nil {
		return p, fmt.Errorf("key %s: %w", arg, err)
	}
	return p, nil
}

// Sign reads r to its end and returns the signature of it. The comment is
// signed too, and is one line.
func (s Secret) Sign(r io.Reader, comment string) ([]byte, error) {
	if strings.ContainsAny(comment, "\r\n") {
		return nil, fmt.Errorf("a signature's comment is one line, not %q", comment)
	}
	m := minisign.NewReader(r)
	if _, err := io.CopyBuffer(io.Discard, struct{ io.Reader }{m}, make([]byte, 256<<10)); err != nil {
		return nil, err
	}
	return m.SignWithComments(s.key, comment, "signature by cloudy, key "+s.Public().ID()), nil
}

// File signs a file and puts the signature beside it. The comment says the
// file's name and the time at, in seconds since 1970, as minisign's does, so
// that the same file signed at the same time gives the same signature.
func (s Secret) File(path string, at time.Time) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	sig, err := s.Sign(f, fmt.Sprintf("timestamp:%d\tfile:%s\thashed", at.Unix(), filepath.Base(path)))
	if err != nil {
		return fmt.Errorf("sign %s: %w", path, err)
	}
	return writeFile(path+Suffix, sig, 0o644)
}

// Verify reads r to its end and returns the comment of its signature, which
// one of the keys must have made. Else the error is an ErrSignature.
func Verify(r io.Reader, signature []byte, keys ...Public) (comment string, err error) {
	var sig minisign.Signature
	if err := sig.UnmarshalText(signature); err != nil {
		return "", fmt.Errorf("%w: not a signature of minisign", ErrSignature)
	}
	for _, k := range keys {
		if k.key.ID() != sig.KeyID {
			continue
		}
		if sig.Algorithm == minisign.EdDSA {
			return "", fmt.Errorf("%w: made without a digest ('Ed'), which only old versions of minisign do", ErrSignature)
		}
		m := minisign.NewReader(r)
		if _, err := io.CopyBuffer(io.Discard, struct{ io.Reader }{m}, make([]byte, 256<<10)); err != nil {
			return "", err
		}
		if !m.Verify(k.key, signature) {
			return "", fmt.Errorf("%w: key %s did not sign this content", ErrSignature, k.ID())
		}
		return sig.TrustedComment, nil
	}
	return "", fmt.Errorf("%w: made by key %016X, which is none of those trusted", ErrSignature, sig.KeyID)
}

// VerifyFile checks the signature that lies beside a file.
func VerifyFile(path string, keys ...Public) (comment string, err error) {
	s, err := os.Open(path + Suffix)
	if err != nil {
		return "", err
	}
	defer s.Close()
	sig, err := io.ReadAll(io.LimitReader(s, maxSignature))
	if err != nil {
		return "", err
	}
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	comment, err = Verify(f, sig, keys...)
	if err != nil {
		return "", fmt.Errorf("%s: %w", path, err)
	}
	return comment, nil
}

// WriteKeys writes the secret key to path and the public one to path.pub,
// unless one of them is there already.
func (s Secret) WriteKeys(path, password string) error {
	text, err := s.Text(password)
	if err != nil {
		return err
	}
	for _, p := range []string{path, path + ".pub"} {
		if _, err := os.Lstat(p); err == nil {
			return fail.WithHint(fail.User, fmt.Errorf("%s is there already", p), "a key that is overwritten is lost; give another name")
		}
	}
	if err := writeFile(path, text, 0o600); err != nil {
		return err
	}
	return writeFile(path+".pub", s.Public().Text(), 0o644)
}

// writeFile writes aside, syncs and renames.
func writeFile(path string, data []byte, mode os.FileMode) error {
	f, err := os.CreateTemp(filepath.Dir(path), ".cloudy-sign-*")
	if err != nil {
		return fail.Mark(fail.Host, err)
	}
	defer os.Remove(f.Name())
	_, err = f.Write(data)
	if err := errors.Join(err, f.Chmod(mode), f.Sync(), f.Close()); err != nil {
		return fail.Mark(fail.Host, fmt.Errorf("write %s: %w", path, err))
	}
	return fail.Mark(fail.Host, os.Rename(f.Name(), path))
}
