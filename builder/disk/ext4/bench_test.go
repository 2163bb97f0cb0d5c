package ext4

import (
	"context"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"

	"cloudy/builder/tree"
)

// BenchmarkWrite writes the tree at CLOUDY_BENCH_ROOT, or a generated one.
func BenchmarkWrite(b *testing.B) {
	tr := torture(b)
	if root := os.Getenv("CLOUDY_BENCH_ROOT"); root != "" {
		var err error
		if tr, err = tree.Scan(root); err != nil {
			b.Fatal(err)
		}
	}
	size, err := MinSize(context.Background(), tr, testOptions(0), 64<<20)
	if err != nil {
		b.Fatal(err)
	}
	path := filepath.Join(b.TempDir(), "image")
	b.ReportMetric(float64(len(tr.Entries)), "entries")
	var before, after unix.Rusage
	unix.Getrusage(unix.RUSAGE_SELF, &before)
	for b.Loop() {
		f, err := os.Create(path)
		if err != nil {
			b.Fatal(err)
		}
		if _, err := Write(context.Background(), f, 0, tr, testOptions(size)); err != nil {
			b.Fatal(err)
		}
		f.Close()
	}
	unix.Getrusage(unix.RUSAGE_SELF, &after)
	cpu := after.Utime.Nano() + after.Stime.Nano() - before.Utime.Nano() - before.Stime.Nano()
	b.ReportMetric(float64(cpu)/1e9/float64(b.N), "cpu-s/op")
	b.ReportMetric(float64(after.Utime.Nano()-before.Utime.Nano())/1e9/float64(b.N), "user-s/op")
	b.ReportMetric(float64(after.Maxrss)/1024, "MB-rss")
	b.ReportMetric(float64(size)/1e6, "MB-min")
}
