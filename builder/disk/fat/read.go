package fat

import (
	"cmp"
	"encoding/binary"
	"fmt"
	"io"
	"path"
	"slices"
	"strings"
	"time"
	"unicode/utf16"
)

// Limits of the reader, for images that others made.
const (
	maxEntries = 1 << 20
	maxDepth   = 32
	maxFATSize = 64 << 20 // bytes
)

// FS is a filesystem that is read.
type FS struct {
	Label  string
	Serial uint32

	r     io.ReaderAt
	g     geometry
	table []byte
	root  uint32
}

// Entry is a file or directory.
type Entry struct {
	Path  string // as in a tree: relative, with slashes
	Dir   bool
	Size  int64 // bytes
	MTime time.Time

	first uint32
}

// Open reads the boot sector and the first FAT of the filesystem at the
// beginning of r.
func Open(r io.ReaderAt) (*FS, error) {
	b := make([]byte, sector)
	if _, err := r.ReadAt(b, 0); err != nil {
		return nil, fmt.Errorf("read FAT boot sector: %w", err)
	}
	le := binary.LittleEndian
	if b[510] != 0x55 || b[511] != 0xaa || le.Uint16(b[11:]) != sector || b[16] != fats || b[13] == 0 || b[13]&(b[13]-1) != 0 {
		return nil, ErrInvalid
	}
	g := geometry{perCluster: int64(b[13]), reserved: int64(le.Uint16(b[14:]))}
	g.total = int64(le.Uint16(b[19:]))
	if g.total == 0 {
		g.total = int64(le.Uint32(b[32:]))
	}
	g.fatSize = int64(le.Uint16(b[22:]))
	g.rootSize = int64(le.Uint16(b[17:])) * dirEntry / sector
	f := &FS{r: r}
	ext := 36
	g.bits = 16
	if g.fatSize == 0 {
		g.bits, ext = 32, 64
		g.fatSize, f.root = int64(le.Uint32(b[36:])), le.Uint32(b[44:])
	}
	g.clusters = (g.total - g.dataStart()) / g.perCluster
	if g.reserved == 0 || g.clusters < minClusters-margin || g.fatSize*sector > maxFATSize ||
		g.fatSize*sector*8/int64(g.bits) < g.clusters+2 {
		return nil, fmt.Errorf("%w: %d clusters, FAT of %d sectors", ErrInvalid, g.clusters, g.fatSize)
	}
	f.g = g
	f.Serial = le.Uint32(b[ext+3:])
	f.Label = strings.TrimRight(string(b[ext+7:ext+18]), " ")
	f.table = make([]byte, g.fatSize*sector)
	if _, err := r.ReadAt(f.table, g.reserved*sector); err != nil {
		return nil, fmt.Errorf("read FAT: %w", err)
	}
	return f, nil
}

// chain returns the clusters of a file.
func (f *FS) chain(first uint32) ([]uint32, error) {
	var out []uint32
	for c := first; ; {
		if int64(c) < 2 || int64(c) >= f.g.clusters+2 || int64(len(out)) > f.g.clusters {
			return nil, fmt.Errorf("%w: cluster %d in the chain of %d", ErrInvalid, c, first)
		}
		out = append(out, c)
		end := uint32(0x0ffffff8)
		if f.g.bits == 16 {
			c, end = uint32(binary.LittleEndian.Uint16(f.table[c*2:])), 0xfff8
		} else {
			c = binary.LittleEndian.Uint32(f.table[c*4:]) & 0x0fffffff
		}
		if c >= end {
			return out, nil
		}
	}
}

// clusters returns size bytes of a chain as a reader, or all for a negative size.
func (f *FS) clusters(first uint32, size int64) (io.Reader, error) {
	if size == 0 {
		return strings.NewReader(""), nil
	}
	chain, err := f.chain(first)
	if err != nil {
		return nil, err
	}
	if size < 0 {
		size = int64(len(chain)) * f.g.clusterSize()
	}
	if f.g.need(size) > int64(len(chain)) {
		return nil, fmt.Errorf("%w: a file of %d bytes has %d clusters", ErrInvalid, size, len(chain))
	}
	var parts []io.Reader
	for len(chain) > 0 { // one section for each run
		n := 1
		for n < len(chain) && chain[n] == chain[n-1]+1 {
			n++
		}
		parts = append(parts, io.NewSectionReader(f.r, f.g.clusterAt(chain[0]), int64(n)*f.g.clusterSize()))
		chain = chain[n:]
	}
	return io.LimitReader(io.MultiReader(parts...), size), nil
}

// Open returns the content of a file that Entries gave.
func (f *FS) Open(e Entry) (io.Reader, error) {
	if e.Dir {
		return nil, fmt.Errorf("read %s: a directory", e.Path)
	}
	r, err := f.clusters(e.first, e.Size)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", e.Path, err)
	}
	return r, nil
}

// Entries lists all files and directories but the root, sorted by path.
func (f *FS) Entries() ([]Entry, error) {
	root := io.Reader(io.NewSectionReader(f.r, f.g.rootStart()*sector, f.g.rootSize*sector))
	if f.g.bits == 32 {
		var err error
		if root, err = f.clusters(f.root, -1); err != nil {
			return nil, err
		}
	}
	l := lister{f: f, seen: map[uint32]bool{}}
	if err := l.list(root, "", 0); err != nil {
		return nil, err
	}
	slices.SortFunc(l.out, func(a, b Entry) int { return cmp.Compare(a.Path, b.Path) })
	return l.out, nil
}

type lister struct {
	f    *FS
	out  []Entry
	seen map[uint32]bool // directories, against loops
}

func (l *lister) list(r io.Reader, dir string, depth int) error {
	if depth > maxDepth {
		return fmt.Errorf("%w: directories too deep", ErrInvalid)
	}
	var long []uint16
	e := make([]byte, dirEntry)
	for {
		if _, err := io.ReadFull(r, e); err == io.EOF || err == nil && e[0] == 0 {
			return nil
		} else if err != nil {
			return fmt.Errorf("read FAT directory %q: %w", dir, err)
		}
		switch {
		case e[0] == 0xe5:
			long = nil
			continue
		case e[11] == attrLong:
			if e[0]&longLast != 0 {
				long = nil
			}
			units := make([]uint16, 0, longUnits)
			for _, at := range longPlaces {
				units = append(units, binary.LittleEndian.Uint16(e[at:]))
			}
			if long = append(units, long...); len(long) > maxName+longUnits {
				return fmt.Errorf("%w: long name in %q", ErrInvalid, dir)
			}
			continue
		case e[11]&attrVolume != 0:
			long = nil
			continue
		}
		name := entryName(e, long)
		long = nil
		if name == "." || name == ".." {
			continue
		}
		if name == "" || strings.ContainsAny(name, "/\x00") {
			return fmt.Errorf("%w: name %q", ErrInvalid, name)
		}
		if err := l.add(e, path.Join(dir, name), depth); err != nil {
			return err
		}
	}
}

func (l *lister) add(e []byte, name string, depth int) error {
	le := binary.LittleEndian
	ent := Entry{Path: name, Dir: e[11]&attrDir != 0, Size: int64(le.Uint32(e[28:])),
		MTime: fromDOS(le.Uint16(e[24:]), le.Uint16(e[22:])),
		first: uint32(le.Uint16(e[20:]))<<16 | uint32(le.Uint16(e[26:]))}
	if len(l.out) >= maxEntries {
		return fmt.Errorf("%w: too many files", ErrInvalid)
	}
	if !ent.Dir {
		l.out = append(l.out, ent)
		return nil
	}
	ent.Size = 0
	l.out = append(l.out, ent)
	if l.seen[ent.first] {
		return fmt.Errorf("%w: %s is there twice", ErrInvalid, name)
	}
	l.seen[ent.first] = true
	r, err := l.f.clusters(ent.first, -1)
	if err != nil {
		return fmt.Errorf("read FAT directory %q: %w", name, err)
	}
	return l.list(r, name, depth+1)
}

// entryName is the long name that stood before an entry, or its short name.
func entryName(e []byte, long []uint16) string {
	if len(long) > 0 {
		if i := slices.Index(long, 0); i >= 0 {
			long = long[:i]
		}
		return string(utf16.Decode(long))
	}
	base, ext := strings.TrimRight(string(e[:8]), " "), strings.TrimRight(string(e[8:11]), " ")
	// Bits by which Windows NT marks a short name that is all lower case.
	if e[12]&0x08 != 0 {
		base = strings.ToLower(base)
	}
	if e[12]&0x10 != 0 {
		ext = strings.ToLower(ext)
	}
	if ext != "" {
		base += "." + ext
	}
	return base
}
