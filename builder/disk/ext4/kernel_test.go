package ext4

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"cloudy/builder/tree"
)

// mount mounts the filesystem in the image and returns the directory.
func mount(t testing.TB, image string, off int64, flags ...string) string {
	t.Helper()
	if os.Geteuid() != 0 {
		need(t, "mounting needs root")
	}
	dir := t.TempDir()
	out, err := exec.Command("mount", "-t", "ext4", "-o", strings.Join(append(flags, fmt.Sprintf("loop,offset=%d", off)), ","), image, dir).CombinedOutput()
	if err != nil {
		if exec.Command("losetup", "-f").Run() != nil {
			need(t, "no loop devices: "+string(out))
		}
		t.Fatalf("mount: %v\n%s", err, out)
	}
	t.Cleanup(func() { unix.Unmount(dir, 0) })
	return dir
}

func unmount(t testing.TB, dir string) {
	t.Helper()
	source, err := exec.Command("findmnt", "-n", "-o", "SOURCE", dir).Output()
	if err != nil {
		t.Fatalf("findmnt: %v", err)
	}
	if out, err := exec.Command("umount", dir).CombinedOutput(); err != nil {
		t.Fatalf("umount: %v\n%s", err, out)
	}
	// A mount namespace that somebody made meanwhile keeps the filesystem
	// mounted, and its loop device bound, until it is gone.
	loop := strings.TrimSpace(string(source))
	for end := time.Now().Add(2 * time.Minute); exec.Command("losetup", loop).Run() == nil; time.Sleep(100 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("%s is still in use by another mount namespace", loop)
		}
	}
}

// forScan is what tree.Scan sees of a tree: it takes hard links of symlinks
// for symlinks of their own, and leaves out what overlayfs noted.
func forScan(in *tree.Tree) *tree.Tree {
	var out tree.Tree
	for _, e := range in.Entries {
		e.Xattrs = slices.DeleteFunc(slices.Clone(e.Xattrs), func(x tree.Xattr) bool {
			return strings.HasPrefix(x.Name, "trusted.overlay.")
		})
		if e.Type == tree.Hardlink {
			if target := in.Find(e.Link); target.Type != tree.File {
				path := e.Path
				e = *target
				e.Path = path
			}
		}
		out.Entries = append(out.Entries, e)
	}
	return &out
}

func TestKernelReadsAndWrites(t *testing.T) {
	want := torture(t)
	const off = 1 << 20
	path := writeImage(t, want, testOptions(1<<30), off)
	dir := mount(t, path, off)
	got, err := tree.Scan(dir)
	if err != nil {
		t.Fatal(err)
	}
	same(t, forScan(want), got, fromTree)
	value := make([]byte, 200)
	n, err := unix.Lgetxattr(filepath.Join(dir, "xattr/link"), "trusted.l", value)
	if err != nil || !bytes.Equal(value[:n], pattern(99)) {
		t.Errorf("attribute of a symlink: %x, %v", value[:max(n, 0)], err)
	}
	load(t, dir)
	unmount(t, dir)
	fsck(t, path, off)

	// What the kernel wrote, our reader reads.
	dir = mount(t, path, off, "ro")
	if want, err = tree.Scan(dir); err != nil {
		t.Fatal(err)
	}
	m, got := openImage(t, path, off)
	same(t, withoutLostFound(forScan(want)), withoutLostFound(forScan(got)), fromImage(m))
	unmount(t, dir)
}

// withoutLostFound leaves lost+found and what is in it out.
func withoutLostFound(in *tree.Tree) *tree.Tree {
	return in.Apply([]string{lostFoundName}, nil)
}

// load changes much: directories grow and split, files come and go, links
// and attributes change.
func load(t testing.TB, dir string) {
	t.Helper()
	check := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	in := func(name string) string { return filepath.Join(dir, name) }
	for i := range 3000 {
		check(os.WriteFile(in(fmt.Sprintf("many/new-%d-%s", i, strings.Repeat("y", i%200))), pattern(i), 0o644))
	}
	for i := range 4000 {
		check(os.Remove(in(fmt.Sprintf("many/file-%d", i))))
	}
	check(os.RemoveAll(in("names")))
	check(os.Remove(in("links/a")))
	check(os.Remove(in("sizes/striped")))
	check(os.Remove(in("xattr/big")))
	check(os.Truncate(in("sizes/sparse"), 1<<30))
	check(os.WriteFile(in("sizes/zeros"), pattern(1<<20), 0o600))
	check(unix.Setxattr(in("xattr/acl"), "user.more", pattern(500), 0))
	check(unix.Setxattr(in("bin/ping"), "user.more", pattern(60), 0))
	check(unix.Removexattr(in("xattr/dir"), "user.x"))
	check(os.WriteFile(in("big"), pattern(100<<20), 0o644))
	for i := range 200 {
		check(os.MkdirAll(in(fmt.Sprintf("deep/%d/%d/%d", i, i, i)), 0o755))
	}
	check(os.RemoveAll(in("many")))
	check(os.WriteFile(in("lost+found/x"), nil, 0o600))
}

func TestOnlineResize(t *testing.T) {
	path := writeImage(t, torture(t), testOptions(256<<20), 0)
	if err := os.Truncate(path, 2<<30); err != nil {
		t.Fatal(err)
	}
	dir := mount(t, path, 0)
	source, err := exec.Command("findmnt", "-n", "-o", "SOURCE", dir).Output()
	if err != nil {
		need(t, "findmnt is not installed")
	}
	out, err := exec.Command(tool(t, "resize2fs"), strings.TrimSpace(string(source))).CombinedOutput()
	if err != nil {
		if strings.Contains(string(out), "Permission denied") {
			// CAP_SYS_RESOURCE is missing, which no option can bring: this
			// one is skipped even where everything must be there.
			t.Skipf("the kernel does not let us: %s", out)
		}
		t.Fatalf("resize2fs: %v\n%s", err, out)
	}
	unmount(t, dir)
	fsck(t, path, 0)
}

// TestOnlineResizeInVM lets another kernel grow its root at boot, as a node
// does. CLOUDY_TEST_KERNEL names a Linux for amd64 with ext4 and NVMe built
// in, as Debian's cloud kernels have.
func TestOnlineResizeInVM(t *testing.T) {
	kernel := os.Getenv("CLOUDY_TEST_KERNEL")
	qemu, err := exec.LookPath("qemu-system-x86_64")
	if kernel == "" || err != nil {
		t.Skip("wants qemu-system-x86_64 and a kernel in CLOUDY_TEST_KERNEL")
	}
	init := filepath.Join(t.TempDir(), "init")
	build := exec.Command("go", "build", "-o", init, "./testdata/growinit")
	build.Env = append(os.Environ(), "CGO_ENABLED=0", "GOARCH=amd64")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	info, err := os.Stat(init)
	if err != nil {
		t.Fatal(err)
	}
	tr := torture(t)
	tr.Entries = append(tr.Entries,
		tree.Entry{Path: "dev/console", Type: tree.Char, Mode: 0o600, Major: 5, Minor: 1},
		tree.Entry{Path: "init", Type: tree.File, Mode: 0o755, Size: info.Size(), Source: init},
		tree.Entry{Path: "proc", Type: tree.Dir, Mode: 0o755})
	tr.Sort()
	for _, c := range []struct{ from, to int64 }{{128 << 20, 40 << 30}, {2 << 30, 1 << 40}} {
		t.Run(fmt.Sprintf("%d-%d", c.from>>20, c.to>>20), func(t *testing.T) {
			path := writeImage(t, tr, testOptions(c.from), 0)
			if err := os.Truncate(path, c.to); err != nil {
				t.Fatal(err)
			}
			cmd := exec.CommandContext(t.Context(), qemu, "-cpu", "qemu64,-cx16", "-m", "512", "-nographic", "-no-reboot", "-net", "none",
				"-kernel", kernel, "-append", fmt.Sprintf("console=ttyS0 quiet root=/dev/nvme0n1 rw init=/init panic=-1 grow=%d", c.to),
				"-drive", "if=none,id=d,format=raw,discard=unmap,file="+path, "-device", "nvme,drive=d,serial=1")
			out, err := cmd.CombinedOutput()
			if err != nil || !strings.Contains(string(out), "GROW DONE") {
				t.Fatalf("qemu: %v\n%s", err, clip(out))
			}
			t.Log(strings.TrimSpace(string(out[max(0, len(out)-300):])))
			fsck(t, path, 0)
		})
	}
}

func TestOfflineResize(t *testing.T) {
	want := torture(t)
	for _, c := range []struct{ from, to int64 }{
		{128 << 20, 1 << 30}, {600 << 20, 5 << 30}, {2 << 30, 1 << 40}, {3 << 30, 1 << 30},
	} {
		t.Run(fmt.Sprintf("%d-%d", c.from>>20, c.to>>20), func(t *testing.T) {
			path := writeImage(t, want, testOptions(c.from), 0)
			if c.to > c.from {
				if err := os.Truncate(path, c.to); errors.Is(err, unix.EFBIG) {
					need(t, "files cannot be so large here")
				} else if err != nil {
					t.Fatal(err)
				}
			}
			out, err := exec.Command(tool(t, "resize2fs"), "-f", path, fmt.Sprintf("%dK", c.to>>10)).CombinedOutput()
			if err != nil {
				t.Fatalf("resize2fs: %v\n%s", err, out)
			}
			fsck(t, path, 0)
			m, got := openImage(t, path, 0)
			same(t, want, got, fromImage(m))
		})
	}
}
