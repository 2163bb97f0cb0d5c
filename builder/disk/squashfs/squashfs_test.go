package squashfs

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
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

func missing(t *testing.T, why string) {
	t.Helper()
	if os.Getenv("CLOUDY_REQUIRE_ALL") != "" {
		t.Fatal(why)
	}
	t.Skip(why)
}

var epoch = time.Unix(1760000000, 0).UTC()

// hard is a tree with everything that is hard to get right.
func hard() *tree.Tree {
	t := &tree.Tree{}
	add := func(e tree.Entry) {
		if e.MTime.IsZero() {
			e.MTime = epoch
		}
		if e.Mode == 0 {
			e.Mode = 0o644
		}
		e.Size = int64(len(e.Data))
		t.Entries = append(t.Entries, e)
	}
	dir := func(p string) { add(tree.Entry{Path: p, Type: tree.Dir, Mode: 0o755}) }
	r := rand.New(rand.NewPCG(1, 2))
	random := func(n int) []byte {
		b := make([]byte, n)
		for i := range b {
			b[i] = byte(r.Uint32())
		}
		return b
	}
	dir(".")
	dir("a")
	dir("empty")
	dir("dev")
	dir("many")
	dir("nested")
	dir("nested/deep")
	add(tree.Entry{Path: "nested/deep/file", Type: tree.File, Data: []byte("x")})
	add(tree.Entry{Path: "a/set", Type: tree.File, Mode: 0o4755, UID: 70000, GID: 4000000000, Data: []byte("#!"), Xattrs: []tree.Xattr{
		{Name: "security.capability", Value: []byte("\x01\x00\x00\x02\x00\x20\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00")},
		{Name: "user.long", Value: bytes.Repeat([]byte("v"), 3000)},
	}})
	add(tree.Entry{Path: "a/same", Type: tree.File, Data: []byte("y"), Xattrs: []tree.Xattr{{Name: "user.a", Value: []byte{0, 1}}, {Name: "user.b", Value: nil}}})
	add(tree.Entry{Path: "a/same2", Type: tree.File, Data: []byte("z"), Xattrs: []tree.Xattr{{Name: "user.a", Value: []byte{0, 1}}, {Name: "user.b", Value: nil}}})
	add(tree.Entry{Path: "a/" + strings.Repeat("n", 255), Type: tree.File, Data: []byte("long name")})
	add(tree.Entry{Path: "a/grüße", Type: tree.Symlink, Mode: 0o777, Link: strings.Repeat("../", 600) + "ä"})
	add(tree.Entry{Path: "a/hard", Type: tree.File, Data: random(300000)})
	add(tree.Entry{Path: "a/link", Type: tree.Hardlink, Link: "a/hard"})
	add(tree.Entry{Path: "nested/link", Type: tree.Hardlink, Link: "a/hard"})
	add(tree.Entry{Path: "a/sticky", Type: tree.Dir, Mode: 0o1777, Xattrs: []tree.Xattr{{Name: "user.dir", Value: []byte("d")}}})
	add(tree.Entry{Path: "a/zeros", Type: tree.File, Data: slices.Concat(make([]byte, 1<<20), []byte("end"))})
	add(tree.Entry{Path: "a/allzero", Type: tree.File, Data: make([]byte, 1<<18)})
	add(tree.Entry{Path: "a/nothing", Type: tree.File})
	add(tree.Entry{Path: "a/block", Type: tree.File, Data: random(128 << 10)})
	add(tree.Entry{Path: "a/below", Type: tree.File, Data: random(128<<10 - 1)})
	add(tree.Entry{Path: "a/packs", Type: tree.File, Data: bytes.Repeat([]byte("compresses well "), 60000)})
	add(tree.Entry{Path: "a/old", Type: tree.File, MTime: time.Unix(0, 0)})
	add(tree.Entry{Path: "a/late", Type: tree.File, MTime: time.Unix(4200000000, 0)})
	add(tree.Entry{Path: "dev/null", Type: tree.Char, Mode: 0o666, Major: 1, Minor: 3})
	add(tree.Entry{Path: "dev/far", Type: tree.Block, Mode: 0o660, Major: 259, Minor: 70000})
	add(tree.Entry{Path: "dev/pipe", Type: tree.Fifo, Mode: 0o600})
	for i := range 6000 {
		add(tree.Entry{Path: fmt.Sprintf("many/%05d-%s", i, strings.Repeat("m", i%40)), Type: tree.File, Data: []byte(fmt.Sprint(i))})
	}
	t.Sort()
	return t
}

func write(t testing.TB, tr *tree.Tree, o Options) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "root.squashfs")
	f, err := os.Create(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	o.Epoch = epoch
	n, err := Write(context.Background(), f, 0, tr, o)
	if err != nil {
		t.Fatal(err)
	}
	if st, _ := f.Stat(); st.Size() != n || n%4096 != 0 {
		t.Errorf("%d bytes written, %d said", st.Size(), n)
	}
	return file
}

// same compares a tree on disk with the one that was written.
func same(t *testing.T, dir string, want *tree.Tree) {
	t.Helper()
	got, err := tree.Scan(dir)
	if err != nil {
		t.Fatal(err)
	}
	equal(t, got, want)
}

func equal(t *testing.T, got, want *tree.Tree) {
	t.Helper()
	if len(got.Entries) != len(want.Entries) {
		t.Errorf("%d entries, want %d", len(got.Entries), len(want.Entries))
	}
	for i := range want.Entries {
		w := &want.Entries[i]
		g := got.Find(w.Path)
		if g == nil {
			t.Errorf("%s is missing", w.Path)
			continue
		}
		line := func(e *tree.Entry) string {
			s := fmt.Sprintf("%c %o %d:%d %d %q %d,%d %d", e.Type, e.Mode, e.UID, e.GID, e.Size, e.Link, e.Major, e.Minor, e.MTime.Unix())
			for _, x := range e.Xattrs {
				s += fmt.Sprintf(" %s=%q", x.Name, x.Value)
			}
			return s
		}
		if w.Type == tree.Hardlink {
			if g.Type != tree.Hardlink || g.Link != w.Link {
				t.Errorf("%s is no hard link to %s", w.Path, w.Link)
			}
			continue
		}
		if a, b := line(g), line(w); a != b {
			t.Errorf("%s:\n%.300s, want\n%.300s", w.Path, a, b)
		}
		if w.Type == tree.File {
			if data, err := g.Read(); err != nil || !bytes.Equal(data, w.Data) {
				t.Errorf("%s: other content (%v)", w.Path, err)
			}
		}
	}
}

var variants = []Options{
	{Compressor: Zstd}, {Compressor: Gzip}, {Compressor: Zstd, BlockSize: 1 << 20}, {Compressor: Gzip, BlockSize: 4096},
}

// TestUnsquashfs lets squashfs-tools unpack everything.
func TestUnsquashfs(t *testing.T) {
	if _, err := exec.LookPath("unsquashfs"); err != nil {
		missing(t, "squashfs-tools is not installed")
	}
	if os.Geteuid() != 0 {
		missing(t, "only root unpacks owners and device nodes")
	}
	for _, o := range variants {
		t.Run(fmt.Sprintf("%d-%d", o.Compressor, o.BlockSize), func(t *testing.T) {
			tr := hard()
			file := write(t, tr, o)
			dir := filepath.Join(t.TempDir(), "out")
			out, err := exec.Command("unsquashfs", "-strict-errors", "-d", dir, file).CombinedOutput()
			if err != nil {
				t.Fatalf("%v\n%s", err, out)
			}
			same(t, dir, tr)
		})
	}
}

// TestMount lets the kernel read everything.
func TestMount(t *testing.T) {
	if os.Geteuid() != 0 {
		missing(t, "only root mounts")
	}
	for _, o := range variants {
		t.Run(fmt.Sprintf("%d-%d", o.Compressor, o.BlockSize), func(t *testing.T) {
			tr := hard()
			file, dir := write(t, tr, o), t.TempDir()
			if out, err := exec.Command("mount", "-t", "squashfs", "-o", "loop,ro", file, dir).CombinedOutput(); err != nil {
				missing(t, fmt.Sprintf("mount: %v: %s", err, out))
			}
			defer func() {
				if err := unix.Unmount(dir, 0); err != nil {
					t.Error(err)
				}
			}()
			same(t, dir, tr)
		})
	}
}

func TestReproducible(t *testing.T) {
	a, err := os.ReadFile(write(t, hard(), Options{}))
	if err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(write(t, hard(), Options{}))
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(a, b) {
		t.Error("the same tree gave two different filesystems")
	}
}

// TestOffset puts the filesystem behind something else.
func TestOffset(t *testing.T) {
	whole, err := os.ReadFile(write(t, hard(), Options{}))
	if err != nil {
		t.Fatal(err)
	}
	f, err := os.Create(filepath.Join(t.TempDir(), "x"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := Write(context.Background(), f, 12345, hard(), Options{Epoch: epoch}); err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile(f.Name())
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got[12345:], whole) {
		t.Error("the place changed the filesystem")
	}
}

func TestRefused(t *testing.T) {
	root := tree.Entry{Path: ".", Type: tree.Dir, Mode: 0o755}
	cancelled, cancel := context.WithCancel(context.Background())
	cancel()
	for name, c := range map[string]struct {
		ctx   context.Context
		tree  []tree.Entry
		o     Options
		cause error
	}{
		"no root":     {tree: []tree.Entry{{Path: "a", Type: tree.File}}},
		"no parent":   {tree: []tree.Entry{root, {Path: "a/b", Type: tree.File}}},
		"in a file":   {tree: []tree.Entry{root, {Path: "a", Type: tree.File}, {Path: "a/b", Type: tree.File}}},
		"dangling":    {tree: []tree.Entry{root, {Path: "a", Type: tree.Hardlink, Link: "b"}}},
		"long name":   {tree: []tree.Entry{root, {Path: strings.Repeat("n", 257), Type: tree.File}}, cause: ErrLimit},
		"too short":   {tree: []tree.Entry{root, {Path: "a", Type: tree.File, Size: 5, Data: []byte("four")}}},
		"too long":    {tree: []tree.Entry{root, {Path: "a", Type: tree.File, Size: 3, Data: []byte("four")}}},
		"no file":     {tree: []tree.Entry{root, {Path: "a", Type: tree.File, Size: 3, Source: "/does/not/exist"}}, cause: os.ErrNotExist},
		"odd blocks":  {tree: []tree.Entry{root}, o: Options{BlockSize: 5000}},
		"no such way": {tree: []tree.Entry{root}, o: Options{Compressor: 9}},
		"cancelled":   {ctx: cancelled, tree: []tree.Entry{root, {Path: "a", Type: tree.File, Size: 4, Data: []byte("four")}}, cause: context.Canceled},
	} {
		t.Run(name, func(t *testing.T) {
			f, err := os.Create(filepath.Join(t.TempDir(), "x"))
			if err != nil {
				t.Fatal(err)
			}
			defer f.Close()
			ctx := c.ctx
			if ctx == nil {
				ctx = context.Background()
			}
			if _, err = Write(ctx, f, 0, &tree.Tree{Entries: c.tree}, c.o); err == nil {
				t.Fatal("no error")
			}
			if c.cause != nil && !errors.Is(err, c.cause) {
				t.Errorf("%v is not %v", err, c.cause)
			}
		})
	}
}
