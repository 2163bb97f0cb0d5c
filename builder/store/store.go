// Package store is the builder's cache on disk: blobs (files named by their
// SHA-256) and layers (directories named by the hash of all that went into
// them). Everything is written aside and renamed into place, so that a
// process killed at any moment loses nothing but time, and any number of
// builds may use one store at once.
//
// # Layout
//
//	DIR/v1/blobs/ab/abcd…        a blob, complete; its mtime is when it was last used
//	DIR/v1/layers/KEY/tree/      a layer's directory tree
//	DIR/v1/layers/KEY/meta.json  what it is (Meta)
//	DIR/v1/layers/KEY/manifest   its entries, if the maker gave them (see Manifest)
//	DIR/v1/layers/KEY/use        flock'd shared by every process that uses it; mtime: last use
//	DIR/v1/layers/KEY/synced     there once the layer's data is known to be on the disk
//	DIR/v1/refs/…                small mutable notes by name (Ref, PutRef)
//	DIR/v1/parts/ab…             unfinished downloads, resumable (Part)
//	DIR/v1/locks/…               what Lock locks
//	DIR/v1/tmp/…                 being written; each entry is flock'd by its living writer
//
// The version in the path rises when the layout changes in a way that old
// programs would misread.
package store

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"syscall"

	"cloudy/builder/fail"
)

// version is the name of the layout's folder.
const version = "v1"

// Errors that callers tell apart.
var (
	// ErrNotExist is returned (wrapped) for a blob, layer or ref that is not there.
	ErrNotExist = errors.New("not in the store")
	// ErrDigest means that bytes do not have the digest that they should have.
	ErrDigest = errors.New("digest mismatch")
	// ErrExists is returned by Pending.Commit when another build committed
	// the same layer first; that one is as good.
	ErrExists = errors.New("already in the store")
)

// Store is an open store. Its methods are safe for concurrent use, by
// several goroutines and by several processes.
type Store struct {
	dir    string // DIR
	root   string // DIR/v1
	noSync bool
	bootID string

	mu  sync.Mutex
	use map[string]*os.File // shared locks of the layers that this process uses
}

// Option changes how a store is opened.
type Option func(*Store)

// WithoutSync leaves out fsync. For tests, and for machines that are thrown
// away after the build.
func WithoutSync() Option { return func(s *Store) { s.noSync = true } }

// DefaultDir is where the store lies when the user does not say:
// $CLOUDY_CACHE, else $XDG_CACHE_HOME/cloudy, else /var/cache/cloudy for
// root and ~/.cache/cloudy for anybody else. Ask before entering a user
// namespace, where everybody is root.
func DefaultDir() (string, error) {
	return defaultDir(os.Getenv, os.Geteuid())
}

func defaultDir(getenv func(string) string, uid int) (string, error) {
	if dir := getenv("CLOUDY_CACHE"); dir != "" {
		return filepath.Abs(dir)
	}
	// The base directory specification says that a relative path is invalid
	// and to be ignored.
	if dir := getenv("XDG_CACHE_HOME"); filepath.IsAbs(dir) {
		return filepath.Join(dir, "cloudy"), nil
	}
	if uid == 0 {
		return "/var/cache/cloudy", nil
	}
	if home := getenv("HOME"); filepath.IsAbs(home) {
		return filepath.Join(home, ".cache", "cloudy"), nil
	}
	return "", fail.WithHint(fail.Host, errors.New("no folder for the cache: $HOME is not set"),
		"Set CLOUDY_CACHE to a folder.")
}

// Open opens the store under dir, and makes it where there is none. It
// removes what killed processes left half-written.
func Open(dir string, opts ...Option) (*Store, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return nil, fmt.Errorf("open store: %w", err)
	}
	s := &Store{dir: dir, root: filepath.Join(dir, version), bootID: bootID(), use: map[string]*os.File{}}
	for _, o := range opts {
		o(s)
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, hostError(dir, fmt.Errorf("open store: %w", err))
	}
	// Layers hold setuid programs of any age, and images may hold secrets:
	// nobody else may walk in.
	if err := os.Mkdir(s.root, 0o700); err != nil && !errors.Is(err, os.ErrExist) {
		return nil, hostError(dir, fmt.Errorf("open store: %w", err))
	}
	for _, sub := range []string{"blobs", "layers", "refs", "parts", "locks", "tmp"} {
		if err := os.Mkdir(filepath.Join(s.root, sub), 0o755); err != nil && !errors.Is(err, os.ErrExist) {
			return nil, hostError(dir, fmt.Errorf("open store: %w", err))
		}
	}
	_ = s.sweep() // GC says what stands in its way
	return s, nil
}

// Dir is the folder that the store was opened with.
func (s *Store) Dir() string { return s.dir }

// Close gives up the layers in use, so that a collection may take them. The
// store must not be used afterwards.
func (s *Store) Close() error {
	s.settle()
	s.mu.Lock()
	defer s.mu.Unlock()
	for key, f := range s.use {
		f.Close()
		delete(s.use, key)
	}
	return nil
}

func (s *Store) path(elem ...string) string {
	return filepath.Join(append([]string{s.root}, elem...)...)
}

// hostError marks errors of the machine (full disk, no rights) as such, with
// a hint. Other errors pass unmarked.
func hostError(dir string, err error) error {
	switch {
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT):
		return fail.WithHint(fail.Host, err, fmt.Sprintf(
			"No space left for the cache in %s: free some (`cloudy cache gc`), or set CLOUDY_CACHE to a folder on another disk.", dir))
	case errors.Is(err, syscall.EACCES), errors.Is(err, syscall.EPERM), errors.Is(err, syscall.EROFS):
		return fail.WithHint(fail.Host, err, fmt.Sprintf(
			"The cache in %s cannot be written by this user: set CLOUDY_CACHE to a folder that can.", dir))
	case errors.Is(err, syscall.EIO), errors.Is(err, syscall.EMFILE), errors.Is(err, syscall.ENFILE):
		return fail.Mark(fail.Host, err)
	}
	return err
}

// HostError marks an error of writing to a file of this store: a full disk
// or a missing right is the host's, with a hint; other errors and nil pass
// unchanged.
func (s *Store) HostError(err error) error { return hostError(s.dir, err) }
