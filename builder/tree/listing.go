package tree

import (
	"encoding/binary"
	"errors"
	"hash/crc32"
	"strings"
	"time"
)

// A listing is a layer's tree without the content of its files, for those who
// keep what ScanLayer has found: a magic word, the number of entries, the
// entries, and a CRC-32C of it all. Numbers are varints of encoding/binary,
// and before a string stands its length.
const listingMagic = "cloudy listing 1\n"

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// errListing is a listing that is cut off, damaged, or of another version.
var errListing = errors.New("bad listing of a layer")

// Listing returns the listing of t, whose files all have a Source.
func (t *Tree) Listing() []byte {
	b := make([]byte, 0, 128*len(t.Entries))
	number := func(n uint64) { b = binary.AppendUvarint(b, n) }
	text := func(s string) {
		number(uint64(len(s)))
		b = append(b, s...)
	}
	b = append(b, listingMagic...)
	number(uint64(len(t.Entries)))
	for i := range t.Entries {
		e := &t.Entries[i]
		b = append(b, byte(e.Type))
		text(e.Path)
		for _, n := range []uint32{e.Mode, e.UID, e.GID, e.Major, e.Minor, uint32(e.MTime.Nanosecond()), uint32(len(e.Xattrs))} {
			number(uint64(n))
		}
		b = binary.AppendVarint(b, e.MTime.Unix())
		number(uint64(e.Size))
		text(e.Link)
		for _, x := range e.Xattrs {
			text(x.Name)
			text(string(x.Value))
		}
	}
	return sealed(b)
}

func sealed(b []byte) []byte {
	return binary.LittleEndian.AppendUint32(b, crc32.Checksum(b, castagnoli))
}

// ReadListing returns the tree of the layer at dir out of its listing.
func ReadListing(data []byte, dir string) (*Tree, error) {
	n := len(data) - 4
	if n < 0 || binary.LittleEndian.Uint32(data[n:]) != crc32.Checksum(data[:n], castagnoli) {
		return nil, errListing
	}
	all, ok := strings.CutPrefix(string(data[:n]), listingMagic)
	r := listing{data[n-len(all) : n], all, !ok}
	entries := make([]Entry, min(r.number(), uint64(len(all))))
	for i := range entries {
		e := &entries[i]
		e.Type = Type(r.byte())
		e.Path = r.text()
		var n [7]uint64
		for k := range n {
			n[k] = r.number()
		}
		e.Mode, e.UID, e.GID, e.Major, e.Minor = uint32(n[0]), uint32(n[1]), uint32(n[2]), uint32(n[3]), uint32(n[4])
		e.MTime = time.Unix(r.signed(), int64(n[5])).UTC()
		e.Size, e.Link = int64(r.number()), r.text()
		for range min(n[6], uint64(len(r.data))) {
			e.Xattrs = append(e.Xattrs, Xattr{r.text(), []byte(r.text())})
		}
		if e.Type == File {
			e.Source = dir + "/" + e.Path
		}
	}
	if r.bad || len(r.data) > 0 {
		return nil, errListing
	}
	return &Tree{Entries: entries}, nil
}

// listing is what is left to be read, as bytes and as text: strings of a tree
// are parts of one.
type listing struct {
	data []byte
	all  string
	bad  bool
}

func (l *listing) skip(n int) {
	if n <= 0 || n > len(l.data) {
		l.bad, n = true, len(l.data)
	}
	l.data, l.all = l.data[n:], l.all[n:]
}

func (l *listing) byte() (b byte) {
	if len(l.data) > 0 {
		b = l.data[0]
	}
	l.skip(1)
	return b
}

func (l *listing) number() uint64 {
	v, n := binary.Uvarint(l.data)
	l.skip(n)
	return v
}

func (l *listing) signed() int64 {
	v, n := binary.Varint(l.data)
	l.skip(n)
	return v
}

func (l *listing) text() string {
	n := l.number()
	if n == 0 {
		return ""
	}
	s := l.all[:min(n, uint64(len(l.all)))]
	l.skip(int(min(n, 1<<31)))
	return s
}
