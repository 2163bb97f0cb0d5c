package fetch

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"cloudy/builder/fail"
	"cloudy/builder/progress"
	"cloudy/builder/store"
)

// content is the same bytes for the same seed.
func content(seed uint64, n int) []byte {
	r := rand.New(rand.NewPCG(seed, 1))
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(r.Uint32())
	}
	return b
}

// quick has no time to lose between tries; a busy machine may well be silent
// for a while.
var quick = Config{Pause: time.Millisecond, Stall: 3 * time.Minute, Tries: 3}

func newStore(t *testing.T) *store.Store {
	t.Helper()
	st, err := store.Open(t.TempDir(), store.WithoutSync())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { st.Close() })
	return st
}

func item(data []byte, urls ...string) Item {
	return Item{Name: "file", URLs: urls, SHA256: store.DigestOf(data), Size: int64(len(data))}
}

// steps counts what the progress said.
type steps struct {
	mu   sync.Mutex
	last progress.Event
}

func (s *steps) Event(e progress.Event) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.last = e
}

// mirror serves one file through a handler that each request can misuse.
type mirror struct {
	*httptest.Server
	requests atomic.Int32
	ranges   atomic.Int32
}

// newMirror calls handle with the number of the request, from 1. When it
// returns false, the file is served as it should be.
func newMirror(t *testing.T, data []byte, etag string, handle func(n int, w http.ResponseWriter, r *http.Request) bool) *mirror {
	t.Helper()
	m := &mirror{}
	m.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		n := int(m.requests.Add(1))
		if r.Header.Get("Range") != "" {
			m.ranges.Add(1)
		}
		if handle != nil && handle(n, w, r) {
			return
		}
		if etag != "" {
			w.Header().Set("ETag", etag)
		}
		http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(data))
	}))
	t.Cleanup(m.Close)
	return m
}

// hangUp ends the connection in the middle of an answer.
func hangUp(w http.ResponseWriter) {
	http.NewResponseController(w).Flush()
	conn, _, err := http.NewResponseController(w).Hijack()
	if err == nil {
		if tcp, ok := conn.(*net.TCPConn); ok {
			tcp.SetLinger(0) // a reset, not a polite end
		}
		conn.Close()
	}
}

// half sends the head of an answer for all of data and half of the bytes.
func half(w http.ResponseWriter, data []byte, etag string) {
	if etag != "" {
		w.Header().Set("ETag", etag)
	}
	w.Header().Set("Accept-Ranges", "bytes")
	w.Header().Set("Content-Length", fmt.Sprint(len(data)))
	w.WriteHeader(http.StatusOK)
	w.Write(data[:len(data)/2])
	hangUp(w)
}

func TestFetch(t *testing.T) {
	st := newStore(t)
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var n int
		fmt.Sscanf(r.URL.Path, "/%d", &n)
		w.Write(content(uint64(n), 1000*n))
	}))
	defer srv.Close()
	var items []Item
	total := int64(0)
	for i := range 40 {
		it := item(content(uint64(i), 1000*i), fmt.Sprintf("%s/%d", srv.URL, i))
		items = append(items, it)
		total += it.Size
	}
	items = append(items, items[7]) // twice
	sink := &steps{}
	ctx := progress.With(context.Background(), sink)
	var mu sync.Mutex
	ready := map[store.Digest]int{}
	done := func(it Item, path string) {
		mu.Lock()
		defer mu.Unlock()
		ready[it.SHA256]++
		if info, err := os.Stat(path); err != nil || info.Size() != it.Size {
			t.Errorf("%v: %v", it, err)
		}
	}
	c := New(st, quick)
	if err := c.Fetch(ctx, items, done); err != nil {
		t.Fatal(err)
	}
	if len(ready) != 40 || ready[items[7].SHA256] != 2 {
		t.Errorf("ready: %d, the doubled one %d times", len(ready), ready[items[7].SHA256])
	}
	if sink.last.Kind != progress.Done || sink.last.Done != total || sink.last.Total != total {
		t.Errorf("progress ended with %+v, want %d bytes", sink.last, total)
	}
	srv.Close() // all is in the store now
	if err := c.Fetch(ctx, items, done); err != nil || sink.last.Kind != progress.Cached {
		t.Errorf("second time: %v, %+v", err, sink.last)
	}
}

// Each of these servers does something wrong at first and the file arrives all the same.
func TestHealed(t *testing.T) {
	data := content(1, 300_000)
	type handler = func(n int, w http.ResponseWriter, r *http.Request) bool
	status := func(code int, header ...string) handler {
		return func(n int, w http.ResponseWriter, r *http.Request) bool {
			if n > 2 {
				return false
			}
			for i := 0; i < len(header); i += 2 {
				w.Header().Set(header[i], header[i+1])
			}
			w.WriteHeader(code)
			return true
		}
	}
	for _, tc := range []struct {
		name     string
		etag     string
		handle   handler
		requests int
		ranges   int
	}{
		{"good", "", nil, 1, 0},
		{"500 twice", "", status(500), 3, 0},
		{"502 twice", "", status(502), 3, 0},
		{"429 with Retry-After 0", "", status(429, "Retry-After", "0"), 3, 0},
		{"503 with a date", "", status(503, "Retry-After", "Thu, 01 Jan 1970 00:00:00 GMT"), 3, 0},
		{"reset in the middle, with ETag", `"a"`, func(n int, w http.ResponseWriter, r *http.Request) bool {
			if n == 1 {
				half(w, data, `"a"`)
			} else if r.Header.Get("If-Range") != `"a"` {
				t.Errorf("If-Range %q", r.Header.Get("If-Range"))
			}
			return n == 1
		}, 2, 1},
		{"reset in the middle, without validators", "", func(n int, w http.ResponseWriter, r *http.Request) bool {
			if n == 1 {
				half(w, data, "")
			}
			return n == 1
		}, 2, 1},
		{"weak ETag is no If-Range", `W/"a"`, func(n int, w http.ResponseWriter, r *http.Request) bool {
			if n == 1 {
				half(w, data, `W/"a"`)
			} else if r.Header.Get("If-Range") != "" {
				t.Errorf("If-Range %q", r.Header.Get("If-Range"))
			}
			return n == 1
		}, 2, 1},
		{"reset five times, with progress", `"a"`, func(n int, w http.ResponseWriter, r *http.Request) bool {
			if n > 5 {
				return false
			}
			from := 0
			fmt.Sscanf(r.Header.Get("Range"), "bytes=%d-", &from)
			w.Header().Set("ETag", `"a"`)
			w.Header().Set("Content-Length", fmt.Sprint(len(data)-from))
			if from > 0 {
				w.Header().Set("Content-Range", fmt.Sprintf("bytes %d-%d/%d", from, len(data)-1, len(data)))
				w.WriteHeader(206)
			}
			w.Write(data[from : from+1000])
			hangUp(w)
			return true
		}, 6, 5},
		{"ETag changed: the old half is not used", `"b"`, func(n int, w http.ResponseWriter, r *http.Request) bool {
			if n == 1 {
				half(w, content(2, len(data)), `"a"`)
			}
			return n == 1
		}, 2, 1},
		{"206 with another ETag", "", func(n int, w http.ResponseWriter, r *http.Request) bool {
			switch n {
			case 1:
				half(w, content(2, len(data)), `"a"`)
			case 2:
				w.Header().Set("ETag", `"b"`)
				w.Header().Set("Content-Range", fmt.Sprintf("bytes %d-%d/%d", len(data)/2, len(data)-1, len(data)))
				w.WriteHeader(206)
				w.Write(data[len(data)/2:])
			}
			return n <= 2
		}, 3, 1},
		{"206 from another place", "", func(n int, w http.ResponseWriter, r *http.Request) bool {
			switch n {
			case 1:
				half(w, data, "")
			case 2:
				w.Header().Set("Content-Range", fmt.Sprintf("bytes 0-%d/%d", len(data)-1, len(data)))
				w.WriteHeader(206)
				w.Write(data)
			}
			return n <= 2
		}, 3, 1},
		{"206 without Content-Range", "", func(n int, w http.ResponseWriter, r *http.Request) bool {
			switch n {
			case 1:
				half(w, data, "")
			case 2:
				w.WriteHeader(206)
				w.Write(data[len(data)/2:])
			}
			return n <= 2
		}, 3, 1},
		{"no ranges: 200 with everything", "", func(n int, w http.ResponseWriter, r *http.Request) bool {
			if n == 1 {
				half(w, data, "")
			} else {
				w.Write(data)
			}
			return true
		}, 2, 1},
		{"416", "", func(n int, w http.ResponseWriter, r *http.Request) bool {
			switch n {
			case 1:
				half(w, data, "")
			case 2:
				w.WriteHeader(416)
			}
			return n <= 2
		}, 3, 1},
		{"bad first half is found and thrown away", "", func(n int, w http.ResponseWriter, r *http.Request) bool {
			if n == 1 {
				half(w, content(2, len(data)), "")
			}
			return n == 1
		}, 3, 1},
		{"short without Content-Length", "", func(n int, w http.ResponseWriter, r *http.Request) bool {
			if n == 1 {
				http.NewResponseController(w).Flush()
				w.Write(data[:1000])
			}
			return n == 1
		}, 2, 1},
		{"stalls before the answer", "", func(n int, w http.ResponseWriter, r *http.Request) bool {
			if n == 1 {
				<-r.Context().Done()
			}
			return n == 1
		}, 2, 0},
		{"stalls in the middle", "", func(n int, w http.ResponseWriter, r *http.Request) bool {
			if n == 1 {
				w.Header().Set("Content-Length", fmt.Sprint(len(data)))
				w.Write(data[:1000])
				http.NewResponseController(w).Flush()
				<-r.Context().Done()
			}
			return n == 1
		}, 2, 1},
		{"redirect", "", func(n int, w http.ResponseWriter, r *http.Request) bool {
			if n == 1 {
				http.Redirect(w, r, "/elsewhere", http.StatusFound)
			}
			return n == 1
		}, 2, 0},
	} {
		t.Run(tc.name, func(t *testing.T) {
			m := newMirror(t, data, tc.etag, tc.handle)
			st := newStore(t)
			sink := &steps{}
			ctx := progress.With(context.Background(), sink)
			cfg := quick
			if strings.HasPrefix(tc.name, "stalls") {
				cfg.Stall = 2 * time.Second // only the first request's is wanted
			}
			if err := New(st, cfg).Fetch(ctx, []Item{item(data, m.URL)}, nil); err != nil {
				t.Fatal(err)
			}
			if got, err := st.ReadBlob(store.DigestOf(data)); err != nil || !bytes.Equal(got, data) {
				t.Errorf("stored: %v", err)
			}
			if r, g := int(m.requests.Load()), int(m.ranges.Load()); r != tc.requests || g != tc.ranges {
				t.Errorf("%d requests, %d with Range; want %d, %d", r, g, tc.requests, tc.ranges)
			}
			if sink.last.Done != int64(len(data)) {
				t.Errorf("progress ended at %d of %d bytes", sink.last.Done, len(data))
			}
		})
	}
}

// Each of these mirrors is no good; the second one is.
func TestNextMirror(t *testing.T) {
	data := content(1, 100_000)
	dead := httptest.NewServer(nil)
	dead.Close()
	for name, handle := range map[string]func(n int, w http.ResponseWriter, r *http.Request) bool{
		"404":         func(_ int, w http.ResponseWriter, _ *http.Request) bool { w.WriteHeader(404); return true },
		"403":         func(_ int, w http.ResponseWriter, _ *http.Request) bool { w.WriteHeader(403); return true },
		"always 500":  func(_ int, w http.ResponseWriter, _ *http.Request) bool { w.WriteHeader(500); return true },
		"other bytes": func(_ int, w http.ResponseWriter, _ *http.Request) bool { w.Write(content(2, len(data))); return true },
		"other size":  func(_ int, w http.ResponseWriter, _ *http.Request) bool { w.Write(data[:99_999]); return true },
		"portal page": func(_ int, w http.ResponseWriter, _ *http.Request) bool {
			io.WriteString(w, "<html>log in")
			return true
		},
		"endless": func(_ int, w http.ResponseWriter, r *http.Request) bool {
			for r.Context().Err() == nil {
				if _, err := w.Write(data); err != nil {
					break
				}
			}
			return true
		},
		"redirects for ever": func(_ int, w http.ResponseWriter, r *http.Request) bool {
			http.Redirect(w, r, r.URL.Path, http.StatusFound)
			return true
		},
	} {
		t.Run(name, func(t *testing.T) {
			bad, good := newMirror(t, nil, "", handle), newMirror(t, data, "", nil)
			st := newStore(t)
			if err := New(st, quick).Fetch(context.Background(), []Item{item(data, bad.URL, good.URL)}, nil); err != nil {
				t.Fatal(err)
			}
			if good.requests.Load() != 1 {
				t.Errorf("%d requests to the good mirror", good.requests.Load())
			}
			if _, ok := st.Blob(store.DigestOf(data)); !ok {
				t.Error("not stored")
			}
		})
	}
	good := newMirror(t, data, "", nil)
	if err := New(newStore(t), quick).Fetch(context.Background(), []Item{item(data, dead.URL, good.URL)}, nil); err != nil {
		t.Errorf("dead mirror first: %v", err)
	}
}

func TestErrors(t *testing.T) {
	data := content(1, 1000)
	for _, tc := range []struct {
		name   string
		handle func(n int, w http.ResponseWriter, r *http.Request) bool
		want   error
		hint   string
	}{
		{"404", func(_ int, w http.ResponseWriter, _ *http.Request) bool { w.WriteHeader(404); return true }, ErrNotFound, "lock --upgrade"},
		{"hash", func(_ int, w http.ResponseWriter, _ *http.Request) bool { w.Write(content(2, 1000)); return true }, ErrHash, "damaged"},
		{"size", func(_ int, w http.ResponseWriter, _ *http.Request) bool { w.Write(data[1:]); return true }, ErrHash, "damaged"},
		{"stall", func(_ int, w http.ResponseWriter, r *http.Request) bool { <-r.Context().Done(); return true }, ErrStalled, "--mirror"},
		{"500", func(_ int, w http.ResponseWriter, r *http.Request) bool { w.WriteHeader(500); return true }, nil, "--mirror"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			m := newMirror(t, nil, "", tc.handle)
			st := newStore(t)
			cfg := quick
			if tc.want == ErrStalled {
				cfg.Stall = 200 * time.Millisecond
			}
			err := New(st, cfg).Fetch(context.Background(), []Item{item(data, m.URL+"/x", m.URL+"/y")}, nil)
			if err == nil || (tc.want != nil && !errors.Is(err, tc.want)) {
				t.Fatalf("err = %v", err)
			}
			if fail.KindOf(err) != fail.Network || !strings.Contains(fail.HintOf(err), tc.hint) {
				t.Errorf("kind %v, hint %q", fail.KindOf(err), fail.HintOf(err))
			}
			for _, want := range []string{"file", m.URL + "/x", m.URL + "/y"} {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("error does not name %s: %v", want, err)
				}
			}
			if list, _ := st.List(); len(list) != 0 {
				t.Errorf("left in the store: %+v", list)
			}
		})
	}
}

// Of a lock that is out of date, all missing files are named and the others come.
func TestManyMissing(t *testing.T) {
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.Contains(r.URL.Path, "gone") {
			w.WriteHeader(404)
			return
		}
		io.WriteString(w, r.URL.Path)
	}))
	defer srv.Close()
	var items []Item
	for i := range 12 {
		name := fmt.Sprintf("/good%d", i)
		if i%4 == 0 {
			name = fmt.Sprintf("/gone%d", i)
		}
		it := item([]byte(name), srv.URL+name)
		it.Name = name[1:]
		items = append(items, it)
	}
	st := newStore(t)
	err := New(st, quick).Fetch(context.Background(), items, nil)
	for _, want := range []string{"gone0", "gone4", "gone8"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error does not name %s: %v", want, err)
		}
	}
	for _, it := range items {
		if _, ok := st.Blob(it.SHA256); ok != strings.HasPrefix(it.Name, "good") {
			t.Errorf("%s stored: %t", it.Name, ok)
		}
	}
}
