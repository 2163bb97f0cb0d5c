//go:build !purego

#include "textflag.h"

// The CRC-64 of .xz by carry-less multiplication, after V. Gopal et al., "Fast
// CRC Computation for Generic Polynomials Using PCLMULQDQ Instruction" (Intel,
// 2009). The data is a polynomial with its first bit as the highest power;
// four lanes of 128 bits are each moved over the 512 bits that follow by
// multiplying their halves with powers of x modulo the CRC's polynomial, and
// added to what is there. What is left in the end has the same remainder.
//
// Each constant is x^(n-1) modulo the polynomial, bits reversed: the product
// of reversed halves comes out one bit short.
DATA fold512<>+0(SB)/8, $0x6ae3efbb9dd441f3 // n = 512 + 64, for the first half
DATA fold512<>+8(SB)/8, $0x081f6054a7842df4 // n = 512
GLOBL fold512<>(SB), RODATA|NOPTR, $16
DATA fold128<>+0(SB)/8, $0xe05dd497ca393ae4 // n = 128 + 64
DATA fold128<>+8(SB)/8, $0xdabe95afc7875f40 // n = 128
GLOBL fold128<>(SB), RODATA|NOPTR, $16

// FOLD multiplies x with the constants in X8, and adds to.
#define FOLD(x, t, to) \
	MOVOU     x, t;          \
	PCLMULQDQ $0x00, X8, x;  \
	PCLMULQDQ $0x11, X8, t;  \
	PXOR      t, x;          \
	PXOR      to, x

// func foldCRC64(state uint64, p []byte, rest *[16]byte)
TEXT ·foldCRC64(SB), NOSPLIT, $0-40
	MOVQ  state+0(FP), X9
	MOVQ  p_base+8(FP), SI
	MOVQ  p_len+16(FP), CX
	MOVQ  rest+32(FP), DI
	MOVOU 0(SI), X0
	MOVOU 16(SI), X1
	MOVOU 32(SI), X2
	MOVOU 48(SI), X3
	PXOR  X9, X0
	MOVOU fold512<>(SB), X8
	SUBQ  $128, CX
	JCS   last

loop:
	ADDQ  $64, SI
	MOVOU 0(SI), X10
	MOVOU 16(SI), X11
	MOVOU 32(SI), X12
	MOVOU 48(SI), X13
	FOLD(X0, X4, X10)
	FOLD(X1, X5, X11)
	FOLD(X2, X6, X12)
	FOLD(X3, X7, X13)
	SUBQ  $64, CX
	JCC   loop

last:
	MOVOU fold128<>(SB), X8
	FOLD(X0, X4, X1)
	FOLD(X0, X4, X2)
	FOLD(X0, X4, X3)
	MOVOU X0, (DI)
	RET
