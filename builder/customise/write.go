package customise

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"

	"golang.org/x/sys/unix"

	"cloudy/builder/tree"
)

// WriteTo writes the difference into an empty directory as an overlayfs
// upper layer: what goes away becomes a character device 0/0. dir must be on
// a filesystem where this process may make those.
func (d *Delta) WriteTo(dir string) error {
	for _, p := range d.Removed() {
		if _, ok := d.added[p]; ok {
			continue
		}
		if err := d.folders(dir, p); err != nil {
			return err
		}
		if err := unix.Mknod(filepath.Join(dir, p), unix.S_IFCHR, 0); err != nil {
			return fmt.Errorf("mark /%s as gone: %w", p, err)
		}
	}
	for _, e := range d.Added() {
		if err := d.folders(dir, e.Path); err != nil {
			return err
		}
		if err := writeEntry(filepath.Join(dir, e.Path), &e); err != nil {
			return fmt.Errorf("/%s: %w", e.Path, err)
		}
	}
	return nil
}

// folders makes the folders of p in dir as they are in the tree.
func (d *Delta) folders(dir, p string) error {
	parent := path.Dir(p)
	if parent == "." {
		return nil
	}
	if _, err := os.Lstat(filepath.Join(dir, parent)); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := d.folders(dir, parent); err != nil {
		return err
	}
	e := d.find(parent)
	if e == nil || e.Type != tree.Dir {
		return fmt.Errorf("/%s is no folder", parent)
	}
	return writeEntry(filepath.Join(dir, parent), e)
}

func writeEntry(full string, e *tree.Entry) error {
	switch e.Type {
	case tree.Dir:
		if err := os.Mkdir(full, 0o755); err != nil && !errors.Is(err, fs.ErrExist) {
			return err
		}
	case tree.Symlink:
		if err := os.Symlink(e.Link, full); err != nil {
			return err
		}
	case tree.File:
		if err := writeContent(full, e); err != nil {
			return err
		}
	default:
		return fmt.Errorf("cannot be written: type %c", e.Type)
	}
	if err := os.Lchown(full, int(e.UID), int(e.GID)); err != nil {
		return err
	}
	if e.Type != tree.Symlink {
		if err := unix.Chmod(full, e.Mode); err != nil {
			return err
		}
	}
	ts := unix.NsecToTimespec(e.MTime.UnixNano())
	return unix.UtimesNanoAt(unix.AT_FDCWD, full, []unix.Timespec{ts, ts}, unix.AT_SYMLINK_NOFOLLOW)
}

func writeContent(full string, e *tree.Entry) error {
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
