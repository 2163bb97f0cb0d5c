package container

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"cloudy/builder/fail"
	"cloudy/builder/tree"
	"cloudy/targets"
	"cloudy/targets/compress"
)

var epoch = time.Unix(1760000000, 0).UTC()

// treeOf makes a tree: "dir/" for a directory, "name -> target" for a link,
// and name with content for a file.
func treeOf(files map[string]string) *tree.Tree {
	t := &tree.Tree{Entries: []tree.Entry{{Path: ".", Type: tree.Dir, Mode: 0o755}}}
	seen := map[string]bool{".": true}
	var dir func(p string)
	dir = func(p string) {
		if !seen[p] {
			seen[p] = true
			dir(filepath.Dir(p))
			t.Entries = append(t.Entries, tree.Entry{Path: p, Type: tree.Dir, Mode: 0o755})
		}
	}
	for name, content := range files {
		if d, ok := strings.CutSuffix(name, "/"); ok {
			dir(d)
			continue
		}
		dir(filepath.Dir(name))
		e := tree.Entry{Path: name, Type: tree.File, Mode: 0o644, Data: []byte(content), Size: int64(len(content))}
		if target, ok := strings.CutPrefix(content, "-> "); ok {
			e = tree.Entry{Path: name, Type: tree.Symlink, Mode: 0o777, Link: target}
		}
		if target, ok := strings.CutPrefix(content, "=> "); ok {
			e = tree.Entry{Path: name, Type: tree.Hardlink, Link: target}
		}
		t.Entries = append(t.Entries, e)
	}
	t.Sort()
	return t
}

func names(t *tree.Tree) []string {
	var out []string
	for _, e := range t.Entries {
		out = append(out, e.Path)
	}
	return out
}

func TestRoot(t *testing.T) {
	in := treeOf(map[string]string{
		"boot/vmlinuz-6": "k", "boot/grub/grub.cfg": "g", "vmlinuz": "-> boot/vmlinuz-6", "initrd.img.old": "-> x",
		"usr/lib/modules/6/a.ko": "m", "usr/lib/modules-load.d/x": "stays", "usr/share/kept": "=> boot/zz", "usr/share/kept2": "=> boot/zz", "boot/zz": "content",
		"dev/null": "", "dev/pts/": "", "proc/x": "", "run/lock/": "", "sys/x": "", "tmp/": "",
		"etc/machine-id": "0123", "var/lib/dbus/machine-id": "-> /etc/machine-id",
		"etc/fstab": "# a comment = stays\nUUID=1 / ext4 defaults 0 1\nLABEL=ESP /boot/efi vfat x 0 1\n/dev/sda2 /srv ext4 x 0 2\n/swapfile none swap sw 0 0\ntmpfs /tmp tmpfs size=1G 0 0\n",
	})
	before := strings.Join(names(in), " ")
	out := New(in, epoch).Tree()
	want := []string{
		".", "boot", "dev", "etc", "etc/fstab", "etc/machine-id", "proc", "run", "sys", "tmp", "usr", "usr/lib", "usr/lib/modules", "usr/lib/modules-load.d",
		"usr/lib/modules-load.d/x", "usr/share", "usr/share/kept", "usr/share/kept2", "var", "var/lib", "var/lib/dbus",
	}
	if got := names(out); !slices.Equal(got, want) {
		t.Errorf("got  %v\nwant %v", got, want)
	}
	for p, content := range map[string]string{
		"etc/machine-id": "uninitialized\n", "etc/fstab": "# a comment = stays\ntmpfs /tmp tmpfs size=1G 0 0\n", "usr/share/kept": "content", "usr/share/kept2": "content",
	} {
		if got, ok := Read(out, p); !ok || got != content {
			t.Errorf("%s: %q, want %q", p, got, content)
		}
	}
	if e := out.Find("usr/share/kept2"); e.Type != tree.Hardlink || e.Link != "usr/share/kept" {
		t.Errorf("the second name is %+v", e)
	}
	if after := strings.Join(names(in), " "); after != before {
		t.Errorf("the tree itself changed to %s", after)
	}
}

// TestRemoveAndPut holds that the later of both counts.
func TestRemoveAndPut(t *testing.T) {
	r := New(treeOf(map[string]string{"etc/hostname": "old"}), epoch)
	r.Remove("etc/machine-id")
	r.Text("etc/a/b", "new")
	r.Remove("etc/a")
	r.Remove("etc/hostname")
	r.Text("etc/hostname", "new\n")
	out := r.Tree()
	if got := names(out); !slices.Equal(got, []string{".", "etc", "etc/hostname"}) {
		t.Errorf("got %v", got)
	}
	if e := out.Find("etc/hostname"); !e.MTime.Equal(epoch) || e.Size != 4 {
		t.Errorf("got %+v", e)
	}
}

func TestHosts(t *testing.T) {
	for text, want := range map[string]bool{
		"":                                   true,
		"127.0.0.1 localhost\n::1 ip6\n#x\n": true,
		"127.0.0.1 localhost\n10.1.2.3 db\n": false,
		"2001:db8::1 db":                     false,
	} {
		r := New(treeOf(map[string]string{"etc/hosts": text}), epoch)
		if got, ok := r.Hosts("NAME"); ok != want || ok && !strings.Contains(got, "127.0.1.1\tNAME\n") {
			t.Errorf("%q: %v %q", text, ok, got)
		}
	}
}

func TestBelow(t *testing.T) {
	out := Below("rootfs", treeOf(map[string]string{"a": "x", "b/c": "=> a", "l": "-> a"}))
	if got := names(out); !slices.Equal(got, []string{"rootfs", "rootfs/a", "rootfs/b", "rootfs/b/c", "rootfs/l"}) {
		t.Errorf("got %v", got)
	}
	if e := out.Find("rootfs/b/c"); e.Link != "rootfs/a" {
		t.Errorf("the hard link names %s", e.Link)
	}
	if e := out.Find("rootfs/l"); e.Link != "a" {
		t.Errorf("the symbolic link names %s", e.Link)
	}
}

func TestReleaseOf(t *testing.T) {
	got := ReleaseOf(treeOf(map[string]string{"etc/os-release": "-> ../usr/lib/os-release", "usr/lib/os-release": "PRETTY_NAME=\"Debian GNU/Linux 13 (trixie)\"\nVERSION_ID=\"13\"\nID=debian\nVERSION_CODENAME=trixie\n"}))
	if want := (Release{"debian", "13", "trixie", "Debian GNU/Linux 13 (trixie)"}); got != want {
		t.Errorf("got %+v", got)
	}
}

// TestSet holds that a set leaves nothing behind but what was committed.
func TestSet(t *testing.T) {
	dir := t.TempDir()
	ctx := context.Background()
	r := &targets.Request{OutDir: dir}
	set := NewSet(r)
	if _, err := set.Text(ctx, "a", targets.Artefact{Usage: "u"}, "text"); err != nil {
		t.Fatal(err)
	}
	boom := errors.New("boom")
	if _, err := set.Add(ctx, "b", targets.Artefact{}, func(context.Context, *targets.Output) error { return boom }); !errors.Is(err, boom) {
		t.Fatalf("got %v", err)
	}
	set.Discard()
	if left, _ := os.ReadDir(dir); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
	set = NewSet(r)
	defer set.Discard()
	tr := treeOf(map[string]string{"x": "y"})
	if _, err := set.Tar(ctx, "t.tar.gz", TarArtefact(compress.Gzip, "u"), compress.Gzip, tr, "./"); err != nil {
		t.Fatal(err)
	}
	list, err := set.Commit(ctx)
	if err != nil || len(list) != 1 || list[0].MediaType != "application/x-tar+gzip" || list[0].Format != "tar.gz" {
		t.Fatalf("%+v, %v", list, err)
	}
	f, err := os.Open(list[0].Path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	back, err := tree.ReadTar(z, t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	var a, b bytes.Buffer
	if err := errors.Join(back.WriteTar(ctx, &a, tree.TarOptions{}), tr.WriteTar(ctx, &b, tree.TarOptions{})); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(a.Bytes(), b.Bytes()) {
		t.Error("another tree came back")
	}
}

func TestCompression(t *testing.T) {
	if f, err := Compression("t", "", compress.Gzip, compress.XZ); f != compress.Gzip || err != nil {
		t.Error(f, err)
	}
	if _, err := Compression("t", "zstd", compress.Gzip, compress.Gzip, compress.XZ); fail.KindOf(err) != fail.User {
		t.Error(err)
	}
}
