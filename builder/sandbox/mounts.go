package sandbox

import (
	"errors"
	"fmt"
	"os"
	"runtime"

	"golang.org/x/sys/unix"
)

// enterRoot makes the session's file system: the root, and on it /proc, /sys,
// /dev and /tmp. What needs the host's view is prepared as detached mounts
// first and attached after the pivot, when a symbolic link in the tree can
// lead nowhere but into the tree.
func (p *initProc) enterRoot() error {
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("make mounts private: %w", err)
	}
	if err := register(p.setup.Interpreters); err != nil {
		return err
	}
	if !p.setup.Sync {
		// A kernel without seccomp makes the build slower, not wrong.
		if err := freeSync(); err != nil && !errors.Is(err, unix.EINVAL) && !errors.Is(err, unix.ENOSYS) {
			return err
		}
	}
	if err := p.names(); err != nil {
		return err
	}
	proc, err := detachedFS("proc", 0)
	if errors.Is(err, unix.EPERM) {
		// A container that masks parts of /proc forbids a fresh one in a user
		// namespace. The outer one shows more processes, but works.
		proc, err = cloneTree("/proc", true)
	}
	if err != nil {
		return fmt.Errorf("mount /proc: %w", err)
	}
	sys, err := p.network()
	if err != nil {
		return err
	}
	nodes := hostNodes()
	defer func() {
		unix.Close(proc)
		unix.Close(sys)
		for _, fd := range nodes {
			unix.Close(fd)
		}
	}()
	if err := p.pivot(); err != nil {
		return err
	}
	if err := p.attachAPI("/proc", proc); err != nil {
		return err
	}
	if p.proc, err = os.OpenRoot("/proc"); err != nil {
		return err
	}
	if !p.setup.Privileged {
		// Writing there would change the host's kernel when we are real root.
		for _, name := range []string{"/proc/sys", "/proc/sysrq-trigger", "/proc/irq", "/proc/bus", "/proc/fs"} {
			if err := bindReadOnly(name); err != nil {
				return err
			}
		}
	}
	if err := p.attachAPI("/sys", sys); err != nil {
		return err
	}
	if err := p.mountDev(nodes); err != nil {
		return err
	}
	return p.mountAPI("/tmp", "tmpfs", unix.MS_NOSUID|unix.MS_NODEV, "mode=1777")
}

// names sets what uname shows of the session.
func (p *initProc) names() error {
	name := p.setup.Hostname
	if name == "" {
		name = "localhost"
	}
	if err := unix.Sethostname([]byte(name)); err != nil {
		return fmt.Errorf("set host name: %w", err)
	}
	if err := unix.Setdomainname([]byte("(none)")); err != nil {
		return fmt.Errorf("set domain name: %w", err)
	}
	return nil
}

// network makes the offline network namespace, unless the session is online,
// and returns a detached /sys that belongs to the session's network.
func (p *initProc) network() (sys int, err error) {
	if !p.setup.Network {
		done := make(chan error)
		go func() {
			runtime.LockOSThread() // the thread ends with the goroutine
			done <- func() error {
				if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
					return fmt.Errorf("new network namespace: %w", err)
				}
				if err := loopbackUp(); err != nil {
					return fmt.Errorf("bring up the loopback device: %w", err)
				}
				p.offline, err = unix.Open("/proc/thread-self/ns/net", unix.O_RDONLY|unix.O_CLOEXEC, 0)
				if err != nil {
					return fmt.Errorf("open network namespace: %w", err)
				}
				sys, err = detachedFS("sysfs", unix.MOUNT_ATTR_RDONLY)
				return err
			}()
		}()
		err = <-done
	} else {
		sys, err = detachedFS("sysfs", unix.MOUNT_ATTR_RDONLY)
	}
	if errors.Is(err, unix.EPERM) && (p.setup.Network || p.offline >= 0) {
		// The host's network in a user namespace, or a masked /sys.
		sys, err = cloneTree("/sys", true)
		if err == nil {
			err = unix.MountSetattr(sys, "", unix.AT_EMPTY_PATH|unix.AT_RECURSIVE, &unix.MountAttr{Attr_set: unix.MOUNT_ATTR_RDONLY})
		}
	}
	if err != nil {
		return -1, fmt.Errorf("mount /sys: %w", err)
	}
	return sys, nil
}

func loopbackUp() error {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	ifr, err := unix.NewIfreq("lo")
	if err != nil {
		return err
	}
	ifr.SetUint16(unix.IFF_UP)
	return unix.IoctlIfreq(fd, unix.SIOCSIFFLAGS, ifr)
}

// pivot makes the root directory this process's root.
func (p *initProc) pivot() error {
	target := p.setup.Dir
	if len(p.setup.Layers) > 0 {
		// Any directory can carry the view, and the upper one is ours.
		if target = p.setup.Upper; target == "" {
			target = p.setup.Layers[0]
		}
		if err := mountOverlay(p.setup.Layers, p.setup.Upper, p.setup.Work, target); err != nil {
			return err
		}
	} else {
		err := unix.Mount(target, target, "", unix.MS_BIND, "")
		if err == unix.EINVAL { // a mount below it that a user namespace may not look under
			err = unix.Mount(target, target, "", unix.MS_BIND|unix.MS_REC, "")
		}
		if err != nil {
			return fmt.Errorf("bind %s: %w", target, err)
		}
	}
	if err := rootFlags(target, p.setup.Privileged); err != nil {
		return fmt.Errorf("set mount flags of %s: %w", target, err)
	}
	if err := unix.Chdir(target); err != nil {
		return fmt.Errorf("enter %s: %w", target, err)
	}
	// Old and new root on one directory: no directory for the old one is needed (pivot_root(2), NOTES).
	err := unix.PivotRoot(".", ".")
	switch {
	case err == nil:
		err = unix.Unmount(".", unix.MNT_DETACH)
	case err == unix.EINVAL: // the host runs from an initramfs, which cannot be pivoted away
		if err = unix.Mount(".", "/", "", unix.MS_MOVE, ""); err == nil {
			err = unix.Chroot(".")
		}
	}
	if err != nil {
		return fmt.Errorf("change root to %s: %w", target, err)
	}
	return unix.Chdir("/")
}

// rootFlags makes setuid programs work on the session's root, even when the
// host mounts that file system nosuid or noexec and allows us to differ, and
// device nodes of the tree not.
func rootFlags(target string, privileged bool) error {
	var st unix.Statfs_t
	if err := unix.Statfs(target, &st); err != nil {
		return err
	}
	// The ST_* values of statfs equal the MS_* ones for all of these (statfs(2), linux/statfs.h).
	const kept = unix.MS_RDONLY | unix.MS_NODEV | unix.MS_NOATIME | unix.MS_NODIRATIME
	keep := uintptr(st.Flags) & kept
	old := uintptr(st.Flags) & (kept | unix.MS_NOSUID | unix.MS_NOEXEC)
	if st.Flags&stRelatime != 0 {
		keep |= unix.MS_RELATIME
		old |= unix.MS_RELATIME
	}
	if privileged {
		keep &^= unix.MS_NODEV
	} else {
		keep |= unix.MS_NODEV
		old |= unix.MS_NODEV
	}
	const re = unix.MS_BIND | unix.MS_REMOUNT
	err := unix.Mount("", target, "", re|keep, "")
	if err == unix.EPERM {
		err = unix.Mount("", target, "", re|old, "")
	}
	return err
}

const stRelatime = 0x1000 // ST_RELATIME, linux/statfs.h; MS_RELATIME is another bit

// bindReadOnly makes what is at path read-only; a path that is not there is none of our worry.
func bindReadOnly(path string) error {
	err := unix.Mount(path, path, "", unix.MS_BIND|unix.MS_REC, "")
	if err == unix.ENOENT {
		return nil
	}
	if err == nil {
		err = remountReadOnly(path)
	}
	if err != nil {
		return fmt.Errorf("make %s read-only: %w", path, err)
	}
	return nil
}

func remountReadOnly(path string) error {
	var st unix.Statfs_t
	if err := unix.Statfs(path, &st); err != nil {
		return err
	}
	// What the mount has must be said again; a user namespace may not take it away.
	flags := uintptr(st.Flags) & (unix.MS_NOSUID | unix.MS_NODEV | unix.MS_NOEXEC | unix.MS_NOATIME | unix.MS_NODIRATIME)
	if st.Flags&stRelatime != 0 {
		flags |= unix.MS_RELATIME
	}
	return unix.Mount("", path, "", unix.MS_BIND|unix.MS_REMOUNT|unix.MS_RDONLY|flags, "")
}

// detachedFS makes a new instance of a file system that is mounted nowhere yet.
func detachedFS(fsType string, attrs int) (int, error) {
	fs, err := unix.Fsopen(fsType, unix.FSOPEN_CLOEXEC)
	if err != nil {
		return -1, err
	}
	defer unix.Close(fs)
	if err := unix.FsconfigCreate(fs); err != nil {
		return -1, err
	}
	return unix.Fsmount(fs, unix.FSMOUNT_CLOEXEC, attrs|unix.MOUNT_ATTR_NOSUID|unix.MOUNT_ATTR_NODEV|unix.MOUNT_ATTR_NOEXEC)
}

// cloneTree makes a detached bind mount of path.
func cloneTree(path string, recursive bool) (int, error) {
	flags := uint(unix.OPEN_TREE_CLONE | unix.OPEN_TREE_CLOEXEC)
	if recursive {
		flags |= unix.AT_RECURSIVE
	}
	return unix.OpenTree(unix.AT_FDCWD, path, flags)
}

// attach puts a detached mount at path.
func attach(fd int, path string) error {
	return unix.MoveMount(fd, "", unix.AT_FDCWD, path, unix.MOVE_MOUNT_F_EMPTY_PATH)
}

// attachAPI attaches a detached mount at a directory of the root, for the session's life.
func (p *initProc) attachAPI(dir string, fd int) error {
	return p.mountPoint(dir, func(at string) error { return attach(fd, at) })
}

// mountAPI mounts a new file system at a directory of the root, for the session's life.
func (p *initProc) mountAPI(dir, fsType string, flags uintptr, data string) error {
	return p.mountPoint(dir, func(at string) error { return unix.Mount(fsType, at, fsType, flags, data) })
}

func (p *initProc) mountPoint(dir string, mount func(at string) error) error {
	at, err := resolve(dir)
	if err != nil {
		return fmt.Errorf("mount %s: %w", dir, err)
	}
	if err := p.marks.make(at, true); err != nil {
		return fmt.Errorf("mount %s: %w", dir, err)
	}
	if err := mount(at); err != nil {
		p.marks.release(at)
		return fmt.Errorf("mount %s: %w", dir, err)
	}
	p.session = append(p.session, &bound{target: at, mounted: true})
	return nil
}
