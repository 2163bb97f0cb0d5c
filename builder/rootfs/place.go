package rootfs

import (
	"archive/tar"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"cloudy/builder/deb"
	"cloudy/builder/fail"
)

// placer puts staged packages into a root in a fixed order, as dpkg's unpack
// step would: existing directories stay as they are, a file of another
// package may be taken over only with Replaces or where both are Multi-Arch
// instances with the same content, diversions are honoured.
type placer struct {
	root    string
	dirs    *dirs
	stage   *stager
	db      *database
	exclude func(path string) bool // path-exclude: not placed, but listed; nil for none
	owner   map[string]*installed  // who owns a non-directory path
}

// asFinal places conffiles under their own names; asNew as *.dpkg-new, which
// dpkg's configure step turns into the real thing.
type conffileMode bool

const (
	asFinal conffileMode = false
	asNew   conffileMode = true
)

// place puts one package into the root and returns its database record.
func (pl *placer) place(p *staged, mode conffileMode) (*installed, error) {
	in := newInstalled(p)
	conffiles := parseConffiles(p.control["conffiles"].Data)
	for path, c := range conffiles {
		if c.remove {
			delete(conffiles, path)
		}
	}
	placedAs := map[string]string{} // path in the package -> path in the root, for hard links
	for _, e := range linksLast(p.entries) {
		in.list = append(in.list, e.path)
		if pl.exclude != nil && e.typ != tar.TypeDir && pl.exclude(e.path) {
			continue
		}
		if e.typ == tar.TypeDir {
			if err := pl.placeDir(e); err != nil {
				return nil, fmt.Errorf("unpack %s: /%s: %w", p.name, e.path, err)
			}
			continue
		}
		target := pl.db.divert(in.name, e.path)
		if e.typ == tar.TypeSymlink && pl.standsFor(e.link, target) {
			continue
		}
		take, err := pl.claim(in, p, e, target)
		if err != nil {
			return nil, err
		}
		if !take {
			if in.same {
				placedAs[e.path] = target
			}
			continue
		}
		if conffiles[e.path] != nil && mode == asNew {
			target += ".dpkg-new"
		}
		placedAs[e.path] = target
		if e.typ == tar.TypeLink && placedAs[e.link] == "" {
			if e = p.unplaced(e); e == nil {
				return nil, fail.Mark(fail.Build, fmt.Errorf("unpack %s: /%s: hard link to what the package has not brought before: %w", p.name, target, errBadMember))
			}
			placedAs[e.path] = target
		}
		if err := pl.placeFile(e, target, placedAs); err != nil {
			return nil, fmt.Errorf("unpack %s: /%s: %w", p.name, e.path, hostErr(err))
		}
	}
	in.setConffiles(p, conffiles, mode)
	return in, nil
}

// linksLast returns the entries in the order in which dpkg unpacks them:
// symbolic links come after all others.
func linksLast(entries []stagedEntry) []*stagedEntry {
	out := make([]*stagedEntry, 0, len(entries))
	for _, links := range []bool{false, true} {
		for i := range entries {
			if (entries[i].typ == tar.TypeSymlink) == links {
				out = append(out, &entries[i])
			}
		}
	}
	return out
}

// unplaced returns the file that a hard link names when that was left out of
// the root, excluded or taken by another package: its content goes in under
// the name of the link.
func (p *staged) unplaced(link *stagedEntry) *stagedEntry {
	for i := range p.entries {
		e := &p.entries[i]
		if e == link {
			return nil // only what came before
		}
		if e.path == link.link && e.typ == tar.TypeReg {
			return e
		}
	}
	return nil
}

// standsFor tells whether a symbolic link need not be placed because a
// directory is in its place, or the same link to a directory. dpkg leaves
// both alone, whoever they belong to.
func (pl *placer) standsFor(link, target string) bool {
	st, ok, err := pl.dirs.lstat(target)
	if err != nil || !ok {
		return false
	}
	switch st.Mode & unix.S_IFMT {
	case unix.S_IFDIR:
		return true
	case unix.S_IFLNK:
		fd, base, err := pl.dirs.parent(target)
		if err != nil {
			return false
		}
		buf := make([]byte, unix.PathMax)
		n, err := unix.Readlinkat(fd, base, buf)
		return err == nil && string(buf[:n]) == link && pl.dirs.isDir(target)
	}
	return false
}

// claim decides whether e's content goes into the root: not when another
// package that replaces this one already owns the path, or another instance
// of the package has brought it.
func (pl *placer) claim(in *installed, p *staged, e *stagedEntry, target string) (bool, error) {
	other := pl.owner[e.path]
	if other == nil || other == in {
		pl.owner[e.path] = in
		return true, nil
	}
	if by := pl.db.divertedBy(e.path); by != "" && (by == in.name || by == other.name) {
		return true, nil
	}
	switch {
	case other.name == in.name && in.same && other.same:
		// Instances of one Multi-Arch: same package share their files.
		there, err := pl.shared(e, target)
		if err != nil {
			return false, fmt.Errorf("unpack %s:%s: /%s: %w", p.name, p.arch, e.path, err)
		}
		return !there, nil
	case in.replaces(other):
		other.lose(e.path)
		pl.db.shrunk = append(pl.db.shrunk, other)
		pl.owner[e.path] = in
		return true, nil
	case other.replaces(in):
		in.lose(e.path)
		return false, nil
	}
	return false, fail.WithHint(fail.Build,
		fmt.Errorf("unpack %s: /%s is also in package %s", p.name, e.path, other.name),
		"the two packages do not declare Replaces; drop one of them from the recipe")
}

func (pl *placer) placeDir(e *stagedEntry) error {
	if e.path == "." || pl.dirs.isDir(e.path) {
		return nil
	}
	fd, base, err := pl.makeParent(e.path)
	if err != nil {
		return err
	}
	if err := unix.Mkdirat(fd, base, 0o700); err != nil {
		if errors.Is(err, unix.EEXIST) {
			return errors.New("a directory here, but not one in the root")
		}
		return err
	}
	if err := unix.Fchownat(fd, base, e.uid, e.gid, unix.AT_SYMLINK_NOFOLLOW); err != nil {
		return err
	}
	if err := unix.Fchmodat(fd, base, e.mode, 0); err != nil {
		return err
	}
	return pl.override(e, fd, base)
}

// makeParent is dirs.parent for packages that do not list their directories.
func (pl *placer) makeParent(path string) (int, string, error) {
	fd, base, err := pl.dirs.parent(path)
	if !errors.Is(err, unix.ENOENT) {
		return fd, base, err
	}
	i := strings.LastIndexByte(path, '/')
	if i < 0 {
		return fd, base, err
	}
	if err := pl.placeDir(&stagedEntry{path: path[:i], typ: tar.TypeDir, mode: 0o755}); err != nil {
		return -1, "", err
	}
	return pl.dirs.parent(path)
}

func (pl *placer) placeFile(e *stagedEntry, target string, placedAs map[string]string) error {
	fd, base, err := pl.makeParent(target)
	if err != nil {
		return err
	}
	switch e.typ {
	case tar.TypeReg:
		if err := unix.Renameat(pl.stage.fd, e.file, fd, base); err != nil {
			return err
		}
		return pl.override(e, fd, base)
	case tar.TypeLink:
		pl.dirs.reserve(2)
		if fd, base, err = pl.dirs.parent(target); err != nil {
			return err
		}
		sfd, sbase, err := pl.dirs.parent(placedAs[e.link])
		if err != nil {
			return err
		}
		return retryReplacing(fd, base, func() error { return unix.Linkat(sfd, sbase, fd, base, 0) })
	case tar.TypeSymlink:
		if err := retryReplacing(fd, base, func() error { return unix.Symlinkat(e.link, fd, base) }); err != nil {
			return err
		}
		if err := chown(fd, base, e); err != nil {
			return err
		}
		return setTime(fd, base, e.mtime)
	case tar.TypeFifo, tar.TypeChar, tar.TypeBlock:
		mode := map[byte]uint32{tar.TypeFifo: unix.S_IFIFO, tar.TypeChar: unix.S_IFCHR, tar.TypeBlock: unix.S_IFBLK}[e.typ]
		err := retryReplacing(fd, base, func() error { return unix.Mknodat(fd, base, mode|e.mode, int(e.dev)) })
		if err != nil {
			return fmt.Errorf("make node: %w", err)
		}
		if err := chown(fd, base, e); err != nil {
			return err
		}
		if err := unix.Fchmodat(fd, base, e.mode, 0); err != nil {
			return err
		}
		return pl.override(e, fd, base)
	}
	return errBadMember
}

func chown(fd int, base string, e *stagedEntry) error {
	if e.uid == 0 && e.gid == 0 {
		return nil
	}
	return unix.Fchownat(fd, base, e.uid, e.gid, unix.AT_SYMLINK_NOFOLLOW)
}

// errDiffers is a file that two instances of one package do not agree on.
var errDiffers = errors.New("differs from the file of the package's other architecture")

// shared tells whether another instance of the package has put e in place
// already; what stands there must then be the same.
func (pl *placer) shared(e *stagedEntry, target string) (bool, error) {
	st, ok, err := pl.dirs.lstat(target)
	if err != nil || !ok || e.typ != tar.TypeReg {
		return ok, err
	}
	fd, base, err := pl.dirs.parent(target)
	if err != nil {
		return false, err
	}
	same := st.Mode&unix.S_IFMT == unix.S_IFREG
	if same {
		if same, err = sameBytes(pl.stage.fd, e.file, fd, base); err != nil {
			return false, err
		}
	}
	if !same {
		return false, fail.Mark(fail.Build, errDiffers)
	}
	return true, nil
}

// sameBytes compares two files, each named in an open directory.
func sameBytes(afd int, aname string, bfd int, bname string) (bool, error) {
	var data [2][]byte
	for i, name := range []struct {
		fd   int
		base string
	}{{afd, aname}, {bfd, bname}} {
		fd, err := unix.Openat(name.fd, name.base, unix.O_RDONLY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
		if err != nil {
			return false, err
		}
		f := os.NewFile(uintptr(fd), name.base)
		data[i], err = io.ReadAll(f)
		f.Close()
		if err != nil {
			return false, err
		}
	}
	return bytes.Equal(data[0], data[1]), nil
}

// override applies dpkg-statoverride's table to what was placed.
func (pl *placer) override(e *stagedEntry, fd int, base string) error {
	o, ok := pl.db.overrides[e.path]
	if !ok {
		return nil
	}
	if err := unix.Fchownat(fd, base, o.uid, o.gid, unix.AT_SYMLINK_NOFOLLOW); err != nil {
		return err
	}
	return unix.Fchmodat(fd, base, o.mode, 0)
}

// retryReplacing runs make, and once more after removing what stands at the
// name when that is not a directory.
func retryReplacing(fd int, base string, makeIt func() error) error {
	err := makeIt()
	if !errors.Is(err, unix.EEXIST) {
		return err
	}
	if err := unix.Unlinkat(fd, base, 0); err != nil {
		return fmt.Errorf("replace what is there: %w", err)
	}
	return makeIt()
}

// usrMergeLinks makes the links of a merged /usr for suites whose base-files
// does not ship them (before trixie). dirs64 has the name of the
// architecture's own library folder besides lib.
func (pl *placer) usrMergeLinks(base *staged, arch string) error {
	ships := slices.ContainsFunc(base.entries, func(e stagedEntry) bool { return e.path == "bin" && e.typ == tar.TypeSymlink })
	if ships {
		return nil
	}
	links := []string{"bin", "sbin", "lib"}
	switch arch {
	case "amd64", "loong64", "ppc64el", "x32":
		links = append(links, "lib64")
	}
	if err := pl.placeDir(&stagedEntry{path: "usr", mode: 0o755}); err != nil {
		return err
	}
	for _, l := range links {
		if err := pl.placeDir(&stagedEntry{path: "usr/" + l, mode: 0o755}); err != nil {
			return err
		}
		err := unix.Symlinkat("usr/"+l, pl.dirs.root, l)
		if err != nil && !errors.Is(err, unix.EEXIST) {
			return err
		}
	}
	return nil
}

// safeName refuses package names that are no file names.
func safeName(name string) error {
	if name == "" || strings.ContainsAny(name, "/\x00 \n") || name[0] == '.' {
		return fail.Mark(fail.Build, fmt.Errorf("package name %q is not valid", name))
	}
	return nil
}

// parseReplaces reads a Replaces field once per package.
func parseReplaces(p *deb.Paragraph) deb.Relations {
	rel, err := deb.ParseRelations(p.Get("Replaces"))
	if err != nil {
		return nil
	}
	return rel
}
