package xz

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"runtime"

	"golang.org/x/sync/errgroup"
)

// Decode decodes all of an .xz file into memory, its blocks side by side on
// as many cores as there are. limit bounds the decoded size in bytes. A file
// that it cannot take apart by its index, such as one of several streams, is
// decoded from front to back: what is an error there is one here.
func Decode(data []byte, limit int64) ([]byte, error) {
	list, err := locate(data, limit)
	if err != nil || len(list) < 2 {
		return decodeWhole(data, limit)
	}
	last := list[len(list)-1]
	out := make([]byte, last.to+last.size)
	var g errgroup.Group
	g.SetLimit(runtime.GOMAXPROCS(0))
	for _, b := range list {
		g.Go(func() error { return b.decode(data, out[b.to:b.to+b.size]) })
	}
	return out, g.Wait()
}

func decodeWhole(data []byte, limit int64) ([]byte, error) {
	r, err := NewReader(bytes.NewReader(data))
	if err != nil {
		return nil, err
	}
	var out bytes.Buffer
	n, err := out.ReadFrom(io.LimitReader(r, limit+1))
	if err == nil && n > limit {
		err = ErrLimit
	}
	return out.Bytes(), err
}

// place is where a block lies, in the file and in what it decodes to; bytes.
type place struct {
	at, unpadded int64
	to, size     int64
	flags        [2]byte // of its stream
}

var errLayout = errors.New("xz: not one plain stream")

// locate reads the footer and the index of a file of one stream (2.1.2, 4).
// It trusts nothing: what the index says is compared with each block.
func locate(data []byte, limit int64) ([]place, error) {
	const header, footer = 12, 12
	n := int64(len(data))
	if n < header+footer || n%4 != 0 || string(data[:6]) != headerMagic {
		return nil, errLayout
	}
	if crc32.ChecksumIEEE(data[6:8]) != binary.LittleEndian.Uint32(data[8:]) || data[6] != 0 || data[7]&0xf0 != 0 {
		return nil, errLayout
	}
	foot := data[n-footer:]
	if string(foot[10:]) != footerMagic || crc32.ChecksumIEEE(foot[4:10]) != binary.LittleEndian.Uint32(foot) || !bytes.Equal(foot[8:10], data[6:8]) {
		return nil, errLayout
	}
	size := (int64(binary.LittleEndian.Uint32(foot[4:])) + 1) * 4
	start := n - footer - size
	if start < header {
		return nil, errLayout
	}
	index := data[start : n-footer]
	if index[0] != 0 || crc32.ChecksumIEEE(index[:size-4]) != binary.LittleEndian.Uint32(index[size-4:]) {
		return nil, errLayout
	}
	p := index[1 : size-4]
	number := func() (int64, bool) {
		v, k := vli(p)
		p = p[k:]
		return int64(v), k > 0 && v <= 1<<62
	}
	count, ok := number()
	if !ok || count > n/8 {
		return nil, errLayout
	}
	list := make([]place, 0, count)
	at, to := int64(header), int64(0)
	for range count {
		unpadded, ok1 := number()
		plain, ok2 := number()
		if !ok1 || !ok2 || unpadded == 0 || unpadded > start-at || plain > limit-to {
			return nil, errLayout
		}
		list = append(list, place{at: at, unpadded: unpadded, to: to, size: plain, flags: [2]byte(data[6:8])})
		at += (unpadded + 3) &^ 3
		to += plain
	}
	if at != start || len(bytes.Trim(p, "\x00")) != 0 || len(p) > 3 {
		return nil, errLayout
	}
	return list, nil
}

// decode decodes one block into out, which must be of its size.
func (b place) decode(data, out []byte) error {
	r := &Reader{flags: b.flags, kind: b.flags[1], state: atBlock}
	if !r.check.begin(r.kind) {
		return fmt.Errorf("%w: check %d", ErrUnsupported, r.kind)
	}
	r.blocks.reset()
	end := b.at + (b.unpadded+3)&^3
	r.in.reset(bytes.NewReader(data[b.at:end]))
	n := 0
	for r.blocks.count == 0 {
		piece, err := r.step()
		if err != nil {
			return unexpected(err)
		}
		if r.state == atPadding {
			return fmt.Errorf("%w: index where a block should be", ErrCorrupt)
		}
		if len(piece) > len(out)-n {
			return fmt.Errorf("%w: block is larger than the index says", ErrCorrupt)
		}
		n += copy(out[n:], piece)
	}
	if n != len(out) || r.in.offset() != end-b.at {
		return fmt.Errorf("%w: block is not as the index says", ErrCorrupt)
	}
	return nil
}
