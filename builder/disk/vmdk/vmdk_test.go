package vmdk

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"strings"
	"testing"

	"github.com/google/uuid"

	"cloudy/builder/disk/internal/disktest"
)

func convert(t testing.TB, src *os.File) *os.File {
	t.Helper()
	out := disktest.Create(t, "disk.vmdk")
	if err := Write(t.Context(), out, src, Options{Name: "disk.vmdk", ID: uuid.UUID{1, 2, 3}}); err != nil {
		t.Fatal(err)
	}
	return out
}

func TestJudges(t *testing.T) {
	disktest.Need(t, "qemu-img")
	for _, size := range []int64{512, grainSize, 16<<20 + 512, 1<<30 + 512} {
		t.Run(fmt.Sprint(size), func(t *testing.T) {
			src := disktest.Disk(t, size)
			out := convert(t, src)
			if got := disktest.Run(t, "qemu-img", "check", "-f", "vmdk", out.Name()); !strings.Contains(got, "No errors") {
				t.Errorf("check: %s", got)
			}
			disktest.Run(t, "qemu-img", "compare", "-f", "raw", "-F", "vmdk", src.Name(), out.Name())
			info := disktest.Run(t, "qemu-img", "info", out.Name())
			for _, want := range []string{"create type: streamOptimized", "compressed: true"} {
				if !strings.Contains(info, want) {
					t.Errorf("no %q in\n%s", want, info)
				}
			}
		})
	}
}

// TestSameBits: however the source is stored, whatever the number of cores.
func TestSameBits(t *testing.T) {
	src := disktest.Disk(t, 1<<30)
	small := disktest.Disk(t, 16<<20)
	for _, pair := range [][2]*os.File{{src, src}, {small, disktest.Dense(t, small)}} {
		var made [2][]byte
		for i, f := range pair {
			before := runtime.GOMAXPROCS(1 + 2*i)
			out := convert(t, f)
			runtime.GOMAXPROCS(before)
			var err error
			if made[i], err = os.ReadFile(out.Name()); err != nil {
				t.Fatal(err)
			}
		}
		if !bytes.Equal(made[0], made[1]) {
			t.Error("other bytes the second time")
		}
	}
}

type failing struct{}

func (failing) Write([]byte) (int, error) { return 0, errors.New("no space") }

func TestErrors(t *testing.T) {
	src := disktest.Disk(t, 16<<20)
	if err := Write(t.Context(), failing{}, src, Options{}); err == nil || !strings.Contains(err.Error(), "no space") {
		t.Errorf("a failing disk: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := Write(ctx, &bytes.Buffer{}, src, Options{}); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
	if err := Write(t.Context(), &bytes.Buffer{}, src, Options{Name: strings.Repeat("n", 11000)}); err == nil {
		t.Error("a name that does not fit is taken")
	}
	for size, want := range map[int64]error{1000: nil, 2 << 40: ErrTooBig} {
		if err := src.Truncate(size); err != nil {
			t.Fatal(err)
		}
		if err := Write(t.Context(), &bytes.Buffer{}, src, Options{}); err == nil || want != nil && !errors.Is(err, want) {
			t.Errorf("a disk of %d bytes: %v", size, err)
		}
	}
}

func open(t testing.TB, f *os.File) *Image {
	t.Helper()
	info, err := f.Stat()
	if err != nil {
		t.Fatal(err)
	}
	im, err := Open(f, info.Size())
	if err != nil {
		t.Fatal(err)
	}
	return im
}

// TestReads reads what this package and qemu-img write.
func TestReads(t *testing.T) {
	disktest.Need(t, "qemu-img")
	src := disktest.Disk(t, 64<<20+512)
	im := open(t, convert(t, src))
	disktest.Same(t, src, im, im.Size())
	name := src.Name() + ".vmdk"
	disktest.Run(t, "qemu-img", "convert", "-f", "raw", "-O", "vmdk", "-o", "subformat=streamOptimized", src.Name(), name)
	f, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	im = open(t, f)
	disktest.Same(t, src, im, im.Size())
	for _, b := range [][]byte{nil, []byte("KDMV"), bytes.Repeat([]byte{0xff}, 2000)} {
		if _, err := Open(bytes.NewReader(b), int64(len(b))); !errors.Is(err, ErrInvalid) {
			t.Errorf("open %d bytes: %v", len(b), err)
		}
	}
}

// FuzzOpen damages a small image: at some place, by some bytes.
func FuzzOpen(f *testing.F) {
	b, err := os.ReadFile(convert(f, disktest.Disk(f, grainSize+512)).Name())
	if err != nil {
		f.Fatal(err)
	}
	f.Add(uint32(hdrCapacity), []byte{1})
	f.Add(uint32(overhead*sector), []byte{1})
	f.Fuzz(func(t *testing.T, at uint32, damage []byte) {
		b := bytes.Clone(b)
		if int(at) >= len(b) {
			return
		}
		copy(b[at:], damage)
		im, err := Open(bytes.NewReader(b), int64(len(b)))
		if err == nil {
			_, _ = io.Copy(io.Discard, io.NewSectionReader(im, 0, min(im.Size(), 1<<20)))
		}
	})
}
