package tree

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

func skip(t testing.TB, reason string) {
	t.Helper()
	if os.Getenv("CLOUDY_REQUIRE_ALL") != "" {
		t.Fatal(reason)
	}
	t.Skip(reason)
}

// overlay mounts layers, the lowest first, with a writable upper one, as the
// sandbox does. The view is there for the test.
func overlay(t *testing.T, upper string, lower ...string) string {
	t.Helper()
	if os.Getuid() != 0 {
		skip(t, "needs root to mount overlayfs")
	}
	at, work := t.TempDir(), filepath.Join(filepath.Dir(upper), "work")
	if err := os.MkdirAll(work, 0o755); err != nil {
		t.Fatal(err)
	}
	var rev []string
	for i := len(lower) - 1; i >= 0; i-- {
		rev = append(rev, lower[i])
	}
	opts := fmt.Sprintf("lowerdir=%s,upperdir=%s,workdir=%s,userxattr,index=off,metacopy=off,redirect_dir=nofollow", strings.Join(rev, ":"), upper, work)
	if err := unix.Mount("overlay", at, "overlay", 0, opts); err != nil {
		skip(t, "cannot mount overlayfs here: "+err.Error())
	}
	t.Cleanup(func() { unix.Unmount(at, unix.MNT_DETACH) })
	return at
}

func must(t testing.TB, errs ...error) {
	t.Helper()
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
}

func write(t testing.TB, name, content string) {
	t.Helper()
	must(t, os.MkdirAll(filepath.Dir(name), 0o755), os.WriteFile(name, []byte(content), 0o644))
}

// describe writes one line for each entry.
func describe(t testing.TB, tr *Tree) map[string]string {
	t.Helper()
	out := map[string]string{}
	for i := range tr.Entries {
		e := &tr.Entries[i]
		d := fmt.Sprintf("%c %o %d:%d", e.Type, e.Mode, e.UID, e.GID)
		if e.Type != Dir {
			d += " " + e.MTime.String()
		}
		d += fmt.Sprintf(" %d %s %d,%d %q", e.Size, e.Link, e.Major, e.Minor, e.Xattrs)
		if e.Type == File {
			data, err := os.ReadFile(e.Source)
			must(t, err)
			d += " " + string(data)
		}
		if out[e.Path] != "" {
			t.Errorf("%s stands there twice", e.Path)
		}
		out[e.Path] = d
	}
	return out
}

// TestScanIsWhatOverlayfsShows changes a view of two layers in every way, and
// compares the kernel's view of the result with ours.
func TestScanIsWhatOverlayfsShows(t *testing.T) {
	dir := t.TempDir()
	low, mid, up := filepath.Join(dir, "low"), filepath.Join(dir, "mid"), filepath.Join(dir, "up", "upper")
	must(t, os.MkdirAll(low, 0o755), os.MkdirAll(mid, 0o755), os.MkdirAll(up, 0o700))
	for _, p := range []string{"keep", "gone", "changed", "moded", "d/a", "d/b", "opaque/old", "todir", "deep/x/y/z", "tolink/x", "tofile/x", "xattr", "renamed", "hl/a", "hl/only"} {
		write(t, filepath.Join(low, p), "low "+p)
	}
	must(t, os.Link(low+"/hl/a", low+"/hl/b"), os.Link(low+"/hl/a", low+"/hl/c"), os.Symlink("keep", low+"/link"),
		unix.Mknod(low+"/dev", unix.S_IFCHR|0o600, int(unix.Mkdev(1, 3))), unix.Mkfifo(low+"/fifo", 0o600), os.Chown(low+"/moded", 5, 60),
		unix.Setxattr(low+"/xattr", "user.mine", []byte("low"), 0))
	// The middle layer is made through a view too, then the upper one on top.
	work := filepath.Join(dir, "first", "x")
	must(t, os.MkdirAll(work, 0o755))
	first := overlay(t, mid, low)
	write(t, first+"/mid", "mid")
	write(t, first+"/d/c", "mid")
	write(t, first+"/gone2", "mid")
	must(t, os.Remove(first+"/gone"), os.RemoveAll(first+"/opaque"), os.Mkdir(first+"/opaque", 0o711))
	write(t, first+"/opaque/mid", "mid")
	must(t, unix.Unmount(first, 0), os.RemoveAll(filepath.Join(dir, "work")))

	view := overlay(t, up, low, mid)
	write(t, view+"/gone", "again")
	write(t, view+"/changed", "up")
	write(t, view+"/opaque/up", "up")
	must(t, os.Remove(view+"/gone2"), os.Chmod(view+"/moded", 0o4750), os.Chmod(view+"/d", 0o700), os.Remove(view+"/d/a"),
		os.Remove(view+"/todir"), os.Mkdir(view+"/todir", 0o755), os.RemoveAll(view+"/tolink"), os.Symlink("/", view+"/tolink"),
		os.RemoveAll(view+"/tofile"), os.RemoveAll(view+"/deep/x"), os.Rename(view+"/renamed", view+"/renamed2"),
		unix.Setxattr(view+"/xattr", "user.mine", []byte("up"), 0), os.Remove(view+"/hl/a"), os.Chmod(view+"/hl/b", 0o600),
		os.Link(view+"/changed", view+"/changed2"), unix.Setxattr(view+"/changed", "security.capability", v3cap(1000), 0),
		os.Lchown(view+"/link", 7, 8))
	write(t, view+"/tofile", "file")
	write(t, view+"/deep/x/new", "new")

	got, err := Scan(low, mid, up)
	must(t, err)
	want, err := Scan(view)
	must(t, err)
	g, w := describe(t, got), describe(t, want)
	for p := range w {
		if g[p] != w[p] {
			t.Errorf("%s\n ours %s\n view %s", p, g[p], w[p])
		}
	}
	for p := range g {
		if w[p] == "" {
			t.Errorf("%s is not in the view: %s", p, g[p])
		}
	}
	for i := range got.Entries {
		for _, x := range got.Entries[i].Xattrs {
			if strings.Contains(x.Name, "overlay") {
				t.Errorf("%s has %s", got.Entries[i].Path, x.Name)
			}
		}
	}
}

// v3cap is cap_net_raw+ep of a user namespace whose root is uid (linux/capability.h).
func v3cap(uid uint16) []byte {
	return append([]byte{1, 0, 0, 3, 0, 0x20, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0}, byte(uid), byte(uid>>8), 0, 0)
}

func TestInitialCapability(t *testing.T) {
	v2 := []byte{1, 0, 0, 2, 0, 0x20, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0}
	for _, tc := range []struct{ in, want []byte }{
		{v3cap(7), v2}, {v2, v2}, {nil, nil}, {[]byte{1}, []byte{1}},
		{append(bytes.Clone(v2), 0, 0, 0, 0), append(bytes.Clone(v2), 0, 0, 0, 0)}, // not of revision 3, whatever its length
	} {
		in := bytes.Clone(tc.in)
		if got := initialCapability(in); !bytes.Equal(got, tc.want) {
			t.Errorf("%x: %x, want %x", tc.in, got, tc.want)
		}
		if !bytes.Equal(in, tc.in) {
			t.Errorf("%x has changed to %x", tc.in, in)
		}
	}
}

func TestScanOneLayer(t *testing.T) {
	dir := t.TempDir()
	write(t, dir+"/b", "x")
	write(t, dir+"/a-", "y")
	write(t, dir+"/a/f", "z")
	must(t, os.Link(dir+"/b", dir+"/a/b"), os.Symlink("nowhere", dir+"/l"))
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM, 0)
	must(t, err, unix.Bind(fd, &unix.SockaddrUnix{Name: dir + "/socket"}), unix.Close(fd))
	tr, err := Scan(dir)
	must(t, err)
	if got := tr.spec(); got != "./ a/ a-=y a/b=x a/f=z b=>a/b l->nowhere" {
		t.Error(got)
	}
	if _, err := Scan(dir + "/none"); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("no such layer: %v", err)
	}
	// A socket hides what is below it, and is not there itself.
	low := t.TempDir()
	write(t, low+"/socket", "file")
	if tr, err = Scan(low, dir); err != nil || tr.Find("socket") != nil {
		t.Errorf("%v %v", tr.Find("socket"), err)
	}
}

func TestScanAttributes(t *testing.T) {
	if os.Getuid() != 0 {
		skip(t, "needs root to set attributes")
	}
	dir := t.TempDir()
	write(t, dir+"/f", "x")
	must(t, os.Symlink("f", dir+"/l"))
	long := strings.Repeat("n", 200)
	for i := range 10 { // more names than fit into the first buffer
		if err := unix.Setxattr(dir+"/f", fmt.Sprintf("user.%d%s", i, long), []byte{byte(i)}, 0); err != nil {
			skip(t, "no extended attributes here: "+err.Error())
		}
	}
	must(t, unix.Setxattr(dir+"/f", "user.empty", nil, 0), unix.Lsetxattr(dir+"/l", "trusted.link", []byte("v"), 0))
	tr, err := Scan(dir)
	must(t, err)
	f := tr.Find("f")
	if len(f.Xattrs) != 11 || f.Xattrs[0].Name != "user.0"+long || !bytes.Equal(f.Xattrs[1].Value, []byte{1}) {
		t.Errorf("%d attributes", len(f.Xattrs))
	}
	if l := tr.Find("l"); len(l.Xattrs) != 1 || l.Xattrs[0].Name != "trusted.link" {
		t.Errorf("attributes of the symbolic link: %v", l.Xattrs)
	}
}

// A layer that is not complete by itself cannot be read without overlayfs.
func TestScanRefusesRedirects(t *testing.T) {
	for _, name := range []string{"redirect", "metacopy"} {
		dir := t.TempDir()
		write(t, dir+"/d/f", "x")
		at := dir + "/d"
		if name == "metacopy" {
			at += "/f"
		}
		if err := unix.Setxattr(at, "user.overlay."+name, []byte("/x"), 0); err != nil {
			skip(t, "no extended attributes here: "+err.Error())
		}
		if _, err := Scan(dir); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
