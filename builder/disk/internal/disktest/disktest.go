// Package disktest helps the tests of disk formats.
package disktest

import (
	"bytes"
	"crypto/sha256"
	"io"
	"math/rand"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// Missing skips a test, or fails it where everything must run.
func Missing(t testing.TB, why string) {
	t.Helper()
	if os.Getenv("CLOUDY_REQUIRE_ALL") != "" {
		t.Fatal(why)
	}
	t.Skip(why)
}

// Need skips a test where a program is not installed.
func Need(t testing.TB, programs ...string) {
	t.Helper()
	for _, p := range programs {
		if _, err := exec.LookPath(p); err != nil {
			Missing(t, p+" is not installed")
		}
	}
}

// Run runs a judge, which must be content, and returns what it says.
func Run(t testing.TB, name string, args ...string) string {
	t.Helper()
	out, err := exec.Command(name, args...).CombinedOutput()
	if err != nil {
		t.Errorf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
	}
	return string(out)
}

// Disk makes a sparse file with text, noise, zeros that are data, and holes.
func Disk(t testing.TB, size int64) *os.File {
	t.Helper()
	f := Create(t, "disk.raw")
	if err := f.Truncate(size); err != nil {
		t.Fatal(err)
	}
	rnd := rand.New(rand.NewSource(1))
	put := func(b []byte, at int64) {
		if at+int64(len(b)) > size {
			return
		}
		if _, err := f.WriteAt(b, at); err != nil {
			t.Fatal(err)
		}
	}
	noise := make([]byte, 300_000)
	rnd.Read(noise)
	text := bytes.Repeat([]byte("the same line again and again, number "), 40_000)
	for i := range text {
		if rnd.Intn(50) == 0 {
			text[i] = byte(rnd.Intn(256))
		}
	}
	put([]byte("boot"), 0)
	put(noise, 1<<20)
	put(text, 2<<20+12345)
	put(make([]byte, 5<<16), 8<<20)
	put(text, 600<<20) // behind where a table of any format ends
	put(noise, 700<<20+511)
	put(text, 701<<20)
	put([]byte("end"), size-3)
	return f
}

// Dense copies a disk without its holes.
func Dense(t testing.TB, src *os.File) *os.File {
	t.Helper()
	info, err := src.Stat()
	if err != nil {
		t.Fatal(err)
	}
	f := Create(t, "dense.raw")
	if _, err := io.Copy(struct{ io.Writer }{f}, io.NewSectionReader(src, 0, info.Size())); err != nil {
		t.Fatal(err)
	}
	return f
}

// Create makes a file in a folder of its own.
func Create(t testing.TB, name string) *os.File {
	t.Helper()
	f, err := os.Create(filepath.Join(t.TempDir(), name))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return f
}

// Same holds that a reader reads what is in a file.
func Same(t testing.TB, raw *os.File, got io.ReaderAt, size int64) {
	t.Helper()
	info, err := raw.Stat()
	if err != nil {
		t.Fatal(err)
	}
	if size != info.Size() {
		t.Errorf("size %d, want %d", size, info.Size())
	}
	var sums [2][32]byte
	for i, r := range []io.ReaderAt{raw, got} {
		h := sha256.New()
		if _, err := io.CopyBuffer(struct{ io.Writer }{h}, io.NewSectionReader(r, 0, info.Size()), make([]byte, 777_777)); err != nil {
			t.Fatal(err)
		}
		sums[i] = [32]byte(h.Sum(nil))
	}
	if sums[0] != sums[1] {
		t.Error("the reader reads something else")
	}
}
