package sparse

import (
	"os"
	"path/filepath"
	"testing"
)

func TestExtents(t *testing.T) {
	f, err := os.Create(filepath.Join(t.TempDir(), "f"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if list, err := Extents(f); err != nil || len(list) != 0 {
		t.Errorf("empty file: %v, %v", list, err)
	}
	const size = 8 << 20
	if err := f.Truncate(size); err != nil {
		t.Fatal(err)
	}
	written := []int64{1 << 20, 5<<20 + 17}
	for _, at := range written {
		if _, err := f.WriteAt([]byte("data"), at); err != nil {
			t.Fatal(err)
		}
	}
	list, err := Extents(f)
	if err != nil {
		t.Fatal(err)
	}
	last := int64(0)
	for _, e := range list {
		if e.Length <= 0 || e.Offset < last || e.End() > size {
			t.Errorf("extents out of order: %v", list)
		}
		last = e.End()
	}
	for _, at := range written {
		found := false
		for _, e := range list {
			found = found || e.Offset <= at && at+4 <= e.End()
		}
		if !found {
			t.Errorf("data at %d is in no extent of %v", at, list)
		}
	}
	t.Logf("%d extents", len(list))
}
