package xz

// rangeCoder is the encoder's half of the range coder (LZMA specification,
// "Range decoder"). A carry walks back into what was written, so nothing is
// held back but low.
type rangeCoder struct {
	low uint64 // 32 bits, and the carry above them
	rng uint32
	n   int // bytes in out
	out [chunkMax]byte
}

// begin starts a chunk, whose first byte is always zero.
func (c *rangeCoder) begin() {
	c.low, c.rng, c.n = 0, 1<<32-1, 1
	c.out[0] = 0
}

// flush ends a chunk.
func (c *rangeCoder) flush() {
	for range 4 {
		c.shift()
	}
}

// shift puts the top byte of low out.
func (c *rangeCoder) shift() {
	if c.low>>32 != 0 {
		c.carry()
	}
	c.out[c.n] = byte(c.low >> 24)
	c.n++
	c.low = c.low & 0xffffff << 8
}

// carry adds one to what was written.
func (c *rangeCoder) carry() {
	i := c.n - 1
	for ; c.out[i] == 0xff; i-- {
		c.out[i] = 0
	}
	c.out[i]++
}

// modelled is one bit with the probability p of a zero: the new low, range and
// probability. It has no branches, for its bits are hard to foresee; see step,
// which takes the same way back.
func modelled(low uint64, rng, p, bit uint32) (uint64, uint32, uint32) {
	bound := rng >> 11 * p
	one := -bit // all ones for a one
	low += uint64(bound & one)
	rng = bound + (rng-2*bound)&one
	p -= uint32(int32(p-2017+one&2017) >> 5)
	return low, rng, p
}

// bit codes one bit.
func (c *rangeCoder) bit(prob *uint16, bit uint32) {
	p := uint32(*prob)
	bound := c.rng >> 11 * p
	if bit == 0 {
		c.rng = bound
		*prob = uint16(p + (2048-p)>>5)
	} else {
		c.low += uint64(bound)
		c.rng -= bound
		*prob = uint16(p - p>>5)
	}
	if c.rng < topValue {
		c.rng <<= 8
		c.shift()
	}
}

// tree codes the n low bits of v, the highest first.
func (c *rangeCoder) tree(probs []uint16, n int, v uint32) {
	low, rng := c.low, c.rng
	m := uint32(1)
	for i := n - 1; i >= 0; i-- {
		b := v >> i & 1
		p := uint32(probs[m])
		low, rng, p = modelled(low, rng, p, b)
		probs[m] = uint16(p)
		m = m<<1 | b
		if rng < topValue {
			rng <<= 8
			c.low = low
			c.shift()
			low = c.low
		}
	}
	c.low, c.rng = low, rng
}

// reverse codes the n low bits of v, the lowest first.
func (c *rangeCoder) reverse(probs []uint16, n int, v uint32) {
	m := uint32(1)
	for range n {
		b := v & 1
		v >>= 1
		c.bit(&probs[m], b)
		m = m<<1 | b
	}
}

// direct codes the n low bits of v, which are as likely zeros as ones.
func (c *rangeCoder) direct(n int, v uint32) {
	for i := n - 1; i >= 0; i-- {
		c.rng >>= 1
		c.low += uint64(c.rng & -(v >> i & 1))
		if c.rng < topValue {
			c.rng <<= 8
			c.shift()
		}
	}
}

// literal codes a byte in its context.
func (c *rangeCoder) literal(probs *[0x300]uint16, v uint32) {
	low, rng := c.low, c.rng
	m := uint32(1)
	v <<= 24
	for range 8 {
		b := v >> 31
		v <<= 1
		p := uint32(probs[m&0xff])
		low, rng, p = modelled(low, rng, p, b)
		probs[m&0xff] = uint16(p)
		m = m<<1 | b
		if rng < topValue {
			rng <<= 8
			c.low = low
			c.shift()
			low = c.low
		}
	}
	c.low, c.rng = low, rng
}

// literalAfter codes a byte that follows a match, with the byte that the match
// would have gone on with.
func (c *rangeCoder) literalAfter(probs *[0x300]uint16, v, match uint32) {
	low, rng := c.low, c.rng
	m, offset := uint32(1), uint32(0x100)
	v <<= 24
	for range 8 {
		b := v >> 31
		v <<= 1
		match <<= 1
		in := match & offset
		i := (offset + in + m) % 1024
		p := uint32(probs[i])
		low, rng, p = modelled(low, rng, p, b)
		probs[i] = uint16(p)
		m = m<<1 | b
		// Stay in the tree of the match byte while the bits agree.
		offset &= in ^ (b - 1)
		if rng < topValue {
			rng <<= 8
			c.low = low
			c.shift()
			low = c.low
		}
	}
	c.low, c.rng = low, rng
}
