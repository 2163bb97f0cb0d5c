package xz

import (
	"encoding/binary"
	"hash/crc32"
)

// MaxBlock is how long the data of a block of an Encoder can be, in bytes.
const MaxBlock = 1 << (32 - tagBits)

// Sizes of an LZMA2 chunk, in bytes.
const (
	chunkMax   = 1 << 16 // of LZMA data
	chunkSlack = 64      // more than a symbol and the end of the range coder take
	chunkPlain = 1 << 21 // of what it decodes to
	storedMax  = 1 << 16
)

// Encoder packs blocks of an .xz stream: fast rather than small, about as
// small as xz -2. It is not safe for concurrent use. A block's bytes depend on
// its data alone.
type Encoder struct {
	model
	finder
	check check

	// The match at ahead that was found already, or a negative number.
	ahead int
	seen  symbol
}

// symbol is a match to be coded. A worth below literalWorth is a literal.
type symbol struct {
	length int
	dist   uint32 // minus one
	rep    int    // which of the last distances, or a negative number
	worth  int
}

// What counts in the choice between symbols, in bits of a code where a byte
// takes byteWorth; found by trial on a root filesystem and on programs.
const (
	literalWorth = 11
	byteWorth    = 7
	repWorth     = 5 // saying no distance
	waitWorth    = 3 // how much better the match at the next byte must be
)

const blockHeaderSize = 24

// Block appends data, at most MaxBlock bytes, as a block to dst (The .xz File
// Format, 3): header, LZMA2 data, padding, CRC64.
func (e *Encoder) Block(dst, data []byte) []byte {
	start := len(dst)
	dst = append(dst, make([]byte, blockHeaderSize)...)
	dst = e.lzma2(dst, data)
	h := dst[start:][:blockHeaderSize]
	h[0], h[1] = blockHeaderSize/4-1, 0xc0 // both sizes are there, one filter
	p := 2 + binary.PutUvarint(h[2:], uint64(len(dst)-start-blockHeaderSize))
	p += binary.PutUvarint(h[p:], uint64(len(data)))
	h[p], h[p+1], h[p+2] = filterLZMA2, 1, dictProp(len(data))
	binary.LittleEndian.PutUint32(h[blockHeaderSize-4:], crc32.ChecksumIEEE(h[:blockHeaderSize-4]))
	for (len(dst)-start)%4 != 0 {
		dst = append(dst, 0)
	}
	e.check.begin(checkCRC64)
	e.check.write(data)
	return e.check.sum(dst)
}

// dictProp is the smallest dictionary that holds n bytes, as dictSize reads it.
func dictProp(n int) byte {
	b := byte(0)
	for (2|int(b&1))<<(b/2+11) < n {
		b++
	}
	return b
}

// lzma2 appends data as LZMA2 chunks and their end.
func (e *Encoder) lzma2(dst, data []byte) []byte {
	e.finder.reset(data)
	const dict, props, state, nothing = 0xe0, 0xc0, 0xa0, 0x80
	reset := byte(dict) // what the next LZMA chunk must reset
	for pos := 0; pos < len(data); {
		if n := min(len(data)-pos, storedMax); noise(data[pos:][:n]) && !e.known(pos, n) {
			dst = stored(dst, data[pos:][:n], reset == dict)
			e.skip(pos, n)
			pos += n
			reset = max(state, min(reset, props))
			continue
		}
		if reset != nothing {
			e.model.reset()
			e.ahead = -1
		}
		end := e.chunk(pos)
		if n := end - pos; e.n >= n && n <= storedMax {
			dst = stored(dst, data[pos:end], reset == dict)
			reset = max(state, min(reset, props))
		} else {
			n, packed := n-1, e.n-1
			dst = append(dst, reset|byte(n>>16), byte(n>>8), byte(n), byte(packed>>8), byte(packed))
			if reset >= props {
				dst = append(dst, encProps)
			}
			dst = append(dst, e.out[:e.n]...)
			reset = nothing
		}
		pos = end
	}
	return append(dst, 0)
}

// stored appends a chunk that is not packed.
func stored(dst, data []byte, first bool) []byte {
	control := byte(2)
	if first {
		control = 1 // resets the dictionary
	}
	n := len(data) - 1
	return append(append(dst, control, byte(n>>8), byte(n)), data...)
}

// chunk codes what begins at pos until the chunk is full, and returns where
// that is. It looks one byte ahead: a match that is worth more there makes
// this one a literal.
func (e *Encoder) chunk(pos int) int {
	start, data := pos, e.data
	e.begin()
	for pos < len(data) && e.n < chunkMax-chunkSlack && pos-start < chunkPlain-matchMax {
		limit := min(len(data)-pos, matchMax)
		s := e.seen
		if e.ahead != pos {
			s = e.best(pos, limit)
		}
		if s.worth < literalWorth {
			e.putByte(data, pos)
			pos++
			continue
		}
		if s.length < min(enough, limit) {
			e.ahead, e.seen = pos+1, e.best(pos+1, limit-1)
			if e.seen.worth > s.worth+waitWorth {
				e.putByte(data, pos)
				pos++
				continue
			}
		}
		if s.rep >= 0 {
			e.putRep(pos, s.length, s.rep)
		} else {
			e.putMatch(pos, s.length, s.dist)
		}
		pos += s.length
	}
	e.flush()
	return pos
}

// putByte codes one byte: by the last distance, when the byte there is the
// same.
func (e *Encoder) putByte(data []byte, pos int) {
	if at := pos - int(e.rep[0]) - 1; at >= 0 && data[at] == data[pos] {
		e.putRep(pos, 1, 0)
		return
	}
	e.putLiteral(data, pos)
}

// best is the best match at pos, of at most limit bytes.
func (e *Encoder) best(pos, limit int) symbol {
	s := symbol{rep: -1}
	here := e.data[pos:][:limit]
	for i, dist := range e.rep {
		at := pos - int(dist) - 1
		if at < 0 {
			continue
		}
		if n := same(here, e.data[at:]); n >= matchMin && byteWorth*n+repWorth > s.worth {
			s = symbol{length: n, rep: i, worth: byteWorth*n + repWorth}
		}
	}
	if s.length >= enough {
		return s
	}
	if length, dist, worth := e.find(pos, limit); worth > s.worth {
		return symbol{length, dist, -1, worth}
	}
	return s
}

// noise tells data in which all bytes are about as frequent: it is packed or
// encrypted already, and coding it would take long and make it longer.
func noise(data []byte) bool {
	n := uint64(len(data))
	if n < storedMax/4 {
		return false
	}
	var count [256]uint64
	for _, b := range data {
		count[b]++
	}
	sum := uint64(0)
	for _, c := range count {
		sum += c * c
	}
	// Of n random bytes it is about n*n/256 + n.
	return sum < (n*n/256+n)/100*101
}
