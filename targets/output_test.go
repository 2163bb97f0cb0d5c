package targets

import (
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
)

// TestStream: the hash of what is streamed is that of the file.
func TestStream(t *testing.T) {
	rnd := rand.NewChaCha8([32]byte{1})
	for _, sizes := range [][]int{{}, {1}, {0, 5, 1 << 21, 3}, {1 << 20, 1 << 20}} {
		var all bytes.Buffer
		name := filepath.Join(t.TempDir(), "out")
		o, err := Create(name)
		if err != nil {
			t.Fatal(err)
		}
		defer o.Discard()
		w := o.Stream()
		for _, n := range sizes {
			if _, err := io.CopyN(io.MultiWriter(w, &all), rnd, int64(n)); err != nil {
				t.Fatal(err)
			}
		}
		a, err := o.Commit(context.Background(), Artefact{})
		if err != nil {
			t.Fatal(err)
		}
		data, err := os.ReadFile(name)
		if err != nil || !bytes.Equal(data, all.Bytes()) {
			t.Errorf("%v: another file, %v", sizes, err)
		}
		if want := fmt.Sprintf("%x", sha256.Sum256(data)); a.SHA256 != want || a.Size != int64(all.Len()) {
			t.Errorf("%v: %s of %d bytes, want %s of %d", sizes, a.SHA256, a.Size, want, all.Len())
		}
	}
}

// TestStreamBeside: a file that was written by another way too has no hash.
func TestStreamBeside(t *testing.T) {
	dir := t.TempDir()
	o, err := Create(filepath.Join(dir, "out"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(o.Stream(), "abc"); err != nil {
		t.Fatal(err)
	}
	if _, err := o.WriteAt([]byte("d"), 3); err != nil {
		t.Fatal(err)
	}
	if _, err := o.Commit(context.Background(), Artefact{}); err == nil {
		t.Error("committed")
	}
	o.Discard()
	if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
		t.Errorf("left %v, %v", left, err)
	}
}

// TestFollow: the hash of a file that was followed is that of the file, also
// where something was told out of order.
func TestFollow(t *testing.T) {
	type piece struct {
		off  int64
		data string
	}
	for name, pieces := range map[string][]piece{
		"nothing":      nil,
		"in order":     {{16, "abc"}, {19, "def"}, {3 << 20, "ghi"}},
		"out of order": {{3 << 20, "ghi"}, {16, "abc"}},
		"over another": {{16, "abc"}, {17, "bcd"}},
	} {
		path := filepath.Join(t.TempDir(), "out")
		o, err := Create(path)
		if err != nil {
			t.Fatal(err)
		}
		defer o.Discard()
		if err := o.Truncate(4 << 20); err != nil {
			t.Fatal(err)
		}
		put := func(off int64, data string) {
			t.Helper()
			if _, err := o.WriteAt([]byte(data), off); err != nil {
				t.Fatal(err)
			}
		}
		put(0, "front")
		put(4<<20-4, "back") // not told: Hash finds it
		if err := o.FollowTo(context.Background(), 16); err != nil {
			t.Fatal(err)
		}
		for _, p := range pieces {
			put(p.off, p.data)
			o.Follow([]byte(p.data), p.off)
		}
		a, err := o.Commit(context.Background(), Artefact{})
		if err != nil {
			t.Fatal(err)
		}
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if want := fmt.Sprintf("%x", sha256.Sum256(data)); a.SHA256 != want {
			t.Errorf("%s: %s, want %s", name, a.SHA256, want)
		}
	}
}

// TestCommitHashes: what is written by no known way is hashed while it gets its
// name, and takes the place of what was there.
func TestCommitHashes(t *testing.T) {
	dir := t.TempDir()
	name := filepath.Join(dir, "out")
	commit := func(ctx context.Context) error {
		t.Helper()
		o, err := Create(name)
		if err != nil {
			t.Fatal(err)
		}
		defer o.Discard()
		if _, err := o.WriteAt([]byte("new"), 3<<20); err != nil {
			t.Fatal(err)
		}
		a, err := o.Commit(ctx, Artefact{})
		if err != nil {
			return err
		}
		data, err := os.ReadFile(name)
		if sum := fmt.Sprintf("%x", sha256.Sum256(data)); err != nil || a.SHA256 != sum || a.Size != 3<<20+3 {
			t.Errorf("%s of %d bytes, %v", a.SHA256, a.Size, err)
		}
		return nil
	}
	if err := os.WriteFile(name, []byte("old"), 0o600); err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	stop()
	if err := commit(ctx); err == nil {
		t.Error("committed by nobody's wish")
	}
	if data, err := os.ReadFile(name); err != nil || string(data) != "old" {
		t.Errorf("what was there before is %q, %v", data, err)
	}
	if err := commit(t.Context()); err != nil {
		t.Error(err)
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) != 1 {
		t.Errorf("left %v, %v", left, err)
	}
}
