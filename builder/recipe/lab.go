package recipe

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
)

// LabSuffix ends the names of lab files that lie in a recipe folder, of whose
// module they are no part.
const LabSuffix = ".lab.hcl"

// Lab is a lab file: nodes in sites, and links between the sites.
type Lab struct {
	Name        string
	Description string
	Image       Text   `json:"-"` // name of an image of the recipe
	Network     string // name of the mesh
	Founder     string // name of the node that founds it
	Sites       []LabSite
	Links       []LabLink
	Services    []LabService
}

// Path is what a line does to packets, in each direction.
type Path struct {
	Delay time.Duration // of each packet
	Loss  float64       // part of the packets that is lost, 0 to less than 1
	Rate  int64         // bits per second; 0: no limit
}

// LabSite is a broadcast domain with a router.
type LabSite struct {
	Name     string
	Title    string
	Nodes    int
	Memory   int64 // bytes for each node; 0: no limit
	Services []string
	Access   Path  // between each node and the switch
	Range    Range `json:"-"`
}

// Node returns the name of the site's node n, counted from 1.
func (s *LabSite) Node(n int) string { return fmt.Sprintf("%s-%d", s.Name, n) }

// LabLink is a line between the routers of two sites.
type LabLink struct {
	Name string
	A, B string // sites
	Path Path
}

// LabService is a service that nodes offer.
type LabService struct {
	Name        string
	Description string
	Type        string // DNS-SD
	Port        int
	TXT         map[string]string
	Units       []string
}

// LoadLab reads a lab file, which src is the one file of. The module is for
// rendering the diagnostics; the lab is nil when they have errors.
func LoadLab(ctx context.Context, src *Source, opts Options) (*Lab, *Module, Diagnostics) {
	m := newModule(src, LabSchema())
	diags := m.load(ctx, opts)
	if m.incomplete {
		return nil, m, Tidy(diags)
	}
	// The architecture says nothing in a lab.
	s := m.scope(architectures()[0])
	diags = append(diags, s.diags...)
	b := &builder{scope: s.fresh(), module: m, arch: s.arch}
	lab := b.lab()
	diags = Tidy(append(diags, b.diags...))
	if diags.HasErrors() {
		return nil, m, diags
	}
	return lab, m, diags
}

// each evaluates all blocks of a kind in the order of the file.
func (b *builder) each(kind string, do func(n *node, src *hclsyntax.Block)) {
	for _, name := range b.module.order[kind] {
		src := b.module.blocks[kind][name]
		n := b.evaluate(src.Body, b.module.schema.block(kind), name, src.DefRange(), 0)
		b.complete(n)
		do(n, src)
	}
}

func (b *builder) lab() *Lab {
	lab := &Lab{}
	var founder item
	count := 0
	b.each("lab", func(n *node, src *hclsyntax.Block) {
		if count++; count > 1 {
			b.errorf(src.DefRange(), "One file is one lab.", "A second lab")
			return
		}
		image, _ := n.first("image")
		lab.Name, lab.Description = n.label, get(n, "description", "")
		lab.Image = Text{Value: get(n, "image", "lab"), Range: image.at}
		lab.Network = get(n, "network", n.label)
		lab.Founder = get(n, "founder", "")
		founder, _ = n.first("founder")
	})
	if count == 0 {
		b.errorf(Range{Filename: b.module.source.show(b.module.source.only), Start: hcl.InitialPos, End: hcl.InitialPos}, "It begins with lab \"NAME\" { }.", "The file has no lab block")
	}
	b.each("service", func(n *node, _ *hclsyntax.Block) {
		lab.Services = append(lab.Services, LabService{
			Name: n.label, Description: get(n, "description", n.label), Type: get(n, "type", ""), Port: int(get(n, "port", int64(0))),
			TXT: n.stringMap("txt"), Units: n.strings("units"),
		})
	})
	names := map[string]Range{} // of sites, nodes and links: a command must know what is meant
	claim := func(name string, at Range, what string) {
		if first, ok := names[name]; ok {
			b.errorf(at, "The first one is at "+place(first)+".", "%s is the name of something else already", what)
			return
		}
		names[name] = at
	}
	var sites, nodes []string
	b.each("site", func(n *node, src *hclsyntax.Block) {
		site := LabSite{
			Name: n.label, Title: get(n, "title", n.label), Nodes: int(get(n, "nodes", int64(1))), Memory: get(n, "memory", int64(0)),
			Services: n.strings("services"), Access: pathOf(n), Range: src.DefRange(),
		}
		claim(site.Name, src.LabelRanges[0], fmt.Sprintf("Site %q", site.Name))
		for i := range site.Nodes {
			claim(site.Node(i+1), src.LabelRanges[0], fmt.Sprintf("Node %q of site %q", site.Node(i+1), site.Name))
			nodes = append(nodes, site.Node(i+1))
		}
		sites = append(sites, site.Name)
		lab.Sites = append(lab.Sites, site)
	})
	b.each("link", func(n *node, src *hclsyntax.Block) {
		claim(n.label, src.LabelRanges[0], fmt.Sprintf("Link %q", n.label))
		if l, ok := b.labLink(n, sites); ok {
			lab.Links = append(lab.Links, l)
		}
	})
	if count == 0 {
		return lab
	}
	switch {
	case len(sites) > maxLabSites:
		b.errorf(lab.Sites[maxLabSites].Range, "", "More than %d sites", maxLabSites)
	case len(nodes) == 0:
		at := b.module.blocks["lab"][lab.Name].DefRange()
		b.errorf(at, "For example: site \"here\" { nodes = 3 }", "Lab %q has no nodes", lab.Name)
	case lab.Founder == "":
		lab.Founder = nodes[0]
	case !slices.Contains(nodes, lab.Founder):
		b.errorf(founder.at, didYouMean(lab.Founder, nodes), "There is no node %q", lab.Founder)
	}
	b.connected(lab)
	return lab
}

func pathOf(n *node) Path {
	return Path{Delay: get(n, "delay", time.Duration(0)), Loss: get(n, "loss", 0.0), Rate: get(n, "rate", int64(0))}
}

func (b *builder) labLink(n *node, sites []string) (LabLink, bool) {
	ends := n.texts("between")
	if v := n.attrs["between"]; v == nil || v.bad {
		return LabLink{}, false
	}
	if len(ends) != 2 {
		b.errorf(n.where("between"), "", "Link %q is between two sites, not %d", n.label, len(ends))
		return LabLink{}, false
	}
	ok := true
	for _, e := range ends {
		if !slices.Contains(sites, e.Value) {
			b.errorf(e.Range, didYouMean(e.Value, sites), "There is no site %q", e.Value)
			ok = false
		}
	}
	if ok && ends[0].Value == ends[1].Value {
		b.errorf(ends[1].Range, "", "Link %q leads from site %q to itself", n.label, ends[0].Value)
		return LabLink{}, false
	}
	return LabLink{Name: n.label, A: ends[0].Value, B: ends[1].Value, Path: pathOf(n)}, ok
}

// connected reports sites that no chain of links leads to: their nodes could
// never join.
func (b *builder) connected(lab *Lab) {
	if b.diags.HasErrors() || len(lab.Sites) == 0 {
		return
	}
	reached := map[string]bool{lab.Sites[0].Name: true}
	for grown := true; grown; {
		grown = false
		for _, l := range lab.Links {
			if reached[l.A] != reached[l.B] {
				reached[l.A], reached[l.B], grown = true, true, true
			}
		}
	}
	for _, s := range lab.Sites {
		if !reached[s.Name] {
			b.errorf(s.Range, fmt.Sprintf("Add a link block with between = [%q, …].", s.Name), "No links lead from site %q to site %q", lab.Sites[0].Name, s.Name)
		}
	}
}

// LabServices returns the services of a site by name.
func (l *Lab) LabServices(site *LabSite) []LabService {
	wanted := map[string]bool{}
	for _, name := range site.Services {
		wanted[name] = true
	}
	out := slices.Clone(l.Services)
	return slices.DeleteFunc(out, func(s LabService) bool { return !wanted[s.Name] })
}

// Nodes returns the names of all nodes, site by site.
func (l *Lab) Nodes() []string {
	var out []string
	for i := range l.Sites {
		for n := range l.Sites[i].Nodes {
			out = append(out, l.Sites[i].Node(n+1))
		}
	}
	return out
}

// Names returns the names of all that can be cut: sites, nodes and links.
func (l *Lab) Names() []string {
	all := map[string]bool{}
	for _, n := range l.Nodes() {
		all[n] = true
	}
	for _, s := range l.Sites {
		all[s.Name] = true
	}
	for _, k := range l.Links {
		all[k.Name] = true
	}
	return slices.Sorted(maps.Keys(all))
}
