package ext4

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strconv"
	"strings"
	"testing"

	"cloudy/builder/fail"
	"cloudy/builder/tree"
)

func hashFile(t testing.TB, path string) [32]byte {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		t.Fatal(err)
	}
	return [32]byte(h.Sum(nil))
}

func TestSameBytesOnAnyNumberOfCores(t *testing.T) {
	tr := torture(t)
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(0))
	var first [32]byte
	for i, n := range []int{1, 2, 8, 2} {
		runtime.GOMAXPROCS(n)
		sum := hashFile(t, writeImage(t, tr, testOptions(100<<20), 0))
		if i == 0 {
			first = sum
		} else if sum != first {
			t.Errorf("other bytes with GOMAXPROCS=%d", n)
		}
	}
	for name, o := range map[string]Options{"UUID": testOptions(100 << 20), "seed": testOptions(100 << 20)} {
		if name == "UUID" {
			o.UUID[0]++
		} else {
			o.HashSeed[0]++
		}
		path := writeImage(t, tr, o, 0)
		if hashFile(t, path) == first {
			t.Errorf("another %s gives the same bytes", name)
		}
		fsck(t, path, 0)
	}
}

// TestFollow: what is shown while the filesystem is written is what stands in
// the file in the end, in order.
func TestFollow(t *testing.T) {
	tr := torture(t)
	for _, procs := range []int{1, 4} {
		defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(procs))
		const off = 1 << 20
		o := testOptions(1 << 30)
		h, at, pieces := sha256.New(), int64(0), 0
		o.Follow = func(p []byte, to int64) {
			if to < at {
				t.Fatalf("shown %d after %d", to, at)
			}
			_, _ = io.CopyN(h, zeros{}, to-at)
			h.Write(p)
			at = to + int64(len(p))
			pieces++
		}
		path := writeImage(t, tr, o, off)
		info, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		_, _ = io.CopyN(h, zeros{}, info.Size()-at)
		if sum := hashFile(t, path); [32]byte(h.Sum(nil)) != sum {
			t.Errorf("GOMAXPROCS=%d: %d pieces of something else than the file", procs, pieces)
		}
	}
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }

// TestChanged: a block that was a hole when blocks were given out has no place
// for what came later.
func TestChanged(t *testing.T) {
	data := make([]byte, largeFile)
	data[0], data[2*BlockSize] = 1, 1
	tr := &tree.Tree{Entries: []tree.Entry{
		{Path: ".", Type: tree.Dir, Mode: 0o755},
		{Path: "f", Type: tree.File, Mode: 0o644, Data: data, Size: int64(len(data))},
	}}
	o := testOptions(8 << 20)
	var err error
	if o.Content, err = Scan(context.Background(), tr); err != nil {
		t.Fatal(err)
	}
	data[BlockSize] = 1
	f, err := os.Create(filepath.Join(t.TempDir(), "image"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := Write(context.Background(), f, 0, tr, o); err == nil || !strings.Contains(err.Error(), "changed") {
		t.Errorf("written with %v", err)
	}
}

func TestMinSize(t *testing.T) {
	ctx := context.Background()
	for name, tr := range map[string]*tree.Tree{"torture": torture(t), "empty": {}, "files": bigFiles(40)} {
		t.Run(name, func(t *testing.T) {
			o := testOptions(0)
			size, err := MinSize(ctx, tr, o, 0)
			if err != nil {
				t.Fatal(err)
			}
			o.Size = size
			path := writeImage(t, tr, o, 0)
			fsck(t, path, 0)

			o.Size = size - 2<<20
			f, err := os.Create(filepath.Join(t.TempDir(), "small"))
			if err != nil {
				t.Fatal(err)
			}
			defer f.Close()
			_, err = Write(ctx, f, 0, tr, o)
			var small *TooSmallError
			if !errors.As(err, &small) || small.Needed != size || small.Size != o.Size {
				t.Errorf("with 2 MiB less: %v, wanted that it needs %d", err, size)
			}
			if fail.KindOf(err) != fail.User || fail.HintOf(err) == "" {
				t.Errorf("kind %v, hint %q", fail.KindOf(err), fail.HintOf(err))
			}
			if info, _ := f.Stat(); info.Size() != 0 {
				t.Error("wrote something before it saw that the size is too small")
			}

			for _, free := range []int64{1, 100 << 20, 3 << 30} {
				if o.Size, err = MinSize(ctx, tr, o, free); err != nil {
					t.Fatal(err)
				}
				path := writeImage(t, tr, o, 0)
				if got := available(t, path); got < free || got > free+free/10+16<<20 {
					t.Errorf("size %d for %d free leaves %d", o.Size, free, got)
				}
			}
		})
	}
}

// bigFiles is a tree of n files of 8 MiB, every other one all zeros.
func bigFiles(n int) *tree.Tree {
	tr := &tree.Tree{}
	full, empty := pattern(8<<20), make([]byte, 8<<20)
	for i := range n {
		data := full
		if i%2 == 1 {
			data = empty
		}
		tr.Entries = append(tr.Entries, tree.Entry{Path: fmt.Sprintf("%03d", i), Type: tree.File, Mode: 0o644, MTime: epoch, Size: 8 << 20, Data: data})
	}
	return tr
}

// available is what dumpe2fs says an ordinary user can fill, in bytes.
func available(t testing.TB, image string) int64 {
	t.Helper()
	out, err := exec.Command(tool(t, "dumpe2fs"), "-h", image).CombinedOutput()
	if err != nil {
		t.Fatalf("dumpe2fs: %v\n%s", err, out)
	}
	field := func(name string) int64 {
		m := regexp.MustCompile(`(?m)^` + name + `:\s+(\d+)`).FindSubmatch(out)
		if m == nil {
			t.Fatalf("dumpe2fs gives no %s:\n%s", name, out)
		}
		n, _ := strconv.ParseInt(string(m[1]), 10, 64)
		return n
	}
	return (field("Free blocks") - field("Reserved block count")) * BlockSize
}

func TestErrors(t *testing.T) {
	short := filepath.Join(t.TempDir(), "short")
	if err := os.WriteFile(short, make([]byte, 5<<20), 0o600); err != nil {
		t.Fatal(err)
	}
	file := func(path string) tree.Entry { return tree.Entry{Path: path, Type: tree.File} }
	dir := func(path string) tree.Entry { return tree.Entry{Path: path, Type: tree.Dir} }
	xattr := func(name string, n int) tree.Entry {
		return tree.Entry{Path: "a", Type: tree.File, Xattrs: []tree.Xattr{{Name: name, Value: make([]byte, n)}}}
	}
	for _, c := range []struct {
		want        string
		unsupported bool
		entries     []tree.Entry
	}{
		{"content does not have", false, []tree.Entry{{Path: "a", Type: tree.File, Size: 5<<20 + 1, Source: short}}},
		{"content does not have", false, []tree.Entry{{Path: "a", Type: tree.File, Size: 5<<20 - 1, Source: short}}},
		{"content does not have", false, []tree.Entry{{Path: "a", Type: tree.File, Size: 4 << 20, Source: short}}},
		{"content does not have", false, []tree.Entry{{Path: "a", Type: tree.File, Size: 7 << 20, Source: short}}},
		{"content does not have", false, []tree.Entry{{Path: "a", Type: tree.File, Size: 0, Source: short}}},
		{"content does not have", false, []tree.Entry{{Path: "a", Type: tree.File, Size: 4096, Data: make([]byte, 4095)}}},
		{"no such file", false, []tree.Entry{{Path: "a", Type: tree.File, Source: short + "x"}}},
		{"not sorted", false, []tree.Entry{file("b"), file("a")}},
		{"not sorted", false, []tree.Entry{file("a"), file("a")}},
		{"not sorted", false, []tree.Entry{dir("a"), dir(".")}},
		{"not in the tree", false, []tree.Entry{file("a/b")}},
		{"not in the tree", false, []tree.Entry{file("a"), file("a/b")}},
		{"not a path", false, []tree.Entry{dir("a"), dir("a/..")}},
		{"not a path", false, []tree.Entry{dir("a"), dir("a/")}},
		{"not a path", false, []tree.Entry{file("a\x00")}},
		{"name of 256", true, []tree.Entry{file(strings.Repeat("a", 256))}},
		{"target of 4096", true, []tree.Entry{{Path: "a", Type: tree.Symlink, Link: strings.Repeat("a", 4096)}}},
		{"target of 0", true, []tree.Entry{{Path: "a", Type: tree.Symlink}}},
		{"device 4096:0", true, []tree.Entry{{Path: "a", Type: tree.Char, Major: 4096}}},
		{"hard link to \"b\"", false, []tree.Entry{{Path: "a", Type: tree.Hardlink, Link: "b"}, file("b")}},
		{"not a file", false, []tree.Entry{dir("a"), {Path: "b", Type: tree.Hardlink, Link: "a"}}},
		{"unknown type", false, []tree.Entry{{Path: "a", Type: 's'}}},
		{"must be a directory", true, []tree.Entry{file(lostFoundName)}},
		{"larger than a block", true, []tree.Entry{xattr("user.a", 5000)}},
		{"attribute \"nonsense\"", true, []tree.Entry{xattr("nonsense", 1)}},
		{"attribute \"user.\"", true, []tree.Entry{xattr("user.", 1)}},
		{"not a POSIX ACL", true, []tree.Entry{xattr("system.posix_acl_access", 5)}},
	} {
		f, err := os.Create(filepath.Join(t.TempDir(), "image"))
		if err != nil {
			t.Fatal(err)
		}
		_, err = Write(context.Background(), f, 0, &tree.Tree{Entries: c.entries}, testOptions(64<<20))
		if err == nil || !strings.Contains(err.Error(), c.want) || errors.Is(err, ErrUnsupported) != c.unsupported {
			t.Errorf("%v: error %v, want %q (unsupported: %v)", c.entries[0].Path, err, c.want, c.unsupported)
		}
		f.Close()
	}

	for name, change := range map[string]func(*Options){
		"UUID": func(o *Options) { o.UUID = [16]byte{} }, "label": func(o *Options) { o.Label = strings.Repeat("x", 17) },
		"percent": func(o *Options) { o.ReservedPercent = 51 }, "16 TiB": func(o *Options) { o.Size = 1 << 60 },
		"inode": func(o *Options) { o.BytesPerInode = 1 },
	} {
		o := testOptions(64 << 20)
		change(&o)
		if _, err := Write(context.Background(), nil, 0, &tree.Tree{}, o); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("bad %s: %v", name, err)
		}
	}

	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	f, _ := os.Create(filepath.Join(t.TempDir(), "image"))
	defer f.Close()
	if _, err := Write(ctx, f, 0, bigFiles(3), testOptions(64<<20)); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
	if _, err := Write(context.Background(), brokenWriter{}, 0, bigFiles(3), testOptions(64<<20)); fail.KindOf(err) != fail.Host {
		t.Errorf("broken image: %v, kind %v", err, fail.KindOf(err))
	}
}

type brokenWriter struct{}

func (brokenWriter) WriteAt([]byte, int64) (int, error) { return 0, errors.New("disk full") }

func TestManyNames(t *testing.T) {
	for _, c := range []struct{ names, length int }{{60000, 12}, {60000, 255}, {70000, 100}} {
		t.Run(fmt.Sprint(c), func(t *testing.T) {
			want := &tree.Tree{Entries: []tree.Entry{{Path: ".", Type: tree.Dir, Mode: 0o755, MTime: epoch}, {Path: "d", Type: tree.Dir, Mode: 0o755, MTime: epoch}}}
			for i := range c.names {
				e := tree.Entry{Path: fmt.Sprintf("d/%06d%s", i, strings.Repeat("ä", (c.length-6)/2)), Type: tree.File, Mode: 0o644, MTime: epoch}
				if c.length == 100 {
					e.Type = tree.Dir // more than can be counted as links
				}
				want.Entries = append(want.Entries, e)
			}
			want.Sort()
			path := writeImage(t, want, testOptions(1<<30), 0)
			fsck(t, path, 0)
			m, got := openImage(t, path, 0)
			same(t, want, got, fromImage(m))
			if c.length != 255 {
				return
			}
			// The kernel finds names by their hash, over two levels of index.
			dir := mount(t, path, 0)
			for i := 0; i < len(want.Entries); i += 7 {
				if _, err := os.Lstat(filepath.Join(dir, want.Entries[i].Path)); err != nil {
					t.Fatal(err)
				}
			}
			unmount(t, dir)
		})
	}
}

// TestShapes covers what the others do not: sizes and options around the
// limits of the layout.
func TestShapes(t *testing.T) {
	tr := bigFiles(20)
	for name, change := range map[string]func(*Options){
		"many inodes":       func(o *Options) { o.BytesPerInode = 1024; o.Size = 10 << 30 },
		"few inodes":        func(o *Options) { o.BytesPerInode = 1 << 30 },
		"no growth":         func(o *Options) { o.GrowTo = 1 },
		"growth to the end": func(o *Options) { o.GrowTo = 1 << 60 },
		"no reserve":        func(o *Options) { o.ReservedPercent = 0 },
		"no seed, no epoch": func(o *Options) { o.HashSeed = [16]byte{}; o.Epoch = o.Epoch.AddDate(-3000, 0, 0) },
		"after 2038":        func(o *Options) { o.Epoch = o.Epoch.AddDate(30, 0, 0) },
		"odd size":          func(o *Options) { o.Size += 12345 },
		"256 GiB":           func(o *Options) { o.Size = 256 << 30 },
		"large journal":     func(o *Options) { o.Size = 129 << 30; o.BytesPerInode = 2048 },
	} {
		t.Run(name, func(t *testing.T) {
			o := testOptions(300 << 20)
			change(&o)
			path := writeImage(t, tr, o, 0)
			if name == "after 2038" {
				// e2fsck takes it for a clock that is wrong.
				t.Setenv("E2FSCK_TIME", fmt.Sprint(o.Epoch.Unix()+1000))
			}
			fsck(t, path, 0)
			m, got := openImage(t, path, 0)
			same(t, &tree.Tree{Entries: append([]tree.Entry{got.Entries[0]}, tr.Entries...)}, got, fromImage(m))
		})
	}
}

// TestLongFile has a file that the copies of the superblock cut into more
// pieces than an inode has room for.
func TestLongFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "long")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	const size = 900 << 20
	if err := f.Truncate(size); err != nil {
		t.Fatal(err)
	}
	for at := int64(0); at < size; at += BlockSize {
		if _, err := f.WriteAt([]byte{byte(at >> 12), byte(at >> 20), 1}, at); err != nil {
			t.Fatal(err)
		}
	}
	f.Close()
	want := &tree.Tree{Entries: []tree.Entry{{Path: ".", Type: tree.Dir, MTime: epoch}, {Path: "long", Type: tree.File, Size: size, Source: path, MTime: epoch}}}
	o := testOptions(0)
	if o.Size, err = MinSize(context.Background(), want, o, 0); err != nil {
		t.Fatal(err)
	}
	image := writeImage(t, want, o, 0)
	fsck(t, image, 0)
	m, got := openImage(t, image, 0)
	same(t, want, got, fromImage(m))
	c, _ := m.content(mustInode(t, m, lostFoundInode+1))
	if len(c.list) <= rootExtents {
		t.Errorf("%d extents, the test wants more", len(c.list))
	}
}

func mustInode(t testing.TB, m *Image, n uint32) []byte {
	t.Helper()
	raw, err := m.readInode(n)
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

// randomTree makes trees of all kinds out of a seed.
func randomTree(seed uint64) *tree.Tree {
	r := rand.New(rand.NewPCG(seed, 1))
	tr := &tree.Tree{Entries: []tree.Entry{{Path: ".", Type: tree.Dir, Mode: 0o755, MTime: epoch}}}
	dirs, files := []string{""}, []string{}
	used := map[string]bool{".": true}
	for range r.IntN(600) {
		name := make([]byte, 1+r.IntN(1+r.IntN(255)))
		for i := range name {
			if name[i] = byte(1 + r.IntN(255)); name[i] == '/' {
				name[i] = '-'
			}
		}
		path := dirs[r.IntN(len(dirs))] + string(name)
		if used[path] || string(name) == "." || string(name) == ".." || len(path) > 3000 {
			continue
		}
		used[path] = true
		e := tree.Entry{Path: path, Mode: uint32(r.IntN(0o10000)), UID: r.Uint32(), GID: r.Uint32(), MTime: epoch.Add(-1 << r.IntN(62))}
		switch r.IntN(10) {
		default:
			e.Type = tree.File
			e.Data = pattern(r.IntN(1 << r.IntN(21)))
			for at := 0; at+BlockSize < len(e.Data); at += BlockSize * (1 + r.IntN(4)) {
				clear(e.Data[at : at+BlockSize])
			}
			e.Size = int64(len(e.Data))
		case 0, 1, 2:
			e.Type = tree.Dir
			dirs = append(dirs, path+"/")
		case 3:
			e.Type, e.Link = tree.Symlink, strings.Repeat("l", 1+r.IntN(1<<(1+r.IntN(11))))
		case 4:
			e.Type, e.Major, e.Minor = tree.Char, r.Uint32N(1<<12), r.Uint32N(1<<20)
		case 5:
			if len(files) == 0 {
				continue
			}
			e = tree.Entry{Path: path, Type: tree.Hardlink, Link: files[r.IntN(len(files))]}
			if tree.Compare(e.Link, path) > 0 {
				continue
			}
		}
		if e.Type == tree.File {
			files = append(files, path)
		}
		if e.Type != tree.Hardlink {
			for i := range r.IntN(4) {
				n := r.IntN(1 << r.IntN(10))
				e.Xattrs = append(e.Xattrs, tree.Xattr{Name: []string{"security.", "trusted.", "user."}[i%3] + string('a'+rune(r.IntN(26))), Value: pattern(n)})
			}
		}
		tr.Entries = append(tr.Entries, e)
	}
	tr.Sort()
	return tr
}

func FuzzWrite(f *testing.F) {
	for seed := range uint64(12) {
		f.Add(seed, uint16(40+seed*3))
	}
	f.Fuzz(func(t *testing.T, seed uint64, mib uint16) {
		want := randomTree(seed)
		o := testOptions(int64(mib) << 20)
		size, err := MinSize(context.Background(), want, o, 0)
		if err != nil {
			t.Fatal(err)
		}
		o.Size = max(size, o.Size)
		path := writeImage(t, want, o, 0)
		fsck(t, path, 0)
		m, got := openImage(t, path, 0)
		same(t, want, got, fromImage(m))
	})
}

func TestHashAgainstDebugfs(t *testing.T) {
	debugfs := tool(t, "debugfs")
	for _, name := range []string{"a", "abc", "abcd", "żółć", "\xff\x80x", strings.Repeat("long", 20), strings.Repeat("x", 32), strings.Repeat("z", 255)} {
		out, err := exec.Command(debugfs, "-R", "dx_hash -h half_md4 -s 00000000-0000-0000-0000-000000000000 "+name).CombinedOutput()
		if err != nil {
			t.Fatalf("debugfs: %v\n%s", err, out)
		}
		major, minor := halfMD4(name, [4]uint32{})
		if want := fmt.Sprintf("is 0x%08x (minor 0x%08x)", major, minor); !strings.Contains(string(out), want) {
			t.Errorf("%q: %s, debugfs: %s", name, want, out)
		}
	}
}
