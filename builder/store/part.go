package store

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"

	"golang.org/x/sys/unix"
)

// Part is an unfinished download that outlives the process, so that the next
// one goes on where it stopped. It belongs to its opener until one of
// Commit, Keep and Drop, which end it.
type Part struct {
	store  *Store
	want   Digest
	path   string
	File   *os.File // where the bytes go; the part is as long as the file
	unlock func()
}

// OpenPart opens the part of the blob want, and makes it where there is
// none. When another process has it, OpenPart waits; look afterwards whether
// the blob is there by now.
func (s *Store) OpenPart(ctx context.Context, want Digest) (*Part, error) {
	if !want.Valid() {
		return nil, fmt.Errorf("open part: not a digest: %q", want)
	}
	unlock, err := s.Lock(ctx, "download "+string(want))
	if err != nil {
		return nil, err
	}
	path := s.path("parts", string(want))
	f, err := openLocked(path, os.O_RDWR|os.O_CREATE, unix.LOCK_EX)
	if err != nil {
		unlock()
		return nil, hostError(s.dir, fmt.Errorf("open part: %w", err))
	}
	return &Part{store: s, want: want, path: path, File: f, unlock: unlock}, nil
}

// Note reads what SetNote wrote into v, and returns false when there is
// nothing to be read.
func (p *Part) Note(v any) bool {
	data, err := os.ReadFile(p.path + ".json")
	return err == nil && json.Unmarshal(data, v) == nil
}

// SetNote keeps v (as JSON) beside the part: where it comes from and the
// validators (ETag) of that source.
func (p *Part) SetNote(v any) error {
	data, err := json.Marshal(v)
	if err == nil {
		err = p.store.writeFileAtomic(p.path+".json", data)
	}
	return hostError(p.store.dir, err)
}

// Truncate throws away the bytes so far.
func (p *Part) Truncate() error {
	os.Remove(p.path + ".json")
	if err := p.File.Truncate(0); err != nil {
		return err
	}
	_, err := p.File.Seek(0, io.SeekStart)
	return err
}

// Commit makes the part the blob. got is the digest of its content as the
// writer hashed it on the way; when it is not the wanted one, the part is
// dropped and the error wraps ErrDigest.
func (p *Part) Commit(got Digest) (path string, err error) {
	if got != p.want {
		p.Drop()
		return "", fmt.Errorf("want %s, got %s: %w", p.want, got, ErrDigest)
	}
	if err := p.store.commitBlob(p.File, got); err != nil {
		p.Keep()
		return "", hostError(p.store.dir, err)
	}
	os.Remove(p.path + ".json")
	p.close()
	return p.store.blobPath(got), nil
}

// Keep ends the part and leaves its bytes for the next who opens it.
func (p *Part) Keep() { p.close() }

// Drop ends the part and removes it.
func (p *Part) Drop() {
	os.Remove(p.path)
	os.Remove(p.path + ".json")
	p.close()
}

func (p *Part) close() {
	p.File.Close()
	p.unlock()
}

// Rehash feeds the bytes that are there to a new hash and leaves the file's
// offset behind them. It returns the hash and their number.
func (p *Part) Rehash(ctx context.Context) (*Hash, int64, error) {
	if _, err := p.File.Seek(0, io.SeekStart); err != nil {
		return nil, 0, err
	}
	h := NewHash()
	n, err := io.Copy(h, contextReader{ctx, p.File})
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, 0, err
	}
	return h, n, nil
}
