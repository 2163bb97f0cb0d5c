package store

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

func open(t *testing.T) *Store {
	t.Helper()
	return openAt(t, t.TempDir())
}

func openAt(t *testing.T, dir string) *Store {
	t.Helper()
	s, err := Open(dir, WithoutSync())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

func put(t *testing.T, s *Store, data string) Digest {
	t.Helper()
	d, err := s.PutBytes(context.Background(), []byte(data))
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// tmpEntries lists what lies in the store's tmp.
func tmpEntries(t *testing.T, s *Store) []string {
	t.Helper()
	names, err := readNames(s.path("tmp"))
	if err != nil {
		t.Fatal(err)
	}
	return names
}

func TestDefaultDir(t *testing.T) {
	for _, tc := range []struct {
		env  map[string]string
		uid  int
		want string
	}{
		{map[string]string{"CLOUDY_CACHE": "/c", "XDG_CACHE_HOME": "/x", "HOME": "/h"}, 0, "/c"},
		{map[string]string{"XDG_CACHE_HOME": "/x", "HOME": "/h"}, 1000, "/x/cloudy"},
		{map[string]string{"XDG_CACHE_HOME": "x", "HOME": "/h"}, 1000, "/h/.cache/cloudy"},
		{map[string]string{"HOME": "/h"}, 1000, "/h/.cache/cloudy"},
		{map[string]string{"HOME": "/root"}, 0, "/var/cache/cloudy"},
		{nil, 1000, ""},
	} {
		got, err := defaultDir(func(k string) string { return tc.env[k] }, tc.uid)
		if got != tc.want || (err == nil) != (tc.want != "") {
			t.Errorf("%v uid %d: got %q, %v; want %q", tc.env, tc.uid, got, err, tc.want)
		}
	}
}

func TestParseDigest(t *testing.T) {
	good := string(DigestOf(nil))
	for text, ok := range map[string]bool{
		good: true, "sha256:" + good: true, "": false, good[1:]: false, "sha256:" + good[1:]: false,
		strings.ToUpper(good): false, "../" + good[3:]: false,
	} {
		if _, err := ParseDigest(text); (err == nil) != ok {
			t.Errorf("%q: %v", text, err)
		}
	}
}

func TestBlobRoundTrip(t *testing.T) {
	s := open(t)
	d := put(t, s, "hello")
	if _, ok := s.Blob(d); !ok {
		t.Fatal("not there")
	}
	r, err := s.OpenBlob(d)
	if err != nil {
		t.Fatal(err)
	}
	data, err := io.ReadAll(r)
	if err != nil || string(data) != "hello" {
		t.Fatalf("%q, %v", data, err)
	}
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := s.OpenBlob(DigestOf([]byte("other"))); !errors.Is(err, ErrNotExist) {
		t.Errorf("missing blob: %v", err)
	}
	if left := tmpEntries(t, s); len(left) > 0 {
		t.Errorf("left in tmp: %v", left)
	}
}

func TestPutBlobWrongDigest(t *testing.T) {
	s := open(t)
	want := DigestOf([]byte("right"))
	_, _, err := s.PutBlob(context.Background(), want, strings.NewReader("wrong"))
	if !errors.Is(err, ErrDigest) {
		t.Fatalf("err = %v", err)
	}
	if _, ok := s.Blob(want); ok {
		t.Error("stored under the wanted name")
	}
	if _, ok := s.Blob(DigestOf([]byte("wrong"))); ok {
		t.Error("stored under its own name")
	}
	if left := tmpEntries(t, s); len(left) > 0 {
		t.Errorf("left in tmp: %v", left)
	}
}

func TestPutBlobCancelled(t *testing.T) {
	s := open(t)
	ctx, cancel := context.WithCancel(context.Background())
	r := io.MultiReader(strings.NewReader("a"), readerFunc(func([]byte) (int, error) { cancel(); return 1, nil }))
	if _, _, err := s.PutBlob(ctx, "", r); !errors.Is(err, context.Canceled) {
		t.Errorf("err = %v", err)
	}
	if left := tmpEntries(t, s); len(left) > 0 {
		t.Errorf("left in tmp: %v", left)
	}
}

type readerFunc func([]byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }

func TestDamagedBlobIsDropped(t *testing.T) {
	damage := func(s *Store, d Digest) {
		path, _ := s.Blob(d)
		if err := os.WriteFile(path, []byte("hellO"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for name, read := range map[string]func(s *Store, d Digest) error{
		"to the end": func(s *Store, d Digest) error {
			r, err := s.OpenBlob(d)
			if err != nil {
				return err
			}
			defer r.Close()
			_, err = io.ReadAll(r)
			return err
		},
		"close at once": func(s *Store, d Digest) error {
			r, err := s.OpenBlob(d)
			if err != nil {
				return err
			}
			return r.Close()
		},
		"whole": func(s *Store, d Digest) error { _, err := s.ReadBlob(d); return err },
	} {
		t.Run(name, func(t *testing.T) {
			s := open(t)
			d := put(t, s, "hello")
			damage(s, d)
			if err := read(s, d); !errors.Is(err, ErrDigest) {
				t.Fatalf("err = %v", err)
			}
			if _, ok := s.Blob(d); ok {
				t.Fatal("still there")
			}
			put(t, s, "hello") // made again
			if err := read(s, d); err != nil {
				t.Fatal(err)
			}
		})
	}
}

func TestConcurrentPut(t *testing.T) {
	s := open(t)
	data := bytes.Repeat([]byte("x"), 1<<18)
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			d, err := s.PutBytes(context.Background(), data)
			if err != nil {
				t.Error(err)
				return
			}
			if got, err := s.ReadBlob(d); err != nil || !bytes.Equal(got, data) {
				t.Errorf("read back: %v", err)
			}
		})
	}
	wg.Wait()
	if left := tmpEntries(t, s); len(left) > 0 {
		t.Errorf("left in tmp: %v", left)
	}
}

func TestRef(t *testing.T) {
	s := open(t)
	if _, err := s.Ref("a/../b"); !errors.Is(err, ErrNotExist) {
		t.Fatal(err)
	}
	for _, v := range []string{"1", "2"} {
		if err := s.PutRef("a/../b", []byte(v)); err != nil {
			t.Fatal(err)
		}
		if got, err := s.Ref("a/../b"); err != nil || string(got) != v {
			t.Fatalf("%q, %v", got, err)
		}
	}
}

func TestPart(t *testing.T) {
	ctx := context.Background()
	s := open(t)
	want := DigestOf([]byte("hello"))
	type note struct{ ETag string }
	p, err := s.OpenPart(ctx, want)
	if err != nil {
		t.Fatal(err)
	}
	p.File.WriteString("hel")
	if err := p.SetNote(note{"x"}); err != nil {
		t.Fatal(err)
	}
	p.Keep()

	if p, err = s.OpenPart(ctx, want); err != nil {
		t.Fatal(err)
	}
	var n note
	if !p.Note(&n) || n.ETag != "x" {
		t.Errorf("note %+v", n)
	}
	h, size, err := p.Rehash(ctx)
	if err != nil || size != 3 {
		t.Fatal(size, err)
	}
	io.Copy(io.MultiWriter(p.File, h), strings.NewReader("lo"))
	if _, err := p.Commit(h.Digest()); err != nil {
		t.Fatal(err)
	}
	if got, err := s.ReadBlob(want); err != nil || string(got) != "hello" {
		t.Fatal(string(got), err)
	}
	if names, _ := readNames(s.path("parts")); len(names) > 0 {
		t.Errorf("left in parts: %v", names)
	}

	if p, err = s.OpenPart(ctx, DigestOf([]byte("other"))); err != nil {
		t.Fatal(err)
	}
	if _, err := p.Commit(DigestOf(nil)); !errors.Is(err, ErrDigest) {
		t.Errorf("err = %v", err)
	}
	if names, _ := readNames(s.path("parts")); len(names) > 0 {
		t.Errorf("left in parts: %v", names)
	}
}

func TestLockWaits(t *testing.T) {
	dir := t.TempDir()
	a, b := openAt(t, dir), openAt(t, dir)
	unlock, err := a.Lock(context.Background(), "image")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
	defer cancel()
	if _, err := b.Lock(ctx, "image"); !errors.Is(err, context.DeadlineExceeded) {
		t.Fatalf("second lock: %v", err)
	}
	if unlock2, err := b.Lock(context.Background(), "other image"); err != nil {
		t.Fatal(err)
	} else {
		unlock2()
	}
	time.AfterFunc(50*time.Millisecond, unlock)
	unlock2, err := b.Lock(context.Background(), "image")
	if err != nil {
		t.Fatal(err)
	}
	unlock2()
}

func TestOpenUnwritable(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(filepath.Join(file, "store")); err == nil {
		t.Error("opened under a file")
	}
}
