package ext4

import (
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"os"
	"slices"
	"testing"

	"cloudy/builder/tree"
)

// describe is an entry as text, with the hash of its content.
func describe(t testing.TB, e *tree.Entry, open func(*tree.Entry) (io.Reader, error)) string {
	t.Helper()
	s := fmt.Sprintf("%q %c %o %d:%d", e.Path, e.Type, e.Mode, e.UID, e.GID)
	if e.Type == tree.Hardlink {
		return fmt.Sprintf("%q h %q", e.Path, e.Link)
	}
	s += fmt.Sprintf(" %s size %d link %.20q/%d dev %d:%d", e.MTime.UTC().Format("2006-01-02T15:04:05.999999999"), e.Size, e.Link, len(e.Link), e.Major, e.Minor)
	for _, x := range e.Xattrs {
		s += fmt.Sprintf(" %s=%x", x.Name, sha256.Sum256(x.Value))
	}
	if e.Type == tree.File && e.Size < 1<<30 {
		r, err := open(e)
		if err != nil {
			t.Fatal(err)
		}
		h := sha256.New()
		n, err := io.Copy(h, r)
		if err != nil || n != e.Size {
			t.Fatalf("%s: read %d of %d bytes: %v", e.Path, n, e.Size, err)
		}
		if c, ok := r.(io.Closer); ok {
			c.Close()
		}
		s += fmt.Sprintf(" %x", h.Sum(nil)[:8])
	}
	return s
}

func fromTree(e *tree.Entry) (io.Reader, error) { return e.Open() }

// same compares two trees by what describe says; lost+found is left out.
func same(t testing.TB, want, got *tree.Tree, open func(*tree.Entry) (io.Reader, error)) {
	t.Helper()
	var lines [2][]string
	for i := range want.Entries {
		lines[0] = append(lines[0], describe(t, &want.Entries[i], fromTree))
	}
	for i := range got.Entries {
		if got.Entries[i].Path != lostFoundName {
			lines[1] = append(lines[1], describe(t, &got.Entries[i], open))
		}
	}
	bad := 0
	for _, l := range diff(lines[0], lines[1]) {
		if bad++; bad > 10 {
			break
		}
		t.Error(l)
	}
}

// diff lists the lines that only one side has.
func diff(want, got []string) []string {
	var out []string
	slices.Sort(want)
	slices.Sort(got)
	for len(want) > 0 || len(got) > 0 {
		switch {
		case len(got) == 0 || len(want) > 0 && want[0] < got[0]:
			out = append(out, "missing: "+want[0])
			want = want[1:]
		case len(want) == 0 || got[0] < want[0]:
			out = append(out, "surplus: "+got[0])
			got = got[1:]
		default:
			want, got = want[1:], got[1:]
		}
	}
	return out
}

// openImage opens an image file for reading.
func openImage(t testing.TB, path string, off int64) (*Image, *tree.Tree) {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	m, err := Open(f, off)
	if err != nil {
		t.Fatal(err)
	}
	tr, err := m.Tree(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	return m, tr
}

func fromImage(m *Image) func(*tree.Entry) (io.Reader, error) {
	return func(e *tree.Entry) (io.Reader, error) { return m.File(e.Path) }
}

func TestReadBack(t *testing.T) {
	want := torture(t)
	const off = 1<<20 + 512
	path := writeImage(t, want, testOptions(600<<20), off)
	fsck(t, path, off)
	m, got := openImage(t, path, off)
	same(t, want, got, fromImage(m))
	if m.Label != "cloudy" || m.UUID != testOptions(0).UUID {
		t.Errorf("label %q, UUID %x", m.Label, m.UUID)
	}

	// The sparse file, at the places where there is data and at one where not.
	r, err := m.File("sizes/sparse")
	if err != nil {
		t.Fatal(err)
	}
	src, err := want.Find("sizes/sparse").Open()
	if err != nil {
		t.Fatal(err)
	}
	defer src.Close()
	for _, at := range []int64{0, 1 << 20, 1<<30 + 4096*3 - 10, 2<<30 - 4096, 3<<30 - 100} {
		a, b := make([]byte, 100), make([]byte, 100)
		if _, err := src.(*os.File).ReadAt(a, at); err != nil {
			t.Fatal(err)
		}
		if _, err := r.ReadAt(b, at); err != nil && err != io.EOF {
			t.Fatal(err)
		}
		if !bytes.Equal(a, b) {
			t.Errorf("sparse file differs at %d", at)
		}
	}
}
