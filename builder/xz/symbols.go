package xz

import "math/bits"

// The properties that the encoder uses, which are xz's own: contexts of three
// bits of the byte before, none of the position, four places in a word.
const (
	encLC, encLP, encPB = 3, 0, 2
	encProps            = (encPB*5+encLP)*9 + encLC
	encPosMask          = 1<<encPB - 1
)

// model is the state of the encoder, with the same array of probabilities as
// the decoder's.
type model struct {
	rangeCoder
	state uint32
	rep   [4]uint32 // last four distances, minus one
	probs [offLiteral + 0x300<<encLC]uint16
}

func (e *model) reset() {
	e.state, e.rep = 0, [4]uint32{}
	for i := range e.probs {
		e.probs[i] = probInit
	}
}

// putLiteral codes data[pos].
func (e *model) putLiteral(data []byte, pos int) {
	e.bit(&e.probs[offMatch+e.state<<4+uint32(pos)&encPosMask], 0)
	before := uint32(0)
	if pos > 0 {
		before = uint32(data[pos-1])
	}
	lit := (*[0x300]uint16)(e.probs[offLiteral+0x300*(before>>(8-encLC)):])
	if e.state < 7 {
		e.literal(lit, uint32(data[pos]))
		e.state -= min(e.state, 3)
		return
	}
	e.literalAfter(lit, uint32(data[pos]), uint32(data[pos-int(e.rep[0])-1]))
	if e.state < 10 {
		e.state -= 3
	} else {
		e.state -= 6
	}
}

// putMatch codes a match of length bytes at a distance, minus one, that is
// none of the last four.
func (e *model) putMatch(pos, length int, dist uint32) {
	posState := uint32(pos) & encPosMask
	e.bit(&e.probs[offMatch+e.state<<4+posState], 1)
	e.bit(&e.probs[offRep+e.state], 0)
	if e.state < 7 {
		e.state = 7
	} else {
		e.state = 10
	}
	e.putLength(offLen, uint32(length), posState)
	slots := e.probs[offSlot+min(length-matchMin, 3)<<6:][:64]
	slot := slotOf(dist)
	e.tree(slots, 6, slot)
	if slot >= 4 {
		n := int(slot>>1 - 1)
		base := (2 | slot&1) << n
		if slot < 14 {
			e.reverse(e.probs[offSpecial+base-slot:], n, dist-base)
		} else {
			e.direct(n-4, (dist-base)>>4)
			e.reverse(e.probs[offAlign:], 4, dist&15)
		}
	}
	e.rep = [4]uint32{dist, e.rep[0], e.rep[1], e.rep[2]}
}

// slotOf is the class of a distance, minus one.
func slotOf(dist uint32) uint32 {
	if dist < 4 {
		return dist
	}
	n := uint32(bits.Len32(dist)) - 1
	return n<<1 | dist>>(n-1)&1
}

// putRep codes a match at the last distance but i. A length of one is a byte
// at the last distance.
func (e *model) putRep(pos, length, i int) {
	posState := uint32(pos) & encPosMask
	e.bit(&e.probs[offMatch+e.state<<4+posState], 1)
	e.bit(&e.probs[offRep+e.state], 1)
	if i == 0 {
		e.bit(&e.probs[offRepG0+e.state], 0)
		long := uint32(1)
		if length == 1 {
			long = 0
		}
		e.bit(&e.probs[offRep0Long+e.state<<4+posState], long)
		if length == 1 {
			if e.state < 7 {
				e.state = 9
			} else {
				e.state = 11
			}
			return
		}
	} else {
		dist := e.rep[i]
		e.bit(&e.probs[offRepG0+e.state], 1)
		if i == 1 {
			e.bit(&e.probs[offRepG1+e.state], 0)
		} else {
			e.bit(&e.probs[offRepG1+e.state], 1)
			e.bit(&e.probs[offRepG2+e.state], uint32(i-2))
		}
		copy(e.rep[1:i+1], e.rep[:i])
		e.rep[0] = dist
	}
	if e.state < 7 {
		e.state = 8
	} else {
		e.state = 11
	}
	e.putLength(offRepLen, uint32(length), posState)
}

func (e *model) putLength(base, length, posState uint32) {
	switch n := length - matchMin; {
	case n < 8:
		e.bit(&e.probs[base], 0)
		e.tree(e.probs[base+lenLow+posState<<3:], 3, n)
	case n < 16:
		e.bit(&e.probs[base], 1)
		e.bit(&e.probs[base+1], 0)
		e.tree(e.probs[base+lenMid+posState<<3:], 3, n-8)
	default:
		e.bit(&e.probs[base], 1)
		e.bit(&e.probs[base+1], 1)
		e.tree(e.probs[base+lenHigh:], 8, n-16)
	}
}
