// Registers and macros of lzma_amd64.s.

#define RNG   R8
#define CODE  R9
#define OUT   R10
#define STATE R11
#define REP0  R12
#define IN    SI
#define L     R15
// Scratch: AX CX DX BX BP DI R13 R14.

// Offsets of the model's parts from L.
#define MATCH    (lzma_probs+const_offMatch*2)
#define REP      (lzma_probs+const_offRep*2)
#define REPG0    (lzma_probs+const_offRepG0*2)
#define REPG1    (lzma_probs+const_offRepG1*2)
#define REPG2    (lzma_probs+const_offRepG2*2)
#define REP0LONG (lzma_probs+const_offRep0Long*2)
#define SLOT     (lzma_probs+const_offSlot*2)
#define ALIGN    (lzma_probs+const_offAlign*2)
#define SPECIAL  (lzma_probs+const_offSpecial*2)
#define LEN      (lzma_probs+const_offLen*2)
#define REPLEN   (lzma_probs+const_offRepLen*2)
#define LITERAL  (lzma_probs+const_offLiteral*2)

// NORM shifts in a byte of input when the range has become small.
#define NORM \
	CMPL RNG, $const_topValue; \
	JCC  5(PC);                \
	SHLL $8, RNG;              \
	SHLL $8, CODE;             \
	MOVB (IN), CODE;           \
	INCQ IN

// BIT decodes the bit of the probability at mem, and goes to one, where ONE
// must follow, or on with a zero. Changes AX, CX, DX.
#define BIT(mem, one) \
	MOVWLZX mem, AX;   \
	NORM;              \
	MOVL    RNG, CX;   \
	SHRL    $11, CX;   \
	IMULL   AX, CX;    \
	CMPL    CODE, CX;  \
	JCC     one;       \
	MOVL    CX, RNG;   \
	MOVL    $2048, DX; \
	SUBL    AX, DX;    \
	SHRL    $5, DX;    \
	ADDL    DX, AX;    \
	MOVW    AX, mem

#define ONE(mem) \
	SUBL CX, RNG;  \
	SUBL CX, CODE; \
	MOVL AX, DX;   \
	SHRL $5, DX;   \
	SUBL DX, AX;   \
	MOVW AX, mem

// DECODE decodes a bit of probability p without branches, up to the point
// where carry is set for a zero, m2 is twice m, and BP what p is updated by,
// times 32, for a zero. The instructions until UPDATE must keep the carry.
#define DECODE(m, m2, p) \
	NORM;                   \
	MOVL  RNG, CX;          \
	SHRL  $11, RNG;         \
	IMULL p, RNG;           \
	LEAL  -2017(p), BP;     \
	LEAL  (m)(m*1), m2;     \
	MOVL  CODE, DI;         \
	SUBL  RNG, CX;          \
	SUBL  RNG, DI;          \
	CMOVLCC CX, RNG;        \
	CMOVLCC DI, CODE

#define UPDATE(m, m2, p, mem) \
	CMOVLCC p, BP;          \
	SBBL    $-1, m2;        \
	SARL    $5, BP;         \
	SUBL    BP, p;          \
	MOVW    p, mem

// STEP walks from node m of the tree at BX, whose probability is p, to its
// child m2, whose probability becomes q. LAST does not look for children.
// Both change CX, BP, DI.
#define STEP(m, m2, p, q) \
	MOVWLZX (BX)(m*4), q;   \
	DECODE(m, m2, p);       \
	CMOVWCC 2(BX)(m*4), q;  \
	UPDATE(m, m2, p, (BX)(m*2))

#define LAST(m, m2, p) \
	DECODE(m, m2, p); \
	UPDATE(m, m2, p, (BX)(m*2))

// ROOT begins a walk of the tree at BX.
#define ROOT \
	MOVL    $1, R13;   \
	MOVWLZX 2(BX), AX

// STEPM is STEP in the tree of a literal after a match. R11 is the byte that
// the last distance points to, with bit 8 set; up is 7 minus the depth of m;
// R12 is the index of m's probability, and becomes that of m2: as long as all
// bits agree with R11 that is 0x100, and 0x100 again if R11's next bit is
// set, above the node.
#define STEPM(m, m2, p, q, up) \
	MOVWLZX (BX)(m*4), q;      \
	DECODE(m, m2, p);          \
	CMOVWCC 2(BX)(m*4), q;     \
	UPDATE(m, m2, p, (BX)(R12*2)); \
	MOVL    R11, CX;           \
	SHRL    $up, CX;           \
	MOVL    R11, DI;           \
	SHLL    $(9-up), DI;       \
	ANDL    $0x100, DI;        \
	LEAL    0x100(DI)(CX*1), DI; \
	MOVL    m2, R12;           \
	CMPL    m2, CX;            \
	CMOVLEQ DI, R12;           \
	CMOVWEQ (BX)(DI*2), q
