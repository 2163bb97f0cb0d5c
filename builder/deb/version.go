package deb

import (
	"fmt"
	"strings"
)

// CompareVersions orders two Debian version strings as deb-version(7)
// describes and `dpkg --compare-versions` does: negative when a is older than
// b, zero when they are equal (though perhaps spelled differently, as "1.0"
// and "0:1.0-0"), positive when a is newer. Any string is accepted.
func CompareVersions(a, b string) int {
	if a == b {
		return 0
	}
	ae, au, ar := splitVersion(a)
	be, bu, br := splitVersion(b)
	if c := compareDigits(ae, be); c != 0 {
		return c
	}
	if c := comparePart(au, bu); c != 0 {
		return c
	}
	return comparePart(ar, br)
}

// splitVersion cuts a version in its three parts. A missing epoch or revision
// is empty, which compares as zero.
func splitVersion(v string) (epoch, upstream, revision string) {
	if i := strings.IndexByte(v, ':'); i >= 0 {
		epoch, v = v[:i], v[i+1:]
	}
	if i := strings.LastIndexByte(v, '-'); i >= 0 {
		return epoch, v[:i], v[i+1:]
	}
	return epoch, v, ""
}

func isDigit(c byte) bool { return '0' <= c && c <= '9' }

func isAlpha(c byte) bool { return 'a' <= c|0x20 && c|0x20 <= 'z' }

// weight is the place of a byte of a non-digit part: a tilde before the end
// of the part (and before a digit, which ends it), letters next, all else last.
func weight(s string, i int) int {
	switch {
	case i >= len(s) || isDigit(s[i]):
		return 0
	case s[i] == '~':
		return -1
	case isAlpha(s[i]):
		return int(s[i])
	}
	return int(s[i]) + 256
}

// comparePart orders two upstream versions or two revisions: non-digit and
// digit runs by turns.
func comparePart(a, b string) int {
	i, j := 0, 0
	for i < len(a) || j < len(b) {
		for (i < len(a) && !isDigit(a[i])) || (j < len(b) && !isDigit(b[j])) {
			if c := weight(a, i) - weight(b, j); c != 0 {
				return c
			}
			i, j = i+1, j+1
		}
		m, n := digits(a, i), digits(b, j)
		if c := compareDigits(a[i:m], b[j:n]); c != 0 {
			return c
		}
		i, j = m, n
	}
	return 0
}

// digits returns the end of the run of digits of s that starts at i.
func digits(s string, i int) int {
	for i < len(s) && isDigit(s[i]) {
		i++
	}
	return i
}

// compareDigits orders two runs of digits as numbers of any length.
func compareDigits(a, b string) int {
	a, b = strings.TrimLeft(a, "0"), strings.TrimLeft(b, "0")
	if len(a) != len(b) {
		return len(a) - len(b)
	}
	return strings.Compare(a, b)
}

// ValidVersion says what is wrong with a version number, by the rules of
// `dpkg --validate-version`; nil means nothing.
func ValidVersion(s string) error {
	if err := lenientVersion(s); err != nil {
		return err
	}
	_, upstream, _ := splitVersion(s)
	if !isDigit(upstream[0]) {
		return fmt.Errorf("version %q does not start with a digit", s)
	}
	return nil
}

// lenientVersion is ValidVersion without the rule that the upstream version
// starts with a digit, which dpkg only warns of when it meets it in a package.
func lenientVersion(s string) error {
	if s == "" {
		return fmt.Errorf("version is empty")
	}
	epoch, upstream, revision := splitVersion(s)
	if strings.IndexByte(s, ':') >= 0 {
		if epoch == "" || digits(epoch, 0) != len(epoch) {
			return fmt.Errorf("version %q: the epoch is not a number", s)
		}
		// dpkg keeps the epoch in an int.
		if e := strings.TrimLeft(epoch, "0"); len(e) > 10 || len(e) == 10 && e > "2147483647" {
			return fmt.Errorf("version %q: the epoch is too large", s)
		}
	}
	if upstream == "" {
		return fmt.Errorf("version %q: the upstream version is empty", s)
	}
	if revision == "" && s[len(s)-1] == '-' {
		return fmt.Errorf("version %q: the revision is empty", s)
	}
	for i := range len(upstream) {
		if c := upstream[i]; !isDigit(c) && !isAlpha(c) && strings.IndexByte(".-+~:", c) < 0 {
			return fmt.Errorf("version %q: character %q is not allowed", s, c)
		}
	}
	for i := range len(revision) {
		if c := revision[i]; !isDigit(c) && !isAlpha(c) && strings.IndexByte(".+~", c) < 0 {
			return fmt.Errorf("version %q: character %q is not allowed in the revision", s, c)
		}
	}
	return nil
}
