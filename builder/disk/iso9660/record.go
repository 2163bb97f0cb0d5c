package iso9660

import (
	"encoding/binary"
	"time"

	"cloudy/builder/tree"
)

// both encodes a number in both byte orders (ECMA-119, 7.3.3 and 7.2.3).
func both32(b []byte, n uint32) {
	binary.LittleEndian.PutUint32(b, n)
	binary.BigEndian.PutUint32(b[4:], n)
}

func both16(b []byte, n uint16) {
	binary.LittleEndian.PutUint16(b, n)
	binary.BigEndian.PutUint16(b[2:], n)
}

// recordTime is a time in seven bytes (9.1.5), in UTC.
func recordTime(t time.Time) []byte {
	t = t.UTC()
	year := min(max(t.Year()-1900, 0), 255)
	return []byte{byte(year), byte(t.Month()), byte(t.Day()), byte(t.Hour()), byte(t.Minute()), byte(t.Second()), 0}
}

// time of an entry: none is later than the epoch.
func (w *writer) time(e *tree.Entry) time.Time {
	if e == nil || e.MTime.IsZero() || e.MTime.After(w.o.Epoch) {
		return w.o.Epoch
	}
	return e.MTime
}

const (
	recordHead = 33 // bytes of a directory record before the identifier
	pxSize     = 36
	tfSize     = 5 + 7
	ceSize     = 28
	spSize     = 7
	flagDir    = 2
	// maxName is what fits into a record beside everything else.
	maxName = maxRecord - recordHead - maxID - 2 - pxSize - tfSize - 5
)

// record is a directory record of n under an identifier, with its Rock Ridge
// fields; name is empty for "." and "..".
func (w *writer) record(n *node, id, name string, root bool) []byte {
	size := n.size
	if n.isDir() {
		size = int64(len(n.records))
	}
	b := make([]byte, recordHead, maxRecord)
	both32(b[2:], uint32(n.first))
	both32(b[10:], uint32(size))
	copy(b[18:], recordTime(w.time(n.entry)))
	if n.isDir() {
		b[25] = flagDir
	}
	both16(b[28:], 1) // volume of the set
	b[32] = byte(len(id))
	b = append(b, id...)
	if len(b)%2 == 1 {
		b = append(b, 0)
	}
	if root {
		b = append(b, 'S', 'P', spSize, 1, 0xbe, 0xef, 0) // SUSP, 5.3
	}
	b = append(b, w.posix(n)...)
	if name != "" {
		b = append(b, 'N', 'M', byte(5+len(name)), 1, 0) // RRIP, 4.1.4
		b = append(b, name...)
	}
	if root {
		// A continuation with the ER field, which does not fit here.
		ce := make([]byte, ceSize)
		copy(ce, "CE\x1c\x01")
		both32(ce[4:], uint32(w.ce))
		both32(ce[20:], uint32(len(extension())))
		b = append(b, ce...)
	}
	if len(b)%2 == 1 {
		b = append(b, 0)
	}
	b[0] = byte(len(b))
	return b
}

// posix are the fields PX and TF (RRIP, 4.1.1 and 4.1.6).
func (w *writer) posix(n *node) []byte {
	mode, links, uid, gid := uint32(0o100644), uint32(1), uint32(0), uint32(0)
	if n.entry != nil {
		mode, uid, gid = n.entry.Mode|0o100000, n.entry.UID, n.entry.GID
	}
	if n.isDir() {
		mode, links = n.entry.Mode|0o040000, 2
		for _, c := range n.children {
			if c.isDir() {
				links++
			}
		}
	}
	px := make([]byte, pxSize)
	copy(px, "PX\x24\x01")
	for i, v := range []uint32{mode, links, uid, gid} {
		both32(px[4+8*i:], v)
	}
	tf := append([]byte{'T', 'F', tfSize, 1, 2}, recordTime(w.time(n.entry))...) // 2: of modification
	return append(px, tf...)
}

// extension is the field ER (SUSP, 5.5), which says that the others are Rock
// Ridge.
func extension() []byte {
	const id, text, source = "RRIP_1991A", "THE ROCK RIDGE INTERCHANGE PROTOCOL PROVIDES SUPPORT FOR POSIX FILE SYSTEM SEMANTICS",
		"PLEASE CONTACT DISC PUBLISHER FOR SPECIFICATION SOURCE.  SEE PUBLISHER IDENTIFIER IN PRIMARY VOLUME DESCRIPTOR FOR CONTACT INFORMATION."
	b := []byte{'E', 'R', byte(8 + len(id) + len(text) + len(source)), 1, byte(len(id)), byte(len(text)), byte(len(source)), 1}
	return append(append(append(b, id...), text...), source...)
}
