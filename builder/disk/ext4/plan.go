package ext4

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"cloudy/builder/fail"
	"cloudy/builder/tree"
)

const (
	maxLinks   = 65000 // EXT4_LINK_MAX
	maxName    = 255
	maxSymlink = BlockSize - 1 // one block with its final zero
	fastLink   = 60            // shorter targets stand in the inode itself

	lostFoundBlocks = 4
)

// plan is a checked tree with everything decided that does not depend on the
// content of files: inode numbers, link counts and the size of directories.
type plan struct {
	entries []*tree.Entry // "." first; sorted
	inode   []uint32      // of each entry; a hard link has that of its file
	links   []uint32      // of each entry that has an inode of its own
	parent  []int32

	// The children of entry i are children[first[i]:first[i+1]], in order.
	first    []int32
	children []int32

	lastInode  uint32
	hashSeed   [4]uint32
	fileBlocks uint64 // of content; less after useContent
	treeBlocks uint64 // directories, symlinks, attributes, the resize inode
}

func newPlan(t *tree.Tree, o Options) (*plan, error) {
	p := &plan{entries: withDefaults(t, o)}
	for i := range p.hashSeed {
		p.hashSeed[i] = le.Uint32(o.HashSeed[4*i:])
	}
	n := len(p.entries)
	if n > 1<<30 {
		return nil, fmt.Errorf("ext4: %d entries are too many: %w", n, ErrUnsupported)
	}
	p.inode = make([]uint32, n)
	p.links = make([]uint32, n)
	p.parent = make([]int32, n)
	if err := p.link(); err != nil {
		return nil, fail.Mark(fail.User, fmt.Errorf("ext4: %w", err))
	}
	if err := p.number(); err != nil {
		return nil, fail.Mark(fail.User, fmt.Errorf("ext4: %w", err))
	}
	return p, p.measure()
}

// withDefaults adds "." and "lost+found" where the tree has none.
func withDefaults(t *tree.Tree, o Options) []*tree.Entry {
	entries := make([]*tree.Entry, 0, len(t.Entries)+2)
	if len(t.Entries) == 0 || t.Entries[0].Path != "." {
		entries = append(entries, &tree.Entry{Path: ".", Type: tree.Dir, Mode: 0o755, MTime: o.Epoch})
	}
	for i := range t.Entries {
		entries = append(entries, &t.Entries[i])
	}
	at, ok := findEntry(entries, lostFoundName)
	if !ok {
		e := &tree.Entry{Path: lostFoundName, Type: tree.Dir, Mode: 0o700, MTime: o.Epoch}
		entries = slices.Insert(entries, at, e)
	}
	return entries
}

const lostFoundName = "lost+found"

func findEntry(entries []*tree.Entry, path string) (int, bool) {
	return slices.BinarySearchFunc(entries, path, func(e *tree.Entry, p string) int { return tree.Compare(e.Path, p) })
}

// link checks the entries and finds the parent and the children of each.
func (p *plan) link() error {
	dirs := map[string]int32{"": 0}
	for i, e := range p.entries {
		if i > 0 && tree.Compare(p.entries[i-1].Path, e.Path) >= 0 {
			return fmt.Errorf("tree is not sorted: %q stands before %q", p.entries[i-1].Path, e.Path)
		}
		if err := checkEntry(e); err != nil {
			return err
		}
		if i == 0 {
			continue
		}
		dir, name := "", e.Path
		if slash := strings.LastIndexByte(e.Path, '/'); slash >= 0 {
			dir, name = e.Path[:slash], e.Path[slash+1:]
		}
		if name == "" || name == "." || name == ".." || strings.IndexByte(name, 0) >= 0 {
			return fmt.Errorf("%q is not a path", e.Path)
		}
		if len(name) > maxName {
			return fmt.Errorf("%s: name of %d bytes: %w", e.Path, len(name), ErrUnsupported)
		}
		parent, ok := dirs[dir]
		if !ok {
			return fmt.Errorf("%s: its directory is not in the tree", e.Path)
		}
		p.parent[i] = parent
		if e.Type == tree.Dir {
			dirs[e.Path] = int32(i)
		}
	}

	n := len(p.entries)
	p.first = make([]int32, n+1)
	for _, parent := range p.parent[1:] {
		p.first[parent+1]++
	}
	for i := range n {
		p.first[i+1] += p.first[i]
	}
	p.children = make([]int32, n-1)
	next := slices.Clone(p.first)
	for i := 1; i < n; i++ {
		parent := p.parent[i]
		p.children[next[parent]] = int32(i)
		next[parent]++
	}
	return nil
}

// checkEntry checks what can be told from one entry alone.
func checkEntry(e *tree.Entry) error {
	switch e.Type {
	case tree.Dir, tree.Fifo, tree.Hardlink:
	case tree.File:
		if e.Size < 0 || e.Size > maxFileSize {
			return fmt.Errorf("%s: size of %d bytes: %w", e.Path, e.Size, ErrUnsupported)
		}
	case tree.Symlink:
		if n := len(e.Link); n == 0 || n > maxSymlink || strings.IndexByte(e.Link, 0) >= 0 {
			return fmt.Errorf("%s: symlink target of %d bytes: %w", e.Path, n, ErrUnsupported)
		}
	case tree.Char, tree.Block:
		if e.Major >= 1<<12 || e.Minor >= 1<<20 {
			return fmt.Errorf("%s: device %d:%d: %w", e.Path, e.Major, e.Minor, ErrUnsupported)
		}
	default:
		return fmt.Errorf("%s: unknown type %q", e.Path, e.Type)
	}
	if (e.Path == "." || e.Path == lostFoundName) && e.Type != tree.Dir {
		return fmt.Errorf("%s: must be a directory: %w", e.Path, ErrUnsupported)
	}
	return nil
}

// number gives out the inode numbers in the order of the tree, so that what
// is near in the tree is near in the inode tables, and counts links.
func (p *plan) number() error {
	p.lastInode = lostFoundInode
	for i, e := range p.entries {
		switch {
		case i == 0:
			p.inode[i] = rootInode
		case e.Path == lostFoundName:
			p.inode[i] = lostFoundInode
		case e.Type == tree.Hardlink:
			target, ok := findEntry(p.entries, e.Link)
			if !ok || target >= i {
				return fmt.Errorf("%s: hard link to %q, which does not stand before it", e.Path, e.Link)
			}
			if t := p.entries[target].Type; t == tree.Dir || t == tree.Hardlink {
				return fmt.Errorf("%s: hard link to %q, which is not a file", e.Path, e.Link)
			}
			p.inode[i] = p.inode[target]
			p.links[target]++
			if p.links[target] > maxLinks {
				return fmt.Errorf("%s: more than %d hard links: %w", e.Link, maxLinks, ErrUnsupported)
			}
			continue
		default:
			p.lastInode++
			p.inode[i] = p.lastInode
		}
		p.links[i]++
		if e.Type == tree.Dir {
			p.links[i]++
			p.links[p.parent[i]]++ // the root is its own parent
		}
	}
	p.links[0]--
	return nil
}

// measure sums up the blocks that the tree takes.
func (p *plan) measure() error {
	p.treeBlocks = 1 // the resize inode's double indirect block
	for i, e := range p.entries {
		attrs, err := encodeXattrs(e)
		if err != nil {
			return fail.Mark(fail.User, fmt.Errorf("ext4: %s: %w", e.Path, err))
		}
		if attrs.block != nil {
			p.treeBlocks++
		}
		switch e.Type {
		case tree.File:
			blocks := divUp(uint64(e.Size), BlockSize)
			p.fileBlocks += blocks + extentBlocksBound(blocks)
		case tree.Symlink:
			if len(e.Link) >= fastLink {
				p.treeBlocks++
			}
		case tree.Dir:
			d, err := p.directory(i)
			if err != nil {
				return fail.Mark(fail.User, fmt.Errorf("ext4: %s: %w", e.Path, err))
			}
			p.treeBlocks += uint64(d.blocks()) + extentBlocksBound(uint64(d.blocks()))
		}
	}
	return nil
}

// directory lays out the directory of entry i.
func (p *plan) directory(i int) (*directory, error) {
	d := &directory{inode: p.inode[i], parent: p.inode[p.parent[i]]}
	for _, c := range p.children[p.first[i]:p.first[i+1]] {
		e := p.entries[c]
		typ := e.Type
		if typ == tree.Hardlink {
			target, _ := findEntry(p.entries, e.Link)
			typ = p.entries[target].Type
		}
		d.names = append(d.names, dirName{inode: p.inode[c], typ: fileTypes[typ], name: e.Path[strings.LastIndexByte(e.Path, '/')+1:]})
	}
	if d.inode == lostFoundInode {
		d.minBlocks = lostFoundBlocks
	}
	return d, d.pack(p.hashSeed)
}

// blocks is the number of blocks that the tree takes at most.
func (p *plan) blocks() uint64 { return p.treeBlocks + p.fileBlocks }

// inodes is the number of inodes that the filesystem must have: those of the
// tree and a few for the system to start with.
func (p *plan) inodes() uint64 { return uint64(p.lastInode) + uint64(p.lastInode)/16 + 32 }

// minSize finds the smallest size by adding what is lacking until it fits.
func (p *plan) minSize(o Options, free int64) (int64, error) {
	const step = 1 << 20
	want := p.blocks() + divUp(uint64(max(free, 0)), BlockSize)
	o.Size = int64(divUp(want*BlockSize, step) * step)
	for o.Size < maximumSize {
		g, ok := newGeometry(o, p.inodes())
		if !ok {
			o.Size += step
			continue
		}
		have := g.free() - min(g.free(), g.reserved)
		if free == 0 {
			have = g.free()
		}
		if have >= want {
			return o.Size, nil
		}
		o.Size += int64(divUp((want-have)*BlockSize, step) * step)
	}
	return 0, fail.Mark(fail.User, fmt.Errorf("ext4: the tree needs more than the 16 TiB supported"))
}

func compareNames(a, b dirName) int {
	return cmp.Or(cmp.Compare(a.major, b.major), cmp.Compare(a.minor, b.minor), strings.Compare(a.name, b.name))
}
