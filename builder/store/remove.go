package store

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"golang.org/x/sys/unix"
)

// removeTree removes a tree whatever its modes and whoever of our user
// namespace owns its files. Unlike os.RemoveAll it opens up directories that
// their mode closes, and it refuses to walk into a mount: a bind mount that
// was left in a root would else cost the host's own files. A path that does
// not exist is no error.
func removeTree(path string) error {
	err := os.Remove(path) // a file, a link, an empty directory
	if err == nil || errors.Is(err, os.ErrNotExist) {
		return nil
	}
	fd, err := openDir(unix.AT_FDCWD, path)
	if err != nil {
		return err
	}
	mount, err := mountOf(fd, path)
	if err == nil {
		err = emptyDir(fd, path, mount)
	}
	unix.Close(fd)
	if err != nil {
		return err
	}
	return os.Remove(path)
}

// mountID names the mount that a directory lies in.
type mountID struct{ mnt, dev uint64 }

func mountOf(fd int, path string) (mountID, error) {
	var st unix.Statx_t
	err := unix.Statx(fd, "", unix.AT_EMPTY_PATH, unix.STATX_MNT_ID, &st)
	if err != nil {
		return mountID{}, &os.PathError{Op: "statx", Path: path, Err: err}
	}
	id := mountID{dev: unix.Mkdev(st.Dev_major, st.Dev_minor)}
	if st.Mask&unix.STATX_MNT_ID != 0 { // Linux 5.8
		id = mountID{mnt: st.Mnt_id}
	}
	return id, nil
}

// openDir opens a directory, never through a link, and makes it searchable
// and writable when that is what is missing.
func openDir(at int, name string) (int, error) {
	const flags = unix.O_RDONLY | unix.O_DIRECTORY | unix.O_NOFOLLOW | unix.O_CLOEXEC
	fd, err := unix.Openat(at, name, flags, 0)
	if errors.Is(err, unix.EACCES) {
		if unix.Fchmodat(at, name, 0o700, 0) == nil {
			fd, err = unix.Openat(at, name, flags, 0)
		}
	}
	if err != nil {
		return -1, &os.PathError{Op: "open", Path: name, Err: err}
	}
	return fd, nil
}

// emptyDir removes all that is in the directory fd. path is for messages.
func emptyDir(fd int, path string, mount mountID) error {
	dup, err := unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		return &os.PathError{Op: "dup", Path: path, Err: err}
	}
	d := os.NewFile(uintptr(dup), path)
	defer d.Close()
	entries, err := d.ReadDir(-1)
	if err != nil {
		return err
	}
	opened := false
	for _, e := range entries {
		full := filepath.Join(path, e.Name())
		for {
			if e.IsDir() {
				err = emptySub(fd, e.Name(), full, mount)
			} else {
				err = unlinkAt(fd, e.Name(), full, 0)
			}
			if (errors.Is(err, unix.EACCES) || errors.Is(err, unix.EPERM)) && !opened {
				opened = true // this directory is read-only and we are not almighty
				if unix.Fchmod(fd, 0o700) == nil {
					continue
				}
			}
			break
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func emptySub(at int, name, full string, mount mountID) error {
	sub, err := openDir(at, name)
	if errors.Is(err, unix.ENOENT) {
		return nil
	}
	if err != nil {
		return err
	}
	id, err := mountOf(sub, full)
	if err == nil && id != mount {
		err = fmt.Errorf("remove %s: something is mounted there", full)
	}
	if err == nil {
		err = emptyDir(sub, full, mount)
	}
	unix.Close(sub)
	if err != nil {
		return err
	}
	return unlinkAt(at, name, full, unix.AT_REMOVEDIR)
}

func unlinkAt(at int, name, full string, flags int) error {
	err := unix.Unlinkat(at, name, flags)
	if err == nil || errors.Is(err, unix.ENOENT) {
		return nil
	}
	return &os.PathError{Op: "unlink", Path: full, Err: err}
}

// treeSize is what a tree takes on the disk in bytes, hard links once.
func treeSize(dir string) (int64, error) {
	var size int64
	type inode struct{ dev, ino uint64 }
	seen := map[inode]bool{}
	err := filepath.WalkDir(dir, func(_ string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		st := info.Sys().(*syscall.Stat_t)
		if !d.IsDir() && st.Nlink > 1 {
			id := inode{uint64(st.Dev), st.Ino}
			if seen[id] {
				return nil
			}
			seen[id] = true
		}
		size += st.Blocks * 512 // stat(2): always units of 512
		return nil
	})
	return size, err
}
