package oci

import (
	"bytes"
	"errors"
	"io"
	"slices"
	"strings"
	"time"

	"cloudy/builder/deb"
	"cloudy/builder/tree"
	"cloudy/targets/container"
)

// The layers, from what changes seldom to what changes with each build: a
// node that has an image already fetches the upper ones of its next version.
const (
	baseLayer    = iota // essential packages with all that they need
	packageLayer        // the other packages
	serviceLayer        // packages that came in by services
	overlayLayer        // everything that no package brought, or that was changed
	layers
)

var layerNames = [layers]string{"base", "packages", "services", "overlay"}

// split parts a tree into one for each layer. A file that a package brought
// and that nothing touched since goes to its package's layer; a time of the
// epoch shows a touch, because all later times are cut to it. A folder stands
// in the lowest layer that has something in it.
func split(t *tree.Tree, epoch time.Time, o *Options) ([layers]*tree.Tree, error) {
	var out [layers]*tree.Tree
	owners, err := owned(t, o)
	if err != nil {
		return out, err
	}
	in := make(map[string]int, len(t.Entries)) // path -> layer
	newest := [layers]time.Time{}
	for i := range t.Entries {
		e := &t.Entries[i]
		l, ok := owners[e.Path]
		if !ok || e.Type != tree.Dir && !e.MTime.Before(epoch) {
			l = overlayLayer
		}
		if e.Type == tree.Hardlink {
			l = in[e.Link]
		}
		in[e.Path] = l
		if e.Type != tree.Dir && e.MTime.After(newest[l]) {
			newest[l] = e.MTime
		}
	}
	// Backwards, so that what is in a folder comes before it.
	for i := len(t.Entries) - 1; i > 0; i-- {
		p := t.Entries[i].Path
		dir := "."
		if k := strings.LastIndexByte(p, '/'); k >= 0 {
			dir = p[:k]
		}
		in[dir] = min(in[dir], in[p])
	}
	for l := range out {
		out[l] = &tree.Tree{}
	}
	for i := range t.Entries {
		e := t.Entries[i]
		l := in[e.Path]
		if e.Type == tree.Dir && l != overlayLayer && !e.MTime.Before(epoch) {
			// The time of the build would make another layer of the same packages.
			e.MTime = newest[l]
		}
		out[l].Entries = append(out[l].Entries, e)
	}
	return out, nil
}

// installed is one package of dpkg's database.
type installed struct {
	name, arch string
	needs      []string // names of what it depends on, alternatives too
	provides   []string
	layer      int
	base       bool
}

// owned gives the layer of each path that a package brought, after dpkg's
// database in the tree. A tree without one gives none.
func owned(t *tree.Tree, o *Options) (map[string]int, error) {
	status, ok := container.Read(t, "var/lib/dpkg/status")
	if !ok {
		return nil, nil
	}
	pkgs, err := parse(status)
	if err != nil {
		return nil, err
	}
	assign(pkgs, o)
	aliases := aliases(t)
	out := map[string]int{}
	for _, p := range pkgs {
		list, ok := container.Read(t, "var/lib/dpkg/info/"+p.name+".list")
		if !ok {
			list, _ = container.Read(t, "var/lib/dpkg/info/"+p.name+":"+p.arch+".list")
		}
		for line := range strings.Lines(list) {
			name := strings.Trim(strings.TrimSuffix(line, "\n"), "/")
			if dir, rest, _ := strings.Cut(name, "/"); aliases[dir] != "" && rest != "" {
				name = aliases[dir] + "/" + rest
			}
			if l, ok := out[name]; !ok || p.layer < l {
				out[name] = p.layer
			}
		}
	}
	return out, nil
}

// aliases are the links at the top of a root with merged /usr: "bin" is
// "usr/bin".
func aliases(t *tree.Tree) map[string]string {
	out := map[string]string{}
	for i := range t.Entries {
		if e := &t.Entries[i]; e.Type == tree.Symlink && !strings.Contains(e.Path, "/") && strings.HasPrefix(e.Link, "usr/") {
			out[e.Path] = e.Link
		}
	}
	return out
}

func parse(status string) (map[string]*installed, error) {
	pkgs := map[string]*installed{}
	r := deb.NewParagraphReader(bytes.NewReader([]byte(status)))
	for {
		p, err := r.Next()
		if errors.Is(err, io.EOF) {
			return pkgs, nil
		}
		if err != nil {
			return nil, err
		}
		pkg := &installed{name: p.Get("Package"), arch: p.Get("Architecture"), layer: packageLayer}
		pkg.base = p.Get("Essential") == "yes" || p.Get("Priority") == "required"
		for _, field := range []string{"Pre-Depends", "Depends"} {
			rels, err := deb.ParseRelations(p.Get(field))
			if err != nil {
				return nil, err
			}
			pkg.needs = append(pkg.needs, names(rels)...)
		}
		rels, err := deb.ParseRelations(p.Get("Provides"))
		if err != nil {
			return nil, err
		}
		pkg.provides = names(rels)
		pkgs[pkg.name] = pkg
	}
}

func names(rels deb.Relations) []string {
	var out []string
	for _, alternatives := range rels {
		for _, r := range alternatives {
			out = append(out, r.Name)
		}
	}
	return out
}

// assign puts each package into its layer.
func assign(pkgs map[string]*installed, o *Options) {
	providers := map[string][]string{}
	for _, p := range pkgs {
		for _, virtual := range p.provides {
			providers[virtual] = append(providers[virtual], p.name)
		}
	}
	// closure is all that the packages need, as far as it is installed.
	closure := func(start []string) map[string]bool {
		seen := map[string]bool{}
		for queue := slices.Clone(start); len(queue) > 0; queue = queue[1:] {
			name := queue[0]
			p := pkgs[name]
			if p == nil {
				queue = append(queue, providers[name]...)
				continue
			}
			if !seen[name] {
				seen[name] = true
				queue = append(queue, p.needs...)
			}
		}
		return seen
	}
	var base []string
	for name, p := range pkgs {
		if p.base {
			base = append(base, name)
		}
	}
	for name := range closure(o.ServicePackages) {
		pkgs[name].layer = serviceLayer
	}
	for name := range closure(o.Packages) {
		pkgs[name].layer = packageLayer
	}
	for name := range closure(base) {
		pkgs[name].layer = baseLayer
	}
}
