package xz

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"strings"
	"testing"
	"testing/iotest"
)

func TestReader(t *testing.T) {
	data := corpus(1, 3<<20)
	noise := make([]byte, 200_000)
	for i := range noise {
		noise[i] = byte(crc32.ChecksumIEEE([]byte{byte(i), byte(i >> 8), byte(i >> 16)}))
	}
	for _, tc := range []struct {
		data []byte
		args string
	}{
		{data, "-0"}, {data, "-1"}, {data, "-3"}, {data, "-6"}, {data, "-9"}, {data, "-6e"},
		{data, "-1 --check=none"}, {data, "-1 --check=crc32"}, {data, "-1 --check=sha256"},
		{data, "-1 -T2 --block-size=300000"}, {data, "-1 --block-size=1000001"},
		{data, "--lzma2=preset=1,lc=0,lp=0,pb=0"},
		{data, "--lzma2=preset=1,lc=4,lp=0,pb=4"},
		{data, "--lzma2=preset=1,lc=0,lp=4,pb=1"},
		{data, "--lzma2=preset=1,lc=2,lp=2,pb=3"},
		{data, "--lzma2=preset=1,lc=1,lp=3,pb=2,mode=fast"},
		{data, "--lzma2=preset=6,dict=4096"}, // the dictionary moves often
		{data, "--lzma2=preset=6,dict=65536"},
		{data, "--lzma2=preset=6,dict=1000000"},
		{data, "--lzma2=preset=0,nice=273,mf=bt2,mode=normal"},
		{noise, "-1"}, // stored chunks
		{append(noise[:len(noise):len(noise)], data...), "-1"},
		{data[:1], "-6"}, {data[:2], "-6"}, {nil, "-6"},
		{make([]byte, 5<<20), "-6"},
	} {
		t.Run(fmt.Sprintf("%s of %d", tc.args, len(tc.data)), func(t *testing.T) {
			packed := compress(t, tc.data, strings.Fields(tc.args)...)
			got, err := decodeAll(packed)
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(got, tc.data) {
				t.Fatal("WriteTo gives other data")
			}
			r, err := NewReader(iotest.HalfReader(bytes.NewReader(packed)))
			if err != nil {
				t.Fatal(err)
			}
			if got, err = decodeReads(r); err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(got, tc.data) {
				t.Fatal("Read gives other data")
			}
		})
	}
}

func TestStreamsAndReset(t *testing.T) {
	a, b := corpus(2, 100_000), corpus(3, 900_000)
	xa, xb := compress(t, a, "-1", "--check=sha256"), compress(t, b, "-9", "--check=crc32")
	zeros := make([]byte, 300_000)
	var r Reader
	for _, tc := range []struct {
		name string
		in   [][]byte
		want []byte
		err  error
	}{
		{"one", [][]byte{xa}, a, nil},
		{"two", [][]byte{xa, xb}, append(a[:len(a):len(a)], b...), nil},
		{"padding", [][]byte{xb, zeros, xa, zeros[:4]}, append(b[:len(b):len(b)], a...), nil},
		{"padding of 3", [][]byte{xa, zeros[:3]}, a, io.ErrUnexpectedEOF},
		{"padding of 5 between", [][]byte{xa, zeros[:5], xb}, a, ErrFormat},
		{"garbage", [][]byte{xa, []byte("this is not another one")}, a, ErrFormat},
		{"truncated after garbage", [][]byte{xb[:len(xb)-1]}, b, io.ErrUnexpectedEOF},
		{"again", [][]byte{xb}, b, nil},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if err := r.Reset(iotest.OneByteReader(bytes.NewReader(bytes.Join(tc.in, nil)))); err != nil {
				t.Fatal(err)
			}
			got, err := io.ReadAll(&r)
			if !errors.Is(err, tc.err) {
				t.Fatalf("error %v, want %v", err, tc.err)
			}
			if !bytes.Equal(got, tc.want) {
				t.Fatal("other data")
			}
		})
	}
}

// TestHeaderErrors looks at what stands before the data.
func TestHeaderErrors(t *testing.T) {
	good := compress(t, []byte("hello"), "-0")
	// patch sets a byte, and repairs the CRC32 at crc over the bytes from from.
	patch := func(at int, b byte, from, crc int) []byte {
		p := bytes.Clone(good)
		p[at] = b
		if crc > 0 {
			binary.LittleEndian.PutUint32(p[crc:], crc32.ChecksumIEEE(p[from:crc]))
		}
		return p
	}
	for _, tc := range []struct {
		name string
		in   []byte
		want error
	}{
		{"empty", nil, io.ErrUnexpectedEOF},
		{"short magic", []byte("\xfd7z"), io.ErrUnexpectedEOF},
		{"short other", []byte("abc"), ErrFormat},
		{"gzip", []byte("\x1f\x8b\x08 and so on, and on"), ErrFormat},
		{"header crc", patch(7, 1, 0, 0), ErrCheck},
		{"stream flags", patch(6, 1, 6, 8), ErrUnsupported},
		{"check", patch(7, 5, 6, 8), ErrUnsupported},
		{"block crc", patch(16, 0, 0, 0), ErrCheck},
		{"block flags", patch(13, 4, 12, 20), ErrUnsupported},
		{"dictionary", patch(16, 40, 12, 20), ErrDict},
		{"dictionary byte", patch(16, 41, 12, 20), ErrUnsupported},
		{"filter id", patch(14, 0x22, 12, 20), ErrUnsupported},
		{"properties size", patch(15, 2, 12, 20), ErrCorrupt},
		{"header padding", patch(18, 1, 12, 20), ErrUnsupported},
		{"control byte", patch(24, 3, 0, 0), ErrCorrupt},
		{"x86", compress(t, []byte("hello"), "--x86", "--lzma2"), ErrUnsupported},
		{"delta", compress(t, []byte("hello"), "--delta", "--lzma2"), ErrUnsupported},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if _, err := decodeAll(tc.in); !errors.Is(err, tc.want) {
				t.Errorf("error %v, want %v", err, tc.want)
			}
		})
	}
}

// TestDamage cuts a file everywhere, and turns every bit of it. All must be
// noticed, but for a few that change nothing: the properties of a chunk that
// has no use for them.
func TestDamage(t *testing.T) {
	data := corpus(5, 9000)
	var r Reader
	for _, args := range [][]string{{"-6", "--block-size=4000"}, {"-1", "--check=crc32"}} {
		packed := compress(t, data, args...)
		for n := range packed {
			err := r.Reset(bytes.NewReader(packed[:n]))
			if err == nil {
				_, err = io.Copy(io.Discard, &r)
			}
			if !errors.Is(err, io.ErrUnexpectedEOF) {
				t.Fatalf("cut to %d of %d: %v", n, len(packed), err)
			}
		}
		unnoticed := 0
		for i := range packed {
			for bit := range 8 {
				packed[i] ^= 1 << bit
				var out bytes.Buffer
				err := r.Reset(bytes.NewReader(packed))
				if err == nil {
					_, err = r.WriteTo(&out)
				}
				if err == nil {
					unnoticed++
					if !bytes.Equal(out.Bytes(), data) {
						t.Fatalf("bit %d of byte %d of %d gives other data", bit, i, len(packed))
					}
				}
				packed[i] ^= 1 << bit
			}
		}
		if unnoticed > 8 {
			t.Errorf("%d bits can be turned unnoticed", unnoticed)
		}
	}
}

func TestSourceError(t *testing.T) {
	packed := compress(t, corpus(6, 300_000), "-1")
	broken := errors.New("broken")
	for n := 0; n < len(packed); n += 997 {
		r, err := NewReader(io.MultiReader(bytes.NewReader(packed[:n]), iotest.ErrReader(broken)))
		if err == nil {
			_, err = io.Copy(io.Discard, r)
		}
		if err != broken {
			t.Fatalf("after %d bytes: %v", n, err)
		}
	}
}

type shortWriter struct{ room int }

func (w *shortWriter) Write(p []byte) (int, error) {
	n := min(len(p), w.room)
	w.room -= n
	return n, nil
}

// TestWriteToContinues checks that a writer's failure loses no output.
func TestWriteToContinues(t *testing.T) {
	data := corpus(8, 500_000)
	r, err := NewReader(bytes.NewReader(compress(t, data, "-1")))
	if err != nil {
		t.Fatal(err)
	}
	n, err := r.WriteTo(&shortWriter{200_001})
	if n != 200_001 || err != io.ErrShortWrite {
		t.Fatal(n, err)
	}
	rest, err := io.ReadAll(r)
	if err != nil || !bytes.Equal(rest, data[n:]) {
		t.Fatal("the rest differs", err)
	}
}

func TestLZMAReader(t *testing.T) {
	data := corpus(9, 2<<20)
	eopmless := func(p []byte, size int) []byte { // with the size in the header
		p = bytes.Clone(p)
		binary.LittleEndian.PutUint64(p[5:], uint64(size))
		return p
	}
	big := compress(t, data, "--format=lzma", "-1")
	var r Reader
	for _, tc := range []struct {
		name string
		in   []byte
		want []byte
		err  error
	}{
		{"marker", big, data, nil},
		{"both", eopmless(big, len(data)), data, nil},
		{"less", eopmless(big, len(data)+1), nil, ErrCorrupt},
		{"more", eopmless(big, 1000), nil, ErrCorrupt},
		{"properties", compress(t, data, "--format=lzma", "--lzma1=preset=1,lc=1,lp=2,pb=4,dict=5000"), data, nil},
		{"empty", compress(t, nil, "--format=lzma"), nil, nil},
		{"empty, both", eopmless(compress(t, nil, "--format=lzma"), 0), nil, nil},
		{"trailing", append(bytes.Clone(big), "trailing"...), data, nil},
		{"cut", big[:len(big)-1], nil, io.ErrUnexpectedEOF},
		{"cut in header", big[:10], nil, io.ErrUnexpectedEOF},
		{"xz", compress(t, data[:1000]), nil, ErrFormat},
	} {
		t.Run(tc.name, func(t *testing.T) {
			err := r.ResetLZMA(iotest.HalfReader(bytes.NewReader(tc.in)))
			var got []byte
			if err == nil {
				got, err = decodeReads(&r)
			}
			if !errors.Is(err, tc.err) {
				t.Fatalf("error %v, want %v", err, tc.err)
			}
			if tc.err == nil && !bytes.Equal(got, tc.want) {
				t.Fatal("other data")
			}
		})
	}
}
