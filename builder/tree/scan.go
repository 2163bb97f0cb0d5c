package tree

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"
)

// Scan reads the union of layers, the lowest first, as one sorted tree. Each
// layer is a directory.
func Scan(layers ...string) (*Tree, error) {
	list := make([]*Tree, len(layers))
	for i, l := range layers {
		var err error
		if list[i], err = ScanLayer(l); err != nil {
			return nil, err
		}
	}
	return Union(list...), nil
}

// ScanLayer reads one layer as it is, with the marks by which it hides what
// is below: character devices 0/0, and directories that have the attribute
// OpaqueName. Written out by WriteTar and made again the same way it hides
// the same. Of a socket there is only what it hides.
func ScanLayer(dir string) (*Tree, error) {
	s := &scanner{links: map[string]inode{}}
	s.group.SetLimit(runtime.GOMAXPROCS(0))
	root, st, err := entry(unix.AT_FDCWD, dir, ".", dir)
	if err != nil {
		return nil, err
	}
	s.add([]scanned{file(root, st)})
	s.group.Go(func() error { return s.folder(".", dir) })
	if err := s.group.Wait(); err != nil {
		return nil, err
	}
	t := &Tree{Entries: s.out}
	t.Sort()
	t.linkHard(s.links)
	return t, nil
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

// folder adds what is in the directory rel, which is at full.
func (s *scanner) folder(rel, full string) error {
	f, err := os.Open(full)
	if err != nil {
		return err
	}
	defer f.Close()
	names, err := f.Readdirnames(-1)
	if err != nil {
		return err
	}
	list := make([]scanned, 0, len(names))
	for _, name := range names {
		rel, full := join(rel, name), full+"/"+name
		e, st, err := entry(int(f.Fd()), name, rel, full)
		if err != nil {
			return err
		}
		list = append(list, file(e, st))
		if e.Type != Dir {
			continue
		}
		below := func() error { return s.folder(rel, full) }
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

func file(e Entry, st unix.Stat_t) scanned {
	out := scanned{Entry: e}
	if e.Type == File && st.Nlink > 1 {
		out.inode = inode{st.Dev, st.Ino}
	}
	return out
}

// entry reads one name of the directory dir: rel in the layer, at full. What
// else overlayfs noted in its attributes is not part of the tree: it holds file
// handles, which differ from build to build.
func entry(dir int, name, rel, full string) (e Entry, st unix.Stat_t, err error) {
	if err := unix.Fstatat(dir, name, &st, unix.AT_SYMLINK_NOFOLLOW); err != nil {
		return e, st, fmt.Errorf("lstat %s: %w", full, err)
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
		if e.Link, err = os.Readlink(full); err != nil {
			return e, st, err
		}
	case unix.S_IFCHR, unix.S_IFBLK:
		e.Type = Char
		if st.Mode&unix.S_IFMT == unix.S_IFBLK {
			e.Type = Block
		}
		e.Major, e.Minor = unix.Major(st.Rdev), unix.Minor(st.Rdev)
	case unix.S_IFIFO:
		e.Type = Fifo
	case unix.S_IFSOCK:
		e.Type = Char // 0/0
		return e, st, nil
	}
	all, err := xattrs(full)
	opaque := false
	for _, x := range all {
		switch note, ok := overlayNote(x.Name); {
		case !ok:
			e.Xattrs = append(e.Xattrs, x)
		case note == "opaque":
			opaque = string(x.Value) == OpaqueValue
		case note == "redirect" || note == "metacopy":
			return e, st, fmt.Errorf("%s: content is in another layer (%s)", full, x.Name)
		}
	}
	if opaque && e.Type == Dir {
		e.Xattrs = append(e.Xattrs, Xattr{OpaqueName, []byte(OpaqueValue)})
		slices.SortFunc(e.Xattrs, func(a, b Xattr) int { return strings.Compare(a.Name, b.Name) })
	}
	return e, st, err
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
