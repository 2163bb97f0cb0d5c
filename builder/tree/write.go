package tree

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// WriteDir writes the tree into an existing directory, with owners, modes,
// times and attributes. Device nodes need the right to make them.
func (t *Tree) WriteDir(ctx context.Context, dir string) error {
	for i := range t.Entries {
		if err := ctx.Err(); err != nil {
			return err
		}
		e := &t.Entries[i]
		if e.Type == Hardlink {
			if err := os.Link(filepath.Join(dir, e.Link), filepath.Join(dir, e.Path)); err != nil {
				return err
			}
			continue
		}
		if err := WriteEntry(filepath.Join(dir, e.Path), e); err != nil {
			return fmt.Errorf("write /%s: %w", e.Path, err)
		}
	}
	// Putting something into a directory changes its time.
	for i := len(t.Entries) - 1; i >= 0; i-- {
		if e := &t.Entries[i]; e.Type == Dir {
			if err := setTime(filepath.Join(dir, e.Path), e); err != nil {
				return err
			}
		}
	}
	return nil
}

// WriteEntry makes what e describes, but a hard link, at the path full, whose
// folder exists. A directory may exist already.
func WriteEntry(full string, e *Entry) error {
	var err error
	switch e.Type {
	case Dir:
		if err = os.Mkdir(full, 0o755); errors.Is(err, fs.ErrExist) {
			err = nil
		}
	case Symlink:
		err = os.Symlink(e.Link, full)
	case File:
		err = writeContent(full, e)
	case Fifo:
		err = unix.Mknod(full, unix.S_IFIFO|0o600, 0)
	case Char:
		err = unix.Mknod(full, unix.S_IFCHR|0o600, int(unix.Mkdev(e.Major, e.Minor)))
	case Block:
		err = unix.Mknod(full, unix.S_IFBLK|0o600, int(unix.Mkdev(e.Major, e.Minor)))
	default:
		err = fmt.Errorf("cannot be written: type %c", e.Type)
	}
	if err != nil {
		return err
	}
	if err := os.Lchown(full, int(e.UID), int(e.GID)); err != nil {
		return err
	}
	if e.Type != Symlink {
		if err := unix.Chmod(full, e.Mode); err != nil {
			return err
		}
	}
	for _, x := range e.Xattrs {
		if err := unix.Lsetxattr(full, x.Name, x.Value, 0); err != nil {
			return fmt.Errorf("set attribute %s: %w", x.Name, err)
		}
	}
	return setTime(full, e)
}

func setTime(full string, e *Entry) error {
	ts := unix.NsecToTimespec(e.MTime.UnixNano())
	return unix.UtimesNanoAt(unix.AT_FDCWD, full, []unix.Timespec{ts, ts}, unix.AT_SYMLINK_NOFOLLOW)
}

func writeContent(full string, e *Entry) error {
	r, err := e.Open()
	if err != nil {
		return err
	}
	defer r.Close()
	f, err := os.OpenFile(full, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = io.Copy(f, r)
	return errors.Join(err, f.Close())
}
