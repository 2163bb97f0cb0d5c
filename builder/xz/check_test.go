package xz

import (
	"hash/crc64"
	"math/rand/v2"
	"testing"
)

func TestUpdateCRC64(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 2))
	table := crc64.MakeTable(crc64.ECMA)
	data := make([]byte, 5000)
	for i := range data {
		data[i] = byte(rnd.Uint32())
	}
	for n := range 700 {
		p := data[n%17 : n%17+n]
		start := rnd.Uint64()
		if got, want := updateCRC64(start, table, p), crc64.Update(start, table, p); got != want {
			t.Fatalf("%d bytes: %#x, want %#x", n, got, want)
		}
	}
	if got, want := updateCRC64(0, table, data), crc64.Checksum(data, table); got != want {
		t.Fatalf("%#x, want %#x", got, want)
	}
}

func BenchmarkUpdateCRC64(b *testing.B) {
	p := make([]byte, stepSize)
	table := crc64.MakeTable(crc64.ECMA)
	b.SetBytes(int64(len(p)))
	for b.Loop() {
		updateCRC64(0, table, p)
	}
}
