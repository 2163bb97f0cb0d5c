package tree

import (
	"math/rand/v2"
	"reflect"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func TestListing(t *testing.T) {
	dir := t.TempDir()
	write(t, dir+"/a/file", "content")
	write(t, dir+"/name with\nnewline", "")
	must(t, unix.Symlink("file", dir+"/a/link"), unix.Link(dir+"/a/file", dir+"/b"), unix.Mkfifo(dir+"/fifo", 0o600))
	old := unix.NsecToTimespec(time.Date(1932, 1, 2, 3, 4, 5, 999999999, time.UTC).UnixNano())
	must(t, unix.UtimesNanoAt(unix.AT_FDCWD, dir+"/b", []unix.Timespec{old, old}, 0))
	want, err := ScanLayer(dir)
	must(t, err)
	want.Entries = append(want.Entries,
		Entry{Path: "xattr", Type: Dir, UID: 1<<32 - 2, MTime: time.Unix(0, 0).UTC(), Xattrs: []Xattr{{"user.a", []byte("1")}, {"user.b", []byte{}}}},
		Entry{Path: "zdev", Type: Block, Mode: 0o660, Major: 259, Minor: 1 << 19, MTime: time.Unix(1, 2).UTC()})
	data := want.Listing()
	got, err := ReadListing(data, dir)
	must(t, err)
	if !reflect.DeepEqual(got, want) {
		t.Errorf("read back:\n%+v\nwanted:\n%+v", got, want)
	}
	if got, err := ReadListing((&Tree{}).Listing(), dir); err != nil || len(got.Entries) != 0 {
		t.Errorf("empty: %v %v", got, err)
	}
	for n := range data {
		if _, err := ReadListing(data[:n], dir); err == nil {
			t.Fatalf("the first %d of %d bytes pass", n, len(data))
		}
	}
	r := rand.New(rand.NewPCG(1, 2))
	for range 1000 {
		bad := append([]byte(nil), data...)
		bad[r.IntN(len(bad))] ^= 1 << r.IntN(8)
		if _, err := ReadListing(bad, dir); err == nil {
			t.Fatal("a changed bit passes")
		}
	}
}

// FuzzReadListing looks behind the checksum, which is of no use against who
// makes one.
func FuzzReadListing(f *testing.F) {
	f.Add((&Tree{Entries: []Entry{{Path: "a", Type: File, Size: 3, Xattrs: []Xattr{{"user.a", []byte("b")}}}}}).Listing()[:40])
	f.Fuzz(func(t *testing.T, data []byte) {
		got, err := ReadListing(sealed(data), "/layer")
		if err != nil {
			return
		}
		again, err := ReadListing(got.Listing(), "/layer")
		if err != nil || len(again.Entries) != len(got.Entries) {
			t.Errorf("%d entries, then %d, %v", len(got.Entries), len(again.Entries), err)
		}
	})
}
