//go:build linux && !purego

package xz

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"testing"

	"golang.org/x/sys/cpu"
	"golang.org/x/sys/unix"
)

// guarded returns n bytes between two pages that may not be touched: what
// reads or writes outside dies with a fault. n is rounded up to whole pages.
func guarded(t testing.TB, n int) []byte {
	t.Helper()
	page := unix.Getpagesize()
	n = (n + page - 1) / page * page
	all, err := unix.Mmap(-1, 0, n+2*page, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_ANON|unix.MAP_PRIVATE)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Munmap(all) })
	for _, guard := range [][]byte{all[:page], all[page+n:]} {
		if err := unix.Mprotect(guard, unix.PROT_NONE); err != nil {
			t.Fatal(err)
		}
	}
	return all[page : page+n : page+n]
}

// twins are a decoder for the assembly, between guard pages, and its equal for
// the Go code.
type twins struct{ asm, plain lzma }

func newTwins(t testing.TB, dict, input int) *twins {
	if !cpu.X86.HasSSSE3 {
		skip(t, "needs SSSE3")
	}
	w := new(twins)
	w.asm.buf, w.asm.in = guarded(t, dict), guarded(t, input)
	w.plain.buf, w.plain.in = make([]byte, len(w.asm.buf)), make([]byte, len(w.asm.in))
	return w
}

// run decodes input from a random state with both, and compares all they know.
// The distances of the model are such that most are valid.
func (w *twins) run(input []byte, seed uint64) error {
	rnd := rand.New(rand.NewPCG(seed, 1))
	a, b := &w.asm, &w.plain
	input = input[:min(len(input), len(a.in)-inputPad)]

	size := len(a.buf)
	filled := rnd.IntN(size - outSlack - 2*dictStart)
	b.setProps(byte(rnd.IntN(225)))
	for b.setProps(byte(rnd.IntN(225))) != nil {
	}
	b.resetState()
	if rnd.IntN(2) == 0 {
		for i := range b.probs {
			b.probs[i] = uint16(31 + rnd.IntN(2017-31+1))
		}
	}
	for i := range 4 { // mostly slots below 16, or below 32
		b.probs[offSlot+i*64+1] = 2017
		if rnd.IntN(4) > 0 {
			b.probs[offSlot+i*64+2] = 2017
		}
	}
	b.dictSize = dictMin << rnd.IntN(8)
	b.pos = dictStart + filled
	switch rnd.IntN(3) {
	case 0:
		b.base = 0
	case 1:
		b.base = dictStart
	case 2:
		b.base = b.pos - rnd.IntN(filled+1)
	}
	for i := range b.buf {
		b.buf[i] = byte(i * 7 >> (i >> 9 & 7))
	}
	b.state = uint32(rnd.IntN(7))
	for i := range b.rep {
		b.rep[i] = uint32(rnd.IntN(filled/2 + 2))
	}
	b.rng = 1<<32 - 1
	b.code = rnd.Uint32() >> 1
	clear(b.in)
	// The end of the input is the end of the page.
	b.inPos = len(b.in) - inputPad - len(input)
	copy(b.in[b.inPos:], input)

	buf, in := a.buf, a.in
	*a = *b
	a.buf, a.in = buf, in
	copy(a.buf, b.buf)
	copy(a.in, b.in)

	inLimit := len(b.in) - inputPad
	for {
		outLimit := len(b.buf) - outSlack
		if rnd.IntN(2) == 0 {
			outLimit = min(outLimit, b.pos+1+rnd.IntN(5000))
		}
		sa, sb := decodeAsm(a, outLimit, inLimit), b.decodeGeneric(outLimit, inLimit)
		if sa != sb || a.pos != b.pos || a.inPos != b.inPos {
			return fmt.Errorf("status %d, output %d, input %d; want %d, %d, %d", sa, a.pos, a.inPos, sb, b.pos, b.inPos)
		}
		if !bytes.Equal(a.buf[:a.pos], b.buf[:b.pos]) {
			return fmt.Errorf("other output")
		}
		if a.rng != b.rng || a.code != b.code || a.state != b.state || a.rep != b.rep || a.probs != b.probs {
			return fmt.Errorf("other state")
		}
		if sa != statusLimit || b.inPos > inLimit || b.pos >= len(b.buf)-outSlack {
			return nil
		}
	}
}

// TestAssembly decodes noise, which is valid LZMA until a distance is not.
func TestAssembly(t *testing.T) {
	w := newTwins(t, 100_000, 4096)
	input := make([]byte, 4096)
	rnd := rand.New(rand.NewPCG(3, 4))
	runs, used, overrun := 3000, 0, 0
	if testing.Short() {
		runs = 300
	}
	for seed := range runs {
		for i := range input {
			input[i] = byte(rnd.Uint32())
		}
		// Half of them are so short that the input ends before an error.
		n := 2048
		if seed%2 == 1 {
			n = rnd.IntN(100)
		}
		if err := w.run(input[:n], uint64(seed)); err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
		if n == 2048 {
			used += n - max(len(w.plain.in)-inputPad-w.plain.inPos, 0)
		}
		if w.plain.inPos > len(w.plain.in)-inputPad {
			overrun++
		}
	}
	used /= runs / 2
	t.Logf("%d of 2048 bytes of input used, %d of %d inputs overrun", used, overrun, runs)
	if used < 100 || overrun < runs/10 {
		t.Error("errors come so soon that little is tried")
	}
}

func FuzzAssembly(f *testing.F) {
	w := newTwins(f, 40_000, 4096)
	f.Add([]byte("some input"), uint64(1))
	f.Add(bytes.Repeat([]byte{0xff, 0x13}, 900), uint64(2))
	f.Fuzz(func(t *testing.T, input []byte, seed uint64) {
		if err := w.run(input, seed); err != nil {
			t.Fatal(err)
		}
	})
}

// TestCRC64Bounds reads up to the end of a page.
func TestCRC64Bounds(t *testing.T) {
	p := guarded(t, 4096)
	var c check
	c.begin(checkCRC64)
	for n := range 300 {
		updateCRC64(0, c.table, p[len(p)-n:])
		updateCRC64(0, c.table, p[:n])
	}
}
