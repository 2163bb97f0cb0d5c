package sandbox

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// nodes are the devices that a session has, with their numbers (the kernel's admin-guide/devices.txt).
var nodes = []struct {
	name         string
	major, minor uint32
}{
	{"null", 1, 3}, {"zero", 1, 5}, {"full", 1, 7}, {"random", 1, 8}, {"urandom", 1, 9}, {"tty", 5, 0},
}

// links are the symbolic links in /dev.
var links = [][2]string{
	{"fd", "/proc/self/fd"}, {"stdin", "/proc/self/fd/0"}, {"stdout", "/proc/self/fd/1"}, {"stderr", "/proc/self/fd/2"},
	{"ptmx", "pts/ptmx"},
}

// hostNodes are detached mounts of the host's devices, in the order of nodes,
// or -1, for where mknod is forbidden.
func hostNodes() []int {
	fds := make([]int, len(nodes))
	for i, n := range nodes {
		fd, err := cloneTree("/dev/"+n.name, false)
		if err != nil {
			fd = -1
		}
		fds[i] = fd
	}
	return fds
}

// mountDev makes /dev: made nodes where that is allowed, else the host's bind-mounted.
func (p *initProc) mountDev(host []int) error {
	if err := p.mountAPI("/dev", "tmpfs", unix.MS_NOSUID|unix.MS_NOEXEC, "mode=755,size=4m"); err != nil {
		return err
	}
	for i, n := range nodes {
		path := "/dev/" + n.name
		if err := makeNode(path, n.major, n.minor); err == nil {
			continue
		}
		if host[i] < 0 {
			continue
		}
		if err := os.WriteFile(path, nil, 0o666); err != nil {
			return err
		}
		if err := attach(host[i], path); err != nil {
			return fmt.Errorf("bind %s: %w", path, err)
		}
	}
	for _, l := range links {
		if err := os.Symlink(l[1], "/dev/"+l[0]); err != nil {
			return err
		}
	}
	if err := os.Mkdir("/dev/shm", 0o755); err != nil {
		return err
	}
	if err := unix.Mount("tmpfs", "/dev/shm", "tmpfs", unix.MS_NOSUID|unix.MS_NODEV, "mode=1777"); err != nil {
		return fmt.Errorf("mount /dev/shm: %w", err)
	}
	if err := os.Mkdir("/dev/pts", 0o755); err != nil {
		return err
	}
	const options = "newinstance,ptmxmode=0666,mode=0620"
	err := unix.Mount("devpts", "/dev/pts", "devpts", unix.MS_NOSUID|unix.MS_NOEXEC, options+",gid=5") // tty
	if errors.Is(err, unix.EINVAL) {                                                                   // no such group in this user namespace
		err = unix.Mount("devpts", "/dev/pts", "devpts", unix.MS_NOSUID|unix.MS_NOEXEC, options)
	}
	if err != nil {
		return fmt.Errorf("mount /dev/pts: %w", err)
	}
	return nil
}

func makeNode(path string, major, minor uint32) error {
	if err := unix.Mknod(path, unix.S_IFCHR|0o666, int(unix.Mkdev(major, minor))); err != nil {
		return err
	}
	return os.Chmod(path, 0o666)
}

// openTTY makes a terminal of the session and returns both ends.
func openTTY(rows, cols uint16) (master, slave *os.File, err error) {
	m, err := unix.Open("/dev/ptmx", unix.O_RDWR|unix.O_NOCTTY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, nil, fmt.Errorf("open /dev/ptmx: %w", err)
	}
	master = os.NewFile(uintptr(m), "/dev/ptmx")
	n, err := unix.IoctlGetInt(m, unix.TIOCGPTN)
	if err == nil {
		err = unix.IoctlSetPointerInt(m, unix.TIOCSPTLCK, 0)
	}
	if err == nil && rows > 0 && cols > 0 {
		err = unix.IoctlSetWinsize(m, unix.TIOCSWINSZ, &unix.Winsize{Row: rows, Col: cols})
	}
	if err == nil {
		slave, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|unix.O_NOCTTY, 0)
	}
	if err != nil {
		master.Close()
		return nil, nil, fmt.Errorf("make a terminal: %w", err)
	}
	return master, slave, nil
}
