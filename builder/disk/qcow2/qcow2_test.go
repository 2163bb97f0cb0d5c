package qcow2

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"cloudy/builder/disk/internal/disktest"
)

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
	disktest.Need(t, "qemu-img")
	for _, size := range []int64{512, clusterSize, 16<<20 + 512, 1<<30 + 512} {
		for _, c := range []Compression{"", Zlib, None} {
			if size > 1<<30 && c == Zlib {
				continue // the tables are no other than with zstd
			}
			t.Run(fmt.Sprintf("%d %s", size, c), func(t *testing.T) {
				src := disktest.Disk(t, size)
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
	disktest.Same(t, raw, im, im.Size())
}

// TestReadsQEMU lets the reader read what qemu-img wrote.
func TestReadsQEMU(t *testing.T) {
	disktest.Need(t, "qemu-img")
	src := disktest.Disk(t, 64<<20)
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
	src := disktest.Disk(t, 1<<30)
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
	src := disktest.Disk(t, 16<<20)
	dense := disktest.Dense(t, src)
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
	src := disktest.Disk(t, 32<<20)
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
	src := disktest.Disk(f, clusterSize+512)
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
