package xz

// decodeGeneric decodes symbols until pos reaches outLimit or the input passes
// inLimit, and may overrun either by one symbol. It needs outSlack bytes of
// buf after outLimit and inputPad bytes of in after inLimit.
//
// The modelled bits of trees are decoded without branches: they are hard to
// foresee, and a wrong guess costs more than the few extra instructions.
func (l *lzma) decodeGeneric(outLimit, inLimit int) status {
	var (
		buf, in   = l.buf, l.in
		pos, ip   = l.pos, l.inPos
		rng, code = l.rng, l.code
		state     = l.state
		rep0      = l.rep[0]
		rep1      = l.rep[1]
		rep2      = l.rep[2]
		rep3      = l.rep[3]
		probs     = &l.probs
		pbMask    = l.pbMask
		result    = statusLimit
	)
	for pos < outLimit && ip <= inLimit {
		posState := uint32(pos) & pbMask

		if rng < topValue {
			rng, code, ip = rng<<8, code<<8|uint32(in[ip]), ip+1
		}
		prob := &probs[offMatch+state<<4+posState]
		p := uint32(*prob)
		bound := rng >> 11 * p
		if code < bound {
			*prob = uint16(p + (2048-p)>>5)
			rng = bound

			context := (uint32(pos)&l.lpMask)<<l.lc + uint32(buf[pos-1])>>l.litShift
			lit := (*[0x300]uint16)(probs[offLiteral+0x300*context:])
			m := uint32(1)
			if state < 7 {
				for m < 0x100 {
					if rng < topValue {
						rng, code, ip = rng<<8, code<<8|uint32(in[ip]), ip+1
					}
					p := uint32(lit[m])
					var zero uint32
					rng, code, p, zero = step(rng, code, p)
					lit[m] = uint16(p)
					m = m<<1 + 1 + zero
				}
				if state < 4 {
					state = 0
				} else {
					state -= 3
				}
			} else {
				match := uint32(buf[pos-int(rep0)-1])
				offset := uint32(0x100)
				for m < 0x100 {
					if rng < topValue {
						rng, code, ip = rng<<8, code<<8|uint32(in[ip]), ip+1
					}
					match <<= 1
					bit := match & offset
					i := (offset + bit + m) % 1024
					p := uint32(lit[i])
					var zero uint32
					rng, code, p, zero = step(rng, code, p)
					lit[i] = uint16(p)
					m = m<<1 + 1 + zero
					// Stay in the tree of the match byte while the bits agree.
					offset &= bit ^ zero
				}
				if state < 10 {
					state -= 3
				} else {
					state -= 6
				}
			}
			buf[pos] = byte(m)
			pos++
			continue
		}
		*prob = uint16(p - p>>5)
		rng, code = rng-bound, code-bound

		if rng < topValue {
			rng, code, ip = rng<<8, code<<8|uint32(in[ip]), ip+1
		}
		prob = &probs[offRep+state]
		p = uint32(*prob)
		bound = rng >> 11 * p
		lenBase := uint32(offLen)
		if code < bound {
			*prob = uint16(p + (2048-p)>>5)
			rng = bound
			rep3, rep2, rep1 = rep2, rep1, rep0
			if state < 7 {
				state = 7
			} else {
				state = 10
			}
			// The distance follows the length, see below.
		} else {
			*prob = uint16(p - p>>5)
			rng, code = rng-bound, code-bound
			lenBase = offRepLen

			if rng < topValue {
				rng, code, ip = rng<<8, code<<8|uint32(in[ip]), ip+1
			}
			prob = &probs[offRepG0+state]
			p = uint32(*prob)
			bound = rng >> 11 * p
			if code < bound {
				*prob = uint16(p + (2048-p)>>5)
				rng = bound

				if rng < topValue {
					rng, code, ip = rng<<8, code<<8|uint32(in[ip]), ip+1
				}
				prob = &probs[offRep0Long+state<<4+posState]
				p = uint32(*prob)
				bound = rng >> 11 * p
				if code < bound {
					*prob = uint16(p + (2048-p)>>5)
					rng = bound
					if uint(rep0) >= uint(pos-l.base) || uint(rep0) >= uint(l.dictSize) {
						result = statusDistance
						break
					}
					if state < 7 {
						state = 9
					} else {
						state = 11
					}
					buf[pos] = buf[pos-int(rep0)-1]
					pos++
					continue
				}
				*prob = uint16(p - p>>5)
				rng, code = rng-bound, code-bound
			} else {
				*prob = uint16(p - p>>5)
				rng, code = rng-bound, code-bound

				if rng < topValue {
					rng, code, ip = rng<<8, code<<8|uint32(in[ip]), ip+1
				}
				prob = &probs[offRepG1+state]
				p = uint32(*prob)
				bound = rng >> 11 * p
				if code < bound {
					*prob = uint16(p + (2048-p)>>5)
					rng = bound
					rep0, rep1 = rep1, rep0
				} else {
					*prob = uint16(p - p>>5)
					rng, code = rng-bound, code-bound

					if rng < topValue {
						rng, code, ip = rng<<8, code<<8|uint32(in[ip]), ip+1
					}
					prob = &probs[offRepG2+state]
					p = uint32(*prob)
					bound = rng >> 11 * p
					if code < bound {
						*prob = uint16(p + (2048-p)>>5)
						rng = bound
						rep0, rep1, rep2 = rep2, rep0, rep1
					} else {
						*prob = uint16(p - p>>5)
						rng, code = rng-bound, code-bound
						rep0, rep1, rep2, rep3 = rep3, rep0, rep1, rep2
					}
				}
			}
			if state < 7 {
				state = 8
			} else {
				state = 11
			}
		}

		// The length: two bits choose the tree.
		tree, size, length := lenBase+lenLow+posState<<3, uint32(8), uint32(matchMin)
		if rng < topValue {
			rng, code, ip = rng<<8, code<<8|uint32(in[ip]), ip+1
		}
		prob = &probs[lenBase]
		p = uint32(*prob)
		bound = rng >> 11 * p
		if code < bound {
			*prob = uint16(p + (2048-p)>>5)
			rng = bound
		} else {
			*prob = uint16(p - p>>5)
			rng, code = rng-bound, code-bound
			if rng < topValue {
				rng, code, ip = rng<<8, code<<8|uint32(in[ip]), ip+1
			}
			prob = &probs[lenBase+1]
			p = uint32(*prob)
			bound = rng >> 11 * p
			if code < bound {
				*prob = uint16(p + (2048-p)>>5)
				rng = bound
				tree, length = lenBase+lenMid+posState<<3, matchMin+8
			} else {
				*prob = uint16(p - p>>5)
				rng, code = rng-bound, code-bound
				tree, size, length = lenBase+lenHigh, 256, matchMin+16
			}
		}
		m := uint32(1)
		for m < size {
			if rng < topValue {
				rng, code, ip = rng<<8, code<<8|uint32(in[ip]), ip+1
			}
			prob := &probs[tree+m]
			p := uint32(*prob)
			var zero uint32
			rng, code, p, zero = step(rng, code, p)
			*prob = uint16(p)
			m = m<<1 + 1 + zero
		}
		length += m - size

		if lenBase == offLen {
			slots := (*[64]uint16)(probs[offSlot+min(length-matchMin, 3)<<6:])
			m := uint32(1)
			for m < 64 {
				if rng < topValue {
					rng, code, ip = rng<<8, code<<8|uint32(in[ip]), ip+1
				}
				p := uint32(slots[m])
				var zero uint32
				rng, code, p, zero = step(rng, code, p)
				slots[m] = uint16(p)
				m = m<<1 + 1 + zero
			}
			rep0 = m - 64
			if slot := rep0; slot >= 4 {
				n := slot>>1 - 1
				rep0 = 2 | slot&1
				tree := uint32(offAlign)
				low := n
				if slot < 14 {
					rep0 <<= n
					tree = offSpecial + rep0 - slot
				} else {
					for n -= 4; n > 0; n-- {
						if rng < topValue {
							rng, code, ip = rng<<8, code<<8|uint32(in[ip]), ip+1
						}
						rng >>= 1
						code -= rng
						zero := uint32(int32(code) >> 31)
						code += rng & zero
						rep0 = rep0<<1 + 1 + zero
					}
					rep0 <<= 4
					low = 4
				}
				m := uint32(1)
				for i := range low {
					if rng < topValue {
						rng, code, ip = rng<<8, code<<8|uint32(in[ip]), ip+1
					}
					prob := &probs[tree+m]
					p := uint32(*prob)
					var zero uint32
					rng, code, p, zero = step(rng, code, p)
					*prob = uint16(p)
					m = m<<1 + 1 + zero
					rep0 += (1 + zero) << (i & 31)
				}
				if rep0 == eopm {
					result = statusEnd
					break
				}
			}
		}

		if uint(rep0) >= uint(pos-l.base) || uint(rep0) >= uint(l.dictSize) {
			result = statusDistance
			break
		}
		copyMatch(buf, pos, int(rep0)+1, int(length))
		pos += int(length)
	}
	l.pos, l.inPos = pos, ip
	l.rng, l.code = rng, code
	l.state = state
	l.rep = [4]uint32{rep0, rep1, rep2, rep3}
	return result
}

// step decodes one modelled bit with the probability p of a zero, and returns
// the new range, code and probability, and all ones for a zero.
//
// The updated probability of a zero is p + (2048-p)>>5, which is the same as
// p - (p-2017)>>5 with an arithmetic shift; 0xfffff81f is -2017.
func step(rng, code, p uint32) (r, c, q, zero uint32) {
	bound := rng >> 11 * p
	t := uint64(code) - uint64(bound)
	zero = uint32(t >> 32)
	c = uint32(t) + bound&zero
	r = rng - bound + (2*bound-rng)&zero
	q = p - uint32(int32(p+zero&0xfffff81f)>>5)
	return r, c, q, zero
}

// copyMatch appends length bytes from distance bytes before pos.
func copyMatch(buf []byte, pos, distance, length int) {
	dst := buf[pos : pos+length]
	if distance >= length {
		copy(dst, buf[pos-distance:])
		return
	}
	// The copy overlaps itself: what is written so far repeats the pattern.
	src := buf[pos-distance : pos+length]
	for n := distance; len(dst) > 0; n *= 2 {
		k := copy(dst, src[:n])
		dst = dst[k:]
	}
}
