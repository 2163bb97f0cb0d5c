// Package archive turns the archives that a recipe names into verified
// package indexes: it finds the mirrors, checks the signature and the age of
// InRelease, and loads the Packages files that InRelease vouches for.
//
// Formats: sources.list(5), apt-secure(8), and the Debian repository format
// (https://wiki.debian.org/DebianRepository/Format).
package archive

import (
	"errors"
	"time"

	"cloudy/builder/fetch"
	"cloudy/builder/store"
)

// Errors that callers tell apart.
var (
	// ErrSignature means that no good signature by a trusted key was found.
	ErrSignature = errors.New("not signed by a trusted key")
	// ErrExpired means that the Release file's Valid-Until has passed, or that it is from the future.
	ErrExpired = errors.New("release file is not valid now")
	// ErrNoSuite means that no mirror has the suite.
	ErrNoSuite = errors.New("no such suite on the mirror")
	// ErrWrongSuite means that a mirror served another suite's Release file.
	ErrWrongSuite = errors.New("release file of another suite")
	// ErrNoComponent means that a suite lacks a component or an architecture.
	ErrNoComponent = errors.New("not in the suite")
	// ErrHash means that a mirror's file is not the one that was signed.
	ErrHash = fetch.ErrHash
	// ErrOffline means that the network must not be used and the store lacks something.
	ErrOffline = fetch.ErrOffline
)

// Source is an archive as a recipe names it.
type Source struct {
	Name          string    // "debian"; mirrors are found by it
	From          string    // find mirrors by this name instead; "" is Name
	URL           string    // the one place of the archive; "" finds mirrors by name
	Suites        []string  // "trixie"; one that ends in "/" is a flat repository
	Components    []string  // "main"; none in flat repositories
	Architectures []string  // "amd64"; "all" comes by itself
	Keyring       []byte    // OpenPGP public keys, armoured or binary; nil: Debian's
	Fingerprints  []string  // if any, only these primary keys of the keyring are trusted
	Only          []string  // package name patterns (path.Match); if any, nothing else comes from here
	Pin           int       // priority as in apt_preferences(5); 0: the default
	Snapshot      time.Time // as it was then, from the mirror named "snapshot"; zero: now
	AllowExpired  bool      // take a Release file whose Valid-Until has passed
}

// mirrorName is the name by which mirrors of the source are found.
func (s Source) mirrorName() string {
	if s.From != "" {
		return s.From
	}
	return s.Name
}

// clock is the time at which signatures and dates are judged.
func (s Source) clock(now time.Time) time.Time {
	if !s.Snapshot.IsZero() {
		return s.Snapshot
	}
	return now
}

// Options change how Update works; the zero value is good.
type Options struct {
	Fetch fetch.Config     // Offline is in here
	Now   func() time.Time // nil: time.Now; for tests
}

// Suite is one suite of one source, verified.
type Suite struct {
	Source  Source
	Name    string       // as the recipe has it
	Release *Release     // what was signed
	Digest  store.Digest // of the InRelease file (or Release, where the signature is detached); a blob of the store
	URL     string       // the mirror that it came from; empty when it came from the store
	Mirrors []Mirror     // all mirrors, URL's first
	Signer  string       // fingerprint of the primary key that signed

	indexes []index
}

// Indexes is the result of Update: everything that the recipe's archives
// offer, in the recipe's order.
type Indexes struct {
	Suites []*Suite

	store *store.Store
	fetch fetch.Config // to fetch again what turns out damaged
}

// Date is when the newest of the suites was made: the time that an image of
// these packages can carry (SOURCE_DATE_EPOCH). It is zero without suites.
func (x *Indexes) Date() time.Time {
	var newest time.Time
	for _, s := range x.Suites {
		if s.Release.Date.After(newest) {
			newest = s.Release.Date
		}
	}
	return newest
}
