package sandbox

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// ErrNoOverlay says that the kernel, the mode or the file system of the upper
// directory does not allow overlayfs. The caller can copy instead.
var ErrNoOverlay = errors.New("overlayfs is not possible here")

// Overlay mounts a view of layers at a directory, for this program alone. The
// layers are given topmost first; changes go to upper, or are refused when it
// is empty. Root.Upper says in what form. The error is ErrNoOverlay where that
// cannot be. The view lasts until unmount is called or the program ends.
func (s *Sandbox) Overlay(layers []string, upper, work, at string) (unmount func() error, err error) {
	if !s.entered || s.mode == ModePlain {
		return nil, fmt.Errorf("%w: this program has no mount namespace of its own", ErrNoOverlay)
	}
	if _, err := (Root{Layers: layers, Upper: upper, Work: work}).check(); err != nil {
		return nil, err
	}
	if err := clearWork(work); err != nil {
		return nil, err
	}
	if err := mountOverlay(layers, upper, work, at); err != nil {
		return nil, err
	}
	return func() error {
		if err := unix.Unmount(at, unix.MNT_DETACH); err != nil {
			return fmt.Errorf("unmount %s: %w", at, err)
		}
		return clearWork(work)
	}, nil
}

// probeOverlay shows that directories below dir can be layered, changed, and
// that what was removed leaves the marks that a reader of the layer needs.
func probeOverlay(dir string) error {
	tmp, err := os.MkdirTemp(dir, ".cloudy-probe-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(tmp)
	sub := func(name string) string { return filepath.Join(tmp, name) }
	for _, name := range []string{"lower/gone", "lower/renewed", "upper", "work", "at"} {
		if err := os.MkdirAll(sub(name), 0o755); err != nil {
			return err
		}
	}
	if err := mountOverlay([]string{sub("lower")}, sub("upper"), sub("work"), sub("at")); err != nil {
		return err
	}
	defer unix.Unmount(sub("at"), unix.MNT_DETACH)
	if err := errors.Join(os.Remove(sub("at/gone")), os.Remove(sub("at/renewed")), os.Mkdir(sub("at/renewed"), 0o755)); err != nil {
		return fmt.Errorf("%w: change a layer: %w", ErrNoOverlay, err)
	}
	var st unix.Stat_t
	if err := unix.Lstat(sub("upper/gone"), &st); err != nil || st.Mode&unix.S_IFMT != unix.S_IFCHR || st.Rdev != 0 {
		return fmt.Errorf("%w: no mark of a removed file in the upper layer", ErrNoOverlay)
	}
	if _, err := unix.Lgetxattr(sub("upper/renewed"), "user.overlay.opaque", make([]byte, 8)); err != nil {
		return fmt.Errorf("%w: no mark of a replaced directory in the upper layer: %w", ErrNoOverlay, err)
	}
	return nil
}

// MountOverlay is Overlay for a process that has a mount namespace of its own
// from elsewhere, and that no Sandbox is in. The view lasts as long as the namespace.
func MountOverlay(layers []string, upper, work, at string) error {
	if err := clearWork(work); err != nil {
		return err
	}
	return mountOverlay(layers, upper, work, at)
}

// mountOverlay mounts a view of layers, the topmost first, at a directory.
func mountOverlay(layers []string, upper, work, at string) error {
	// Descriptors instead of paths: no character needs escaping and the
	// options fit into a page, whatever the paths are.
	var open []*os.File
	defer func() { closeAll(open) }()
	path := func(dir string) (string, error) {
		fd, err := unix.Open(dir, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
		if err != nil {
			return "", &os.PathError{Op: "open", Path: dir, Err: err}
		}
		open = append(open, os.NewFile(uintptr(fd), dir))
		return fmt.Sprintf("/proc/self/fd/%d", fd), nil
	}
	var lower []string
	for _, dir := range layers {
		s, err := path(dir)
		if err != nil {
			return err
		}
		lower = append(lower, s)
	}
	options := "lowerdir=" + strings.Join(lower, ":")
	var flags uintptr
	if upper == "" {
		flags = unix.MS_RDONLY
		if len(lower) == 1 { // overlayfs wants two
			options += ":" + lower[0]
		}
	} else {
		u, err := path(upper)
		if err != nil {
			return err
		}
		w, err := path(work)
		if err != nil {
			return err
		}
		options += ",upperdir=" + u + ",workdir=" + w
	}
	// userxattr: the one format that every mode can write. No redirects and no
	// metadata-only copies: a layer must be complete for those who read it without
	// overlayfs. volatile: unmounting must not sync the whole disk.
	options += ",userxattr,index=off,xino=off,metacopy=off,redirect_dir=nofollow"
	err := error(unix.EINVAL)
	if upper != "" {
		err = unix.Mount("overlay", at, "overlay", flags, options+",volatile")
	}
	if err == unix.EINVAL {
		err = unix.Mount("overlay", at, "overlay", flags, options)
	}
	switch err {
	case nil:
		return nil
	case unix.EINVAL, unix.EPERM, unix.ENODEV, unix.EOPNOTSUPP, unix.EACCES, unix.ENOSYS:
		return fmt.Errorf("mount overlay at %s: %w: %w", at, ErrNoOverlay, err)
	}
	return fmt.Errorf("mount overlay at %s: %w", at, err)
}

// clearWork empties a work directory of overlayfs. What volatile leaves there forbids the next mount.
func clearWork(work string) error {
	if work == "" {
		return nil
	}
	return os.RemoveAll(filepath.Join(work, "work"))
}
