package store

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"
)

// Digest is a SHA-256 in 64 lower-case hexadecimal digits.
type Digest string

// ParseDigest reads a digest, with or without "sha256:" before it.
func ParseDigest(text string) (Digest, error) {
	hexa := text
	if len(text) == 71 && text[:7] == "sha256:" {
		hexa = text[7:]
	}
	if d := Digest(hexa); d.Valid() {
		return d, nil
	}
	return "", fmt.Errorf("not a SHA-256 digest: %q", text)
}

// Valid tells whether d has the form of a digest.
func (d Digest) Valid() bool {
	if len(d) != 2*sha256.Size {
		return false
	}
	for i := range len(d) {
		if c := d[i]; (c < '0' || c > '9') && (c < 'a' || c > 'f') {
			return false
		}
	}
	return true
}

// DigestOf returns the digest of data.
func DigestOf(data []byte) Digest {
	sum := sha256.Sum256(data)
	return Digest(hex.EncodeToString(sum[:]))
}

func digestOf(h hash.Hash) Digest { return Digest(hex.EncodeToString(h.Sum(nil))) }

func (s *Store) blobPath(d Digest) string {
	return s.path("blobs", string(d[:2]), string(d))
}

// touchAfter is how old the time of last use may grow before a use renews
// it, so that a look costs one stat.
const touchAfter = 10 * time.Minute

// Blob returns the path of a blob, and whether it is there. It does not read
// it: use OpenBlob to have it verified. The blob counts as used now, and no
// collection takes it in the next hour (see Policy.Grace).
func (s *Store) Blob(d Digest) (path string, ok bool) {
	if !d.Valid() {
		return "", false
	}
	path = s.blobPath(d)
	info, err := os.Stat(path)
	if err != nil || !info.Mode().IsRegular() {
		return path, false
	}
	if time.Since(info.ModTime()) > touchAfter {
		touch(path)
	}
	return path, true
}

// OpenBlob opens a blob for reading. The reader hashes as it goes: when the
// digest is wrong, the last Read (or Close, which reads the rest) returns an
// error that wraps ErrDigest, and the damaged blob is dropped from the store
// so that it is made again.
func (s *Store) OpenBlob(d Digest) (io.ReadCloser, error) {
	path, ok := s.Blob(d)
	if !ok {
		return nil, fmt.Errorf("blob %s: %w", d, ErrNotExist)
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, hostError(s.dir, fmt.Errorf("blob %s: %w", d, err))
	}
	return &verifiedReader{store: s, want: d, file: f, hash: sha256.New()}, nil
}

// ReadBlob returns a blob's verified content.
func (s *Store) ReadBlob(d Digest) ([]byte, error) {
	path, ok := s.Blob(d)
	if !ok {
		return nil, fmt.Errorf("blob %s: %w", d, ErrNotExist)
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, hostError(s.dir, fmt.Errorf("blob %s: %w", d, err))
	}
	if got := DigestOf(data); got != d {
		s.dropBlob(d)
		return nil, fmt.Errorf("blob %s is damaged (it has %s): %w", d, got, ErrDigest)
	}
	return data, nil
}

// dropBlob removes a damaged blob.
func (s *Store) dropBlob(d Digest) { os.Remove(s.blobPath(d)) }

// DropBlob removes a blob that a user of its path found damaged, so that it
// is fetched again. It is no error when it is gone already.
func (s *Store) DropBlob(d Digest) error {
	if !d.Valid() {
		return fmt.Errorf("drop blob: not a digest: %q", d)
	}
	if err := os.Remove(s.blobPath(d)); err != nil && !errors.Is(err, os.ErrNotExist) {
		return hostError(s.dir, err)
	}
	return nil
}

type verifiedReader struct {
	store *Store
	want  Digest
	file  *os.File
	hash  hash.Hash
	err   error // sticky: io.EOF once verified
}

func (r *verifiedReader) Read(p []byte) (int, error) {
	if r.err != nil {
		return 0, r.err
	}
	n, err := r.file.Read(p)
	r.hash.Write(p[:n])
	if err == io.EOF {
		if got := digestOf(r.hash); got != r.want {
			r.store.dropBlob(r.want)
			err = fmt.Errorf("blob %s is damaged (it has %s): %w", r.want, got, ErrDigest)
		}
	}
	r.err = err
	return n, err
}

// Close reads what is left, so that nobody can use a damaged blob unawares.
func (r *verifiedReader) Close() error {
	if r.err == nil {
		io.Copy(io.Discard, readOnly{r})
	}
	err := r.err
	if err == io.EOF {
		err = nil
	}
	if errors.Is(r.err, os.ErrClosed) {
		return nil
	}
	if cerr := r.file.Close(); err == nil {
		err = cerr
	}
	r.err = os.ErrClosed
	return err
}

type readOnly struct{ io.Reader }

// PutBlob stores what r yields and returns its digest and size in bytes.
// With want set, other content is an error that wraps ErrDigest and nothing
// is stored. Storing what is there already is no error; r is then not read
// when want is given, and the size is that of the stored blob.
func (s *Store) PutBlob(ctx context.Context, want Digest, r io.Reader) (Digest, int64, error) {
	if want != "" {
		if path, ok := s.Blob(want); ok {
			if info, err := os.Stat(path); err == nil {
				return want, info.Size(), nil
			}
		}
	}
	f, err := s.newTemp("blob")
	if err != nil {
		return "", 0, hostError(s.dir, fmt.Errorf("store blob: %w", err))
	}
	// Closing lets go of the lock, so it comes after the rename or removal.
	defer f.Close()
	h := sha256.New()
	n, err := io.Copy(io.MultiWriter(f, h), contextReader{ctx, r})
	got := digestOf(h)
	if err == nil && want != "" && got != want {
		err = fmt.Errorf("want %s, got %s: %w", want, got, ErrDigest)
	}
	if err == nil {
		err = s.commitBlob(f, got)
	}
	if err != nil {
		os.Remove(f.Name())
		return "", 0, hostError(s.dir, fmt.Errorf("store blob: %w", err))
	}
	return got, n, nil
}

// PutBytes is PutBlob for data in memory.
func (s *Store) PutBytes(ctx context.Context, data []byte) (Digest, error) {
	d, _, err := s.PutBlob(ctx, DigestOf(data), bytes.NewReader(data))
	return d, err
}

// commitBlob makes the complete file f the blob d.
func (s *Store) commitBlob(f *os.File, d Digest) error {
	if !s.noSync {
		if err := f.Sync(); err != nil {
			return err
		}
	}
	if err := unix.Fchmod(int(f.Fd()), 0o644); err != nil {
		return &os.PathError{Op: "chmod", Path: f.Name(), Err: err}
	}
	path := s.blobPath(d)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	return os.Rename(f.Name(), path)
}

// contextReader ends a copy when the context ends.
type contextReader struct {
	ctx context.Context
	r   io.Reader
}

func (c contextReader) Read(p []byte) (int, error) {
	if c.ctx.Err() != nil {
		return 0, context.Cause(c.ctx)
	}
	return c.r.Read(p)
}

// Hash computes a Digest of what is written to it.
type Hash struct{ hash.Hash }

// NewHash returns an empty Hash.
func NewHash() *Hash { return &Hash{sha256.New()} }

// Digest returns the digest of all that was written so far.
func (h *Hash) Digest() Digest { return digestOf(h.Hash) }
