package ext4

import (
	"cmp"
	"slices"
)

// notes keeps what is written until all of it can be written in order. Its
// parts do not overlap.
type notes struct{ list []note }

type note struct {
	at   int64
	data []byte
}

// WriteAt implements io.WriterAt.
func (n *notes) WriteAt(p []byte, at int64) (int, error) {
	n.list = append(n.list, note{at, slices.Clone(p)})
	return len(p), nil
}

// sorted returns all that was written, in order.
func (n *notes) sorted() []note {
	slices.SortFunc(n.list, func(a, b note) int { return cmp.Compare(a.at, b.at) })
	return n.list
}

// follower shows the filesystem from front to back.
type follower struct {
	each func(p []byte, off int64)
	off  int64  // of the filesystem
	rest []note // metadata that is still to come
}

// show shows runs of content, and the metadata before each.
func (f *follower) show(buf []byte, runs []run) {
	for _, r := range runs {
		at := int64(r.block) * BlockSize
		f.metadata(at)
		f.each(buf[r.from:r.to], f.off+at)
	}
}

// metadata shows what stands before end.
func (f *follower) metadata(end int64) {
	for len(f.rest) > 0 && f.rest[0].at < end {
		f.each(f.rest[0].data, f.off+f.rest[0].at)
		f.rest = f.rest[1:]
	}
}
