package rootfs

// MatchPath matches an absolute path against a pattern of dpkg's path-exclude
// (dpkg(1)) as fnmatch(3) without flags does: "*" and "?" match every
// character, "/" too, "[...]" a set, and "\" takes a character's meaning away.
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
			case c == '[':
				n, ok := matchSet(pattern[p:], path[s])
				if n == 0 && path[s] == '[' { // no set: the character itself
					n, ok = 1, true
				}
				if ok {
					p += n
					s++
					continue
				}
			case c == '\\' && p+1 < len(pattern):
				if pattern[p+1] == path[s] {
					p += 2
					s++
					continue
				}
			case c == '?' || c == path[s]:
				p++
				s++
				continue
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
// returns the length of the set, 0 where there is none.
func matchSet(set string, c byte) (int, bool) {
	i, negate, hit := 1, false, false
	if i < len(set) && (set[i] == '!' || set[i] == '^') {
		negate = true
		i++
	}
	for first := true; i < len(set) && (first || set[i] != ']'); first = false {
		if set[i] == '\\' && i+1 < len(set) {
			i++
		}
		lo, hi := set[i], set[i]
		if i+2 < len(set) && set[i+1] == '-' && set[i+2] != ']' {
			i += 2
			if set[i] == '\\' && i+1 < len(set) {
				i++
			}
			hi = set[i]
		}
		hit = hit || lo <= c && c <= hi
		i++
	}
	if i >= len(set) {
		return 0, false
	}
	return i + 1, hit != negate
}
