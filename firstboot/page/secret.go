package page

import (
	"crypto/rand"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"runtime/debug"
	"strings"

	"golang.org/x/crypto/argon2"
)

// Parameters of Argon2id (RFC 9106): one of the equal choices of OWASP's
// password storage cheat sheet, that with little memory, for boards that
// have 256 MB in all.
const (
	argonMemory = 9 << 10 // KiB
	argonTime   = 4
	argonLanes  = 1
	argonKey    = 32 // bytes
	argonSalt   = 16 // bytes
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

func argon(password string, salt []byte, time, memory uint32, lanes uint8) []byte {
	hashSlot <- struct{}{}
	defer func() { <-hashSlot }()
	key := argon2.IDKey([]byte(password), salt, time, memory, lanes, argonKey)
	// Nine megabytes are worth giving back at once.
	debug.FreeOSMemory()
	return key
}

// hashPassword returns the hash in the form of the PHC string format.
func hashPassword(password string) string {
	salt := make([]byte, argonSalt)
	rand.Read(salt)
	enc := base64.RawStdEncoding
	return fmt.Sprintf("$argon2id$v=%d$m=%d,t=%d,p=%d$%s$%s", argon2.Version, argonMemory, argonTime, argonLanes,
		enc.EncodeToString(salt), enc.EncodeToString(argon(password, salt, argonTime, argonMemory, argonLanes)))
}

// checkPassword says whether the password is that of the hash.
func checkPassword(hash, password string) (bool, error) {
	f := strings.Split(hash, "$")
	if len(f) != 6 || f[1] != "argon2id" {
		return false, errHash
	}
	var version int
	var memory, time uint32
	var lanes uint8
	if _, err := fmt.Sscanf(f[2], "v=%d", &version); err != nil || version != argon2.Version {
		return false, errHash
	}
	if _, err := fmt.Sscanf(f[3], "m=%d,t=%d,p=%d", &memory, &time, &lanes); err != nil || time < 1 || lanes < 1 || memory > 64<<10 || time > 20 {
		return false, errHash
	}
	salt, err := base64.RawStdEncoding.DecodeString(f[4])
	if err != nil {
		return false, errHash
	}
	want, err := base64.RawStdEncoding.DecodeString(f[5])
	if err != nil || len(want) != argonKey {
		return false, errHash
	}
	if len(password) > maxPassword {
		return false, nil
	}
	return subtle.ConstantTimeCompare(argon(password, salt, time, memory, lanes), want) == 1, nil
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
