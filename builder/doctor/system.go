package doctor

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"cloudy/builder/qemu"
)

const gib = 1 << 30

// existing returns dir, or the nearest directory above it that exists, or an empty string.
func existing(dir string) string {
	if dir == "" {
		return ""
	}
	dir, err := filepath.Abs(dir)
	if err != nil {
		return ""
	}
	for {
		if fi, err := os.Stat(dir); err == nil && fi.IsDir() {
			return dir
		}
		if dir == "/" {
			return ""
		}
		dir = filepath.Dir(dir)
	}
}

func sameFS(a, b string) bool {
	var sa, sb unix.Stat_t
	return unix.Stat(existing(a), &sa) == nil && unix.Stat(existing(b), &sb) == nil && sa.Dev == sb.Dev
}

func hasFileCaps(path string) bool {
	n, err := unix.Getxattr(path, "security.capability", nil)
	return err == nil && n > 0
}

// checkDir looks at whether roots can lie in a directory.
func checkDir(name, dir string) []Finding {
	at := existing(dir)
	if at == "" {
		return []Finding{{name, Fail, dir + " cannot be reached", "Choose another folder."}}
	}
	tmp, err := os.MkdirTemp(at, ".cloudy-doctor-")
	if err != nil {
		fix := fmt.Sprintf("Make %s writable for you, or choose another folder.", at)
		if errors.Is(err, unix.EROFS) {
			fix = "Choose a folder on a writable file system."
		}
		return []Finding{{name, Fail, err.Error(), fix}}
	}
	defer os.RemoveAll(tmp)
	var st unix.Statfs_t
	if err := unix.Statfs(tmp, &st); err != nil {
		return []Finding{{name, Fail, err.Error(), ""}}
	}
	kind := fsName(int64(st.Type))
	list := []Finding{{Name: name, Level: OK, Detail: at + " on " + kind}}
	add := func(level Level, detail, fix string) {
		list = append(list, Finding{name, level, detail, fix})
	}
	file := filepath.Join(tmp, "a")
	if err := os.WriteFile(file, []byte("x"), 0o600); err != nil {
		return append(list, Finding{name, Fail, err.Error(), ""})
	}
	if err := os.Link(file, filepath.Join(tmp, "b")); err != nil {
		add(Fail, "no hard links: "+err.Error(), "Put the cache on a Linux file system such as ext4, xfs or btrfs.")
	}
	if err := os.Symlink("a", filepath.Join(tmp, "c")); err != nil {
		add(Fail, "no symbolic links: "+err.Error(), "Put the cache on a Linux file system such as ext4, xfs or btrfs.")
	}
	if err := unix.Setxattr(file, "user.cloudy", []byte("x"), 0); err != nil {
		add(Warn, "no extended attributes: "+err.Error(), "Put the cache on ext4, xfs or btrfs; overlayfs and file capabilities need them.")
	}
	if _, err := os.Stat(filepath.Join(tmp, "A")); err == nil {
		add(Fail, "upper and lower case are the same here", "Put the cache on a file system that tells them apart.")
	}
	if os.Getuid() != 0 || !canRemount() {
		// As real root a session undoes these for itself.
		if st.Flags&unix.MS_NOEXEC != 0 {
			add(Fail, "mounted noexec: no program of a root could run", "Choose a folder on another file system, or mount this one with exec.")
		}
		if st.Flags&unix.MS_NOSUID != 0 {
			add(Warn, "mounted nosuid: setuid programs of a root lose their right when scripts call them", "Choose a folder on another file system, or mount this one with suid.")
		}
	}
	return list
}

// canRemount says whether this process is root of the whole machine, not of a user namespace.
func canRemount() bool {
	data, err := os.ReadFile("/proc/self/uid_map")
	f := strings.Fields(string(data))
	return err == nil && len(f) == 3 && f[0] == "0" && f[1] == "0" && f[2] == "4294967295"
}

// fsName names the file systems that people build on (statfs(2), f_type).
func fsName(magic int64) string {
	switch magic & 0xffffffff {
	case unix.EXT4_SUPER_MAGIC:
		return "ext4"
	case unix.XFS_SUPER_MAGIC:
		return "xfs"
	case unix.BTRFS_SUPER_MAGIC:
		return "btrfs"
	case unix.TMPFS_MAGIC:
		return "tmpfs"
	case unix.OVERLAYFS_SUPER_MAGIC:
		return "overlayfs"
	case unix.NFS_SUPER_MAGIC:
		return "nfs"
	case unix.MSDOS_SUPER_MAGIC:
		return "vfat"
	case unix.FUSE_SUPER_MAGIC:
		return "fuse"
	case unix.F2FS_SUPER_MAGIC:
		return "f2fs"
	case 0x2fc12fc1: // OpenZFS, include/sys/fs/zfs.h
		return "zfs"
	}
	return fmt.Sprintf("a file system of type %#x", magic&0xffffffff)
}

// A node image takes 0.4 GiB of downloads, 1.5 GiB of layers and as much for
// the disk images. Below less nothing fits, below enough one build does.
const (
	lessSpace   = 3 * gib
	enoughSpace = 10 * gib
	fewInodes   = 200_000
)

func checkSpace(name, dir string) Finding {
	at := existing(dir)
	var st unix.Statfs_t
	if err := unix.Statfs(at, &st); err != nil {
		return Finding{name, Fail, fmt.Sprintf("%s: %v", dir, err), "Choose another folder."}
	}
	return spaceFinding(name, at, st.Bavail*uint64(st.Bsize), st.Files, st.Ffree)
}

func spaceFinding(name, at string, free, inodes, freeInodes uint64) Finding {
	f := Finding{Name: name, Level: OK, Detail: fmt.Sprintf("%.1f GiB free on %s", float64(free)/gib, at)}
	fix := "Make room, for example with `cloudy cache gc`, or choose another folder."
	switch {
	case free < lessSpace:
		f.Level, f.Fix = Fail, fix
	case free < enoughSpace:
		f.Level, f.Fix = Warn, fix
	case inodes > 0 && freeInodes < fewInodes:
		f.Level, f.Fix = Warn, fix
		f.Detail = fmt.Sprintf("room for only %d more files on %s", freeInodes, at)
	}
	return f
}

func checkMemory() Finding {
	f, err := os.Open("/proc/meminfo")
	if err != nil {
		return Finding{"memory", Warn, err.Error(), ""}
	}
	defer f.Close()
	return memoryFinding(f)
}

// memoryFinding reads meminfo (proc(5)), whose figures are KiB.
func memoryFinding(r io.Reader) Finding {
	f := Finding{Name: "memory", Level: OK}
	data, _ := io.ReadAll(r)
	for line := range strings.Lines(string(data)) {
		v, ok := strings.CutPrefix(line, "MemAvailable:")
		if !ok {
			continue
		}
		kib, err := strconv.ParseUint(strings.TrimSpace(strings.TrimSuffix(strings.TrimSpace(v), "kB")), 10, 64)
		if err != nil {
			break
		}
		f.Detail = fmt.Sprintf("%.1f GiB available", float64(kib)/(1<<20))
		if kib < 1<<20 {
			f.Level, f.Fix = Warn, "Close other programs: a build wants 1 GiB, of which the packages' own scripts take most."
		}
		return f
	}
	f.Level, f.Detail = Warn, "the kernel does not say how much is available"
	return f
}

// checkClock doubts a clock that stands before this program was written: signatures would look expired or not yet valid.
func checkClock(now time.Time) Finding {
	f := Finding{Name: "clock", Level: OK, Detail: now.UTC().Format("2006-01-02 15:04 UTC")}
	if now.Before(time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)) || now.Year() > 2100 {
		f.Level, f.Fix = Fail, "Set the clock: signatures of archives cannot be checked against this date."
	}
	return f
}

// checkKVM is about `cloudy run` and `cloudy check` only.
func checkKVM(ctx context.Context) Finding {
	f := Finding{Name: "KVM", Level: OK, Detail: "/dev/kvm can be used"}
	switch err := openKVM(); {
	case errors.Is(err, unix.ENOENT), errors.Is(err, unix.ENODEV), errors.Is(err, unix.ENXIO):
		f.Level, f.Detail = Warn, "no /dev/kvm: images boot in emulation, some ten times slower; building is not affected"
		f.Fix = "Switch virtualisation on in the firmware, or nested virtualisation on the host of this machine."
	case err != nil:
		f.Level, f.Detail = Warn, "/dev/kvm: "+err.Error()
		f.Fix = "Join the group that owns it: `sudo usermod -aG kvm $USER`, then log in again."
	case qemu.KVMFails(ctx):
		f.Level, f.Detail = Warn, "/dev/kvm is there, but a machine started with it does not run: images boot in emulation, some ten times slower"
		f.Fix = "This is a virtual machine itself, and its host does not nest well; building is not affected."
	}
	return f
}

// openKVM asks the device for its version, because a node alone may lead nowhere.
func openKVM() error {
	fd, err := unix.Open("/dev/kvm", unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	const getAPIVersion = 0xae00 // KVM_GET_API_VERSION, linux/kvm.h
	v, err := unix.IoctlRetInt(fd, getAPIVersion)
	if err == nil && v != 12 { // the stable one, Documentation/virt/kvm/api.rst
		err = fmt.Errorf("unknown version %d", v)
	}
	return err
}
