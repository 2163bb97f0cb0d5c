package vhdx

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/uuid"

	"cloudy/builder/disk/internal/disktest"
)

func convert(t testing.TB, src *os.File) *os.File {
	t.Helper()
	out := disktest.Create(t, "disk.vhdx")
	n, err := Write(t.Context(), out, src, Options{ID: uuid.UUID{1, 2, 3}})
	if err != nil {
		t.Fatal(err)
	}
	if err := out.Truncate(n); err != nil {
		t.Fatal(err)
	}
	return out
}

func TestJudges(t *testing.T) {
	disktest.Need(t, "qemu-img")
	for _, size := range []int64{512, blockSize, 16<<20 + 512, 1<<30 + 512} {
		t.Run(fmt.Sprint(size), func(t *testing.T) {
			src := disktest.Disk(t, size)
			out := convert(t, src)
			if got := disktest.Run(t, "qemu-img", "check", "-f", "vhdx", out.Name()); !strings.Contains(got, "No errors") {
				t.Errorf("check: %s", got)
			}
			disktest.Run(t, "qemu-img", "compare", "-f", "raw", "-F", "vhdx", src.Name(), out.Name())
		})
	}
}

// TestBitmapEntries: behind 4 GiB the table has an entry for a bitmap between
// those of blocks.
func TestBitmapEntries(t *testing.T) {
	disktest.Need(t, "qemu-img")
	const size = chunkRatio*blockSize + 5<<20
	src := disktest.Disk(t, size)
	out := convert(t, src).Name()
	disktest.Run(t, "qemu-img", "check", "-f", "vhdx", out)
	tail := filepath.Join(t.TempDir(), "tail")
	disktest.Run(t, "qemu-img", "dd", "-f", "vhdx", "-O", "raw", "bs=1M", fmt.Sprintf("skip=%d", size/mib-1), "if="+out, "of="+tail)
	if b, err := os.ReadFile(tail); err != nil || len(b) != mib || string(b[mib-3:]) != "end" {
		t.Errorf("the last MiB has %d bytes, %v", len(b), err)
	}
}

// TestWritable: QEMU takes the file for its own, with a log to write to.
func TestWritable(t *testing.T) {
	disktest.Need(t, "qemu-img", "qemu-io")
	out := convert(t, disktest.Disk(t, 16<<20)).Name()
	disktest.Run(t, "qemu-io", "-f", "vhdx", "-c", "write -P 0x5a 12M 1M", "-c", "write -P 0x5b 1M 64k", out)
	got := disktest.Run(t, "qemu-io", "-f", "vhdx", "-c", "read -P 0x5a 12M 1M", "-c", "read -P 0x5b 1M 64k", out)
	if strings.Contains(got, "failed") {
		t.Error(got)
	}
	if got := disktest.Run(t, "qemu-img", "check", "-f", "vhdx", out); !strings.Contains(got, "No errors") {
		t.Error(got)
	}
}

// TestChecksums holds what QEMU does not look at: both headers, both tables.
func TestChecksums(t *testing.T) {
	b, err := os.ReadFile(convert(t, disktest.Disk(t, 2<<20)).Name())
	if err != nil {
		t.Fatal(err)
	}
	for at, size := range map[int]int{headerAt1: headerSize, headerAt2: headerSize, regionAt1: regionSize, regionAt2: regionSize} {
		part := bytes.Clone(b[at:][:size])
		want := binary.LittleEndian.Uint32(part[4:])
		clear(part[4:8])
		if got := crc32.Checksum(part, crc32.MakeTable(crc32.Castagnoli)); got != want {
			t.Errorf("checksum at %#x is %#x, not %#x", at, want, got)
		}
	}
	if len(b)%mib != 0 {
		t.Errorf("%d bytes are no whole MiB", len(b))
	}
}

func TestSameBits(t *testing.T) {
	src := disktest.Disk(t, 16<<20)
	a, err := os.ReadFile(convert(t, src).Name())
	if err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(convert(t, disktest.Dense(t, src)).Name())
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
	src := disktest.Disk(t, 16<<20)
	if _, err := Write(t.Context(), failing{}, src, Options{}); err == nil || !strings.Contains(err.Error(), "no space") {
		t.Errorf("a failing disk: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Write(ctx, failing{}, src, Options{}); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
	big, err := os.Create(filepath.Join(t.TempDir(), "big"))
	if err != nil {
		t.Fatal(err)
	}
	defer big.Close()
	if err := big.Truncate(1000); err != nil {
		t.Fatal(err)
	}
	if _, err := Write(t.Context(), failing{}, big, Options{}); err == nil {
		t.Error("a disk of 1000 bytes is taken")
	}
}

// TestReads reads what this package and qemu-img write.
func TestReads(t *testing.T) {
	disktest.Need(t, "qemu-img")
	src := disktest.Disk(t, 64<<20+512)
	theirs := src.Name() + ".vhdx"
	disktest.Run(t, "qemu-img", "convert", "-f", "raw", "-O", "vhdx", src.Name(), theirs)
	for _, name := range []string{convert(t, src).Name(), theirs} {
		f, err := os.Open(name)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		im, err := Open(f)
		if err != nil {
			t.Fatal(err)
		}
		disktest.Same(t, src, im, im.Size())
	}
	for _, b := range [][]byte{nil, []byte("vhdxfile"), bytes.Repeat([]byte{0xff}, 400<<10)} {
		if _, err := Open(bytes.NewReader(b)); !errors.Is(err, ErrInvalid) {
			t.Errorf("open %d bytes: %v", len(b), err)
		}
	}
}

// FuzzOpen damages a small image: at some place, by some bytes, with the
// checksums made right again.
func FuzzOpen(f *testing.F) {
	b, err := os.ReadFile(convert(f, disktest.Disk(f, blockSize+512)).Name())
	if err != nil {
		f.Fatal(err)
	}
	f.Add(uint32(regionAt1+16), []byte{1})
	f.Add(uint32(metadataAt+64<<10), []byte{1})
	f.Add(uint32(batAt), []byte{7})
	f.Fuzz(func(t *testing.T, at uint32, damage []byte) {
		b := bytes.Clone(b)
		if int(at) >= len(b) {
			return
		}
		copy(b[at:], damage)
		sum(b[headerAt1:][:headerSize])
		sum(b[headerAt2:][:headerSize])
		sum(b[regionAt1:][:regionSize])
		im, err := Open(bytes.NewReader(b))
		if err == nil {
			_, _ = io.Copy(io.Discard, io.NewSectionReader(im, 0, min(im.Size(), 4<<20)))
		}
	})
}
