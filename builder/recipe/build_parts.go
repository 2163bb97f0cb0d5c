package recipe

import (
	"slices"
	"strings"
	"time"
)

// wellKnown are the archives that need no URL: where they are is decided on
// the building machine, and their keys are Debian's.
func wellKnown() []string {
	return []string{"debian", "debian-security", "debian-debug", "debian-ports"}
}

// archives returns those the image uses for its architecture.
func (b *builder) archives(n *node) []Archive {
	names := b.module.order["archive"]
	if v := n.attrs["archives"]; v != nil {
		names = nil
		for _, it := range v.items {
			name := it.goval.(string)
			if b.known("archive", name, it.at) && !slices.Contains(names, name) {
				names = append(names, name)
			}
		}
	}
	var out []Archive
	for _, name := range names {
		if a := b.archive(name); len(a.Architectures) == 0 || slices.Contains(a.Architectures, b.arch) {
			out = append(out, a)
		}
	}
	return out
}

// known reports a name that is not declared. References are checked before;
// this is for names given as text.
func (b *builder) known(kind, name string, at Range) bool {
	if b.module.blocks[kind][name] != nil {
		return true
	}
	b.errorf(at, didYouMean(name, b.module.order[kind]), "There is no %s %q", kind, name)
	return false
}

func (b *builder) archive(name string) Archive {
	r := b.resolve("archive", name, nil)
	b.diags = append(b.diags, r.diags...)
	n := r.node
	b.complete(n)
	a := Archive{
		Name: name, Base: r.chain[len(r.chain)-1], URL: strings.TrimRight(get(n, "url", ""), "/"),
		Suites: n.texts("suites"), Components: n.texts("components"), Fingerprints: n.strings("fingerprints"),
		Only: n.texts("only"), Pin: int(get(n, "pin", int64(500))), Architectures: n.strings("architectures"), Range: n.at,
	}
	if n.attrs["components"] == nil {
		a.Components = []Text{{Value: "main"}}
	}
	if it, ok := n.first("keyring"); ok {
		a.Keyring = &Keyring{Name: it.goval.(string), Blob: b.sourceFile(it, KindKeyring)}
	}
	wellKnown := slices.Contains(wellKnown(), a.Base)
	_, hasURL := n.attrs["url"]
	switch {
	case r.diags.HasErrors(): // what is inherited is not known
	case !hasURL && !wellKnown:
		b.errorf(n.at, "Only "+strings.Join(wellKnownNames(), " and ")+" are found without.", "archive %q needs url", name)
	case hasURL && !wellKnown && n.attrs["keyring"] == nil:
		b.errorf(n.at, "Nobody could tell whether the packages are genuine. Put the archive's public keys into the recipe folder.", "archive %q needs keyring", name)
	}
	if v := n.attrs["suites"]; v != nil && !v.bad && len(v.items) == 0 {
		b.errorf(v.at, "", "archive %q has no suites", name)
	}
	return a
}

func wellKnownNames() []string { return wellKnown()[:2] }

func (b *builder) services(n *node) []Service {
	v := n.attrs["services"]
	if v == nil {
		return nil
	}
	var out []Service
	for _, it := range v.items {
		name := it.goval.(string)
		if !b.known("service", name, it.at) || slices.ContainsFunc(out, func(s Service) bool { return s.Name == name }) {
			continue
		}
		out = append(out, b.service(name, it.at))
	}
	return out
}

func (b *builder) service(name string, _ Range) Service {
	r := b.resolve("service", name, nil)
	b.diags = append(b.diags, r.diags...)
	n := r.node
	b.complete(n)
	s := Service{
		Name: name, Description: get(n, "description", ""), Packages: packageList(n), Units: n.texts("units"),
		Enabled: get(n, "enabled", false), Announce: announce(n), Health: health(n), Range: n.at,
	}
	for _, role := range n.children("role") {
		s.Roles = append(s.Roles, Role{
			Name: role.label, Description: get(role, "description", ""), Packages: packageList(role), Units: role.texts("units"),
			Default: get(role, "default", false), Announce: announce(role), Health: health(role), Range: role.at,
		})
	}
	for _, o := range n.texts("overlay") {
		b.overlay(o)
	}
	return s
}

// allPackages returns the packages of the service and all its roles.
func (s Service) allPackages() []Package {
	out := slices.Clone(s.Packages)
	for _, r := range s.Roles {
		out = append(out, r.Packages...)
	}
	return out
}

func packageList(n *node) []Package {
	var out []Package
	if v := n.attrs["packages"]; v != nil {
		for _, it := range v.items {
			p := it.goval.(Package)
			p.Range = it.at
			out = append(out, p)
		}
	}
	return out
}

func announce(n *node) *Announce {
	a := n.child("announce", "")
	if a == nil {
		return nil
	}
	return &Announce{Type: get(a, "type", ""), Port: int(get(a, "port", int64(0))), TXT: a.stringMap("txt")}
}

func health(n *node) *Health {
	h := n.child("health", "")
	if h == nil {
		return nil
	}
	return &Health{
		HTTP: get(h, "http", ""), TCP: int(get(h, "tcp", int64(0))), Unit: get(h, "unit", ""), Command: h.strings("command"),
		Interval: get(h, "interval", 30*time.Second), Timeout: get(h, "timeout", 10*time.Second),
	}
}
