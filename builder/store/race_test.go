package store

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// While a collector removes all it can, builds find a layer whole or not at
// all, blobs verified or not at all, and never both hold one lock.
func TestCollectorAgainstBuilds(t *testing.T) {
	ctx := context.Background()
	dir := t.TempDir()
	stop := make(chan struct{})
	var collecting, building sync.WaitGroup
	collector := openAt(t, dir)
	removed := 0
	collecting.Go(func() {
		for {
			select {
			case <-stop:
				return
			default:
			}
			r, err := collector.GC(ctx, Policy{MaxAge: 1, Grace: -1})
			if err != nil {
				t.Error(err)
				return
			}
			removed += len(r.Removed)
		}
	})
	var holders atomic.Int32
	deadline := time.Now().Add(time.Second)
	for range 4 {
		building.Go(func() {
			for time.Now().Before(deadline) {
				if err := buildOnce(ctx, dir, &holders); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	building.Wait()
	close(stop)
	collecting.Wait()
	if removed == 0 {
		t.Error("the collector never removed anything: the test shows nothing")
	}
	if left := tmpEntries(t, collector); len(left) > 0 {
		t.Errorf("left in tmp: %v", left)
	}
}

func buildOnce(ctx context.Context, dir string, holders *atomic.Int32) error {
	s, err := Open(dir, WithoutSync())
	if err != nil {
		return err
	}
	defer s.Close()
	unlock, err := s.Lock(ctx, "image")
	if err != nil {
		return err
	}
	if n := holders.Add(1); n != 1 {
		return errors.New("two hold the lock")
	}
	holders.Add(-1)
	unlock()

	d, err := s.PutBytes(ctx, []byte("content"))
	if err != nil {
		return err
	}
	if _, err := s.ReadBlob(d); err != nil && !errors.Is(err, ErrNotExist) && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	l, ok := s.Layer(key1)
	if !ok {
		p, err := s.NewLayer(key1)
		if err != nil {
			return err
		}
		defer p.Abort()
		for _, name := range []string{"a", "b", "c"} {
			if err := os.WriteFile(filepath.Join(p.Dir(), name), []byte("x"), 0o644); err != nil {
				return err
			}
		}
		if l, err = p.Commit(Meta{}, nil); err != nil && !errors.Is(err, ErrExists) {
			return err
		}
	}
	time.Sleep(time.Millisecond) // in use
	names, err := readNames(l.Dir())
	if err != nil || len(names) != 3 {
		return errors.Join(errors.New("half a layer"), err)
	}
	return nil
}

// A lock file may be removed by its holder, as collectors do, and still
// nobody holds it together with another.
func TestLockFilesComeAndGo(t *testing.T) {
	path := filepath.Join(t.TempDir(), "lock")
	var holders atomic.Int32
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for range 500 {
				f, err := openLocked(path, os.O_RDWR|os.O_CREATE, unix.LOCK_EX)
				if err != nil {
					t.Error(err)
					return
				}
				if holders.Add(1) != 1 {
					t.Error("two hold the lock")
				}
				time.Sleep(time.Microsecond)
				holders.Add(-1)
				os.Remove(path)
				f.Close()
			}
		})
	}
	wg.Wait()
}
