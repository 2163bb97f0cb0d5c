package fat

import (
	"encoding/binary"
	"fmt"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

const (
	attrVolume  = 0x08
	attrDir     = 0x10
	attrArchive = 0x20
	attrLong    = 0x0f

	longUnits = 13 // UTF-16 units in one entry of a long name
	longLast  = 0x40
	maxName   = 255 // UTF-16 units
)

// shortName is a name as 8 and 3 bytes, padded with blanks.
type shortName [11]byte

// names gives out the short names of one directory.
type names struct {
	short map[shortName]bool
	long  map[string]bool // folded to upper case: FAT ignores case
}

func newNames() *names { return &names{short: map[shortName]bool{}, long: map[string]bool{}} }

// add returns the entries that name one file: those of the long name, where
// it needs one, and the short name.
func (n *names) add(name string) (long []byte, short shortName, err error) {
	if err := checkName(name); err != nil {
		return nil, short, err
	}
	folded := strings.ToUpper(name)
	if n.long[folded] {
		return nil, short, fmt.Errorf("%w: %q differs from another name in its case only", ErrName, name)
	}
	n.long[folded] = true
	short, exact := shorten(name)
	// A name of 8 and 3 letters has no number even when it is not in capitals:
	// boot ROMs know short names alone, and look for BOOTCODE.BIN.
	if fits := exact || shortIs(short, folded); fits && !n.short[short] {
		n.short[short] = true
		if exact {
			return nil, short, nil
		}
		return longEntries(name, short), short, nil
	}
	if short, err = n.numbered(short); err != nil {
		return nil, short, fmt.Errorf("%q: %w", name, err)
	}
	n.short[short] = true
	return longEntries(name, short), short, nil
}

// checkName refuses what a long name cannot hold.
func checkName(name string) error {
	switch {
	case name == "" || name == "." || name == "..":
		return fmt.Errorf("%w: %q", ErrName, name)
	case !utf8.ValidString(name):
		return fmt.Errorf("%w: %q is not UTF-8", ErrName, name)
	case strings.HasSuffix(name, ".") || strings.HasSuffix(name, " ") || strings.HasPrefix(name, " "):
		return fmt.Errorf("%w: %q begins with a blank, or ends with a dot or blank", ErrName, name)
	case strings.ContainsFunc(name, func(r rune) bool { return r < 0x20 || r == 0x7f || strings.ContainsRune(`"*/:<>?\|`, r) }):
		return fmt.Errorf("%w: %q has a character that FAT forbids", ErrName, name)
	}
	if u := len(utf16.Encode([]rune(name))); u > maxName {
		return fmt.Errorf("%w: %q has %d UTF-16 units, at most %d", ErrName, name, u, maxName)
	}
	return nil
}

// shorten makes the basis of a short name, and says whether it is the name.
func shorten(name string) (s shortName, exact bool) {
	copy(s[:], "           ")
	base, ext := name, ""
	if i := strings.LastIndexByte(name, '.'); i > 0 {
		base, ext = name[:i], name[i+1:]
	}
	exact = true
	put := func(dst []byte, part string) {
		i := 0
		for _, r := range part {
			c := byte('_')
			switch {
			case r >= 'a' && r <= 'z':
				c, exact = byte(r)-'a'+'A', false
			case r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r < 0x80 && strings.ContainsRune("$%'-_@~`!(){}^#&", r):
				c = byte(r)
			case r == ' ' || r == '.':
				exact = false
				continue
			default:
				exact = false
			}
			if i == len(dst) {
				exact = false
				return
			}
			dst[i] = c
			i++
		}
	}
	put(s[:8], base)
	put(s[8:], ext)
	if s[0] == ' ' {
		s[0], exact = '_', false
	}
	return s, exact
}

// shortIs says whether a short name spells a name in capitals.
func shortIs(s shortName, folded string) bool {
	spelt := strings.TrimRight(string(s[:8]), " ")
	if ext := strings.TrimRight(string(s[8:]), " "); ext != "" {
		spelt += "." + ext
	}
	return spelt == folded
}

// numbered puts a numeric tail on the basis, the first that is free.
func (n *names) numbered(basis shortName) (shortName, error) {
	length := len(strings.TrimRight(string(basis[:8]), " "))
	for i := 1; i <= 999999; i++ {
		tail := fmt.Sprintf("~%d", i)
		s := basis
		copy(s[min(length, 8-len(tail)):8], tail)
		if !n.short[s] {
			return s, nil
		}
	}
	return basis, fmt.Errorf("%w: too many like it", ErrName)
}

// checksum ties the entries of a long name to their short name.
func (s shortName) checksum() byte {
	var sum byte
	for _, c := range s {
		sum = sum>>1 | sum<<7
		sum += c
	}
	return sum
}

// longPlaces are the offsets of the UTF-16 units in an entry of a long name.
var longPlaces = [longUnits]int{1, 3, 5, 7, 9, 14, 16, 18, 20, 22, 24, 28, 30}

// longEntries encodes a long name, last part first.
func longEntries(name string, short shortName) []byte {
	units := utf16.Encode([]rune(name))
	count := (len(units) + longUnits - 1) / longUnits
	if len(units)%longUnits != 0 {
		units = append(units, 0)
	}
	for len(units)%longUnits != 0 {
		units = append(units, 0xffff)
	}
	out := make([]byte, count*dirEntry)
	for i := range count {
		e := out[i*dirEntry:][:dirEntry]
		part := count - i
		e[0] = byte(part)
		if i == 0 {
			e[0] |= longLast
		}
		e[11], e[13] = attrLong, short.checksum()
		for j, at := range longPlaces {
			binary.LittleEndian.PutUint16(e[at:], units[(part-1)*longUnits+j])
		}
	}
	return out
}
