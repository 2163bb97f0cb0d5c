package tree

import "slices"

// Union is what layers, the lowest first, show together. A higher one hides
// what overlayfs would hide: a character device 0/0 removes a name, a directory
// marked opaque replaces the one below
// (Documentation/filesystems/overlayfs.rst). The layers are as ScanLayer reads
// them; the marks do not show.
func Union(layers ...*Tree) *Tree {
	out := &Tree{}
	for _, l := range layers {
		var removed []string
		added := make([]Entry, 0, len(l.Entries))
		for _, e := range l.Entries {
			if e.Type == Char && e.Major == 0 && e.Minor == 0 {
				removed = append(removed, e.Path)
				continue
			}
			if e.Type == Dir && slices.ContainsFunc(e.Xattrs, isOpaque) {
				e.Xattrs = slices.DeleteFunc(slices.Clone(e.Xattrs), isOpaque)
				if removed = append(removed, e.Path); e.Path == "." {
					out, removed = &Tree{}, nil
				}
			}
			added = append(added, e)
		}
		if len(out.Entries) == 0 {
			out.Entries = added
			continue
		}
		out = out.Apply(removed, added)
	}
	return out
}

func isOpaque(x Xattr) bool { return x.Name == OpaqueName }
