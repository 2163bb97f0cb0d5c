package page

import (
	"crypto/rand"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"runtime/debug"
	"strings"

	"golang.org/x/crypto/scrypt"
)

// Parameters of scrypt (RFC 7914): 8 MiB, for boards that have 256 MB in all.
// Its arithmetic is of 32 bits, which is what the smallest of them have; with
// Argon2, which multiplies 64 bits, a login there takes several times as long.
const (
	scryptN    = 1 << 13
	scryptR    = 8
	scryptP    = 4
	scryptKey  = 32 // bytes
	scryptSalt = 16 // bytes
)

// Limits of a password in bytes.
const (
	minPassword = 10
	maxPassword = 200
)

// errHash is the error of a stored hash that is none.
var errHash = errors.New("stored password hash is damaged")

// hashSlot lets one hash be computed at a time: it bounds the memory, and
// what an attacker can make of a small processor.
var hashSlot = make(chan struct{}, 1)

func stretch(password string, salt []byte) ([]byte, error) {
	hashSlot <- struct{}{}
	defer func() { <-hashSlot }()
	key, err := scrypt.Key([]byte(password), salt, scryptN, scryptR, scryptP, scryptKey)
	// Eight megabytes are worth giving back at once.
	debug.FreeOSMemory()
	return key, err
}

// hashKind begins a stored hash and says how it was made; other parameters
// get another kind.
const hashKind = "scrypt-13-8-4"

// hashPassword returns what is stored of a password: kind, salt and hash.
func hashPassword(password string) (string, error) {
	salt := make([]byte, scryptSalt)
	rand.Read(salt)
	key, err := stretch(password, salt)
	enc := base64.RawStdEncoding
	return hashKind + "$" + enc.EncodeToString(salt) + "$" + enc.EncodeToString(key), err
}

// checkPassword says whether the password is that of the hash.
func checkPassword(hash, password string) (bool, error) {
	f := strings.Split(hash, "$")
	if len(f) != 3 || f[0] != hashKind {
		return false, errHash
	}
	enc := base64.RawStdEncoding
	salt, err := enc.DecodeString(f[1])
	if err != nil || len(salt) != scryptSalt {
		return false, errHash
	}
	want, err := enc.DecodeString(f[2])
	if err != nil || len(want) != scryptKey {
		return false, errHash
	}
	if len(password) > maxPassword {
		return false, nil
	}
	key, err := stretch(password, salt)
	return err == nil && subtle.ConstantTimeCompare(key, want) == 1, err
}

// newPassword makes a password that a person can read off a console and
// type: three groups of three syllables, 54 bits.
func newPassword() string {
	const consonants, vowels = "bdfghjklmnprstvz", "aeiu" // 16 and 4; no o, which looks like 0
	raw := make([]byte, 9)
	rand.Read(raw)
	var b strings.Builder
	for i, x := range raw {
		if i > 0 && i%3 == 0 {
			b.WriteByte('-')
		}
		b.WriteByte(consonants[x>>2&15])
		b.WriteByte(vowels[x&3])
	}
	return b.String()
}

// newToken makes a secret that nobody types.
func newToken() string {
	raw := make([]byte, 32)
	rand.Read(raw)
	return base64.RawURLEncoding.EncodeToString(raw)
}
