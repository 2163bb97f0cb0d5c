package fetch

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"cloudy/builder/fail"
	"cloudy/builder/store"
)

// An interrupted download goes on in the next run, with another client.
func TestResumeInNextRun(t *testing.T) {
	data := content(1, 400_000)
	st := newStore(t)
	ctx, cancel := context.WithCancel(context.Background())
	m := newMirror(t, data, `"a"`, func(n int, w http.ResponseWriter, r *http.Request) bool {
		if n > 1 {
			return false
		}
		w.Header().Set("ETag", `"a"`)
		w.Header().Set("Content-Length", fmt.Sprint(len(data)))
		w.Write(data[:300_000])
		http.NewResponseController(w).Flush()
		for { // until the client has them
			if list, _ := st.List(); len(list) == 1 && list[0].Size >= 200_000 {
				break
			}
			time.Sleep(time.Millisecond)
		}
		cancel()
		<-r.Context().Done()
		return true
	})
	if err := New(st, quick).Fetch(ctx, []Item{item(data, m.URL)}, nil); !errors.Is(err, context.Canceled) {
		t.Fatalf("err = %v", err)
	}
	if err := New(st, quick).Fetch(context.Background(), []Item{item(data, m.URL)}, nil); err != nil {
		t.Fatal(err)
	}
	if m.ranges.Load() != 1 {
		t.Error("did not resume")
	}
}

// Two builds of the same files at once download each file once.
func TestTwoClients(t *testing.T) {
	data := content(1, 200_000)
	dir := t.TempDir()
	m := newMirror(t, data, "", func(n int, w http.ResponseWriter, r *http.Request) bool {
		time.Sleep(20 * time.Millisecond)
		return false
	})
	var wg sync.WaitGroup
	for range 3 {
		wg.Go(func() {
			st, err := store.Open(dir, store.WithoutSync())
			if err != nil {
				t.Error(err)
				return
			}
			defer st.Close()
			if err := New(st, quick).Fetch(context.Background(), []Item{item(data, m.URL)}, nil); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if n := m.requests.Load(); n != 1 {
		t.Errorf("%d requests", n)
	}
}

func TestLimit(t *testing.T) {
	data := content(1, 100_000)
	m := newMirror(t, nil, "", func(_ int, w http.ResponseWriter, r *http.Request) bool {
		w.Header().Set("Content-Length", fmt.Sprint(len(data)))
		for _, b := range data { // never stalls, never ends
			if _, err := w.Write([]byte{b}); err != nil {
				break
			}
			http.NewResponseController(w).Flush()
			time.Sleep(5 * time.Millisecond)
		}
		return true
	})
	cfg := quick
	cfg.Limit = 100 * time.Millisecond
	err := New(newStore(t), cfg).Fetch(context.Background(), []Item{item(data, m.URL)}, nil)
	if !errors.Is(err, ErrStalled) || fail.KindOf(err) != fail.Network {
		t.Errorf("err = %v (%v)", err, fail.KindOf(err))
	}
}

func TestFileMirror(t *testing.T) {
	data := content(1, 5000)
	dir := filepath.Join(t.TempDir(), "a b%c")
	os.Mkdir(dir, 0o755)
	os.WriteFile(filepath.Join(dir, "good"), data, 0o644)
	os.WriteFile(filepath.Join(dir, "bad"), data[1:], 0o644)
	base := "file://" + strings.ReplaceAll(strings.ReplaceAll(dir, "%", "%25"), " ", "%20")
	st := newStore(t)
	c := New(st, quick)
	if err := c.Fetch(context.Background(), []Item{item(data, base+"/missing", base+"/bad", base, base+"/good")}, nil); err != nil {
		t.Fatal(err)
	}
	other := content(2, 10)
	if err := c.Fetch(context.Background(), []Item{item(other, base+"/missing")}, nil); !errors.Is(err, ErrNotFound) {
		t.Errorf("err = %v", err)
	}
	if resp, err := c.Get(context.Background(), Request{URL: base + "/good"}); err != nil || !bytes.Equal(resp.Data, data) {
		t.Errorf("Get: %v", err)
	}
	if _, err := c.Get(context.Background(), Request{URL: base + "/missing"}); !errors.Is(err, ErrNotFound) {
		t.Errorf("Get: %v", err)
	}
	if err := c.Fetch(context.Background(), []Item{item(other, "ftp://example.org/x")}, nil); err == nil {
		t.Error("ftp taken")
	}
}

func TestOffline(t *testing.T) {
	data := content(1, 10)
	m := newMirror(t, data, "", nil)
	st := newStore(t)
	c := New(st, Config{Offline: true})
	if err := c.Fetch(context.Background(), []Item{item(data, m.URL)}, nil); !errors.Is(err, ErrOffline) {
		t.Errorf("err = %v", err)
	}
	if _, err := c.Get(context.Background(), Request{URL: m.URL}); !errors.Is(err, ErrOffline) {
		t.Errorf("err = %v", err)
	}
	if m.requests.Load() != 0 {
		t.Error("asked the network")
	}
	st.PutBytes(context.Background(), data)
	if err := c.Fetch(context.Background(), []Item{item(data, m.URL)}, nil); err != nil {
		t.Error(err)
	}
}

func TestGet(t *testing.T) {
	data := content(1, 1000)
	m := newMirror(t, data, `"a"`, func(n int, w http.ResponseWriter, r *http.Request) bool {
		if n == 1 {
			w.WriteHeader(503)
		}
		return n == 1
	})
	c := New(newStore(t), quick)
	resp, err := c.Get(context.Background(), Request{URL: m.URL})
	if err != nil || !bytes.Equal(resp.Data, data) || resp.ETag != `"a"` {
		t.Fatalf("%+v, %v", resp, err)
	}
	resp, err = c.Get(context.Background(), Request{URL: m.URL, ETag: `"a"`})
	if err != nil || !resp.NotModified || resp.Data != nil {
		t.Errorf("%+v, %v", resp, err)
	}
	if _, err := c.Get(context.Background(), Request{URL: m.URL, MaxSize: 999}); err == nil {
		t.Error("took more than MaxSize")
	}
}

func TestProxyFromEnvironment(t *testing.T) {
	// http.ProxyFromEnvironment reads the environment once for a process, so
	// what can be shown here is that the transport asks it.
	tr := New(newStore(t), Config{}).http.Transport.(*http.Transport)
	if tr.Proxy == nil {
		t.Error("no proxy function")
	}
}

func TestSecretsAreHidden(t *testing.T) {
	dead := httptest.NewServer(nil)
	dead.Close()
	u := strings.Replace(dead.URL, "http://", "http://user:secret@", 1)
	err := New(newStore(t), quick).Fetch(context.Background(), []Item{item([]byte("x"), u)}, nil)
	_, gerr := New(newStore(t), quick).Get(context.Background(), Request{URL: u})
	for _, e := range []error{err, gerr} {
		if e == nil || strings.Contains(e.Error(), "secret") {
			t.Errorf("error: %v", e)
		}
	}
}

func TestParseContentRange(t *testing.T) {
	for text, want := range map[string][2]int64{
		"bytes 10-99/100":  {10, 100},
		"bytes 10-99/*":    {10, -1},
		"bytes 10-100/100": {-1, 0}, "bytes 10-9/100": {-1, 0}, "10-99/100": {-1, 0}, "bytes */100": {-1, 0},
		"": {-1, 0}, "bytes -1-99/100": {-1, 0}, "bytes 10-99": {-1, 0},
	} {
		start, total, err := parseContentRange(text)
		if (err != nil) != (want[0] < 0) || (err == nil && (start != want[0] || total != want[1])) {
			t.Errorf("%q: %d, %d, %v", text, start, total, err)
		}
	}
}

func TestParseRetryAfter(t *testing.T) {
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	for text, want := range map[string]time.Duration{
		"7": 7 * time.Second, "Thu, 01 Jan 2026 00:01:00 GMT": time.Minute, "Wed, 31 Dec 2025 00:00:00 GMT": 0, "x": -1, "": -1, "-3": -1,
	} {
		got, ok := parseRetryAfter(text, now)
		if ok != (want >= 0) || (ok && got != want) {
			t.Errorf("%q: %v, %t", text, got, ok)
		}
	}
}
