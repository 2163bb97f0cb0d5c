package resolve

// sweep takes out what was marked on the way but is needed by nothing, as
// apt's autoremover does before it shows its result. Roots are what the user
// wanted and what is essential; all of Depends, Recommends and Suggests keep a
// package in, whether or not they bring one in.
func (s *solver) sweep() {
	keep := make([]bool, len(s.states))
	var stack []*pkg
	push := func(k *pkg) {
		if !keep[k.idx] && s.at(k).in != nil {
			keep[k.idx] = true
			stack = append(stack, k)
		}
	}
	for _, k := range s.installed {
		if !s.at(k).auto || k.essential || k.important {
			push(k)
		}
	}
	for len(stack) > 0 {
		k := stack[len(stack)-1]
		stack = stack[:len(stack)-1]
		cs := s.clauses(s.at(k).in)
		for i := range cs {
			if cs[i].kind.negative() {
				continue
			}
			for j := range cs[i].alts {
				for _, t := range cs[i].alts[j].targets {
					if s.at(t.pkg).in == t {
						push(t.pkg)
					}
				}
			}
		}
	}
	for _, k := range s.installed {
		if !keep[k.idx] {
			s.at(k).in = nil
		}
	}
}
