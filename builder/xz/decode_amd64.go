//go:build !purego

package xz

import "golang.org/x/sys/cpu"

// decodeAsm is decodeGeneric in assembly. It checks nothing that decode does.
//
//go:noescape
func decodeAsm(l *lzma, outLimit, inLimit int) status

// decode is decodeGeneric, in assembly where the processor has SSSE3 (all but
// the first of amd64, and some emulated ones).
func (l *lzma) decode(outLimit, inLimit int) status {
	if !cpu.X86.HasSSSE3 {
		return l.decodeGeneric(outLimit, inLimit)
	}
	// What the assembly takes for granted.
	_, _ = l.buf[:outLimit+outSlack], l.in[:inLimit+inputPad]
	_, _ = l.buf[l.base:l.pos], l.in[:l.inPos]
	if l.state >= 7 && uint(l.rep[0]) >= uint(min(l.pos-l.base, l.dictSize)) {
		return statusDistance
	}
	return decodeAsm(l, outLimit, inLimit)
}
