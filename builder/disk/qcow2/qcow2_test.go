package qcow2

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"math/rand"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
)

func missing(t *testing.T, why string) {
	t.Helper()
	if os.Getenv("CLOUDY_REQUIRE_ALL") != "" {
		t.Fatal(why)
	}
	t.Skip(why)
}

// disk makes a sparse file with text, noise, zeros that are data, and holes.
func disk(t testing.TB, size int64) *os.File {
	t.Helper()
	f, err := os.Create(filepath.Join(t.TempDir(), "disk.raw"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
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
	put(make([]byte, 5*clusterSize), 8<<20)
	put(text, 600<<20) // another table of the second level
	put(noise, 700<<20+511)
	put(text, 701<<20)
	put([]byte("end"), size-3)
	return f
}

func convert(t testing.TB, src *os.File, o Options) *os.File {
	t.Helper()
	out, err := os.Create(filepath.Join(t.TempDir(), "disk.qcow2"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { out.Close() })
	if err := Write(t.Context(), out, src, o); err != nil {
		t.Fatal(err)
	}
	return out
}

func TestJudges(t *testing.T) {
	if _, err := exec.LookPath("qemu-img"); err != nil {
		missing(t, "qemu-img is not installed")
	}
	for _, size := range []int64{512, clusterSize, 16<<20 + 512, 1<<30 + 512} {
		for _, c := range []Compression{"", Zlib, None} {
			if size > 1<<30 && c == Zlib {
				continue // the tables are no other than with zstd
			}
			t.Run(fmt.Sprintf("%d %s", size, c), func(t *testing.T) {
				src := disk(t, size)
				out := convert(t, src, Options{Compression: c})
				for _, args := range [][]string{
					{"check", "-f", "qcow2", out.Name()},
					{"compare", "-f", "raw", "-F", "qcow2", src.Name(), out.Name()},
				} {
					msg, err := exec.Command("qemu-img", args...).CombinedOutput()
					if err != nil || !strings.Contains(string(msg), "No errors") && !strings.Contains(string(msg), "identical") || strings.Contains(string(msg), "leak") {
						t.Errorf("qemu-img %s: %v\n%s", args[0], err, msg)
					}
				}
				if size > clusterSize && (size < 1<<30 || c == "") {
					same(t, src, out)
				}
			})
		}
	}
}

// same holds our reader against the raw file.
func same(t *testing.T, raw, packed *os.File) {
	t.Helper()
	im, err := Open(packed)
	if err != nil {
		t.Fatal(err)
	}
	info, err := raw.Stat()
	if err != nil {
		t.Fatal(err)
	}
	if im.Size() != info.Size() {
		t.Errorf("size %d, want %d", im.Size(), info.Size())
	}
	var sums [2][32]byte
	for i, r := range []io.ReaderAt{raw, im} {
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

// TestReadsQEMU lets the reader read what qemu-img wrote.
func TestReadsQEMU(t *testing.T) {
	if _, err := exec.LookPath("qemu-img"); err != nil {
		missing(t, "qemu-img is not installed")
	}
	src := disk(t, 64<<20)
	for _, opts := range []string{"compat=v3", "compat=0.10", "cluster_size=4096", "cluster_size=2M,compression_type=zstd"} {
		for _, c := range []string{"-c", "-p"} {
			out := filepath.Join(t.TempDir(), "q")
			if msg, err := exec.Command("qemu-img", "convert", c, "-f", "raw", "-O", "qcow2", "-o", opts, src.Name(), out).CombinedOutput(); err != nil {
				t.Fatalf("qemu-img convert: %v\n%s", err, msg)
			}
			f, err := os.Open(out)
			if err != nil {
				t.Fatal(err)
			}
			same(t, src, f)
			f.Close()
		}
	}
}

func TestSameBits(t *testing.T) {
	src := disk(t, 1<<30)
	var want [32]byte
	for i, procs := range []int{1, 3} {
		before := runtime.GOMAXPROCS(procs)
		b, err := os.ReadFile(convert(t, src, Options{}).Name())
		runtime.GOMAXPROCS(before)
		if err != nil {
			t.Fatal(err)
		}
		if sum := sha256.Sum256(b); i == 0 {
			want = sum
		} else if sum != want {
			t.Errorf("GOMAXPROCS=%d gives other bytes", procs)
		}
	}
}

// TestHolesOrZeros: zeros that a filesystem holds and holes are one.
func TestHolesOrZeros(t *testing.T) {
	src := disk(t, 16<<20)
	dense, err := os.Create(filepath.Join(t.TempDir(), "dense"))
	if err != nil {
		t.Fatal(err)
	}
	defer dense.Close()
	if _, err := io.Copy(struct{ io.Writer }{dense}, io.NewSectionReader(src, 0, 16<<20)); err != nil {
		t.Fatal(err)
	}
	a, err := os.ReadFile(convert(t, src, Options{}).Name())
	if err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(convert(t, dense, Options{}).Name())
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(a, b) {
		t.Error("the image depends on how the source is stored")
	}
}

type failing struct{}

func (failing) WriteAt([]byte, int64) (int, error) { return 0, errors.New("no space") }

func TestErrors(t *testing.T) {
	src := disk(t, 32<<20)
	if err := Write(t.Context(), failing{}, src, Options{}); err == nil || !strings.Contains(err.Error(), "no space") {
		t.Errorf("a failing disk: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := Write(ctx, failing{}, src, Options{}); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
	if err := Write(t.Context(), failing{}, src, Options{Compression: "bzip"}); err == nil {
		t.Error("an unknown compression is taken")
	}
	if err := src.Truncate(1000); err != nil {
		t.Fatal(err)
	}
	if err := Write(t.Context(), failing{}, src, Options{}); err == nil {
		t.Error("a disk of 1000 bytes is taken")
	}
	for _, b := range [][]byte{nil, []byte("QFI"), bytes.Repeat([]byte{0xff}, 200)} {
		if _, err := Open(bytes.NewReader(b)); !errors.Is(err, ErrInvalid) {
			t.Errorf("open %d bytes: %v", len(b), err)
		}
	}
}

// FuzzOpen damages a small image: at some place, by some bytes.
func FuzzOpen(f *testing.F) {
	src := disk(f, clusterSize+512)
	images := map[string][]byte{}
	for _, c := range []Compression{Zstd, Zlib, None} {
		b, err := os.ReadFile(convert(f, src, Options{Compression: c}).Name())
		if err != nil {
			f.Fatal(err)
		}
		images[string(c)] = b
		f.Add(string(c), uint32(hdrSize), b[hdrSize:hdrRefOffset])
		f.Add(string(c), uint32(hdrIncompat), b[hdrIncompat:headerLength])
		f.Add(string(c), uint32(clusterSize), []byte("data"))
		f.Add(string(c), uint32(2*clusterSize), []byte{0x40, 0, 0, 0, 0, 1, 0, 0})
	}
	f.Fuzz(func(t *testing.T, kind string, at uint32, damage []byte) {
		b := bytes.Clone(images[kind])
		if int(at) >= len(b) {
			return
		}
		copy(b[at:], damage)
		im, err := Open(bytes.NewReader(b))
		if err != nil {
			return
		}
		_, _ = io.Copy(io.Discard, io.NewSectionReader(im, 0, min(im.Size(), 1<<20)))
	})
}

// BenchmarkWrite measures a disk that is given by CLOUDY_BENCH_DISK.
func BenchmarkWrite(b *testing.B) {
	name := os.Getenv("CLOUDY_BENCH_DISK")
	if name == "" {
		b.Skip("CLOUDY_BENCH_DISK names no raw image")
	}
	src, err := os.Open(name)
	if err != nil {
		b.Fatal(err)
	}
	defer src.Close()
	for _, c := range []Compression{Zstd, Zlib, None} {
		b.Run(string(c), func(b *testing.B) {
			for b.Loop() {
				out := convert(b, src, Options{Compression: c})
				info, err := out.Stat()
				if err != nil {
					b.Fatal(err)
				}
				b.ReportMetric(float64(info.Size())/1e6, "MB")
			}
		})
	}
}
