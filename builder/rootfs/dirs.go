package rootfs

import (
	"errors"
	"fmt"
	"path"

	"golang.org/x/sys/unix"
)

// dirs resolves directories inside a root without ever leaving it: the
// kernel follows symbolic links as if the root were "/" (openat2(2) with
// RESOLVE_IN_ROOT), so a package that ships "x -> /etc" and then "x/passwd"
// reaches the image's own etc and nothing else. Open directories are kept,
// since packages put many files into few folders.
type dirs struct {
	root int
	open map[string]int
}

// maxOpenDirs bounds the kept descriptors; usual limits are 1024 and more.
const maxOpenDirs = 400

func openDirs(root string) (*dirs, error) {
	fd, err := unix.Open(root, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("open root %s: %w", root, err)
	}
	return &dirs{root: fd, open: map[string]int{}}, nil
}

// reserve makes sure that the next n directories can be opened without closing
// one of them again.
func (d *dirs) reserve(n int) {
	if len(d.open)+n > maxOpenDirs {
		d.forget()
	}
}

// forget drops what is known, because a script may have moved directories.
func (d *dirs) forget() {
	for _, fd := range d.open {
		unix.Close(fd)
	}
	clear(d.open)
}

func (d *dirs) close() {
	d.forget()
	unix.Close(d.root)
}

// dir returns a descriptor of the directory at p, which stays owned by d.
// The error is ENOENT or ENOTDIR where there is no such directory.
func (d *dirs) dir(p string) (int, error) {
	if p == "." || p == "" {
		return d.root, nil
	}
	if fd, ok := d.open[p]; ok {
		return fd, nil
	}
	fd, err := unix.Openat2(d.root, p, &unix.OpenHow{
		Flags:   unix.O_PATH | unix.O_DIRECTORY | unix.O_CLOEXEC,
		Resolve: unix.RESOLVE_IN_ROOT | unix.RESOLVE_NO_MAGICLINKS,
	})
	if err != nil {
		return -1, err
	}
	if len(d.open) >= maxOpenDirs {
		d.forget()
	}
	d.open[p] = fd
	return fd, nil
}

// parent returns the directory that holds p, and p's last element.
func (d *dirs) parent(p string) (int, string, error) {
	fd, err := d.dir(path.Dir(p))
	if err != nil {
		return -1, "", fmt.Errorf("folder of /%s: %w", p, err)
	}
	return fd, path.Base(p), nil
}

// isDir tells whether p is a directory, or a symbolic link to one inside the root.
func (d *dirs) isDir(p string) bool {
	_, err := d.dir(p)
	return err == nil
}

// lstat returns the state of p itself; ok is false where there is nothing.
func (d *dirs) lstat(p string) (st unix.Stat_t, ok bool, err error) {
	fd, base, err := d.parent(p)
	if err != nil {
		if errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ENOTDIR) {
			return st, false, nil
		}
		return st, false, err
	}
	err = unix.Fstatat(fd, base, &st, unix.AT_SYMLINK_NOFOLLOW)
	if errors.Is(err, unix.ENOENT) {
		return st, false, nil
	}
	return st, err == nil, err
}

// writeAt writes a small file with mode 0644 into the directory fd.
func writeAt(fd int, base, content string) error {
	f, err := unix.Openat(fd, base, unix.O_CREAT|unix.O_TRUNC|unix.O_WRONLY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0o644)
	if err != nil {
		return err
	}
	defer unix.Close(f)
	if err := unix.Fchmod(f, 0o644); err != nil {
		return err
	}
	for b := []byte(content); len(b) > 0; {
		n, err := unix.Write(f, b)
		if err != nil {
			return err
		}
		b = b[n:]
	}
	return nil
}
