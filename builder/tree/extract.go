package tree

import (
	"archive/tar"
	"context"
	"errors"
	"fmt"
	"io"
	"path"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Extract makes what a tar archive of WriteTar has inside the directory dir,
// which is empty but for itself: owners, modes, times to the nanosecond,
// attributes, devices and hard links. Nothing gets out of dir: a folder is
// never reached through a symbolic link, nothing is written over, and names
// with ".." are refused; what is wrong with the archive is an ErrBadArchive.
// copied is told of bytes of content; nil for nobody.
func Extract(ctx context.Context, r io.Reader, dir string, copied func(int64)) error {
	fd, err := unix.Open(dir, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("extract into %s: %w", dir, err)
	}
	x := &extractor{root: fd, in: -1, copied: copied, buf: make([]byte, 512<<10)}
	defer x.close()
	tr := tar.NewReader(r)
	for {
		if err := ctx.Err(); err != nil {
			return context.Cause(ctx)
		}
		hdr, err := tr.Next()
		if err == io.EOF {
			return x.settle()
		}
		if err != nil {
			return fmt.Errorf("read the archive: %w", err)
		}
		e, err := tarEntry(hdr)
		if err == nil && e == nil {
			err = fmt.Errorf("%w: %s is of type %q", ErrBadArchive, hdr.Name, hdr.Typeflag)
		}
		if err != nil {
			return err
		}
		if err := x.entry(e, tr); err != nil {
			return fmt.Errorf("extract /%s: %w", e.Path, err)
		}
	}
}

type extractor struct {
	root   int
	at     string // path of the folder that in is
	in     int    // -1 for none
	dirs   []Entry
	copied func(int64)
	buf    []byte
}

func (x *extractor) close() {
	if x.in >= 0 {
		unix.Close(x.in)
	}
	unix.Close(x.root)
}

// beneath opens a folder inside the root without following any link.
func (x *extractor) beneath(p string, flags uint64) (int, error) {
	fd, err := unix.Openat2(x.root, p, &unix.OpenHow{
		Flags: flags | unix.O_DIRECTORY | unix.O_CLOEXEC, Resolve: unix.RESOLVE_BENEATH | unix.RESOLVE_NO_SYMLINKS,
	})
	if errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ENOTDIR) || errors.Is(err, unix.ELOOP) || errors.Is(err, unix.EXDEV) {
		err = fmt.Errorf("%w: /%s is no folder", ErrBadArchive, p)
	}
	return fd, err
}

// folder is the open folder p; the one before is closed.
func (x *extractor) folder(p string) (int, error) {
	if p == "." {
		return x.root, nil
	}
	if x.in >= 0 && x.at == p {
		return x.in, nil
	}
	fd, err := x.beneath(p, unix.O_PATH)
	if err != nil {
		return -1, err
	}
	if x.in >= 0 {
		unix.Close(x.in)
	}
	x.at, x.in = p, fd
	return fd, nil
}

func (x *extractor) entry(e *Entry, content io.Reader) error {
	if e.Path == "." {
		x.dirs = append(x.dirs, *e)
		return nil
	}
	dir, err := x.folder(path.Dir(e.Path))
	if err != nil {
		return err
	}
	base := path.Base(e.Path)
	switch e.Type {
	case Dir:
		if err := made(unix.Mkdirat(dir, base, 0o700)); err != nil {
			return err
		}
		x.dirs = append(x.dirs, *e)
		return nil
	case File:
		return x.file(dir, base, e, content)
	case Hardlink:
		from, err := x.beneath(path.Dir(e.Link), unix.O_PATH)
		if err != nil {
			return err
		}
		defer unix.Close(from)
		return made(unix.Linkat(from, path.Base(e.Link), dir, base, 0))
	case Symlink:
		err = unix.Symlinkat(e.Link, dir, base)
	case Fifo:
		err = unix.Mknodat(dir, base, unix.S_IFIFO|0o600, 0)
	case Char:
		err = unix.Mknodat(dir, base, unix.S_IFCHR|0o600, int(unix.Mkdev(e.Major, e.Minor)))
	case Block:
		err = unix.Mknodat(dir, base, unix.S_IFBLK|0o600, int(unix.Mkdev(e.Major, e.Minor)))
	}
	if err := made(err); err != nil {
		return err
	}
	if err := unix.Fchownat(dir, base, int(e.UID), int(e.GID), unix.AT_SYMLINK_NOFOLLOW); err != nil {
		return err
	}
	if e.Type != Symlink {
		if err := unix.Fchmodat(dir, base, e.Mode, 0); err != nil {
			return err
		}
	}
	for _, a := range e.Xattrs {
		if err := unix.Lsetxattr(fmt.Sprintf("/proc/self/fd/%d/%s", dir, base), a.Name, a.Value, 0); err != nil {
			return fmt.Errorf("set attribute %s: %w", a.Name, err)
		}
	}
	return unix.UtimesNanoAt(dir, base, times(e.MTime), unix.AT_SYMLINK_NOFOLLOW)
}

// made says of a name that is there already what that means.
func made(err error) error {
	if errors.Is(err, unix.EEXIST) || errors.Is(err, unix.ENOENT) {
		return fmt.Errorf("%w: %w", ErrBadArchive, err)
	}
	return err
}

func times(t time.Time) []unix.Timespec {
	ts := unix.NsecToTimespec(t.UnixNano())
	return []unix.Timespec{ts, ts}
}

func (x *extractor) file(dir int, base string, e *Entry, content io.Reader) error {
	fd, err := unix.Openat(dir, base, unix.O_CREAT|unix.O_EXCL|unix.O_WRONLY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0o600)
	if err := made(err); err != nil {
		return err
	}
	defer unix.Close(fd)
	n, err := io.CopyBuffer(fdWriter(fd), struct{ io.Reader }{content}, x.buf)
	if err != nil {
		return err
	}
	if n != e.Size {
		return io.ErrUnexpectedEOF
	}
	if x.copied != nil && n > 0 {
		x.copied(n)
	}
	return attributes(fd, e)
}

// attributes gives an open file or folder what it has beside its content. A
// change of owner takes set-id bits and capabilities away, so it comes first.
func attributes(fd int, e *Entry) error {
	if err := unix.Fchown(fd, int(e.UID), int(e.GID)); err != nil {
		return err
	}
	if err := unix.Fchmod(fd, e.Mode); err != nil {
		return err
	}
	for _, a := range e.Xattrs {
		if err := unix.Fsetxattr(fd, a.Name, a.Value, 0); err != nil {
			return fmt.Errorf("set attribute %s: %w", a.Name, err)
		}
	}
	// An empty path means the descriptor itself (utimensat(2), futimens).
	return unix.UtimesNanoAt(fd, "", times(e.MTime), unix.AT_EMPTY_PATH)
}

// settle gives folders their attributes, the innermost first: what is put
// into one changes its time, and one may not let its maker in any more.
func (x *extractor) settle() error {
	for i := len(x.dirs) - 1; i >= 0; i-- {
		e := &x.dirs[i]
		fd, err := x.beneath(e.Path, unix.O_RDONLY)
		if err != nil {
			return err
		}
		err = attributes(fd, e)
		unix.Close(fd)
		if err != nil {
			return fmt.Errorf("extract /%s: %w", strings.TrimPrefix(e.Path, "."), err)
		}
	}
	return nil
}

type fdWriter int

func (w fdWriter) Write(p []byte) (int, error) {
	n := 0
	for n < len(p) {
		k, err := unix.Write(int(w), p[n:])
		if err != nil {
			return n, err
		}
		n += k
	}
	return n, nil
}
