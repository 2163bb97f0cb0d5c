package rootfs

// round is a set of packages to place together, and what to configure once
// they are in place.
type round struct{ place, configure []*job }

// preinstRounds splits jobs, which are in configure order, so that whatever a
// package with a preinst pre-depends on is configured before that package is
// placed. A package without a preinst runs nothing when it is unpacked, so
// its Pre-Depends are met by the configure order alone. Most sets need two or
// three rounds.
func preinstRounds(jobs []*job) []round {
	byName := map[string]*job{}
	for _, j := range jobs {
		byName[j.Name] = j
	}
	level := map[*job]int{}
	var levelOf func(j *job, seen map[*job]bool) int
	levelOf = func(j *job, seen map[*job]bool) int {
		if l, ok := level[j]; ok {
			return l
		}
		if seen[j] { // a cycle of Pre-Depends; dpkg would refuse it, the configure order decides
			return 0
		}
		seen[j] = true
		l := 0
		if _, ok := j.staged.control["preinst"]; ok {
			for _, name := range j.PreDepends {
				if dep := byName[name]; dep != nil && dep != j {
					l = max(l, levelOf(dep, seen)+1)
				}
			}
		}
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
	return assignConfigure(rounds, jobs, byName, level)
}

// assignConfigure configures early only what a later round asks for; the last
// round configures all that is left.
func assignConfigure(rounds []round, jobs []*job, byName map[string]*job, level map[*job]int) []round {
	done := map[*job]bool{}
	for r := range rounds {
		need := map[*job]bool{}
		for _, later := range jobs {
			if level[later] != r+1 {
				continue
			}
			for _, name := range later.PreDepends {
				need[byName[name]] = true
			}
		}
		for _, j := range jobs {
			if !done[j] && (need[j] || r == len(rounds)-1) {
				done[j] = true
				rounds[r].configure = append(rounds[r].configure, j)
			}
		}
	}
	return rounds
}
