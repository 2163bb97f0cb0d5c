package iso9660

import (
	"encoding/binary"
	"fmt"
	"io"
	"strings"
)

// layout gives directories and the tree's files their sectors. In this order:
// descriptors, boot catalog, path tables, directories, files.
func (w *writer) layout() error {
	w.next = firstSector + 2 // primary and terminator
	if len(w.o.Boot) > 0 {
		w.next++
		w.catalog = w.next
		w.next++
	}
	for _, d := range w.dirs {
		id := max(len(d.id), 1)
		w.tabSize += int64(8 + id + id%2)
	}
	for i := range w.tables {
		w.tables[i] = w.next
		w.next += sectors(w.tabSize)
	}
	w.ce = w.next
	w.next++
	for _, d := range w.dirs {
		d.records = make([]byte, w.dirSize(d))
		d.first = w.next
		w.next += sectors(int64(len(d.records)))
	}
	for _, n := range w.files {
		n.first = w.next
		w.next += sectors(n.size)
	}
	if w.next > 1<<32-1 {
		return fmt.Errorf("%w: more than 8 TiB", ErrLimit)
	}
	return nil
}

// dirSize is the size of a directory in whole sectors: no record crosses from
// one to the next.
func (w *writer) dirSize(d *node) int {
	size := 0
	w.each(d, func(b []byte) {
		if size%Sector+len(b) > Sector {
			size = (size/Sector + 1) * Sector
		}
		size += len(b)
	})
	return int(sectors(int64(size))) * Sector
}

// each calls f for all records of a directory.
func (w *writer) each(d *node, f func(record []byte)) {
	f(w.record(d, "\x00", "", d == w.root))
	f(w.record(d.parent, "\x01", "", false))
	for _, c := range d.children {
		f(w.record(c, c.id, c.name, false))
	}
}

func (w *writer) content(n *node) error {
	r, err := n.entry.Open()
	if err != nil {
		return err
	}
	defer r.Close()
	done, err := io.Copy(io.NewOffsetWriter(w.w, n.first*Sector), io.LimitReader(r, n.size+1))
	if err != nil {
		return err
	}
	if done != n.size {
		return fmt.Errorf("%d bytes, not %d as announced", done, n.size)
	}
	return nil
}

// metadata writes all but the files.
func (w *writer) metadata() error {
	for _, d := range w.dirs {
		at := 0
		w.each(d, func(b []byte) {
			if at%Sector+len(b) > Sector {
				at = (at/Sector + 1) * Sector
			}
			at += copy(d.records[at:], b)
		})
		if err := w.put(d.records, d.first); err != nil {
			return err
		}
	}
	if err := w.put(extension(), w.ce); err != nil {
		return err
	}
	for i, order := range []binary.ByteOrder{binary.LittleEndian, binary.BigEndian} {
		if err := w.put(w.pathTable(order), w.tables[i]); err != nil {
			return err
		}
	}
	at := int64(firstSector)
	if err := w.put(w.primary(), at); err != nil {
		return err
	}
	if len(w.o.Boot) > 0 {
		at++
		record := make([]byte, Sector) // El Torito, figure 7
		copy(record, "\x00CD001\x01EL TORITO SPECIFICATION")
		binary.LittleEndian.PutUint32(record[71:], uint32(w.catalog))
		if err := w.put(record, at); err != nil {
			return err
		}
		catalog, err := w.bootCatalog()
		if err != nil {
			return err
		}
		if err := w.put(catalog, w.catalog); err != nil {
			return err
		}
	}
	end := make([]byte, Sector)
	copy(end, "\xffCD001\x01")
	return w.put(end, at+1)
}

// put writes whole sectors.
func (w *writer) put(b []byte, sector int64) error {
	if rest := len(b) % Sector; rest > 0 {
		b = append(b[:len(b):len(b)], make([]byte, Sector-rest)...)
	}
	_, err := w.w.WriteAt(b, sector*Sector)
	return err
}

func (w *writer) pathTable(order binary.ByteOrder) []byte {
	var b []byte
	for _, d := range w.dirs {
		id := d.id
		if d == w.root {
			id = "\x00"
		}
		e := make([]byte, 8, 8+len(id)+1)
		e[0] = byte(len(id))
		order.PutUint32(e[2:], uint32(d.first))
		order.PutUint16(e[6:], uint16(d.parent.number))
		e = append(e, id...)
		if len(id)%2 == 1 {
			e = append(e, 0)
		}
		b = append(b, e...)
	}
	return b
}

// primary is the primary volume descriptor (ECMA-119, 8.4).
func (w *writer) primary() []byte {
	b := make([]byte, Sector)
	copy(b, "\x01CD001\x01")
	text := func(at, size int, s string) { copy(b[at:at+size], s+strings.Repeat(" ", size)) }
	text(8, 32, "LINUX")
	text(40, 32, w.o.Volume)
	both32(b[80:], uint32(w.next))
	both16(b[120:], 1)
	both16(b[124:], 1)
	both16(b[128:], Sector)
	both32(b[132:], uint32(w.tabSize))
	binary.LittleEndian.PutUint32(b[140:], uint32(w.tables[0]))
	binary.BigEndian.PutUint32(b[148:], uint32(w.tables[1]))
	// The root's record has no room for Rock Ridge here.
	root := w.record(w.root, "\x00", "", false)[:recordHead+1]
	root[0] = recordHead + 1
	copy(b[156:], root)
	text(190, 128, w.o.Set)
	text(318, 128, "")
	text(446, 128, "CLOUDY")
	text(574, 128, "CLOUDY")
	text(702, 111, "") // three names of files
	now := w.o.Epoch.UTC().Format("20060102150405") + "00\x00"
	never := strings.Repeat("0", 16) + "\x00"
	copy(b[813:], now+now+never+now)
	b[881] = 1
	copy(b[883:], w.application)
	return b
}

// bootCatalog lists the boot images (El Torito, 2.0): the default one for its
// platform, each other one in a section of its own.
func (w *writer) bootCatalog() ([]byte, error) {
	b := make([]byte, 0, Sector)
	for i, boot := range w.o.Boot {
		n := w.find(boot.Path)
		if n == nil {
			return nil, fmt.Errorf("no boot image %s", boot.Path)
		}
		head := make([]byte, 32)
		if i == 0 {
			head[0], head[1], head[30], head[31] = 1, boot.Platform, 0x55, 0xaa
			copy(head[4:28], "CLOUDY")
			sum := uint16(0)
			for j := 0; j < len(head); j += 2 {
				sum += binary.LittleEndian.Uint16(head[j:])
			}
			binary.LittleEndian.PutUint16(head[28:], -sum)
		} else {
			head[0], head[1], head[2] = 0x90, boot.Platform, 1
			if i == len(w.o.Boot)-1 {
				head[0] = 0x91
			}
		}
		load := int64(boot.Load)
		if load == 0 {
			load = min((n.size+511)/512, 0xffff)
		}
		entry := make([]byte, 32)
		entry[0] = 0x88 // bootable, no emulation
		binary.LittleEndian.PutUint16(entry[6:], uint16(load))
		binary.LittleEndian.PutUint32(entry[8:], uint32(n.first))
		b = append(append(b, head...), entry...)
	}
	return b, nil
}

func (w *writer) find(path string) *node {
	for _, n := range append(w.files, w.placed...) {
		if n.path() == path {
			return n
		}
	}
	return nil
}
