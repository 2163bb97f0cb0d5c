package xz

import (
	"encoding/binary"
	"math/bits"
)

// Sizes of the tables, chosen by measurement: larger ones fall out of the
// cache and cost more time than they save room. An entry is a place with some
// more bits of its hash below, which save looking at most wrong places.
const (
	nearBits  = 15 // 512 KiB
	farBits   = 18 // 1 MiB
	shortBits = 12
	ways      = 4
	tagBits   = 9
	tagMask   = 1<<tagBits - 1

	shortReach = 1 << 12 // three bytes from further away are not worth a match
	enough     = 64      // bytes; no better match is looked for
)

// finder finds earlier places of a block with the same bytes: the last one
// that shares seven bytes, which is worth a long way, the last four with the
// same hash of four bytes, and the last near one that shares three.
type finder struct {
	data  []byte
	next  int // the places below are in the tables
	near  [1 << nearBits][ways]uint32
	far   [1 << farBits]uint32
	short [1 << shortBits]uint32
}

func (m *finder) reset(data []byte) {
	m.data, m.next = data, 0
	clear(m.near[:])
	clear(m.far[:])
	clear(m.short[:])
}

// mixed mixes the low bytes of v into n bits.
func mixed(v uint64, bytes, n int) uint32 {
	const prime = 0x9e3779b185ebca87 // of xxHash64
	return uint32(v << (64 - 8*bytes) * prime >> (64 - n))
}

// insert puts places up to one that is not looked at into the tables.
func (m *finder) insert(to int) {
	for p := m.next; p < min(to, len(m.data)-7); p++ {
		v := binary.LittleEndian.Uint64(m.data[p:])
		m.nearby(v, p)
		m.farthest(v, p)
		m.short[mixed(v, 3, shortBits)] = uint32(p)
	}
	m.next = max(m.next, to)
}

// nearby puts a place into a bucket and returns what was in it.
func (m *finder) nearby(v uint64, pos int) (old [ways]uint32, tag uint32) {
	h := mixed(v, 4, nearBits+tagBits)
	b := &m.near[h>>tagBits]
	old = *b
	*b = [ways]uint32{uint32(pos)<<tagBits | h&tagMask, old[0], old[1], old[2]}
	return old, h & tagMask
}

func (m *finder) farthest(v uint64, pos int) (old, tag uint32) {
	h := mixed(v, 7, farBits+tagBits)
	b := &m.far[h>>tagBits]
	old = *b
	*b = uint32(pos)<<tagBits | h&tagMask
	return old, h & tagMask
}

// score is what a match is worth against others: what its bytes would take,
// less the bits of its distance.
func score(length int, dist uint32) int { return byteWorth*length - bits.Len32(dist) }

// find puts pos into the tables and returns the best match there of at most
// limit bytes, with its distance, minus one, and its score. A length of zero is
// none.
func (m *finder) find(pos, limit int) (length int, dist uint32, best int) {
	m.insert(pos)
	if pos+8 > len(m.data) || limit < 4 {
		return 0, 0, 0
	}
	m.next = pos + 1
	v := binary.LittleEndian.Uint64(m.data[pos:])
	here := m.data[pos:][:limit]
	try := func(at, least int) {
		if n := same(here, m.data[at:]); n >= least && n > length {
			if s := score(n, uint32(pos-at-1)); s > best {
				length, dist, best = n, uint32(pos-at-1), s
			}
		}
	}
	h := mixed(v, 3, shortBits)
	at := int(m.short[h])
	m.short[h] = uint32(pos)
	if at < pos && pos-at < shortReach {
		try(at, 3)
	}
	entry, tag := m.farthest(v, pos)
	if at := int(entry >> tagBits); entry&tagMask == tag && at < pos {
		try(at, 4)
	}
	bucket, tag := m.nearby(v, pos)
	if length >= enough {
		return
	}
	for _, entry := range bucket {
		if at := int(entry >> tagBits); entry&tagMask == tag && at < pos {
			try(at, 4)
		}
	}
	return
}

// known tells whether what begins at pos was there before, by some samples.
func (m *finder) known(pos, n int) bool {
	for at := pos; at < pos+n; at += n / 4 {
		for p := at; p < min(at+2*sparse, len(m.data)-8); p++ {
			v := binary.LittleEndian.Uint64(m.data[p:])
			h := mixed(v, 7, farBits+tagBits)
			e := m.far[h>>tagBits]
			if from := int(e >> tagBits); (e^h)&tagMask == 0 && from < p && binary.LittleEndian.Uint64(m.data[from:]) == v {
				return true
			}
		}
	}
	return false
}

// sparse is the step of the places that skip puts into the tables.
const sparse = 16

// skip puts some of the next n places into the tables: enough for known.
func (m *finder) skip(pos, n int) {
	for p := pos; p < min(pos+n, len(m.data)-7); p += sparse {
		m.farthest(binary.LittleEndian.Uint64(m.data[p:]), p)
	}
	m.next = max(m.next, pos+n)
}

// same counts the bytes that b begins with as a does; b is not shorter.
func same(a, b []byte) int {
	n := 0
	b = b[:len(a)]
	for len(a)-n >= 8 {
		if x := binary.LittleEndian.Uint64(a[n:]) ^ binary.LittleEndian.Uint64(b[n:]); x != 0 {
			return n + bits.TrailingZeros64(x)>>3
		}
		n += 8
	}
	for n < len(a) && a[n] == b[n] {
		n++
	}
	return n
}
