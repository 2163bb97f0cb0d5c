package xz

import (
	"math/bits"
	"unsafe"
)

// The model of LZMA (LZMA specification, "The main loop of decoder"). The
// probabilities of all contexts stand in one array, so that the assembly needs
// one base register. Each tree begins at an even index: the children of a node
// are read with a single 32-bit load.
const (
	numStates    = 12
	posStatesMax = 16
	lenTree      = 16*8 + 16*8 + 256 // low and mid per position state, high

	offMatch    = 0                                     // [state][posState]
	offRep      = offMatch + numStates*posStatesMax     // [state]
	offRepG0    = offRep + numStates                    // [state]
	offRepG1    = offRepG0 + numStates                  // [state]
	offRepG2    = offRepG1 + numStates                  // [state]
	offRep0Long = offRepG2 + numStates                  // [state][posState]
	offSlot     = offRep0Long + numStates*posStatesMax  // [lenState][64]
	offAlign    = offSlot + 4*64                        // [16]
	offSpecial  = offAlign + 16                         // reverse trees of slots 4..13, see specialBase
	offLen      = offSpecial + 128                      // see lenLow...
	offRepLen   = offLen + lenChoice + lenTree          //
	offLiteral  = offRepLen + lenChoice + lenTree       // [context][0x300]
	numProbs    = offLiteral + 0x300<<maxLiteralContext // 14,192 * 2 bytes

	lenChoice = 2 // choice and choice2 come first
	lenLow    = lenChoice
	lenMid    = lenLow + 16*8
	lenHigh   = lenMid + 16*8

	maxLiteralContext = 4 // lc + lp, as LZMA2 demands
	probInit          = 1 << 10
	topValue          = 1 << 24
	matchMin          = 2
	matchMax          = 273
	eopm              = 1<<32 - 1 // the distance that marks the end of the payload
)

const (
	// outSlack bytes after the output limit may be written: one match that
	// began just before the limit, and what a wide copy writes past its end.
	outSlack = 320
	// dictStart is where an empty dictionary begins: the byte before it is the
	// zero that the model sees before the first byte.
	dictStart = 16
	// dictMin is the smallest dictionary of the format.
	dictMin = 4 << 10
	// stepSize is how much one call of the decoder writes at most (and a
	// match): small enough that the check still finds the data in the cache,
	// and that the garbage collector need not wait for the assembly.
	stepSize = 128 << 10
)

// status says why decode returned.
type status int

const (
	statusLimit    status = iota // a limit is reached
	statusDistance               // a match points before the dictionary
	statusEnd                    // the end of payload marker was decoded
)

// lzma is the state of one LZMA decoder and its dictionary. The assembly reads
// and writes it by the offsets of go_asm.h.
//
// The dictionary is linear: output is appended to buf, and when buf is full
// the last dictSize bytes move to its front. So a match is a plain copy, and
// the consumer reads the output in place. pos is congruent modulo 16 to the
// number of bytes since the last dictionary reset, and buf[0] is aligned to 16
// bytes, so the model's position states come from the output address.
type lzma struct {
	buf      []byte // dictionary and output, aligned to 16 bytes
	pos      int    // buf[base:pos] is valid
	base     int
	dictSize int // bytes that a match may reach back

	in    []byte // compressed input; inputPad bytes are readable after any limit
	inPos int

	rng, code uint32 // range coder
	state     uint32
	rep       [4]uint32 // last four distances, minus one
	lc        uint32
	lpMask    uint32
	pbMask    uint32
	litShift  uint32 // 8 - lc
	probs     [numProbs]uint16

	hint int // bytes of output to expect, or zero
}

// setProps takes lc, lp and pb from their common byte.
func (l *lzma) setProps(b byte) error {
	if b >= 9*5*5 {
		return ErrCorrupt
	}
	lc, lp, pb := uint32(b)%9, uint32(b)/9%5, uint32(b)/45
	if lc+lp > maxLiteralContext {
		return ErrUnsupported
	}
	l.lc, l.litShift, l.lpMask, l.pbMask = lc, 8-lc, 1<<lp-1, 1<<pb-1
	return nil
}

// resetState sets the model back to its beginning, for the present properties.
func (l *lzma) resetState() {
	l.state = 0
	l.rep = [4]uint32{}
	n := offLiteral + 0x300<<(l.lc+uint32(bits.OnesCount32(l.lpMask)))
	probs := l.probs[:n]
	for i := range probs {
		probs[i] = probInit
	}
}

// initRange starts the range coder with the five bytes b.
func (l *lzma) initRange(b []byte) error {
	if b[0] != 0 {
		return ErrCorrupt
	}
	l.rng = 1<<32 - 1
	l.code = uint32(b[1])<<24 | uint32(b[2])<<16 | uint32(b[3])<<8 | uint32(b[4])
	if l.code == l.rng { // code < rng holds from here on
		return ErrCorrupt
	}
	return nil
}

// normalize takes the last byte of the range coder's input, if it is due.
func (l *lzma) normalize() {
	if l.rng < topValue {
		l.rng <<= 8
		l.code = l.code<<8 | uint32(l.in[l.inPos])
		l.inPos++
	}
}

// resetDict empties the dictionary. All output must have been consumed.
func (l *lzma) resetDict(size int) {
	l.pos, l.base, l.dictSize = dictStart, dictStart, max(size, dictMin)
	if len(l.buf) > 0 {
		l.buf[dictStart-1] = 0
	}
}

// room makes sure that at least min(want, 4 KiB) bytes can be appended before
// the slack, and returns how many can. All output must have been consumed.
func (l *lzma) room(want int) int {
	if n := len(l.buf) - outSlack - l.pos; n >= min(want, 4<<10) {
		return n
	}
	// Half a dictionary more than the dictionary: then the move costs two
	// bytes of memmove per byte of output, a small part of decoding it.
	full := l.dictSize + min(max(l.dictSize/2, 256<<10), 8<<20) + outSlack
	if len(l.buf) < full {
		l.grow(min(max(2*len(l.buf), 256<<10, min(l.hint, 16<<20)+dictStart+outSlack, l.pos+min(want, stepSize)+outSlack), full))
		if n := len(l.buf) - outSlack - l.pos; n >= min(want, 4<<10) {
			return n
		}
	}
	// Moving by a multiple of 16 keeps the position states.
	if from := (l.pos - min(l.dictSize, l.pos-l.base)) &^ 15; from > 0 {
		copy(l.buf, l.buf[from:l.pos])
		l.pos -= from
		l.base = max(l.base-from, 0)
	}
	return len(l.buf) - outSlack - l.pos
}

// grow enlarges buf to n bytes and keeps its content.
func (l *lzma) grow(n int) {
	alloc := make([]byte, n+15)
	skip := int(-uintptr(unsafe.Pointer(unsafe.SliceData(alloc))) & 15)
	buf := alloc[skip : skip+n : skip+n]
	copy(buf, l.buf[:min(l.pos, len(l.buf))])
	l.buf = buf
}
