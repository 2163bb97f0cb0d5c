package resolve

import (
	"fmt"
	"strings"

	"cloudy/builder/deb"
	"cloudy/builder/fail"
)

// Check says whether a set of packages can be installed together: every
// Pre-Depends and Depends is met within the set, and no Conflicts or Breaks is
// violated. It knows nothing of how the set came about, so it serves for locks
// that were edited by hand too. The error, of kind fail.User, names everything
// that is wrong.
func Check(packages []*deb.Package, native string, foreign ...string) error {
	u := NewUniverse(native, foreign...)
	for _, p := range packages {
		if !u.Add(p, 1) {
			return fail.Mark(fail.User, fmt.Errorf("package %s: cannot be used for %s", p, native))
		}
	}
	s := newSolver(u, false)
	for _, k := range u.pkgs {
		if len(k.versions) > 1 {
			return fail.Mark(fail.User, fmt.Errorf("package %s is there in versions %s and %s", u.name(k), k.versions[0].p.Version, k.versions[1].p.Version))
		}
		s.at(k).in = k.versions[0]
	}
	var wrong []string
	for _, k := range u.pkgs {
		cs := s.clauses(k.versions[0])
		for i := range cs {
			if cs[i].kind.critical() && !s.holds(&cs[i]) {
				wrong = append(wrong, fmt.Sprintf("%s %s %s", u.name(k), verb(cs[i].kind), &cs[i]))
			}
		}
	}
	if s.err != nil {
		return fail.Mark(fail.User, s.err)
	}
	if len(wrong) > 0 {
		return fail.Mark(fail.User, fmt.Errorf("packages do not fit together: %s", strings.Join(wrong, "; ")))
	}
	return nil
}
