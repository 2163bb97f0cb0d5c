package fetch

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"

	"cloudy/builder/store"
)

// A blob that has rotted in the store is not handed out, but downloaded again.
func TestDamagedBlob(t *testing.T) {
	content := map[string]string{"/a": strings.Repeat("a", 1<<20), "/b": "b", "/c": "c"}
	var asked []string
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked = append(asked, r.URL.Path)
		w.Write([]byte(content[r.URL.Path]))
	}))
	defer srv.Close()
	st, err := store.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer st.Close()
	var items []Item
	for _, name := range []string{"/a", "/b", "/c"} {
		data := []byte(content[name])
		d, err := st.PutBytes(context.Background(), data)
		if err != nil {
			t.Fatal(err)
		}
		items = append(items, Item{Name: name, URLs: []string{srv.URL + name}, SHA256: d, Size: int64(len(data))})
	}
	rot := func(i int) {
		path, _ := st.Blob(items[i].SHA256)
		data := []byte(content[items[i].Name])
		data[len(data)/2] ^= 1
		if err := os.WriteFile(path, data, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	rot(0)
	rot(2)
	if err := New(st, Config{Offline: true}).Fetch(t.Context(), items, nil); !errors.Is(err, ErrOffline) {
		t.Fatalf("offline: %v", err)
	}
	var mu sync.Mutex
	got := map[string]string{}
	err = New(st, Config{}).Fetch(t.Context(), items, func(it Item, path string) {
		data, err := os.ReadFile(path)
		if err != nil {
			t.Error(err)
		}
		mu.Lock()
		defer mu.Unlock()
		got[it.Name] = string(data)
	})
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range content {
		if got[name] != want {
			t.Errorf("%s: got %.10q", name, got[name])
		}
	}
	slices.Sort(asked)
	if want := []string{"/a", "/c"}; !slices.Equal(asked, want) {
		t.Errorf("downloaded %v, want %v", asked, want)
	}
}
