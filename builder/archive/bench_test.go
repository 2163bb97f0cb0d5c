package archive

import (
	"context"
	"testing"

	"cloudy/builder/store"
)

// BenchmarkLoad loads trixie's indexes from their decoded copies.
func BenchmarkLoad(b *testing.B) {
	m, err := FindMirrors(MirrorConfig{AptDir: "/etc/apt"})
	if err != nil {
		b.Fatal(err)
	}
	st, err := store.Open(b.TempDir())
	if err != nil {
		b.Fatal(err)
	}
	defer st.Close()
	x, err := Update(context.Background(), st, realSources(), m, Options{})
	if err != nil {
		b.Skip(err)
	}
	if _, err := x.Packages(context.Background()); err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := x.Packages(context.Background()); err != nil {
			b.Fatal(err)
		}
	}
}
