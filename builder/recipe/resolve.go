package recipe

import (
	"fmt"
	"slices"
	"strings"
)

// evaluated is what came of an image for one architecture.
type evaluated struct {
	image *Image
	diags Diagnostics
}

// resolved is a block of the top level with all it inherits.
type resolved struct {
	node  *node
	chain []string // names from the block itself to its oldest ancestor
	diags Diagnostics
}

// evaluate returns an image, evaluating it when that was not done before.
func (m *Module) evaluate(name, arch string) *evaluated {
	s := m.scope(arch)
	m.mu.Lock()
	defer m.mu.Unlock()
	key := imageKey{name, arch}
	if e := m.images[key]; e != nil {
		return e
	}
	r := s.resolve("image", name, nil)
	b := &builder{scope: s.fresh(), module: m, arch: arch}
	img := b.image(r)
	diags := slices.Concat(s.diags, r.diags, b.diags)
	e := &evaluated{image: img, diags: Tidy(diags)}
	m.images[key] = e
	return e
}

// link is a step along a chain of "from".
type link struct {
	name string
	at   Range // of its from
}

// circle names a cycle, from the first name of the alphabet on, so that it
// is the same mistake wherever one enters it.
func circle(kind string, links []link) *Diagnostic {
	least := 0
	for i, l := range links {
		if l.name < links[least].name {
			least = i
		}
	}
	links = slices.Concat(links[least:], links[:least])
	var names []string
	for _, l := range links {
		names = append(names, l.name)
	}
	names = append(names, links[0].name)
	return Errorf(links[0].at, "", "%ss go in a circle: %s", strings.ToUpper(kind[:1])+kind[1:], strings.Join(names, " from "))
}

// fresh returns the scope with an empty list of diagnostics.
func (s *scope) fresh() *scope {
	c := *s
	c.diags = nil
	return &c
}

// resolve evaluates a block and merges it over those it is "from". stack
// holds the names that are being resolved.
func (s *scope) resolve(kind, name string, stack []link) *resolved {
	src := s.module.blocks[kind][name]
	if src == nil {
		return nil
	}
	work := s.fresh()
	def := s.module.schema.block(kind)
	own := work.evaluate(src.Body, def, name, src.DefRange(), 0)
	r := &resolved{node: own, chain: []string{name}, diags: work.diags}
	from, ok := own.first("from")
	if !ok {
		return r
	}
	parent, _ := from.goval.(string)
	stack = append(stack, link{name, from.at})
	if i := slices.IndexFunc(stack, func(l link) bool { return l.name == parent }); i >= 0 {
		r.diags = append(r.diags, circle(kind, stack[i:]))
		return r
	}
	above := s.resolve(kind, parent, stack)
	if above == nil {
		r.diags = append(r.diags, Errorf(from.at, didYouMean(parent, s.module.order[kind]), "There is no %s %q", kind, parent))
		return r
	}
	own.deepen(len(above.chain))
	r.node = merge(above.node, own)
	r.chain = append(r.chain, above.chain...)
	r.diags = append(r.diags, above.diags...)
	return r
}

// declared resolves and checks a block of the top level that is no image.
func (s *scope) declared(kind, name string) *resolved {
	r := s.resolve(kind, name, nil)
	b := &builder{scope: s.fresh(), module: s.module, arch: s.arch}
	switch kind {
	case "archive":
		b.archive(name)
	case "service":
		b.service(name, s.module.blocks[kind][name].DefRange())
	case "board":
		b.board(name)
	case "overlay":
		b.overlay(Text{Value: name, Range: s.module.blocks[kind][name].DefRange()})
	}
	r.diags = append(r.diags, b.diags...)
	return r
}

// deepen adds to the depth of all items.
func (n *node) deepen(by int) {
	for _, v := range n.attrs {
		for i := range v.items {
			v.items[i].depth += by
		}
	}
	for _, b := range n.blocks {
		b.deepen(by)
	}
}

// complete reports attributes that are missing or shut each other out, once
// everything inherited is there.
func (b *builder) complete(n *node) {
	where := title(n.def.Name, nil)
	if n.label != "" {
		where = title(n.def.Name, []string{n.label})
	}
	for i := range n.def.Attrs {
		a := &n.def.Attrs[i]
		if a.Required && !a.Type.expr && n.attrs[a.Name] == nil {
			b.errorf(n.at, fmt.Sprintf("For example: %s = %s", a.Name, a.Example), "%s needs %s", where, a.Name)
		}
	}
	for _, group := range slices.Concat(n.def.Exclusive, n.def.OneOf) {
		var have []string
		for _, name := range group {
			if n.attrs[name] != nil {
				have = append(have, name)
			}
		}
		if len(have) > 1 {
			b.errorf(n.where(have[1]), "", "%s has %s; only one of them can stand", where, strings.Join(have, " and "))
		}
	}
	for _, group := range n.def.OneOf {
		if !slices.ContainsFunc(group, func(name string) bool { return n.attrs[name] != nil }) {
			b.errorf(n.at, "", "%s needs one of %s", where, strings.Join(group, ", "))
		}
	}
	for _, c := range n.blocks {
		b.complete(c)
	}
}

// architecturesOf returns the architectures of an image. They are evaluated
// with the first architecture there is, since they cannot depend on it.
func (m *Module) architecturesOf(name string) []string {
	s := m.scope(architectures()[0])
	m.mu.Lock()
	defer m.mu.Unlock()
	r := s.resolve("image", name, nil)
	if own := r.node.strings("architectures"); len(own) > 0 {
		return own
	}
	return []string{"amd64", "arm64"}
}

// targetArches returns the architectures a target of an image is packed for.
func (m *Module) targetArches(image, target string) []string {
	archs := m.architecturesOf(image)
	s := m.scope(archs[0])
	m.mu.Lock()
	defer m.mu.Unlock()
	t := s.resolve("image", image, nil).node.child("target", target)
	if t == nil {
		return nil
	}
	archs = targetArchitectures(t, archs)
	if it, ok := t.first("board"); ok && target == "sdcard" && m.blocks["board"][it.goval.(string)] != nil {
		can := s.resolve("board", it.goval.(string), nil).node.strings("architectures")
		archs = slices.DeleteFunc(archs, func(a string) bool { return !slices.Contains(can, a) })
	}
	return archs
}
