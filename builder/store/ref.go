package store

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
)

func (s *Store) refPath(name string) string {
	sum := sha256.Sum256([]byte(name))
	return s.path("refs", hex.EncodeToString(sum[:]))
}

// Ref returns the note of that name, or an error that wraps ErrNotExist.
// Notes are for facts that change and cannot be named by a hash, such as
// which InRelease was seen last.
func (s *Store) Ref(name string) ([]byte, error) {
	data, err := os.ReadFile(s.refPath(name))
	if errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("ref %s: %w", name, ErrNotExist)
	}
	if err != nil {
		return nil, hostError(s.dir, fmt.Errorf("ref %s: %w", name, err))
	}
	return data, nil
}

// PutRef replaces the note of that name in one step.
func (s *Store) PutRef(name string, data []byte) error {
	if err := s.writeFileAtomic(s.refPath(name), data); err != nil {
		return hostError(s.dir, fmt.Errorf("ref %s: %w", name, err))
	}
	return nil
}
