package compress

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"runtime"
	"testing"

	"github.com/klauspost/compress/zstd"
)

// text is content that packs to about a half, n bytes of it.
func text(n int) []byte {
	r := rand.New(rand.NewPCG(1, 2))
	b := make([]byte, 0, n+64)
	for len(b) < n {
		b = fmt.Appendf(b, "/usr/share/doc/%d/copyright %d\n", r.IntN(500), r.IntN(1<<20))
	}
	return b[:n]
}

// judge unpacks with the format's own program.
func judge(t *testing.T, f Format, packed []byte) []byte {
	t.Helper()
	if f == None {
		return packed
	}
	if _, err := exec.LookPath(string(f)); err != nil {
		if os.Getenv("CLOUDY_REQUIRE_ALL") != "" {
			t.Fatal(err)
		}
		t.Skip(err)
	}
	c := exec.Command(string(f), "-dc")
	c.Stdin = bytes.NewReader(packed)
	var stderr bytes.Buffer
	c.Stderr = &stderr
	out, err := c.Output()
	if err != nil {
		t.Fatalf("%s -dc: %v\n%s", f, err, stderr.String())
	}
	return out
}

// testCodec has small chunks for xz, so that there are many.
func testCodec(t *testing.T, f Format) codec {
	t.Helper()
	c, err := f.codec()
	if err != nil {
		t.Fatal(err)
	}
	if f == XZ {
		c.chunk = 512 << 10
	}
	return c
}

func testWriter(t *testing.T, w io.Writer, f Format) io.WriteCloser {
	t.Helper()
	if f == None {
		return plain{w}
	}
	z, err := testCodec(t, f).newWriter(w)
	if err != nil {
		t.Fatal(err)
	}
	return z
}

func pack(t *testing.T, f Format, workers int, data []byte, piece int) []byte {
	t.Helper()
	var b bytes.Buffer
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(workers))
	w := testWriter(t, &b, f)
	for len(data) > 0 {
		n := min(piece, len(data))
		if _, err := w.Write(data[:n]); err != nil {
			t.Fatal(err)
		}
		data = data[n:]
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func TestUnpacks(t *testing.T) {
	for _, f := range Formats() {
		t.Run(string(f), func(t *testing.T) {
			c := testCodec(t, f)
			for _, n := range []int{0, 1, 100_000, max(c.chunk-1, 0), c.chunk, c.chunk + 1, 2*c.chunk + 12345} {
				data := text(n)
				got := judge(t, f, pack(t, f, 2, data, 300_007))
				if !bytes.Equal(got, data) {
					t.Errorf("%d bytes became %d other ones", n, len(got))
				}
			}
		})
	}
}

// TestSameBits packs with other numbers of workers and in other pieces.
func TestSameBits(t *testing.T) {
	for _, f := range []Format{Zstd, Gzip, XZ} {
		c := testCodec(t, f)
		data := text(c.chunk*3/2 + 77)
		want := sha256.Sum256(pack(t, f, 1, data, len(data)))
		for _, workers := range []int{2, 5} {
			if got := sha256.Sum256(pack(t, f, workers, data, 65_536+workers)); got != want {
				t.Errorf("%s: %d workers give other bytes than one", f, workers)
			}
		}
		if packed := len(pack(t, f, 3, data, len(data))); packed > len(data)*6/10 {
			t.Errorf("%s packs %d bytes into %d", f, len(data), packed)
		}
	}
}

type fullDisk struct{ room int }

var errFull = errors.New("no room")

func (d *fullDisk) Write(p []byte) (int, error) {
	if d.room -= len(p); d.room < 0 {
		return 0, errFull
	}
	return len(p), nil
}

// TestWriterFails must neither hang nor lose the error.
func TestWriterFails(t *testing.T) {
	data := text(24 << 20)
	for _, f := range []Format{Zstd, Gzip, XZ} {
		for _, room := range []int{0, 1 << 20} {
			w := testWriter(t, &fullDisk{room}, f)
			_, werr := io.Copy(w, bytes.NewReader(data))
			cerr := w.Close()
			if err := errors.Join(werr, cerr); !errors.Is(err, errFull) {
				t.Errorf("%s with room for %d bytes: %v", f, room, err)
			}
			if _, err := w.Write([]byte("x")); err == nil {
				t.Errorf("%s: writing after Close went well", f)
			}
		}
	}
}

func TestUnknown(t *testing.T) {
	if _, err := NewWriter(io.Discard, "rar"); !errors.Is(err, ErrUnknown) {
		t.Error(err)
	}
	if err := Format("rar").Check(); !errors.Is(err, ErrUnknown) {
		t.Error(err)
	}
}

func BenchmarkZstd(b *testing.B) { benchmark(b, Zstd) }
func BenchmarkGzip(b *testing.B) { benchmark(b, Gzip) }
func BenchmarkXZ(b *testing.B)   { benchmark(b, XZ) }

func benchmark(b *testing.B, f Format) {
	data := text(32 << 20)
	b.SetBytes(int64(len(data)))
	for b.Loop() {
		w, err := NewWriter(io.Discard, f)
		if err != nil {
			b.Fatal(err)
		}
		if _, err := w.Write(data); err != nil {
			b.Fatal(err)
		}
		if err := w.Close(); err != nil {
			b.Fatal(err)
		}
	}
}

// TestSeekable reads a frame by the table alone, and the whole as any decoder
// does.
func TestSeekable(t *testing.T) {
	want := make([]byte, 2*zstdChunk+12345)
	for i := range want {
		want[i] = byte(i >> 12)
	}
	var b bytes.Buffer
	w, err := NewSeekable(&b)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write(want); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	dec, err := zstd.NewReader(nil)
	if err != nil {
		t.Fatal(err)
	}
	defer dec.Close()
	if got, err := dec.DecodeAll(b.Bytes(), nil); err != nil || !bytes.Equal(got, want) {
		t.Fatalf("%d bytes, %v", len(got), err)
	}
	le, end := binary.LittleEndian, b.Bytes()[b.Len()-9:]
	n := int(le.Uint32(end))
	if n != 3 || le.Uint32(end[5:]) != seekableMagic {
		t.Fatalf("%d frames, end % x", n, end)
	}
	table := b.Bytes()[b.Len()-9-8*n:]
	if head := b.Bytes()[b.Len()-9-8*n-8:]; le.Uint32(head) != skippableMagic || int(le.Uint32(head[4:])) != 8*n+9 {
		t.Fatalf("head % x", head[:8])
	}
	first := le.Uint32(table)
	got, err := dec.DecodeAll(b.Bytes()[first:first+le.Uint32(table[8:])], nil)
	if err != nil || !bytes.Equal(got, want[zstdChunk:2*zstdChunk]) || le.Uint32(table[20:]) != 12345 {
		t.Errorf("second frame: %d bytes, %v", len(got), err)
	}
}
