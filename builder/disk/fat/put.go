package fat

import (
	"encoding/binary"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"
)

// Volume is a medium with a filesystem at its beginning.
type Volume interface {
	io.ReaderAt
	io.WriterAt
}

// NT keeps the case of a name of 8 and 3 characters in two bits.
const (
	ntLowerBase = 0x08
	ntLowerExt  = 0x10
	entrySerial = 12 // where they are
)

// Put writes a file into the root directory of the filesystem on v, or gives
// the file of that name another content. name has at most 8 and 3 characters,
// of one case. What a longer file held is overwritten with zeros. ErrFull
// when there is no room; the old content is then still there.
func Put(v Volume, name string, content []byte, when time.Time) error {
	short, flags, err := plainName(name)
	if err != nil {
		return err
	}
	f, err := Open(v)
	if err != nil {
		return err
	}
	p := putter{FS: f, v: v, dirty: map[int64]bool{}}
	slot, old, err := p.slot(name)
	if err != nil {
		return err
	}
	if err := p.content(firstCluster(old), content); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	le := binary.LittleEndian
	e := make([]byte, dirEntry)
	if old != nil {
		copy(e, old)
	} else {
		copy(e, short[:])
		e[11], e[entrySerial] = attrArchive, flags
	}
	date, clock := dosTime(when)
	le.PutUint16(e[22:], clock)
	le.PutUint16(e[24:], date)
	le.PutUint16(e[20:], uint16(p.first>>16))
	le.PutUint16(e[26:], uint16(p.first))
	le.PutUint32(e[28:], uint32(len(content)))
	if _, err := v.WriteAt(e, slot); err != nil {
		return fmt.Errorf("write FAT directory: %w", err)
	}
	return nil
}

// plainName is a name that needs no entries for a long one.
func plainName(name string) (s shortName, flags byte, err error) {
	bad := fmt.Errorf("%w: %q is not 8 and 3 plain characters", ErrName, name)
	base, ext, _ := strings.Cut(name, ".")
	if base == "" || len(base) > 8 || len(ext) > 3 || strings.Contains(ext, ".") {
		return s, 0, bad
	}
	copy(s[:], "           ")
	for i, part := range []string{base, ext} {
		if strings.Trim(part, "abcdefghijklmnopqrstuvwxyz0123456789-_") == "" && strings.ToUpper(part) != part {
			flags |= []byte{ntLowerBase, ntLowerExt}[i]
		} else if strings.Trim(part, "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_") != "" {
			return s, 0, bad
		}
		copy(s[8*i:], strings.ToUpper(part))
	}
	return s, flags, nil
}

func firstCluster(e []byte) uint32 {
	if e == nil {
		return 0
	}
	return uint32(binary.LittleEndian.Uint16(e[20:]))<<16 | uint32(binary.LittleEndian.Uint16(e[26:]))
}

type putter struct {
	*FS
	v     Volume
	dirty map[int64]bool // sectors of the FAT that have changed
	first uint32
}

// slot finds the entry of a file, or a free one, by its offset on the volume.
func (p *putter) slot(name string) (at int64, old []byte, err error) {
	type part struct{ at, size int64 }
	parts := []part{{p.g.rootStart() * sector, p.g.rootSize * sector}}
	if p.g.bits == 32 {
		chain, err := p.chain(p.root)
		if err != nil {
			return 0, nil, err
		}
		parts = nil
		for _, c := range chain {
			parts = append(parts, part{p.g.clusterAt(c), p.g.clusterSize()})
		}
	}
	free := int64(-1)
	var long []uint16
	for _, part := range parts {
		b := make([]byte, part.size)
		if _, err := p.v.ReadAt(b, part.at); err != nil {
			return 0, nil, fmt.Errorf("read FAT directory: %w", err)
		}
		for i := 0; i < len(b); i += dirEntry {
			e := b[i : i+dirEntry]
			switch {
			case e[0] == 0, e[0] == 0xe5:
				if free < 0 {
					free = part.at + int64(i)
				}
				if e[0] == 0 {
					return free, nil, nil
				}
				long = nil
			case e[11] == attrLong:
				if e[0]&longLast != 0 {
					long = nil
				}
				var units []uint16
				for _, at := range longPlaces {
					units = append(units, binary.LittleEndian.Uint16(e[at:]))
				}
				long = append(units, long...)
			case e[11]&attrVolume != 0:
				long = nil
			default:
				if strings.EqualFold(entryName(e, long), name) {
					if e[11]&attrDir != 0 {
						return 0, nil, fmt.Errorf("%w: %s is a directory", ErrName, name)
					}
					return part.at + int64(i), slices.Clone(e), nil
				}
				long = nil
			}
		}
	}
	if free < 0 {
		return 0, nil, fmt.Errorf("%w: the root directory has no room for %s", ErrFull, name)
	}
	return free, nil, nil
}

// content stores b in clusters: those of the chain that begins at first, and
// more or less of them.
func (p *putter) content(first uint32, b []byte) error {
	var chain []uint32
	if first >= 2 {
		var err error
		if chain, err = p.chain(first); err != nil {
			return err
		}
	}
	need := int(p.g.need(int64(len(b))))
	for c := uint32(2); len(chain) < need; c++ {
		if int64(c) >= p.g.clusters+2 {
			return ErrFull
		}
		if p.next(c) == 0 && !slices.Contains(chain, c) {
			chain = append(chain, c)
		}
	}
	buf := make([]byte, p.g.clusterSize())
	for i, c := range chain {
		clear(buf)
		if i < need {
			copy(buf, b[int64(i)*p.g.clusterSize():])
		}
		if _, err := p.v.WriteAt(buf, p.g.clusterAt(c)); err != nil {
			return err
		}
	}
	for i, c := range chain {
		switch {
		case i >= need:
			p.link(c, 0)
		case i == need-1:
			p.link(c, 0x0fffffff)
		default:
			p.link(c, chain[i+1])
		}
	}
	p.first = 0
	if need > 0 {
		p.first = chain[0]
	}
	return p.flush()
}

// next is a cluster's entry in the FAT.
func (p *putter) next(c uint32) uint32 {
	if p.g.bits == 16 {
		return uint32(binary.LittleEndian.Uint16(p.table[c*2:]))
	}
	return binary.LittleEndian.Uint32(p.table[c*4:]) & 0x0fffffff
}

func (p *putter) link(c, to uint32) {
	at := int64(c) * int64(p.g.bits) / 8
	if p.g.bits == 16 {
		binary.LittleEndian.PutUint16(p.table[at:], uint16(to))
	} else {
		kept := binary.LittleEndian.Uint32(p.table[at:]) & 0xf0000000
		binary.LittleEndian.PutUint32(p.table[at:], kept|to&0x0fffffff)
	}
	p.dirty[at/sector] = true
}

// flush writes what has changed to all FATs, and for FAT32 the number of free
// clusters.
func (p *putter) flush() error {
	for s := range p.dirty {
		for i := range int64(fats) {
			if _, err := p.v.WriteAt(p.table[s*sector:][:sector], (p.g.reserved+i*p.g.fatSize+s)*sector); err != nil {
				return fmt.Errorf("write FAT: %w", err)
			}
		}
	}
	if p.g.bits != 32 {
		return nil
	}
	boot := make([]byte, sector)
	if _, err := p.v.ReadAt(boot, 0); err != nil {
		return err
	}
	at := int64(binary.LittleEndian.Uint16(boot[48:])) * sector
	info := make([]byte, sector)
	if _, err := p.v.ReadAt(info, at); err != nil {
		return err
	}
	if at == 0 || string(info[:4]) != "RRaA" || string(info[484:488]) != "rrAa" {
		return nil
	}
	free := uint32(0)
	for c := uint32(2); int64(c) < p.g.clusters+2; c++ {
		if p.next(c) == 0 {
			free++
		}
	}
	binary.LittleEndian.PutUint32(info[488:], free)
	if _, err := p.v.WriteAt(info, at); err != nil {
		return fmt.Errorf("write FAT: %w", err)
	}
	return nil
}
