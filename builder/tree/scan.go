package tree

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"
)

// Scan reads the union of layers, the lowest first, as one sorted tree. Each
// layer is a directory; a higher one hides what overlayfs would hide: a
// character device 0/0 removes a name, a directory marked opaque replaces the
// one below (Documentation/filesystems/overlayfs.rst). Sockets are left out.
func Scan(layers ...string) (*Tree, error) {
	s := &scanner{links: map[string]inode{}}
	layers, err := s.aboveOpaque(layers)
	if err != nil {
		return nil, err
	}
	s.group.SetLimit(runtime.GOMAXPROCS(0))
	s.group.Go(func() error { return s.dir(".", layers) })
	if err := s.group.Wait(); err != nil {
		return nil, err
	}
	t := &Tree{Entries: s.out}
	t.Sort()
	t.linkHard(s.links)
	return t, nil
}

// ScanLayer reads one layer as it is, with the marks by which it hides what
// is below: character devices 0/0, and directories that have the attribute
// OpaqueName. Written out by WriteTar and made again the same way it hides
// the same.
func ScanLayer(dir string) (*Tree, error) {
	s := &scanner{links: map[string]inode{}}
	if err := s.layer(".", dir); err != nil {
		return nil, err
	}
	t := &Tree{Entries: s.out}
	t.Sort()
	t.linkHard(s.links)
	return t, nil
}

func (s *scanner) layer(rel, full string) error {
	e, st, opaque, err := s.entry(rel, full)
	if err != nil || e.Type == 0 {
		return err
	}
	if e.Type != Dir {
		s.add([]scanned{file(e, st)})
		return nil
	}
	if opaque {
		e.Xattrs = append(e.Xattrs, Xattr{OpaqueName, []byte(OpaqueValue)})
		slices.SortFunc(e.Xattrs, func(a, b Xattr) int { return strings.Compare(a.Name, b.Name) })
	}
	s.out = append(s.out, e)
	names, err := readNames(full)
	if err != nil {
		return err
	}
	for _, n := range names {
		if err := s.layer(join(rel, n), filepath.Join(full, n)); err != nil {
			return err
		}
	}
	return nil
}

// aboveOpaque drops the layers below one whose root is opaque: that layer is
// complete in itself.
func (s *scanner) aboveOpaque(layers []string) ([]string, error) {
	for i := len(layers) - 1; i > 0; i-- {
		_, _, opaque, err := s.entry(".", layers[i])
		if err != nil {
			return nil, err
		}
		if opaque {
			return layers[i:], nil
		}
	}
	return layers, nil
}

// Opaque is the attribute that marks a directory of a layer as complete in
// itself, with its value.
const (
	OpaqueName  = "user.overlay.opaque"
	OpaqueValue = "y"
)

type inode struct{ dev, ino uint64 }

// scanner reads folders side by side; the order of what comes out does not
// count.
type scanner struct {
	group errgroup.Group

	mu    sync.Mutex
	out   []Entry
	links map[string]inode // path -> inode, for files with more than one name
}

// add adds the entries of one folder.
func (s *scanner) add(list []scanned) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := range list {
		s.out = append(s.out, list[i].Entry)
		if id := list[i].inode; id != (inode{}) {
			s.links[list[i].Path] = id
		}
	}
}

// scanned is an entry, with its inode if that has more than one name.
type scanned struct {
	Entry
	inode inode
}

// dir adds the directory rel, which stands in each of the layers given.
func (s *scanner) dir(rel string, layers []string) error {
	top := layers[len(layers)-1]
	e, _, _, err := s.entry(rel, filepath.Join(top, rel))
	if err != nil {
		return err
	}
	list := []scanned{{Entry: e}}
	names := map[string][]string{} // name -> layers that have it, lowest first
	for _, l := range layers {
		list, err := readNames(filepath.Join(l, rel))
		if err != nil {
			return err
		}
		for _, n := range list {
			names[n] = append(names[n], l)
		}
	}
	for name, in := range names {
		dirs, err := s.name(&list, join(rel, name), in)
		if err != nil {
			return err
		}
		if len(dirs) == 0 {
			continue
		}
		below := func() error { return s.dir(join(rel, name), dirs) }
		if s.group.TryGo(below) {
			continue
		}
		if err := below(); err != nil {
			return err
		}
	}
	s.add(list)
	return nil
}

// name adds what the layers together show under one name, if that is no
// folder; else it returns the layers that have the folder, the lowest first.
func (s *scanner) name(list *[]scanned, rel string, in []string) ([]string, error) {
	var dirs []string // from the highest down
	for i := len(in) - 1; i >= 0; i-- {
		full := filepath.Join(in[i], rel)
		e, st, opaque, err := s.entry(rel, full)
		if err != nil {
			return nil, err
		}
		whiteout := e.Type == Char && e.Major == 0 && e.Minor == 0
		if e.Type != Dir {
			if len(dirs) == 0 && !whiteout && e.Type != 0 {
				*list = append(*list, file(e, st))
			}
			break
		}
		dirs = append(dirs, in[i])
		if opaque {
			break
		}
	}
	slices.Reverse(dirs)
	return dirs, nil
}

func file(e Entry, st unix.Stat_t) scanned {
	out := scanned{Entry: e}
	if e.Type == File && st.Nlink > 1 {
		out.inode = inode{st.Dev, st.Ino}
	}
	return out
}

// entry reads one name of one layer. What overlayfs noted in its attributes
// says whether it hides the lower layers, and is not part of the tree: it
// holds file handles, which differ from build to build.
func (s *scanner) entry(rel, full string) (e Entry, st unix.Stat_t, opaque bool, err error) {
	if err := unix.Lstat(full, &st); err != nil {
		return e, st, false, fmt.Errorf("lstat %s: %w", full, err)
	}
	e = Entry{
		Path: rel, Mode: st.Mode & 0o7777, UID: st.Uid, GID: st.Gid,
		MTime: time.Unix(st.Mtim.Unix()).UTC(),
	}
	switch st.Mode & unix.S_IFMT {
	case unix.S_IFDIR:
		e.Type = Dir
	case unix.S_IFREG:
		e.Type, e.Size, e.Source = File, st.Size, full
	case unix.S_IFLNK:
		e.Type = Symlink
		link, err := os.Readlink(full)
		if err != nil {
			return e, st, false, err
		}
		e.Link = link
	case unix.S_IFCHR, unix.S_IFBLK:
		e.Type = Char
		if st.Mode&unix.S_IFMT == unix.S_IFBLK {
			e.Type = Block
		}
		e.Major, e.Minor = unix.Major(st.Rdev), unix.Minor(st.Rdev)
	case unix.S_IFIFO:
		e.Type = Fifo
	default:
		return e, st, false, nil // a socket: Type 0
	}
	all, err := xattrs(full)
	for _, x := range all {
		switch note, ok := overlayNote(x.Name); {
		case !ok:
			e.Xattrs = append(e.Xattrs, x)
		case note == "opaque":
			opaque = string(x.Value) == "y"
		case note == "redirect" || note == "metacopy":
			return e, st, false, fmt.Errorf("%s: content is in another layer (%s)", full, x.Name)
		}
	}
	return e, st, opaque, err
}

// linkHard turns all names of an inode but the first into hard links.
func (t *Tree) linkHard(links map[string]inode) {
	if len(links) == 0 {
		return
	}
	first := map[inode]string{}
	for i := range t.Entries {
		e := &t.Entries[i]
		id, ok := links[e.Path]
		if !ok {
			continue
		}
		if target, seen := first[id]; seen {
			*e = Entry{Path: e.Path, Type: Hardlink, Mode: e.Mode, UID: e.UID, GID: e.GID, MTime: e.MTime, Link: target}
			continue
		}
		first[id] = e.Path
	}
}

func readNames(dir string) ([]string, error) {
	f, err := os.Open(dir)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return f.Readdirnames(-1)
}

func join(dir, name string) string {
	if dir == "." {
		return name
	}
	return dir + "/" + name
}

// xattrs reads the attributes that belong to an image: capabilities, ACLs,
// user and trusted ones. What a security module of the build host added stays out.
func xattrs(path string) ([]Xattr, error) {
	var buf [1024]byte
	n, err := unix.Llistxattr(path, buf[:])
	names := buf[:max(n, 0)]
	if errors.Is(err, unix.ERANGE) {
		if n, err = unix.Llistxattr(path, nil); err == nil {
			names = make([]byte, n)
			n, err = unix.Llistxattr(path, names)
			names = names[:max(n, 0)]
		}
	}
	if errors.Is(err, unix.ENOTSUP) || n == 0 && err == nil {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("list attributes of %s: %w", path, err)
	}
	var out []Xattr
	for name := range strings.SplitSeq(strings.TrimRight(string(names), "\x00"), "\x00") {
		if name == "security.selinux" || name == "security.ima" || name == "security.evm" {
			continue
		}
		value, err := xattr(path, name)
		if err != nil {
			return nil, fmt.Errorf("read attribute %s of %s: %w", name, path, err)
		}
		if name == "security.capability" {
			value = initialCapability(value)
		}
		out = append(out, Xattr{name, value})
	}
	slices.SortFunc(out, func(a, b Xattr) int { return strings.Compare(a.Name, b.Name) })
	return out, nil
}

func xattr(path, name string) ([]byte, error) {
	n, err := unix.Lgetxattr(path, name, nil)
	if err != nil || n == 0 {
		return nil, err
	}
	value := make([]byte, n)
	n, err = unix.Lgetxattr(path, name, value)
	return value[:max(n, 0)], err
}

// vfsCapRevision3 is a file capability that names the root of a user
// namespace (linux/capability.h); such a build's image wants revision 2.
const (
	vfsCapRevisionMask = 0xff000000
	vfsCapRevision2    = 0x02000000
	vfsCapRevision3    = 0x03000000
)

func initialCapability(v []byte) []byte {
	if len(v) != 24 {
		return v
	}
	magic := uint32(v[0]) | uint32(v[1])<<8 | uint32(v[2])<<16 | uint32(v[3])<<24
	if magic&vfsCapRevisionMask != vfsCapRevision3 {
		return v
	}
	magic = magic&^vfsCapRevisionMask | vfsCapRevision2
	out := slices.Clone(v[:20])
	out[0], out[1], out[2], out[3] = byte(magic), byte(magic>>8), byte(magic>>16), byte(magic>>24)
	return out
}

// overlayNote returns what an attribute of overlayfs is about ("opaque").
func overlayNote(name string) (string, bool) {
	for _, prefix := range []string{"trusted.overlay.", "user.overlay."} {
		if note, ok := strings.CutPrefix(name, prefix); ok {
			return note, true
		}
	}
	return "", false
}
