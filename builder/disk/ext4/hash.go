package ext4

import "math/bits"

// halfMD4 is the directory hash of dx_root_info's hash version 1 with signed
// characters, which the superblock's flags declare (fs/ext4/hash.c). major
// orders the leaves of a directory, minor breaks ties.
func halfMD4(name string, seed [4]uint32) (major, minor uint32) {
	buf := [4]uint32{0x67452301, 0xefcdab89, 0x98badcfe, 0x10325476}
	if seed != [4]uint32{} {
		buf = seed
	}
	for len(name) > 0 {
		in := hashWords(name)
		halfMD4Transform(&buf, &in)
		name = name[min(32, len(name)):]
	}
	major = buf[1] &^ 1
	if major == 0xfffffffe { // the mark of a directory's end
		major = 0xfffffffc
	}
	return major, buf[2]
}

// hashWords packs the first 32 bytes of name (str2hashbuf_signed).
func hashWords(name string) (out [8]uint32) {
	pad := uint32(len(name)) | uint32(len(name))<<8
	pad |= pad << 16
	for i := range out {
		out[i] = pad
	}
	n := min(len(name), 32)
	val := pad
	for i := range n {
		val = uint32(int32(int8(name[i]))) + val<<8
		out[i/4] = val
		if i%4 == 3 {
			val = pad
		}
	}
	return out
}

// The order in which the three rounds take the words, and their rotations.
var (
	halfMD4Order = [3][8]int{{0, 1, 2, 3, 4, 5, 6, 7}, {1, 3, 5, 7, 0, 2, 4, 6}, {3, 7, 2, 6, 1, 5, 0, 4}}
	halfMD4Shift = [3][4]int{{3, 7, 11, 19}, {3, 5, 9, 13}, {3, 9, 11, 15}}
	halfMD4Const = [3]uint32{0, 0x5a827999, 0x6ed9eba1}
)

func halfMD4Transform(buf *[4]uint32, in *[8]uint32) {
	a, b, c, d := buf[0], buf[1], buf[2], buf[3]
	for round := range 3 {
		for i, word := range halfMD4Order[round] {
			var f uint32
			switch round {
			case 0:
				f = d ^ (b & (c ^ d))
			case 1:
				f = (b & c) + ((b ^ c) & d)
			case 2:
				f = b ^ c ^ d
			}
			sum := a + f + in[word] + halfMD4Const[round]
			a, b, c, d = d, bits.RotateLeft32(sum, halfMD4Shift[round][i%4]), b, c
		}
	}
	buf[0] += a
	buf[1] += b
	buf[2] += c
	buf[3] += d
}
