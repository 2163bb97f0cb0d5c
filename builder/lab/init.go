package lab

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"runtime"

	"cloudy/builder/sandbox"

	"golang.org/x/sys/unix"
)

// Parts of a lab are this same binary run under another name (argv[0]).
const (
	stageKeep = "cloudy-lab:keep" // holds a lab
	stageNode = "cloudy-lab:node" // becomes process 1 of a node
)

// Init must be called at the begin of main (and of TestMain): when this
// process is a part of a lab it does that work and never returns.
func Init() {
	if len(os.Args) == 0 {
		return
	}
	switch os.Args[0] {
	case stageKeep:
		os.Exit(keepMain())
	case stageNode:
		os.Exit(nodeMain())
	}
}

// start is what a node's first process is told.
type start struct {
	Name       string
	Dir        string   // the node's folder: upper, work, root
	Lower      []string // topmost first
	Groups     []string // files by which to enter control groups
	Invitation string   // a credential of the system, where there is one
}

// Descriptors of a node's first process.
const (
	fdStart = 3 // JSON of start, to be read to its end
	fdSaid  = 4 // the process's number, then what went wrong; closed by systemd's start
)

func nodeMain() int {
	// Namespaces are of a thread, and the one that executes systemd is it.
	runtime.LockOSThread()
	unix.CloseOnExec(fdStart)
	unix.CloseOnExec(fdSaid)
	said := os.NewFile(fdSaid, "said")
	// /proc is still that of the keeper, which counts as the host does.
	self, err := os.Readlink("/proc/self")
	if err != nil {
		return 1
	}
	fmt.Fprintln(said, self)
	var s start
	if err := json.NewDecoder(os.NewFile(fdStart, "start")).Decode(&s); err != nil {
		return 1 // the keeper gave up
	}
	fmt.Fprintln(said, s.become())
	return 1
}

// become turns this process into the node's systemd.
func (s *start) become() error {
	for _, g := range s.Groups {
		if err := os.WriteFile(g, []byte("0"), 0); err != nil {
			return fmt.Errorf("enter a control group: %w", err)
		}
	}
	// After that: the group is the root of what the node sees.
	if err := unix.Unshare(unix.CLONE_NEWCGROUP); err != nil {
		return fmt.Errorf("make a control group namespace: %w", err)
	}
	if err := s.mounts(); err != nil {
		return err
	}
	if err := unix.Sethostname([]byte(s.Name)); err != nil {
		return fmt.Errorf("set the host name: %w", err)
	}
	for _, c := range forbidden {
		if err := unix.Prctl(unix.PR_CAPBSET_DROP, c, 0, 0, 0); err != nil {
			return fmt.Errorf("drop capabilities: %w", err)
		}
	}
	env := []string{"container=cloudy-lab", "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin", "TERM=dumb"}
	if s.Invitation != "" {
		env = append(env, "CREDENTIALS_DIRECTORY="+credentials)
	}
	const systemd = "/usr/lib/systemd/systemd"
	return fmt.Errorf("start %s: %w", systemd, unix.Exec(systemd, []string{systemd, "--log-target=journal", "--show-status=no"}, env))
}

// forbidden are capabilities over what no namespace divides: the kernel's
// modules, clock, memory and log. A node has all others, so a lab is no
// protection from what runs in it.
var forbidden = []uintptr{unix.CAP_SYS_MODULE, unix.CAP_SYS_TIME, unix.CAP_SYS_RAWIO, unix.CAP_SYSLOG, unix.CAP_WAKE_ALARM, unix.CAP_BLOCK_SUSPEND}

// credentials is where systemd looks for what the host gives to a container
// (the container interface, systemd.io/CONTAINER_INTERFACE).
const credentials = "/run/host/credentials"

// mounts makes the node's root with what the kernel provides, and moves in.
func (s *start) mounts() error {
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("make mounts private: %w", err)
	}
	root := filepath.Join(s.Dir, "root")
	in := func(p string) string { return filepath.Join(root, p) }
	if err := sandbox.MountOverlay(s.Lower, filepath.Join(s.Dir, "upper"), filepath.Join(s.Dir, "work"), root); err != nil {
		return err
	}
	const quiet = unix.MS_NOSUID | unix.MS_NODEV | unix.MS_NOEXEC
	steps := []mount{
		{"proc", in("proc"), "proc", quiet, ""},
		// The kernel's settings are the host's, but for those of the network.
		{in("proc/sys"), in("proc/sys"), "", unix.MS_BIND, ""},
		{in("proc/sys/net"), in("proc/sys/net"), "", unix.MS_BIND, ""},
		{"", in("proc/sys"), "", unix.MS_BIND | unix.MS_REMOUNT | unix.MS_RDONLY | quiet, ""},
		{"sysfs", in("sys"), "sysfs", unix.MS_RDONLY | quiet, ""},
		{"cgroup2", in("sys/fs/cgroup"), "cgroup2", quiet, ""},
		{"tmpfs", in("dev"), "tmpfs", unix.MS_NOSUID | unix.MS_NOEXEC, "mode=755,size=64k"},
		{"devpts", in("dev/pts"), "devpts", unix.MS_NOSUID | unix.MS_NOEXEC, "newinstance,ptmxmode=0666,mode=0620,gid=5"},
		{"tmpfs", in("dev/shm"), "tmpfs", unix.MS_NOSUID | unix.MS_NODEV, "mode=1777"},
		{"tmpfs", in("run"), "tmpfs", unix.MS_NOSUID | unix.MS_NODEV, "mode=755"},
	}
	if _, err := os.Stat("/proc/sysrq-trigger"); err == nil {
		at := in("proc/sysrq-trigger")
		steps = append(steps, mount{"/dev/null", at, "", unix.MS_BIND, ""})
	}
	for _, dev := range []string{"null", "zero", "full", "random", "urandom", "tty", "net/tun"} {
		steps = append(steps, mount{"/dev/" + dev, in("dev/" + dev), "", unix.MS_BIND, ""})
	}
	for _, m := range steps {
		if err := m.do(); err != nil {
			return err
		}
	}
	for link, to := range map[string]string{"fd": "/proc/self/fd", "stdin": "fd/0", "stdout": "fd/1", "stderr": "fd/2", "ptmx": "pts/ptmx"} {
		if err := os.Symlink(to, in("dev/"+link)); err != nil {
			return err
		}
	}
	if s.Invitation != "" {
		if err := os.MkdirAll(in(credentials), 0o700); err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(in(credentials), "cloudy.invitation"), []byte(s.Invitation), 0o400); err != nil {
			return err
		}
	}
	if err := unix.Chdir(root); err != nil {
		return err
	}
	if err := unix.PivotRoot(".", "."); err != nil {
		return fmt.Errorf("change the root: %w", err)
	}
	if err := unix.Unmount(".", unix.MNT_DETACH); err != nil {
		return fmt.Errorf("leave the host's root: %w", err)
	}
	// systemd hands credentials to services by mounts that it makes elsewhere;
	// in a container it counts on finding / shared.
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_SHARED, ""); err != nil {
		return fmt.Errorf("share mounts within the node: %w", err)
	}
	return unix.Chdir("/")
}

type mount struct {
	from, at, kind string
	flags          uintptr
	data           string
}

// do mounts, and makes what to mount on where a tmpfs is below it.
func (m mount) do() error {
	if m.flags&unix.MS_REMOUNT == 0 {
		if _, err := os.Lstat(m.at); err != nil {
			if err := os.MkdirAll(filepath.Dir(m.at), 0o755); err != nil {
				return err
			}
			if m.kind == "" {
				err = os.WriteFile(m.at, nil, 0o644)
			} else {
				err = os.Mkdir(m.at, 0o755)
			}
			if err != nil {
				return err
			}
		}
	}
	if err := unix.Mount(m.from, m.at, m.kind, m.flags, m.data); err != nil {
		return fmt.Errorf("mount %s%s at %s: %w", m.kind, m.from, m.at, err)
	}
	return nil
}
