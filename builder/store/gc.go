package store

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sort"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"cloudy/builder/progress"
)

// EntryKind is what an entry of the store is.
type EntryKind string

// The kinds of entries.
const (
	BlobEntry  EntryKind = "blob"
	LayerEntry EntryKind = "layer"
	PartEntry  EntryKind = "part" // an unfinished download
	RefEntry   EntryKind = "ref"
)

// Entry is one thing in the store.
type Entry struct {
	Kind        EntryKind         `json:"kind"`
	Key         string            `json:"key"` // digest of a blob or part, key of a layer
	Size        int64             `json:"size"`
	Created     time.Time         `json:"created,omitzero"` // layers only
	Used        time.Time         `json:"used"`
	Description string            `json:"description,omitempty"`
	Inputs      map[string]string `json:"inputs,omitempty"`
}

// List returns all entries, least recently used first.
func (s *Store) List() ([]Entry, error) {
	var all []Entry
	dirs, err := readNames(s.path("blobs"))
	if err != nil {
		return nil, hostError(s.dir, err)
	}
	for _, d := range dirs {
		all = append(all, s.listFiles(BlobEntry, "blobs", d)...)
	}
	all = append(all, s.listFiles(PartEntry, "parts")...)
	all = append(all, s.listFiles(RefEntry, "refs")...)
	keys, err := readNames(s.path("layers"))
	if err != nil {
		return nil, hostError(s.dir, err)
	}
	for _, key := range keys {
		l, err := readLayer(s.path("layers", key))
		if err != nil {
			// Half a layer cannot be by our hand; show it so that it can be collected.
			all = append(all, Entry{Kind: LayerEntry, Key: key, Description: "damaged: " + err.Error()})
			continue
		}
		all = append(all, Entry{Kind: LayerEntry, Key: key, Size: l.Size, Created: l.Created,
			Used: l.Used, Description: l.Description, Inputs: l.Inputs})
	}
	sort.Slice(all, func(i, j int) bool {
		if !all[i].Used.Equal(all[j].Used) {
			return all[i].Used.Before(all[j].Used)
		}
		return all[i].Key < all[j].Key
	})
	return all, nil
}

func (s *Store) listFiles(kind EntryKind, sub ...string) []Entry {
	var list []Entry
	dir := s.path(sub...)
	names, _ := readNames(dir)
	for _, name := range names {
		info, err := os.Lstat(filepath.Join(dir, name))
		if err != nil || !info.Mode().IsRegular() || strings.HasSuffix(name, ".json") {
			continue
		}
		list = append(list, Entry{Kind: kind, Key: name, Size: info.Size(), Used: info.ModTime()})
	}
	return list
}

// DefaultGrace is how long an unlocked entry stays after its last use
// whatever the policy: a build looks blobs up some time before it reads them.
const DefaultGrace = time.Hour

// Policy says what a collection removes. Its zero value removes only what
// dead processes left.
type Policy struct {
	MaxAge  time.Duration    // since last use; 0: any age stays
	MaxSize int64            // bytes of all entries together, the least recently used go first; 0: any
	Grace   time.Duration    // 0 is DefaultGrace; negative: none
	Keep    func(Entry) bool // true for what must stay, such as the files of a lock; may be nil
	DryRun  bool             // only report
}

// Report is the result of a collection.
type Report struct {
	Removed []Entry
	Busy    []Entry // would have gone, but a living process uses them
	Freed   int64   // bytes
	Left    int64   // bytes of what stays
}

// GC collects by age, then by size, and removes the leftovers of dead
// processes and unused lock files.
func (s *Store) GC(ctx context.Context, p Policy) (*Report, error) {
	if !p.DryRun {
		if err := s.sweep(); err != nil {
			return nil, hostError(s.dir, fmt.Errorf("collect: %w", err))
		}
		s.sweepLocks()
	}
	entries, err := s.List()
	if err != nil {
		return nil, err
	}
	grace := p.Grace
	if grace == 0 {
		grace = DefaultGrace
	}
	r := &Report{}
	for _, e := range entries {
		r.Left += e.Size
	}
	for _, e := range entries {
		if ctx.Err() != nil {
			return r, context.Cause(ctx)
		}
		age := time.Since(e.Used)
		old := p.MaxAge > 0 && age > p.MaxAge
		over := p.MaxSize > 0 && r.Left > p.MaxSize && e.Kind != RefEntry
		if !old && !over || age < grace || (p.Keep != nil && p.Keep(e)) {
			continue
		}
		if !p.DryRun {
			if err := s.removeEntry(e); errors.Is(err, errBusy) {
				r.Busy = append(r.Busy, e)
				continue
			} else if err != nil {
				return r, hostError(s.dir, fmt.Errorf("collect %s %s: %w", e.Kind, e.Key, err))
			}
		}
		r.Removed = append(r.Removed, e)
		r.Freed += e.Size
		r.Left -= e.Size
	}
	return r, nil
}

func (s *Store) removeEntry(e Entry) error {
	switch e.Kind {
	case LayerEntry:
		return s.dropLayer(e.Key)
	case PartEntry:
		path := s.path("parts", e.Key)
		f, err := openLocked(path, os.O_RDWR, unix.LOCK_EX|unix.LOCK_NB)
		if err != nil {
			return err
		}
		defer f.Close()
		os.Remove(path + ".json")
		return os.Remove(path)
	case RefEntry:
		return os.Remove(s.path("refs", e.Key))
	default:
		err := os.Remove(s.path("blobs", e.Key[:2], e.Key))
		if errors.Is(err, os.ErrNotExist) {
			return nil
		}
		return err
	}
}

// sweepLocks removes lock files that nobody holds.
func (s *Store) sweepLocks() {
	names, _ := readNames(s.path("locks"))
	for _, name := range names {
		path := s.path("locks", name)
		f, err := openLocked(path, os.O_RDWR, unix.LOCK_EX|unix.LOCK_NB)
		if err != nil {
			continue
		}
		os.Remove(path)
		f.Close()
	}
}

// Damage is one entry that Verify found wrong.
type Damage struct {
	Entry   Entry
	Err     error
	Removed bool // false when a living process uses it
}

// VerifyReport is the result of Verify.
type VerifyReport struct {
	Blobs, Layers int
	Unverifiable  int // layers without a manifest
	Damaged       []Damage
}

// Verify reads every blob and compares it with its name, and every layer
// with its manifest. What is damaged is removed, to be made again.
func (s *Store) Verify(ctx context.Context) (*VerifyReport, error) {
	entries, err := s.List()
	if err != nil {
		return nil, err
	}
	total := int64(0)
	for _, e := range entries {
		total += e.Size
	}
	step := progress.Begin(ctx, "verify cache", total, progress.Bytes)
	r := &VerifyReport{}
	for _, e := range entries {
		if ctx.Err() != nil {
			return r, step.End(context.Cause(ctx))
		}
		var bad error
		switch e.Kind {
		case BlobEntry:
			r.Blobs++
			got, err := hashFile(s.path("blobs", e.Key[:2], e.Key))
			if errors.Is(err, os.ErrNotExist) {
				continue // collected meanwhile
			}
			if bad = err; err == nil && got != e.Key {
				bad = fmt.Errorf("it has %s: %w", got, ErrDigest)
			}
		case LayerEntry:
			bad = s.verifyEntry(ctx, e, r)
		}
		step.Add(e.Size)
		if ctx.Err() == nil && bad != nil {
			d := Damage{Entry: e, Err: bad, Removed: s.removeEntry(e) == nil}
			r.Damaged = append(r.Damaged, d)
		}
	}
	return r, step.End(nil)
}

func (s *Store) verifyEntry(ctx context.Context, e Entry, r *VerifyReport) error {
	l, err := readLayer(s.path("layers", e.Key))
	if err == nil {
		err = s.verifyLayer(ctx, l)
	}
	if errors.Is(err, ErrNotExist) {
		r.Unverifiable++
		return nil
	}
	r.Layers++
	return err
}
