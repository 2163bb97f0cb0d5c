package store

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

const key1, key2 = "0123456789abcdef", "fedcba9876543210"

func commit(t *testing.T, s *Store, key, content string, manifest bool) *Layer {
	t.Helper()
	p, err := s.NewLayer(key)
	if err != nil {
		t.Fatal(err)
	}
	defer p.Abort()
	if err := os.WriteFile(filepath.Join(p.Dir(), "file"), []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	var m []byte
	if manifest {
		if m, err = Manifest(context.Background(), p.Dir(), true); err != nil {
			t.Fatal(err)
		}
	}
	l, err := p.Commit(Meta{Description: "test", Inputs: map[string]string{"a": "1"}}, m)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func TestLayer(t *testing.T) {
	dir := t.TempDir()
	s := openAt(t, dir)
	if _, ok := s.Layer(key1); ok {
		t.Fatal("there before it was made")
	}
	l := commit(t, s, key1, "content", false)
	if l.Size == 0 || l.Description != "test" {
		t.Errorf("meta %+v", l.Meta)
	}
	l, ok := openAt(t, dir).Layer(key1)
	if !ok {
		t.Fatal("another store does not see it")
	}
	if data, err := os.ReadFile(filepath.Join(l.Dir(), "file")); err != nil || string(data) != "content" {
		t.Errorf("%q, %v", data, err)
	}
	if l.Inputs["a"] != "1" || l.Created.IsZero() {
		t.Errorf("meta %+v", l.Meta)
	}
	if info, _ := os.Stat(l.Dir()); info.Mode().Perm() != 0o755 {
		t.Errorf("mode of / is %v", info.Mode())
	}
	if left := tmpEntries(t, s); len(left) > 0 {
		t.Errorf("left in tmp: %v", left)
	}
}

func TestLayerKeys(t *testing.T) {
	s := open(t)
	for _, key := range []string{"", "../../../etc", "ABCDEF0123456789", "short", strings.Repeat("a", 129)} {
		if _, err := s.NewLayer(key); err == nil {
			t.Errorf("key %q taken", key)
		}
		if _, ok := s.Layer(key); ok {
			t.Errorf("key %q found", key)
		}
		if err := s.DropLayer(key); err == nil {
			t.Errorf("key %q dropped", key)
		}
	}
}

func TestLayerTwice(t *testing.T) {
	s := open(t)
	p, err := s.NewLayer(key1)
	if err != nil {
		t.Fatal(err)
	}
	commit(t, s, key1, "first", false)
	l, err := p.Commit(Meta{}, nil)
	if !errors.Is(err, ErrExists) || l == nil {
		t.Fatalf("%v, %v", l, err)
	}
	if data, _ := os.ReadFile(filepath.Join(l.Dir(), "file")); string(data) != "first" {
		t.Errorf("got %q", data)
	}
	if left := tmpEntries(t, s); len(left) > 0 {
		t.Errorf("left in tmp: %v", left)
	}
}

// Half a layer, by whatever accident, is no layer and stands in nobody's way.
func TestHalfALayer(t *testing.T) {
	for _, missing := range []string{"meta.json", "use", "tree"} {
		s := open(t)
		commit(t, s, key1, "first", false)
		s.Close()
		if err := removeTree(s.path("layers", key1, missing)); err != nil {
			t.Fatal(err)
		}
		if _, ok := s.Layer(key1); ok {
			t.Errorf("found without %s", missing)
		}
		l := commit(t, s, key1, "second", false)
		if data, _ := os.ReadFile(filepath.Join(l.Dir(), "file")); string(data) != "second" {
			t.Errorf("without %s: got %q", missing, data)
		}
		if left := tmpEntries(t, s); len(left) > 0 {
			t.Errorf("left in tmp: %v", left)
		}
	}
}

func TestLayerInUseStays(t *testing.T) {
	dir := t.TempDir()
	user, collector := openAt(t, dir), openAt(t, dir)
	commit(t, user, key1, "content", false)
	all := Policy{MaxAge: time.Nanosecond, Grace: -1}
	r, err := collector.GC(context.Background(), all)
	if err != nil || len(r.Busy) != 1 || len(r.Removed) != 0 {
		t.Fatalf("%+v, %v", r, err)
	}
	if err := collector.DropLayer(key1); err == nil {
		t.Error("dropped while in use")
	}
	if _, ok := user.Layer(key1); !ok {
		t.Fatal("gone")
	}
	user.Close()
	if r, err = collector.GC(context.Background(), all); err != nil || len(r.Removed) != 1 {
		t.Fatalf("%+v, %v", r, err)
	}
	if _, ok := collector.Layer(key1); ok {
		t.Error("still there")
	}
	if left := tmpEntries(t, collector); len(left) > 0 {
		t.Errorf("left in tmp: %v", left)
	}
}

// After a reboot a layer without the mark of a syncfs is verified, and
// dropped when it is damaged or cannot be verified.
func TestLayerAfterPowerCut(t *testing.T) {
	for _, tc := range []struct {
		name                     string
		manifest, damage, synced bool
		want                     bool
	}{
		{"whole, manifest", true, false, false, true},
		{"damaged, manifest", true, true, false, false},
		{"no manifest", false, false, false, false},
		{"synced, no manifest", false, false, true, true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			dir := t.TempDir()
			before, err := Open(dir)
			if err != nil {
				t.Fatal(err)
			}
			before.bootID = "boot 1"
			l := commit(t, before, key1, "content", tc.manifest)
			if tc.synced {
				if err := before.Sync(context.Background()); err != nil {
					t.Fatal(err)
				}
			}
			if tc.damage {
				if err := os.Truncate(filepath.Join(l.Dir(), "file"), 0); err != nil {
					t.Fatal(err)
				}
			}
			before.Close()
			after, err := Open(dir)
			if err != nil {
				t.Fatal(err)
			}
			defer after.Close()
			after.bootID = "boot 2"
			if _, ok := after.Layer(key1); ok != tc.want {
				t.Errorf("found %t, want %t", ok, tc.want)
			}
			if names, _ := readNames(after.path("layers")); (len(names) == 1) != tc.want {
				t.Errorf("layers: %v", names)
			}
		})
	}
}

func TestGC(t *testing.T) {
	ctx := context.Background()
	s := open(t)
	age := func(d Digest, hours int) {
		at := time.Now().Add(-time.Duration(hours) * time.Hour)
		if err := os.Chtimes(s.blobPath(d), at, at); err != nil {
			t.Fatal(err)
		}
	}
	a, b, c := put(t, s, strings.Repeat("a", 1000)), put(t, s, strings.Repeat("b", 1000)), put(t, s, strings.Repeat("c", 1000))
	age(a, 100)
	age(b, 50)
	age(c, 10)
	there := func(want ...Digest) {
		t.Helper()
		list, err := s.List()
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, e := range list {
			got = append(got, e.Key[:4])
		}
		var w []string
		for _, d := range want {
			w = append(w, string(d[:4]))
		}
		if strings.Join(got, " ") != strings.Join(w, " ") {
			t.Fatalf("there: %v, want %v", got, w)
		}
	}
	there(a, b, c)
	if r, err := s.GC(ctx, Policy{MaxAge: 72 * time.Hour, DryRun: true}); err != nil || len(r.Removed) != 1 || r.Freed != 1000 {
		t.Fatalf("%+v, %v", r, err)
	}
	there(a, b, c)
	if _, err := s.GC(ctx, Policy{MaxAge: 72 * time.Hour, Keep: func(e Entry) bool { return e.Key == string(a) }}); err != nil {
		t.Fatal(err)
	}
	there(a, b, c)
	if _, err := s.GC(ctx, Policy{MaxAge: 72 * time.Hour}); err != nil {
		t.Fatal(err)
	}
	there(b, c)
	if r, err := s.GC(ctx, Policy{MaxSize: 1500}); err != nil || r.Left != 1000 {
		t.Fatalf("%+v, %v", r, err)
	}
	there(c)
	s.Blob(c) // used now: in its grace
	if _, err := s.GC(ctx, Policy{MaxSize: 1}); err != nil {
		t.Fatal(err)
	}
	there(c)
}

func TestVerify(t *testing.T) {
	ctx := context.Background()
	dir := t.TempDir()
	s := openAt(t, dir)
	good, bad := put(t, s, "good"), put(t, s, "bad")
	os.WriteFile(s.blobPath(bad), []byte("worse"), 0o644)
	commit(t, s, key1, "content", true)
	l := commit(t, s, key2, "content", true)
	os.WriteFile(filepath.Join(l.Dir(), "file"), []byte("CONTENT"), 0o600)
	s.Close()

	r, err := openAt(t, dir).Verify(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if r.Blobs != 2 || r.Layers != 2 || len(r.Damaged) != 2 {
		t.Errorf("%+v", r)
	}
	for _, d := range r.Damaged {
		if !errors.Is(d.Err, ErrDigest) || !d.Removed {
			t.Errorf("%+v", d)
		}
	}
	if _, ok := s.Blob(bad); ok {
		t.Error("bad blob stayed")
	}
	if _, ok := s.Blob(good); !ok {
		t.Error("good blob went")
	}
	s = openAt(t, dir)
	if _, ok := s.Layer(key2); ok {
		t.Error("bad layer stayed")
	}
	if _, ok := s.Layer(key1); !ok {
		t.Error("good layer went")
	}
}
