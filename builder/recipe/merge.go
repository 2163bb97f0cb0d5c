package recipe

import "slices"

// merge lays a child's node over its parent's. Attributes merge as their
// description says; blocks with the same kind and label merge, others are
// appended.
func merge(parent, child *node) *node {
	if parent == nil {
		return child
	}
	out := &node{def: child.def, label: child.label, at: child.at, attrs: map[string]*value{}}
	for name, v := range parent.attrs {
		if !superseded(child, name) {
			out.attrs[name] = v
		}
	}
	for name, v := range child.attrs {
		old, inherited := out.attrs[name]
		if !inherited || v.def.Merge == Replace {
			out.attrs[name] = v
			continue
		}
		both := *v
		both.bad = v.bad || old.bad
		switch v.def.Merge {
		case Append:
			both.items = append(slices.Clone(old.items), v.items...)
		case Keys:
			both.items = nil
			for _, it := range old.items {
				if !slices.ContainsFunc(v.items, func(n item) bool { return n.key == it.key }) {
					both.items = append(both.items, it)
				}
			}
			both.items = append(both.items, v.items...)
			slices.SortFunc(both.items, func(a, b item) int { return compareStrings(a.key, b.key) })
		}
		out.attrs[name] = &both
	}
	for _, b := range parent.blocks {
		if over := child.child(b.def.Name, b.label); over != nil {
			b = merge(b, over)
		}
		out.blocks = append(out.blocks, b)
	}
	for _, b := range child.blocks {
		if parent.child(b.def.Name, b.label) == nil {
			out.blocks = append(out.blocks, b)
		}
	}
	return out
}

// superseded says whether the child gives another attribute of a group of
// which only one may stand: a file's new content stands instead of its old
// source.
func superseded(child *node, name string) bool {
	for _, group := range slices.Concat(child.def.Exclusive, child.def.OneOf) {
		if !slices.Contains(group, name) {
			continue
		}
		for _, other := range group {
			if other != name && child.attrs[other] != nil {
				return true
			}
		}
	}
	return false
}
