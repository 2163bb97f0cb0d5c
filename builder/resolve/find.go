package resolve

import (
	"fmt"
	"slices"
	"strings"

	"github.com/agext/levenshtein"
)

// parseName cuts "name:arch".
func parseName(s string) Want {
	name, arch, _ := strings.Cut(s, ":")
	return Want{Name: name, Arch: arch}
}

// find returns the version that a want names, a note when it took a package
// for a virtual one, or what is wrong.
func (s *solver) find(w Want) (*version, string, *Problem) {
	g := s.u.groups[w.Name]
	if g == nil {
		return nil, "", s.unknown(w)
	}
	var k *pkg
	if w.Arch != "" && w.Arch != "all" {
		if _, ok := s.u.archRank[w.Arch]; !ok {
			return nil, "", &Problem{Kind: NotFound, Name: w.Name, Text: fmt.Sprintf("%s: architecture %s is not enabled", w, w.Arch)}
		}
		k = g.pkg(w.Arch)
	} else {
		for _, o := range g.pkgs { // the native one, else by preference
			if k == nil || s.u.archRank[o.arch] < s.u.archRank[k.arch] {
				k = o
			}
		}
	}
	if k == nil {
		return s.virtual(w, g)
	}
	if w.Version == "" && w.Suite == "" {
		if c := s.at(k).cand; c != nil {
			return c, "", nil
		}
		if v, note, _ := s.virtual(w, g); v != nil {
			return v, note, nil
		}
		return nil, "", &Problem{Kind: NoVersion, Name: w.Name, Text: fmt.Sprintf("%s is pinned away in all suites (%s)", w, available(k.versions))}
	}
	for _, v := range k.versions {
		if (w.Version == "" || v.p.Version == w.Version) && (w.Suite == "" || v.p.Suite == w.Suite) {
			return v, "", nil
		}
	}
	return nil, "", &Problem{Kind: NoVersion, Name: w.Name, Text: fmt.Sprintf("%s does not exist; there is %s", w, available(k.versions))}
}

// virtual takes the provider of a virtual package when there is but one.
func (s *solver) virtual(w Want, g *group) (*version, string, *Problem) {
	var found []*version
	for _, p := range g.provs {
		o := p.owner
		if s.at(o.pkg).cand != o || w.Version != "" && p.version != w.Version || w.Suite != "" && o.p.Suite != w.Suite {
			continue
		}
		if w.Arch != "" && o.pkg.arch != w.Arch && !o.foreign {
			continue
		}
		if i := slices.IndexFunc(found, func(f *version) bool { return f.pkg.group == o.pkg.group }); i < 0 {
			found = append(found, o)
		} else if s.u.archRank[o.pkg.arch] < s.u.archRank[found[i].pkg.arch] {
			found[i] = o
		}
	}
	switch len(found) {
	case 0:
		return nil, "", s.unknown(w)
	case 1:
		return found[0], fmt.Sprintf("%s is a virtual package: taking %s, which provides it", w, s.u.name(found[0].pkg)), nil
	}
	names := make([]string, len(found))
	for i, v := range found {
		names[i] = s.u.name(v.pkg)
	}
	slices.Sort(names)
	return nil, "", &Problem{
		Kind: Virtual, Name: w.Name, Suggestions: names,
		Text: fmt.Sprintf("%s is a virtual package, name one of its providers: %s", w, list(names, 12)),
	}
}

// unknown makes the problem of a name that nothing has, with similar names.
func (s *solver) unknown(w Want) *Problem {
	p := &Problem{Kind: NotFound, Name: w.Name, Text: fmt.Sprintf("there is no package %s", w)}
	if g := s.u.groups[w.Name]; g != nil && len(g.pkgs) > 0 {
		archs := make([]string, len(g.pkgs))
		for i, k := range g.pkgs {
			archs[i] = k.arch
		}
		p.Text += fmt.Sprintf("; it exists for %s", strings.Join(archs, ", "))
		return p
	}
	if p.Suggestions = s.u.similar(w.Name); len(p.Suggestions) > 0 {
		p.Text += fmt.Sprintf("; did you mean %s?", list(p.Suggestions, 3))
	}
	return p
}

// misspelt says which of the names to be dropped are none of a package.
func (u *Universe) misspelt(drop []string) (notes []string) {
	for _, name := range drop {
		w := parseName(name)
		if u.groups[w.Name] != nil {
			continue
		}
		note := fmt.Sprintf("-%s drops nothing: there is no package %s for %s", name, w.Name, u.native)
		if near := u.similar(w.Name); len(near) > 0 {
			note += fmt.Sprintf("; did you mean %s?", list(near, 3))
		}
		notes = append(notes, note)
	}
	return notes
}

// similar returns up to three package names that a misspelt name may mean,
// the nearest first.
func (u *Universe) similar(name string) []string {
	type near struct {
		name string
		d    int
	}
	limit := 1 + len(name)/5
	var all []near
	for n, g := range u.groups {
		if len(g.pkgs) == 0 || len(n) > len(name)+limit || len(n)+limit < len(name) {
			continue
		}
		if d := levenshtein.Distance(name, n, nil); d <= limit {
			all = append(all, near{n, d})
		}
	}
	slices.SortFunc(all, func(a, b near) int {
		if a.d != b.d {
			return a.d - b.d
		}
		return strings.Compare(a.name, b.name)
	})
	var out []string
	for _, n := range all[:min(3, len(all))] {
		out = append(out, n.name)
	}
	return out
}

// available lists versions with their suites.
func available(vs []*version) string {
	s := make([]string, len(vs))
	for i, v := range vs {
		s[i] = v.p.Version
		if v.p.Suite != "" {
			s[i] += " in " + v.p.Suite
		}
	}
	return list(s, 6)
}

// list joins the first n words.
func list(words []string, n int) string {
	if len(words) > n {
		return strings.Join(words[:n], ", ") + fmt.Sprintf(" and %d more", len(words)-n)
	}
	return strings.Join(words, ", ")
}
