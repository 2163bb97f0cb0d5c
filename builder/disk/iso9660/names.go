package iso9660

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// maxID is the length of a name with its version (ECMA-119, 7.5.1: 30
// characters and two separators, with ";1").
const maxID = 31

// identify gives the names of a directory their identifiers: upper case,
// digits and underscores, one dot in files, each of them once; and sorts by
// them (9.3).
func identify(list []*node) error {
	used := map[string]bool{}
	for _, n := range list {
		stem, ext := mangle(n.name), ""
		if !n.isDir() {
			if i := strings.LastIndexByte(n.name, '.'); i > 0 {
				stem, ext = mangle(n.name[:i]), mangle(n.name[i+1:])
			}
			ext = "." + ext[:min(len(ext), 8)]
		}
		for i := 0; ; i++ {
			tail := ext
			if i > 0 {
				tail = fmt.Sprintf("_%d", i) + ext
			}
			n.id = stem[:min(len(stem), maxID-2-len(tail))] + tail
			if !used[n.id] {
				break
			}
		}
		used[n.id] = true
		if !n.isDir() {
			n.id += ";1"
		}
		if len(n.name) > maxName {
			return fmt.Errorf("%w: the name %q is longer than %d bytes", ErrLimit, n.name, maxName)
		}
	}
	slices.SortFunc(list, func(a, b *node) int { return cmp.Compare(a.id, b.id) })
	return nil
}

func mangle(s string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r >= 'A' && r <= 'Z' || r >= '0' && r <= '9':
			return r
		case r >= 'a' && r <= 'z':
			return r - 'a' + 'A'
		}
		return '_'
	}, s)
}
