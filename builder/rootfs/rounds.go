package rootfs

import "slices"

// round is a set of packages to place together, and what to configure once
// they are in place.
type round struct{ place, configure []*job }

// preinstRounds splits jobs, which are in configure order, so that whatever a
// package with a preinst pre-depends on is configured before that package is
// placed. A package without a preinst runs nothing when it is unpacked, so
// its Pre-Depends are met by the configure order alone. Most sets need two or
// three rounds.
func preinstRounds(jobs []*job, needs map[*job]map[*job]bool) []round {
	level := map[*job]int{}
	var levelOf func(j *job, on map[*job]bool) int
	levelOf = func(j *job, on map[*job]bool) int {
		if l, ok := level[j]; ok {
			return l
		}
		if on[j] { // a cycle of Pre-Depends, which dpkg would refuse; the configure order decides
			return 0
		}
		on[j] = true
		l := 0
		if len(needs[j]) > 0 {
			for _, dep := range jobs { // in order: in a cycle it matters where one begins
				if needs[j][dep] {
					l = max(l, levelOf(dep, on)+1)
				}
			}
		}
		delete(on, j)
		level[j] = l
		return l
	}
	top := 0
	for _, j := range jobs {
		top = max(top, levelOf(j, map[*job]bool{}))
	}
	rounds := make([]round, top+1)
	for _, j := range jobs {
		rounds[level[j]].place = append(rounds[level[j]].place, j)
	}
	done := map[*job]bool{}
	for r := range rounds {
		early := map[*job]bool{}
		for _, later := range jobs {
			if level[later] == r+1 {
				for dep := range needs[later] {
					early[dep] = true
				}
			}
		}
		for _, j := range jobs {
			if !done[j] && level[j] <= r && (early[j] || r == top) {
				done[j] = true
				rounds[r].configure = append(rounds[r].configure, j)
			}
		}
	}
	// A cycle leaves rounds empty.
	rounds = slices.DeleteFunc(rounds, func(r round) bool { return len(r.place)+len(r.configure) == 0 })
	if len(rounds) == 0 {
		rounds = []round{{}}
	}
	return rounds
}
