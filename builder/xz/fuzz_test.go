package xz

import (
	"bytes"
	"encoding/binary"
	"hash/crc32"
	"io"
	"math/rand/v2"
	"testing"

	reference "github.com/therootcompany/xz"
)

// container makes an .xz file of the LZMA2 data of a block that decodes to
// out, with a dictionary of 64 KiB and a CRC32.
func container(lzma2, out []byte) []byte {
	sum := func(b []byte, from int) []byte {
		return binary.LittleEndian.AppendUint32(b, crc32.ChecksumIEEE(b[from:]))
	}
	pad := func(b []byte) []byte { return append(b, make([]byte, -len(b)&3)...) }
	b := sum([]byte(headerMagic+"\x00\x01"), 6)
	b = sum(append(b, 2, 0, filterLZMA2, 1, 8, 0, 0, 0), 12)
	b = append(b, lzma2...)
	unpadded := len(b) - 12 + 4
	b = binary.LittleEndian.AppendUint32(pad(b), crc32.ChecksumIEEE(out))
	index := len(b)
	b = append(b, 0, 1)
	b = binary.AppendUvarint(b, uint64(unpadded))
	b = binary.AppendUvarint(b, uint64(len(out)))
	b = sum(pad(b), index)
	footer := binary.LittleEndian.AppendUint32(nil, uint32((len(b)-index)/4-1))
	footer = append(footer, 0, 1)
	b = binary.LittleEndian.AppendUint32(b, crc32.ChecksumIEEE(footer))
	return append(append(b, footer...), footerMagic...)
}

// decodeLZMA2 decodes data up to the end marker of a block.
func decodeLZMA2(data []byte) (out []byte, used int, err error) {
	var in input
	var d lzma2
	in.reset(bytes.NewReader(data))
	d.begin(&in, 64<<10)
	for {
		p, err := d.step()
		out = append(out, p...)
		if err == io.EOF {
			return out, int(in.offset()), nil
		}
		if err != nil {
			return out, 0, err
		}
	}
}

// judge lets the reference decide whether our answer to LZMA2 data is right.
func judge(t *testing.T, data []byte) (valid bool) {
	t.Helper()
	out, used, err := decodeLZMA2(data)
	if err != nil {
		// The reference must fail too, and agree on all before; it may have
		// given less or more by then. Data that is merely cut can be made
		// whole by what the container adds.
		r, refErr := reference.NewReader(bytes.NewReader(container(data, out)), 1<<20)
		if refErr != nil {
			return false
		}
		theirs, refErr := io.ReadAll(r)
		if refErr == nil && err != io.ErrUnexpectedEOF {
			t.Fatalf("we say %v, the reference does not", err)
		}
		if n := min(len(out), len(theirs)); !bytes.Equal(out[:n], theirs[:n]) {
			t.Fatalf("before %v: the reference gives other data", err)
		}
		return false
	}
	file := container(data[:used], out)
	ours, err := decodeAll(file)
	if err != nil {
		t.Fatalf("whole file: %v", err)
	}
	r, err := reference.NewReader(bytes.NewReader(file), 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	theirs, err := io.ReadAll(r)
	if err != nil {
		t.Fatalf("the reference says %v", err)
	}
	if !bytes.Equal(ours, theirs) || !bytes.Equal(ours, out) {
		t.Fatal("the reference gives other data")
	}
	return true
}

// lzma2Samples are blocks of different makes, without their containers.
func lzma2Samples(t testing.TB) [][]byte {
	var samples [][]byte
	for i, args := range []string{"preset=0", "preset=6", "preset=1,lc=0,lp=4,pb=4", "preset=6,lc=4,lp=0,pb=0", "preset=3,dict=4096"} {
		data := corpus(uint64(20+i), 20_000<<(i%2*4))
		file := compress(t, data, "--check=none", "--lzma2="+args)
		samples = append(samples, compress(t, data, "--format=raw", "--lzma2="+args), file[24:len(file)-24])
	}
	return samples
}

// TestMutations compares the answers to damaged LZMA2 data.
func TestMutations(t *testing.T) {
	rnd := rand.New(rand.NewPCG(5, 6))
	rounds := 300
	if testing.Short() {
		rounds = 30
	}
	valid := 0
	for _, sample := range lzma2Samples(t) {
		for range rounds {
			p := bytes.Clone(sample)
			for range 1 + rnd.IntN(3) {
				i := rnd.IntN(len(p))
				if rnd.IntN(3) == 0 {
					i = rnd.IntN(min(len(p), 40))
				}
				switch rnd.IntN(4) {
				case 0:
					p[i] = byte(rnd.Uint32())
				case 1:
					p[i] ^= 1 << rnd.IntN(8)
				case 2:
					p = p[:i+1]
				case 3:
					copy(p[i:], p[rnd.IntN(len(p)):])
				}
			}
			if judge(t, p) {
				valid++
			}
		}
	}
	t.Logf("%d of %d stayed valid", valid, rounds*10)
}

func FuzzLZMA2(f *testing.F) {
	for _, sample := range lzma2Samples(f) {
		f.Add(sample[:min(len(sample), 3000)])
	}
	f.Add([]byte("\x01\x00\x04stock\x02\x00\x03more\x00"))
	f.Fuzz(func(t *testing.T, data []byte) { judge(t, data) })
}

// FuzzReader looks for panics, and for files that only we find right.
func FuzzReader(f *testing.F) {
	data := corpus(30, 3000)
	for _, args := range [][]string{{"-0"}, {"-6", "--check=none", "--block-size=1000"}, {"--check=sha256"}} {
		f.Add(compress(f, data, args...))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		if l, err := NewLZMAReader(bytes.NewReader(data)); err == nil {
			io.Copy(io.Discard, io.LimitReader(l, 1<<20))
		}
		ours, err := decodeAll(data)
		if err != nil {
			return
		}
		r, err := reference.NewReader(bytes.NewReader(data), MaxDict)
		if err != nil {
			t.Fatal(err)
		}
		if theirs, err := io.ReadAll(r); err != nil || !bytes.Equal(ours, theirs) {
			t.Fatalf("the reference gives other data, or %v", err)
		}
	})
}
