package store

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"cloudy/builder/progress"
)

// errBusy means that another open file holds the lock.
var errBusy = errors.New("locked by another process")

// flock is flock(2) that takes EINTR in its stride. A lock belongs to the
// open file, so it is let go by Close and by the death of the process,
// however that comes.
func flock(f *os.File, how int) error {
	for {
		err := unix.Flock(int(f.Fd()), how)
		switch {
		case errors.Is(err, unix.EINTR):
			continue
		case errors.Is(err, unix.EWOULDBLOCK):
			return errBusy
		case err != nil:
			return &os.PathError{Op: "flock", Path: f.Name(), Err: err}
		}
		return nil
	}
}

// openLocked opens (flag may hold O_CREATE) and locks a file, and makes sure
// that it is still the file of that name once it is locked: a collector may
// have removed it in between.
func openLocked(path string, flag, how int) (*os.File, error) {
	for {
		f, err := os.OpenFile(path, flag, 0o600)
		if err != nil {
			return nil, err
		}
		if err := flock(f, how); err != nil {
			f.Close()
			return nil, err
		}
		if sameFile(f, path) {
			return f, nil
		}
		f.Close()
	}
}

func sameFile(f *os.File, path string) bool {
	a, err := f.Stat()
	if err != nil {
		return false
	}
	b, err := os.Lstat(path)
	return err == nil && os.SameFile(a, b)
}

// lockPoll is how often a waiting Lock looks again. flock(2) can wait by
// itself, but a goroutine in there cannot be called back by its context.
const lockPoll = 100 * time.Millisecond

// Lock takes the lock of that name (any string: a layer's key, an image's
// output path) for this goroutine alone, among all processes that share the
// store. While another holds it, Lock waits and says so through progress.
func (s *Store) Lock(ctx context.Context, key string) (unlock func(), err error) {
	sum := sha256.Sum256([]byte(key))
	path := s.path("locks", hex.EncodeToString(sum[:16]))
	var step *progress.Step
	for {
		f, err := openLocked(path, os.O_RDWR|os.O_CREATE, unix.LOCK_EX|unix.LOCK_NB)
		if err == nil {
			if step != nil {
				step.End(nil)
			}
			// Only for the message of those who wait.
			f.Truncate(0)
			fmt.Fprintf(f, "%d\n", os.Getpid())
			return func() { f.Close() }, nil
		}
		if !errors.Is(err, errBusy) {
			return nil, hostError(s.dir, fmt.Errorf("lock %s: %w", key, err))
		}
		if step == nil {
			step = progress.Begin(ctx, "wait", 0, progress.Items)
			step.Message(fmt.Sprintf("waiting for another build%s that works on %s", holder(path), key))
		}
		select {
		case <-ctx.Done():
			return nil, step.End(fmt.Errorf("lock %s: %w", key, context.Cause(ctx)))
		case <-time.After(lockPoll):
		}
	}
}

func holder(path string) string {
	f, err := os.Open(path)
	if err != nil {
		return ""
	}
	defer f.Close()
	pid, err := io.ReadAll(io.LimitReader(f, 20))
	if err != nil || len(strings.TrimSpace(string(pid))) == 0 {
		return ""
	}
	return " (process " + strings.TrimSpace(string(pid)) + ")"
}

// sweep removes the leftovers of dead processes from tmp. It goes on after
// an error and returns the first: leftovers may belong to users that only a
// user namespace can remove.
func (s *Store) sweep() error {
	names, err := readNames(s.path("tmp"))
	if err != nil {
		return err
	}
	for _, name := range names {
		if serr := s.sweepOne(name); err == nil {
			err = serr
		}
	}
	return err
}

func (s *Store) sweepOne(name string) error {
	path := s.path("tmp", name)
	if lock, ok := strings.CutSuffix(path, pendingDirSuffix); ok {
		// The lock of a pending layer is made before its directory and
		// removed after it, so a directory without one is dead.
		if _, err := os.Lstat(lock); err == nil {
			return nil // handled with its lock
		}
		return removeTree(path)
	}
	f, err := openLocked(path, os.O_RDWR, unix.LOCK_EX|unix.LOCK_NB)
	if err != nil {
		return nil // alive, or gone by now
	}
	defer f.Close()
	if err := removeTree(path + pendingDirSuffix); err != nil {
		return err
	}
	return os.Remove(path)
}

// newTemp makes a file in tmp that is locked by this process.
func (s *Store) newTemp(prefix string) (*os.File, error) {
	for {
		f, err := os.CreateTemp(s.path("tmp"), prefix+"-*")
		if err != nil {
			return nil, err
		}
		if err := flock(f, unix.LOCK_EX|unix.LOCK_NB); err == nil && sameFile(f, f.Name()) {
			return f, nil
		} else if err != nil && !errors.Is(err, errBusy) {
			f.Close()
			os.Remove(f.Name())
			return nil, err
		}
		f.Close() // a sweeping process took it between create and lock
	}
}

func readNames(dir string) ([]string, error) {
	d, err := os.Open(dir)
	if err != nil {
		if errors.Is(err, os.ErrNotExist) {
			return nil, nil
		}
		return nil, err
	}
	defer d.Close()
	return d.Readdirnames(-1)
}

func touch(path string) { _ = unix.Utimes(path, nil) }

// writeFileAtomic replaces path by data in one step.
func (s *Store) writeFileAtomic(path string, data []byte) error {
	f, err := s.newTemp("file")
	if err != nil {
		return err
	}
	defer f.Close()
	_, err = f.Write(data)
	if err == nil && !s.noSync {
		err = f.Sync()
	}
	if err == nil {
		err = os.MkdirAll(filepath.Dir(path), 0o755)
	}
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		os.Remove(f.Name())
	}
	return err
}
