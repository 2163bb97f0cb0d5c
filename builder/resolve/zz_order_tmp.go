package resolve

import "cloudy/builder/deb"

// ConfigureOrder is a stand-in.
func ConfigureOrder(pkgs []*deb.Package, _ func(string) bool) ([]*deb.Package, error) {
	byName := map[string]*deb.Package{}
	for _, p := range pkgs {
		rel, _ := deb.ParseRelations(p.Provides)
		for _, a := range rel {
			for _, r := range a {
				if byName[r.Name] == nil {
					byName[r.Name] = p
				}
			}
		}
	}
	for _, p := range pkgs {
		byName[p.Name] = p
	}
	state := map[*deb.Package]int{}
	var out []*deb.Package
	var visit func(p *deb.Package)
	visit = func(p *deb.Package) {
		if state[p] != 0 {
			return
		}
		state[p] = 1
		for _, f := range []string{p.PreDepends, p.Depends} {
			rel, _ := deb.ParseRelations(f)
			for _, a := range rel {
				for _, r := range a {
					if d := byName[r.Name]; d != nil {
						visit(d)
						break
					}
				}
			}
		}
		out = append(out, p)
	}
	for _, p := range pkgs {
		visit(p)
	}
	return out, nil
}
