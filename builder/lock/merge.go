package lock

// Extend arranges a fresh resolution on top of an older lock, so that the
// layers of packages that the old one describes serve again: what both have
// keeps its place and batch, what is new comes in a batch of its own. It
// returns fresh as it is where the old layers cannot serve: when a package is
// gone or has another version, or the epoch differs.
func Extend(old, fresh *Image) *Image {
	if old == nil || len(old.Packages) == 0 || old.Epoch != fresh.Epoch {
		return fresh
	}
	now := map[string]*Package{}
	for i := range fresh.Packages {
		p := &fresh.Packages[i]
		now[p.Name+":"+p.Architecture] = p
	}
	out := &Image{Inputs: fresh.Inputs, Epoch: fresh.Epoch, Archives: fresh.Archives}
	last := 0
	for i := range old.Packages {
		o := old.Packages[i]
		p := now[o.Name+":"+o.Architecture]
		if p == nil || p.SHA256 != o.SHA256 || p.Base != o.Base || p.Auto != o.Auto {
			return fresh
		}
		kept := *p
		kept.Batch = o.Batch
		last = o.Batch
		out.Packages = append(out.Packages, kept)
		delete(now, o.Name+":"+o.Architecture)
	}
	for i := range fresh.Packages {
		p := fresh.Packages[i]
		if now[p.Name+":"+p.Architecture] == nil {
			continue
		}
		if p.Base {
			return fresh
		}
		p.Batch = last + 1
		out.Packages = append(out.Packages, p)
	}
	return out
}
