package vmdk

import (
	"bytes"
	"context"
	"errors"
	"fmt"
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
