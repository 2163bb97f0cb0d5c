//go:build !purego

#include "go_asm.h"
#include "textflag.h"
#include "lzma_amd64.h"

// The loop over LZMA symbols; decodeGeneric is its description in Go.
//
// What makes it fast: the range coder, both positions, the state and the last
// distance stay in registers; the bits of trees are decoded without branches,
// with the probabilities of both children loaded before the bit is known, so
// that the chain from bit to bit is shift, multiply, subtract, conditional
// move; matches are copied 16 bytes at a time.
//
// What makes it safe: the caller grants outSlack bytes of output and inputPad
// bytes of input after the limits, which are looked at once per symbol; each
// symbol takes at most 48 bytes of input and writes at most 273 + 31 bytes.
// Distances are compared with what the dictionary holds. Tree indices cannot
// leave their trees, whatever the input: a tree of n levels is walked from
// node 1 in n steps.

// func decodeAsm(l *lzma, outLimit, inLimit int) status
TEXT ·decodeAsm(SB), NOSPLIT, $64-32
	MOVQ l+0(FP), L
	MOVQ lzma_buf(L), AX
	MOVQ lzma_pos(L), OUT
	ADDQ AX, OUT
	MOVQ outLimit+8(FP), CX
	ADDQ AX, CX
	MOVQ CX, outEnd-8(SP)
	ADDQ lzma_base(L), AX
	MOVQ AX, base-16(SP)
	MOVQ lzma_in(L), AX
	MOVQ lzma_inPos(L), IN
	ADDQ AX, IN
	ADDQ inLimit+16(FP), AX
	MOVQ AX, inEnd-24(SP)
	MOVL lzma_rng(L), RNG
	MOVL lzma_code(L), CODE
	MOVL lzma_state(L), STATE
	MOVL lzma_rep(L), REP0

loop:
	CMPQ OUT, outEnd-8(SP)
	JCC  limit
	CMPQ IN, inEnd-24(SP)
	JHI  limit

	MOVL lzma_pbMask(L), R14
	ANDL OUT, R14               // position state
	MOVL STATE, R13
	SHLL $4, R13
	ADDL R14, R13
	BIT(MATCH(L)(R13*2), match)

	// A literal: its tree is chosen by the position and the byte before.
	MOVL    lzma_lpMask(L), BX
	ANDL    OUT, BX
	MOVL    lzma_lc(L), CX
	SHLL    CX, BX
	MOVBLZX -1(OUT), DX
	MOVL    lzma_litShift(L), CX
	SHRL    CX, DX
	ADDL    DX, BX
	LEAL    (BX)(BX*2), BX
	SHLL    $9, BX              // 0x300 probabilities of 2 bytes
	LEAQ    LITERAL(L)(BX*1), BX
	CMPL    STATE, $7
	JCC     matched

	XORL    CX, CX
	SUBL    $3, STATE
	CMOVLLT CX, STATE
	ROOT
	STEP(R13, R14, AX, DX)
	STEP(R14, R13, DX, AX)
	STEP(R13, R14, AX, DX)
	STEP(R14, R13, DX, AX)
	STEP(R13, R14, AX, DX)
	STEP(R14, R13, DX, AX)
	STEP(R13, R14, AX, DX)
	LAST(R14, R13, DX)
	MOVB R13, (OUT)
	INCQ OUT
	JMP  loop

matched:
	// R11 and R12 are free until the end of the literal.
	LEAL    -3(STATE), AX
	LEAL    -6(STATE), CX
	CMPL    STATE, $10
	CMOVLCC CX, AX
	MOVL    AX, lzma_state(L)
	MOVL    REP0, lzma_rep(L)
	MOVQ    OUT, AX
	SUBQ    REP0, AX
	MOVBLZX -1(AX), R11
	MOVL    R11, R12
	SHLL    $1, R12
	ANDL    $0x100, R12
	ADDL    $0x101, R12
	ORL     $0x100, R11
	MOVL    $1, R13
	MOVWLZX (BX)(R12*2), AX
	STEPM(R13, R14, AX, DX, 7)
	STEPM(R14, R13, DX, AX, 6)
	STEPM(R13, R14, AX, DX, 5)
	STEPM(R14, R13, DX, AX, 4)
	STEPM(R13, R14, AX, DX, 3)
	STEPM(R14, R13, DX, AX, 2)
	STEPM(R13, R14, AX, DX, 1)
	DECODE(R14, R13, DX)
	UPDATE(R14, R13, DX, (BX)(R12*2))
	MOVL    lzma_state(L), STATE
	MOVL    lzma_rep(L), REP0
	MOVB    R13, (OUT)
	INCQ    OUT
	JMP     loop

match:
	ONE(MATCH(L)(R13*2))
	BIT(REP(L)(STATE*2), rep)

	// A match with a new distance.
	MOVL lzma_rep+8(L), AX
	MOVL AX, lzma_rep+12(L)
	MOVL lzma_rep+4(L), AX
	MOVL AX, lzma_rep+8(L)
	MOVL REP0, lzma_rep+4(L)
	MOVL $10, AX
	MOVL $7, CX
	CMPL STATE, CX
	MOVL AX, STATE
	CMOVLCS CX, STATE
	LEAQ LEN(L), BX
	MOVL $0, isRep-32(SP)
	JMP  length

rep:
	ONE(REP(L)(STATE*2))
	BIT(REPG0(L)(STATE*2), repG0)
	MOVL STATE, R13
	SHLL $4, R13
	ADDL R14, R13
	BIT(REP0LONG(L)(R13*2), repLong)

	// A single byte from the last distance.
	MOVQ OUT, AX
	SUBQ base-16(SP), AX
	CMPQ REP0, AX
	JCC  bad
	CMPQ REP0, lzma_dictSize(L)
	JCC  bad
	MOVQ OUT, AX
	SUBQ REP0, AX
	MOVB -1(AX), AX
	MOVB AX, (OUT)
	INCQ OUT
	MOVL $11, AX
	MOVL $9, CX
	CMPL STATE, $7
	MOVL AX, STATE
	CMOVLCS CX, STATE
	JMP  loop

repLong:
	ONE(REP0LONG(L)(R13*2))
	JMP repLength

repG0:
	ONE(REPG0(L)(STATE*2))
	BIT(REPG1(L)(STATE*2), repG1)
	MOVL lzma_rep+4(L), AX
	MOVL REP0, lzma_rep+4(L)
	MOVL AX, REP0
	JMP  repLength

repG1:
	ONE(REPG1(L)(STATE*2))
	BIT(REPG2(L)(STATE*2), repG2)
	MOVL lzma_rep+8(L), AX
	JMP  repShift

repG2:
	ONE(REPG2(L)(STATE*2))
	MOVL lzma_rep+12(L), AX
	MOVL lzma_rep+8(L), CX
	MOVL CX, lzma_rep+12(L)

repShift:
	MOVL lzma_rep+4(L), CX
	MOVL CX, lzma_rep+8(L)
	MOVL REP0, lzma_rep+4(L)
	MOVL AX, REP0

repLength:
	MOVL $11, AX
	MOVL $8, CX
	CMPL STATE, $7
	MOVL AX, STATE
	CMOVLCS CX, STATE
	LEAQ REPLEN(L), BX
	MOVL $1, isRep-32(SP)

length:
	// R14 is the position state; R13 becomes the length.
	BIT((BX), lenMid)
	SHLL $4, R14                // 8 probabilities of 2 bytes
	LEAQ (const_lenLow*2)(BX)(R14*1), BX
	ROOT
	STEP(R13, R14, AX, DX)
	STEP(R14, R13, DX, AX)
	LAST(R13, R14, AX)
	LEAL (const_matchMin-8)(R14), R13
	JMP  distance

lenMid:
	ONE((BX))
	BIT(2(BX), lenHigh)
	SHLL $4, R14
	LEAQ (const_lenMid*2)(BX)(R14*1), BX
	ROOT
	STEP(R13, R14, AX, DX)
	STEP(R14, R13, DX, AX)
	LAST(R13, R14, AX)
	LEAL (const_matchMin+8-8)(R14), R13
	JMP  distance

lenHigh:
	ONE(2(BX))
	ADDQ $(const_lenHigh*2), BX
	ROOT
	STEP(R13, R14, AX, DX)
	STEP(R14, R13, DX, AX)
	STEP(R13, R14, AX, DX)
	STEP(R14, R13, DX, AX)
	STEP(R13, R14, AX, DX)
	STEP(R14, R13, DX, AX)
	STEP(R13, R14, AX, DX)
	LAST(R14, R13, DX)
	ADDL $(const_matchMin+16-256), R13

distance:
	CMPL isRep-32(SP), $0
	JNE  copy
	MOVL R13, length-36(SP)

	// The slot of the distance, by the length.
	LEAL (-const_matchMin)(R13), BX
	MOVL $3, CX
	CMPL BX, CX
	CMOVLHI CX, BX
	SHLL $7, BX                 // 64 probabilities of 2 bytes
	LEAQ SLOT(L)(BX*1), BX
	ROOT
	STEP(R13, R14, AX, DX)
	STEP(R14, R13, DX, AX)
	STEP(R13, R14, AX, DX)
	STEP(R14, R13, DX, AX)
	STEP(R13, R14, AX, DX)
	LAST(R14, R13, DX)
	LEAL -64(R13), REP0
	CMPL REP0, $4
	JCS  distanceKnown

	MOVL STATE, lzma_state(L)   // R11 is free until distanceKnown
	MOVL REP0, R13              // slot
	MOVL REP0, CX
	SHRL $1, CX
	DECL CX                     // low bits
	ANDL $1, REP0
	ORL  $2, REP0
	CMPL R13, $14
	JCC  direct

	// Slots 4 to 13: a reverse tree of all low bits. R11 is the bit's value.
	MOVL  $1, R11
	MOVL  R11, AX
	SHLL  CX, AX
	MOVL  AX, end-40(SP)
	SHLL  CX, REP0
	MOVL  REP0, BX
	SUBL  R13, BX
	LEAQ  SPECIAL(L)(BX*2), BX
	ROOT

special:
	MOVWLZX (BX)(R13*4), DX
	DECODE(R13, R14, AX)
	CMOVWCC 2(BX)(R13*4), DX
	UPDATE(R13, R14, AX, (BX)(R13*2))
	MOVL R14, CX
	ANDL $1, CX
	NEGL CX
	ANDL R11, CX
	ADDL CX, REP0
	MOVL R14, R13
	MOVL DX, AX
	ADDL R11, R11
	CMPL R11, end-40(SP)
	JNE  special
	MOVL lzma_state(L), STATE
	JMP  distanceKnown

direct:
	// Slots from 14 on: direct bits, then a reverse tree of four.
	LEAL -4(CX), R13

directLoop:
	NORM
	SHRL $1, RNG
	LEAL (REP0)(REP0*1), REP0
	MOVL CODE, CX
	SUBL RNG, CX
	CMOVLCC CX, CODE
	SBBL $-1, REP0
	DECL R13
	JNE  directLoop

	SHLL $4, REP0
	LEAQ ALIGN(L), BX
	ROOT
	STEP(R13, R14, AX, DX)
	STEP(R14, R13, DX, AX)
	STEP(R13, R14, AX, DX)
	LAST(R14, R13, DX)
	// R13 is 16 and the four bits in reverse.
	LEAQ    reverse<>(SB), BX
	MOVBLZX -16(BX)(R13*1), CX
	ORL     CX, REP0
	MOVL    lzma_state(L), STATE
	CMPL    REP0, $-1
	JEQ     endMarker

distanceKnown:
	MOVL length-36(SP), R13

copy:
	MOVQ OUT, AX
	SUBQ base-16(SP), AX
	CMPQ REP0, AX
	JCC  bad
	CMPQ REP0, lzma_dictSize(L)
	JCC  bad
	MOVQ OUT, BX
	SUBQ REP0, BX
	DECQ BX                     // source
	MOVQ OUT, DI
	ADDQ R13, OUT
	CMPL REP0, $15
	JCS  near
	MOVOU (BX), X0
	MOVOU X0, (DI)
	MOVOU 16(BX), X0
	MOVOU X0, 16(DI)
	CMPL  R13, $32
	JLS   loop

far:
	ADDQ  $32, BX
	ADDQ  $32, DI
	MOVOU (BX), X0
	MOVOU X0, (DI)
	MOVOU 16(BX), X0
	MOVOU X0, 16(DI)
	SUBL  $32, R13
	CMPL  R13, $32
	JHI   far
	JMP   loop

near:
	// The pattern is shorter than a register: repeat it in one, and write
	// that at multiples of the pattern's length.
	MOVOU   (BX), X0
	LEAQ    strides<>(SB), AX
	MOVBLZX (AX)(REP0*1), CX
	SHLL    $4, REP0
	LEAQ    patterns<>(SB), AX
	MOVOU   (AX)(REP0*1), X1
	SHRL    $4, REP0
	PSHUFB  X1, X0

nearLoop:
	MOVOU X0, (DI)
	ADDQ  CX, DI
	SUBL  CX, R13
	JHI   nearLoop
	JMP   loop

endMarker:
	MOVQ $const_statusEnd, AX
	JMP  done

bad:
	MOVQ $const_statusDistance, AX
	JMP  done

limit:
	MOVQ $const_statusLimit, AX

done:
	SUBQ lzma_buf(L), OUT
	MOVQ OUT, lzma_pos(L)
	SUBQ lzma_in(L), IN
	MOVQ IN, lzma_inPos(L)
	MOVL RNG, lzma_rng(L)
	MOVL CODE, lzma_code(L)
	MOVL STATE, lzma_state(L)
	MOVL REP0, lzma_rep(L)
	MOVQ AX, ret+24(FP)
	RET

// The four bits of the index in reverse.
DATA reverse<>+0(SB)/8, $0x0e060a020c040800
DATA reverse<>+8(SB)/8, $0x0f070b030d050901
GLOBL reverse<>(SB), RODATA|NOPTR, $16

// The largest multiple of index + 1 that is not above 16.
DATA strides<>+0(SB)/8, $0x100e0c0f100f1010
DATA strides<>+8(SB)/8, $0x100f0e0d0c0b0a09
GLOBL strides<>(SB), RODATA|NOPTR, $16

// For PSHUFB: 16 bytes of a pattern of index + 1 bytes.
DATA patterns<>+0(SB)/8, $0x0000000000000000
DATA patterns<>+8(SB)/8, $0x0000000000000000
DATA patterns<>+16(SB)/8, $0x0100010001000100
DATA patterns<>+24(SB)/8, $0x0100010001000100
DATA patterns<>+32(SB)/8, $0x0100020100020100
DATA patterns<>+40(SB)/8, $0x0002010002010002
DATA patterns<>+48(SB)/8, $0x0302010003020100
DATA patterns<>+56(SB)/8, $0x0302010003020100
DATA patterns<>+64(SB)/8, $0x0201000403020100
DATA patterns<>+72(SB)/8, $0x0004030201000403
DATA patterns<>+80(SB)/8, $0x0100050403020100
DATA patterns<>+88(SB)/8, $0x0302010005040302
DATA patterns<>+96(SB)/8, $0x0006050403020100
DATA patterns<>+104(SB)/8, $0x0100060504030201
DATA patterns<>+112(SB)/8, $0x0706050403020100
DATA patterns<>+120(SB)/8, $0x0706050403020100
DATA patterns<>+128(SB)/8, $0x0706050403020100
DATA patterns<>+136(SB)/8, $0x0605040302010008
DATA patterns<>+144(SB)/8, $0x0706050403020100
DATA patterns<>+152(SB)/8, $0x0504030201000908
DATA patterns<>+160(SB)/8, $0x0706050403020100
DATA patterns<>+168(SB)/8, $0x04030201000a0908
DATA patterns<>+176(SB)/8, $0x0706050403020100
DATA patterns<>+184(SB)/8, $0x030201000b0a0908
DATA patterns<>+192(SB)/8, $0x0706050403020100
DATA patterns<>+200(SB)/8, $0x0201000c0b0a0908
DATA patterns<>+208(SB)/8, $0x0706050403020100
DATA patterns<>+216(SB)/8, $0x01000d0c0b0a0908
DATA patterns<>+224(SB)/8, $0x0706050403020100
DATA patterns<>+232(SB)/8, $0x000e0d0c0b0a0908
GLOBL patterns<>(SB), RODATA|NOPTR, $240
