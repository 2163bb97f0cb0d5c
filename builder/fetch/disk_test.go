package fetch

import (
	"context"
	"errors"
	"os"
	"testing"

	"golang.org/x/sys/unix"

	"cloudy/builder/fail"
	"cloudy/builder/store"
)

// A full disk is the host's fault: no mirror is tried again, and the error says so.
func TestFullDisk(t *testing.T) {
	dir := t.TempDir()
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, "size=256k"); err != nil {
		if os.Getenv("CLOUDY_REQUIRE_ALL") != "" {
			t.Fatal(err)
		}
		t.Skip("cannot mount a tmpfs: ", err)
	}
	defer unix.Unmount(dir, unix.MNT_DETACH)
	st, err := store.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer st.Close()
	data := content(1, 1<<20)
	m := newMirror(t, data, "", nil)
	err = New(st, quick).Fetch(context.Background(), []Item{item(data, m.URL, m.URL+"/again")}, nil)
	if !errors.Is(err, unix.ENOSPC) || fail.KindOf(err) != fail.Host || fail.HintOf(err) == "" {
		t.Errorf("err = %v (%v, %q)", err, fail.KindOf(err), fail.HintOf(err))
	}
	if n := m.requests.Load(); n != 1 {
		t.Errorf("%d requests", n)
	}
	if _, ok := st.Blob(store.DigestOf(data)); ok {
		t.Error("half a blob is in the store")
	}
}
