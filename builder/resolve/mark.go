package resolve

// maxDepth ends chains of dependencies that go deeper than any real one.
const maxDepth = 3000

// mark puts a package in the set to be installed and, with follow, all that it
// needs; it says whether that worked. user is set for what the user asked for,
// which is marked even when its dependencies fail (the repair pass then has to
// cope). The order of the steps is apt's, and decides what the answer is.
func (s *solver) mark(k *pkg, follow bool, depth int, user bool, why Why) bool {
	st := s.at(k)
	if depth > maxDepth || len(k.versions) == 0 {
		return false
	}
	if !user && st.in == nil && st.protected {
		return false
	}
	if st.cand == nil {
		return false
	}
	if !st.protected && st.in != nil && !s.broken(k, true) {
		return true
	}
	if follow && !s.satisfiable(k) {
		return false
	}
	if user {
		s.enter(k, true, why)
	}
	failEarly := !st.protected && !user
	failed := false
	var toInstall []*clause
	v := st.cand
	if follow {
		var toRemove []*clause
		toInstall, toRemove = s.collect(v, st.protected)
		if !s.evict(k, toRemove, st.protected, failEarly) {
			if failEarly {
				return false
			}
			failed = true
		}
	}
	if !user {
		s.enter(k, false, why)
	}
	if !follow {
		return !failed
	}
	was := st.protected
	st.protected = true
	ok := s.installClauses(k, v, toInstall, depth, was, user)
	st.protected = was
	if !ok {
		if failEarly {
			s.set(k, nil)
			s.lose(k)
			return false
		}
		failed = true
	}
	return !failed
}

// enter marks the candidate for installation.
func (s *solver) enter(k *pkg, user bool, why Why) {
	st := s.at(k)
	if st.protected && st.in == st.cand {
		return
	}
	if st.in == nil {
		s.installed = append(s.installed, k)
		s.why[k] = why
	}
	s.set(k, st.cand)
	st.auto = !user
}

// satisfiable looks whether each critical dependency of the candidate could be
// fulfilled at all. If not, the package has no candidate any more, unless it
// is protected.
func (s *solver) satisfiable(k *pkg) bool {
	st := s.at(k)
	cs := s.clauses(st.cand)
	for i := range cs {
		c := &cs[i]
		if !c.kind.critical() || c.kind.negative() {
			continue
		}
		found := false
		for j := range c.alts {
			if s.possible(&c.alts[j]) || s.present(&c.alts[j]) {
				found = true
				break
			}
		}
		if found {
			continue
		}
		s.failed[k] = failure{clause: c}
		if !st.protected {
			s.set(k, nil)
			s.lose(k)
		}
		return false
	}
	return true
}

// collect returns the clauses of v that need work: dependencies that are not
// there yet, conflicts with what is. Those of a protected package are all
// looked at, to protect what they need.
func (s *solver) collect(v *version, protected bool) (toInstall, toRemove []*clause) {
	cs := s.clauses(v)
	for i := range cs {
		c := &cs[i]
		if !s.important(c.kind) || s.holds(c) && !protected {
			continue
		}
		if c.kind.negative() {
			toRemove = append(toRemove, c)
		} else {
			toInstall = append(toInstall, c)
		}
	}
	return toInstall, toRemove
}

// evict unmarks what k's candidate conflicts with. Something protected stays,
// and is a failure; in front of a protected k the others lose their candidate
// for good.
func (s *solver) evict(k *pkg, toRemove []*clause, protected, failEarly bool) bool {
	ok := true
	for _, c := range toRemove {
		for _, t := range s.solutions(c) {
			o := s.at(t.pkg)
			if o.cand != t {
				continue
			}
			if o.in != nil && o.protected {
				ok = false
				s.failed[k] = failure{clause: c, with: t.pkg}
				if failEarly {
					break
				}
				continue
			}
			s.set(t.pkg, nil)
			if protected {
				s.lose(t.pkg)
				o.protected = true
				s.failed[t.pkg] = failure{clause: c, with: k}
			}
		}
		if !ok && failEarly {
			break
		}
	}
	return ok
}

// installClauses marks solutions for the clauses of v. protected says whether
// k was protected before: then what it can have only from one package is
// protected too.
func (s *solver) installClauses(k *pkg, v *version, todo []*clause, depth int, protected, user bool) bool {
	ok := true
	for _, c := range todo {
		critical := c.kind.critical()
		if s.holds(c) {
			if !protected || !critical {
				continue
			}
			all := s.candidates(c)
			if len(all) != 1 {
				continue
			}
			only := all[0].pkg
			if s.at(only).protected {
				continue
			}
			s.at(only).protected = true
			if !s.mark(only, true, depth+1, false, s.because(k, c)) {
				ok = false
			}
			continue
		}
		found := false
		all := s.solutions(c)
		for _, t := range all {
			if s.at(t.pkg).cand != t {
				continue
			}
			if protected && critical && len(all) == 1 {
				if !s.mark(t.pkg, false, depth+1, false, s.because(k, c)) {
					continue
				}
				s.at(t.pkg).protected = true
			}
			if s.mark(t.pkg, true, depth+1, false, s.because(k, c)) {
				found = true
				break
			}
		}
		if !found && critical {
			ok = false
			s.failed[k] = failure{clause: c}
			if !protected && !user {
				break
			}
		}
	}
	return ok
}

// candidates are the distinct packages of all candidates that satisfy a clause.
func (s *solver) candidates(c *clause) []*version {
	var out []*version
	for i := range c.alts {
	targets:
		for _, t := range c.alts[i].targets {
			st := s.at(t.pkg)
			if st.cand != t || st.protected && st.in == nil {
				continue
			}
			for _, o := range out {
				if o == t {
					continue targets
				}
			}
			out = append(out, t)
		}
	}
	return out
}

// because says that k brings something in by c.
func (s *solver) because(k *pkg, c *clause) Why {
	why := Why{Kind: Depends, By: s.u.name(k), by: k, clause: c}
	switch c.kind {
	case preDepends:
		why.Kind = PreDepends
	case recommends:
		why.Kind = Recommends
	}
	return why
}
