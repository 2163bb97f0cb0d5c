package fat

import (
	"encoding/binary"
	"fmt"
	"io"
)

// writer keeps the first error, so that the layout reads in one go.
type writer struct {
	w   io.WriterAt
	off int64
	g   geometry
	o   Options
	err error
}

func (w *writer) put(b []byte, at int64) {
	if w.err == nil {
		_, w.err = w.w.WriteAt(b, w.off+at)
	}
}

// boot writes the boot sector, and for FAT32 the FSInfo sector and the
// copies of both.
func (w *writer) boot(free int64) {
	g, le := w.g, binary.LittleEndian
	b := make([]byte, sector)
	copy(b, []byte{0xeb, 0x3c, 0x90})
	copy(b[3:], "CLOUDY  ")
	le.PutUint16(b[11:], sector)
	b[13] = byte(g.perCluster)
	le.PutUint16(b[14:], uint16(g.reserved))
	b[16] = fats
	if g.total < 1<<16 && g.bits == 16 {
		le.PutUint16(b[19:], uint16(g.total))
	} else {
		le.PutUint32(b[32:], uint32(g.total))
	}
	b[21] = 0xf8 // media: hard disk
	le.PutUint16(b[24:], 63)
	le.PutUint16(b[26:], 255)
	le.PutUint32(b[28:], w.o.Hidden)
	ext, kind := 36, "FAT16   "
	if g.bits == 16 {
		le.PutUint16(b[17:], rootEntries)
		le.PutUint16(b[22:], uint16(g.fatSize))
	} else {
		ext, kind = 64, "FAT32   "
		b[1] = 0x58
		le.PutUint32(b[36:], uint32(g.fatSize))
		le.PutUint32(b[44:], 2) // root directory's cluster
		le.PutUint16(b[48:], 1) // FSInfo
		le.PutUint16(b[50:], 6) // copy of the boot sector
	}
	b[ext] = 0x80
	b[ext+2] = 0x29 // serial, label and kind follow
	le.PutUint32(b[ext+3:], w.o.Serial)
	name := label(w.o)
	copy(b[ext+7:], name[:])
	copy(b[ext+18:], kind)
	// The code that the jump leads to: int 18h (no bootable disk here, try the
	// next), and a halt for a BIOS that returns.
	copy(b[int(b[1])+2:], []byte{0xcd, 0x18, 0xf4, 0xeb, 0xfd})
	b[510], b[511] = 0x55, 0xaa
	w.put(b, 0)
	if g.bits == 16 {
		return
	}
	info := make([]byte, sector)
	copy(info, "RRaA")
	copy(info[484:], "rrAa")
	le.PutUint32(info[488:], uint32(free))
	le.PutUint32(info[492:], uint32(g.clusters+1-free)) // last cluster given out
	info[510], info[511] = 0x55, 0xaa
	w.put(info, sector)
	w.put(b, 6*sector)
	w.put(info, 7*sector)
}

// tables writes both FATs. All chains are contiguous.
func (w *writer) tables(order []*node) {
	g := w.g
	width := int64(g.bits / 8)
	last := int64(2)
	for _, n := range order {
		if n.count > 0 {
			last = max(last, int64(n.first)+n.count)
		}
	}
	table := make([]byte, (last*width+sector-1)/sector*sector)
	set := func(c int64, v uint32) {
		if g.bits == 16 {
			binary.LittleEndian.PutUint16(table[c*2:], uint16(v))
		} else {
			binary.LittleEndian.PutUint32(table[c*4:], v&0x0fffffff)
		}
	}
	set(0, 0x0ffffff8)
	set(1, 0x0fffffff)
	for _, n := range order {
		for i := range n.count {
			v := uint32(int64(n.first) + i + 1)
			if i == n.count-1 {
				v = 0x0fffffff
			}
			set(int64(n.first)+i, v)
		}
	}
	for i := range int64(fats) {
		w.put(table, (g.reserved+i*g.fatSize)*sector)
	}
}

// directory fills in the clusters of the entries and writes them.
func (w *writer) directory(n *node) {
	le := binary.LittleEndian
	setFirst := func(e []byte, c uint32) {
		le.PutUint16(e[20:], uint16(c>>16))
		le.PutUint16(e[26:], uint16(c))
	}
	i := 0
	if n.parent != nil {
		dot, dotdot := shortName([]byte(".          ")), shortName([]byte("..         "))
		copy(n.dir, shortEntry(dot, n.entry, w.o.Epoch))
		copy(n.dir[dirEntry:], shortEntry(dotdot, n.entry, w.o.Epoch))
		setFirst(n.dir, n.first)
		if n.parent.parent != nil { // a .. that is the root says 0
			setFirst(n.dir[dirEntry:], n.parent.first)
		}
		i = 2
	}
	children := n.children
	for ; i*dirEntry < len(n.dir); i++ {
		e := n.dir[i*dirEntry:][:dirEntry]
		if e[11]&attrVolume != 0 { // a label, or part of a long name
			continue
		}
		setFirst(e, children[0].first)
		children = children[1:]
	}
	at := w.g.rootStart() * sector
	if n.first != 0 {
		at = w.g.clusterAt(n.first)
	}
	w.put(n.dir, at)
}

func (w *writer) file(n *node) {
	if w.err != nil || n.count == 0 {
		return
	}
	r, err := n.entry.Open()
	if err != nil {
		w.err = err
		return
	}
	defer r.Close()
	out := io.NewOffsetWriter(w.w, w.off+w.g.clusterAt(n.first))
	got, err := io.CopyBuffer(struct{ io.Writer }{out}, io.LimitReader(r, n.entry.Size+1), make([]byte, 1<<20))
	if err == nil && got != n.entry.Size {
		err = fmt.Errorf("%s changed: %d bytes, not %d", n.entry.Path, got, n.entry.Size)
	}
	w.err = err
}
