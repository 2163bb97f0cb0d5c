package recipe

import (
	"fmt"
	"slices"

	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"
)

// node is an evaluated block, still shaped as the schema has it, so that
// inheritance and printing need not know one block from another.
type node struct {
	def    *Block
	label  string
	at     Range // the block's header
	attrs  map[string]*value
	blocks []*node // in the order of the recipe
}

// value is an evaluated attribute.
type value struct {
	def   *Attr
	at    Range
	items []item // one for a single value
	bad   bool   // it had a mistake, which was reported
}

// item is one value, list element or map entry.
type item struct {
	key       string // in a map
	at        Range
	cty       cty.Value // unmarked
	goval     any
	sensitive bool
	depth     int // 0 in the oldest ancestor, one more in each child
}

// evaluate turns a body into a node.
func (s *scope) evaluate(body *hclsyntax.Body, def *Block, label string, at Range, depth int) *node {
	n := &node{def: def, label: label, at: at, attrs: map[string]*value{}}
	for i := range def.Attrs {
		a := &def.Attrs[i]
		src, ok := body.Attributes[a.Name]
		if !ok || a.Type.expr {
			continue
		}
		if v := s.attribute(a, src, depth); v != nil {
			n.attrs[a.Name] = v
		}
	}
	for _, b := range body.Blocks {
		child := def.block(b.Type)
		if child == nil || child.Label != "" && len(b.Labels) != 1 {
			continue
		}
		childLabel := ""
		if child.Label != "" {
			childLabel = b.Labels[0]
		}
		if len(child.Kinds) > 0 {
			kind := child.kind(childLabel)
			if kind == nil {
				continue
			}
			c := *kind
			c.Name = child.Name
			c.Label = child.Label
			child = &c
		}
		n.blocks = append(n.blocks, s.evaluate(b.Body, child, childLabel, b.DefRange(), depth))
	}
	return n
}

// attribute evaluates one attribute, or returns nil when it is null, which
// is as if it did not stand there.
func (s *scope) attribute(a *Attr, src *hclsyntax.Attribute, depth int) *value {
	out := &value{def: a, at: src.Expr.Range()}
	if s.broken[src.Expr] {
		out.bad = true
		return out
	}
	v, diags := src.Expr.Value(s.context())
	s.diags = append(s.diags, diags...)
	if diags.HasErrors() || !v.IsWhollyKnown() {
		out.bad = true
		return out
	}
	plain, marks := v.Unmark()
	sensitive := marksSensitive(marks)
	if plain.IsNull() {
		return nil
	}
	var items []item
	switch a.Type.shape {
	case single:
		items = []item{{at: src.Expr.Range(), cty: v}}
	case list:
		ty := plain.Type()
		if !ty.IsTupleType() && !ty.IsListType() && !ty.IsSetType() {
			hint := ""
			if ty == cty.String && !sensitive {
				hint = fmt.Sprintf("Write [%q].", plain.AsString())
			}
			s.errorf(src.Expr.Range(), hint, "Wrong type for %s: need a %s, not %s", a.Name, a.Type.plain(), describe(plain))
			out.bad = true
			return out
		}
		for it := plain.ElementIterator(); it.Next(); {
			_, e := it.Element()
			items = append(items, item{at: src.Expr.Range(), cty: e})
		}
		// Each element stands somewhere of its own, where that can be told.
		if places := s.places(src.Expr, 0); len(places) == len(items) && !ty.IsSetType() {
			for i := range items {
				items[i].at = places[i]
			}
		}
	case mapping:
		ty := plain.Type()
		if !ty.IsObjectType() && !ty.IsMapType() {
			s.errorf(src.Expr.Range(), "Write { key = \"value\" }.", "Wrong type for %s: need a %s, not %s", a.Name, a.Type.plain(), describe(plain))
			out.bad = true
			return out
		}
		places := keyPlaces(src.Expr, s)
		for it := plain.ElementIterator(); it.Next(); {
			k, e := it.Element()
			k, _ = k.Unmark()
			at, ok := places[k.AsString()]
			if !ok {
				at = src.Expr.Range()
			}
			items = append(items, item{at: at, cty: e, key: k.AsString()})
		}
		slices.SortFunc(items, func(a, b item) int { return compareStrings(a.key, b.key) })
	}
	for _, it := range items {
		deep, paths := it.cty.UnmarkDeepWithPaths()
		it.sensitive = sensitive
		for _, p := range paths {
			it.sensitive = it.sensitive || marksSensitive(p.Marks)
		}
		it.cty, it.depth = deep, depth
		name := a.Name
		if it.key != "" {
			name = fmt.Sprintf("%s[%q]", a.Name, it.key)
		}
		if deep.IsNull() {
			s.errorf(it.at, "", "Wrong value for %s: an element is null", name)
			out.bad = true
			continue
		}
		g, err := a.Type.parse(deep)
		if err != nil {
			detail := ""
			if it.sensitive {
				err, detail = fmt.Errorf("not %s", article(a.Type.plain())), "The value comes from a sensitive variable and is not shown."
			}
			s.errorf(it.at, detail, "Wrong value for %s: %v", name, err)
			out.bad = true
			continue
		}
		it.goval = g
		out.items = append(out.items, it)
	}
	return out
}

func compareStrings(a, b string) int {
	switch {
	case a < b:
		return -1
	case a > b:
		return 1
	}
	return 0
}

// child returns the block of a kind and label, or nil.
func (n *node) child(kind, label string) *node {
	for _, b := range n.blocks {
		if b.def.Name == kind && b.label == label {
			return b
		}
	}
	return nil
}

// children returns all blocks of a kind.
func (n *node) children(kind string) []*node {
	var out []*node
	for _, b := range n.blocks {
		if b.def.Name == kind {
			out = append(out, b)
		}
	}
	return out
}

// The readers below return the zero value for what does not stand there.

func (n *node) first(name string) (item, bool) {
	if v := n.attrs[name]; v != nil && len(v.items) > 0 {
		return v.items[0], true
	}
	return item{}, false
}

func get[T any](n *node, name string, otherwise T) T {
	if it, ok := n.first(name); ok {
		if t, ok := it.goval.(T); ok {
			return t
		}
	}
	return otherwise
}

func (n *node) texts(name string) []Text {
	v := n.attrs[name]
	if v == nil {
		return nil
	}
	var out []Text
	for _, it := range v.items {
		if s, ok := it.goval.(string); ok {
			out = append(out, Text{Value: s, Range: it.at})
		}
	}
	return out
}

func (n *node) strings(name string) []string {
	var out []string
	for _, t := range n.texts(name) {
		out = append(out, t.Value)
	}
	return out
}

func (n *node) stringMap(name string) map[string]string {
	v := n.attrs[name]
	if v == nil {
		return nil
	}
	out := map[string]string{}
	for _, it := range v.items {
		if s, ok := it.goval.(string); ok {
			out[it.key] = s
		}
	}
	return out
}

// where returns the place of an attribute, or of the block's header when the
// attribute does not stand there.
func (n *node) where(name string) Range {
	if v := n.attrs[name]; v != nil {
		return v.at
	}
	return n.at
}
