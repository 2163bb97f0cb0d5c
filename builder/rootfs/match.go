package rootfs

// MatchPath matches an absolute path against a pattern of dpkg's path-exclude
// (dpkg(1)): "*" and "?" match every character, "/" too, and "[...]" a set.
func MatchPath(pattern, path string) bool {
	// p and s walk along; star and mark are where the last "*" may take more.
	p, s, star, mark := 0, 0, -1, 0
	for s < len(path) {
		if p < len(pattern) {
			switch c := pattern[p]; {
			case c == '*':
				star, mark = p, s
				p++
				continue
			case c == '?' || c == path[s]:
				p++
				s++
				continue
			case c == '[':
				if n, ok := matchSet(pattern[p:], path[s]); ok {
					p += n
					s++
					continue
				}
			}
		}
		if star < 0 {
			return false
		}
		mark++
		p, s = star+1, mark
	}
	for p < len(pattern) && pattern[p] == '*' {
		p++
	}
	return p == len(pattern)
}

// matchSet matches one character against "[...]" at the start of set and
// returns the length of the set.
func matchSet(set string, c byte) (int, bool) {
	i, negate, hit := 1, false, false
	if i < len(set) && (set[i] == '!' || set[i] == '^') {
		negate = true
		i++
	}
	for first := true; i < len(set) && (first || set[i] != ']'); first = false {
		lo, hi := set[i], set[i]
		if i+2 < len(set) && set[i+1] == '-' && set[i+2] != ']' {
			hi = set[i+2]
			i += 2
		}
		hit = hit || lo <= c && c <= hi
		i++
	}
	if i >= len(set) {
		return 0, false
	}
	return i + 1, hit != negate
}
