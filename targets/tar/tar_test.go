package tar

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"cloudy/builder/fail"
	"cloudy/builder/tree"
	"cloudy/targets"
	"cloudy/targets/compress"
	"cloudy/targets/internal/targettest"
)

var epoch = time.Unix(1760000000, 0).UTC()

// root is a tree with one entry of each kind.
func root() *tree.Tree {
	t := &tree.Tree{}
	add := func(e tree.Entry) {
		e.MTime = epoch
		e.Size = int64(len(e.Data))
		t.Entries = append(t.Entries, e)
	}
	add(tree.Entry{Path: ".", Type: tree.Dir, Mode: 0o755})
	add(tree.Entry{Path: "dev", Type: tree.Dir, Mode: 0o755})
	add(tree.Entry{Path: "dev/null", Type: tree.Char, Mode: 0o666, Major: 1, Minor: 3})
	add(tree.Entry{Path: "etc", Type: tree.Dir, Mode: 0o755})
	add(tree.Entry{Path: "etc/big", Type: tree.File, Mode: 0o644, Data: bytes.Repeat([]byte("0123456789abcdef"), 200_000)})
	add(tree.Entry{Path: "etc/shadow", Type: tree.File, Mode: 0o640, GID: 42, Data: []byte("root:*:::::::\n")})
	add(tree.Entry{Path: "etc/shadow.again", Type: tree.Hardlink, Mode: 0o640, GID: 42, Link: "etc/shadow"})
	add(tree.Entry{Path: "home", Type: tree.Dir, Mode: 0o755, UID: 1000, GID: 1000})
	long := "home/" + strings.Repeat("ü", 100) + ".txt"
	add(tree.Entry{Path: long, Type: tree.File, Mode: 0o4755, UID: 70000, GID: 70000, Data: []byte("ü")})
	add(tree.Entry{Path: "lib", Type: tree.Symlink, Mode: 0o777, Link: "usr/lib"})
	add(tree.Entry{Path: "ping", Type: tree.File, Mode: 0o755, Xattrs: []tree.Xattr{{Name: "security.capability", Value: []byte{1, 0, 0, 2, 0, 32, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0}}}})
	t.Sort()
	return t
}

func request(t *testing.T, compress string) targets.Request {
	return targets.Request{
		Image: "minbase", Arch: "amd64", Root: root(), Epoch: epoch,
		OutDir: t.TempDir(), BaseName: "minbase-amd64", Options: Options{Compress: compress},
	}
}

func TestBuild(t *testing.T) {
	gnu, err := exec.LookPath("tar")
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range compress.Formats() {
		t.Run(string(f), func(t *testing.T) {
			if _, err := exec.LookPath(string(f)); err != nil && f != compress.None {
				if os.Getenv("CLOUDY_REQUIRE_ALL") != "" {
					t.Fatal(err)
				}
				t.Skip(err)
			}
			r := request(t, string(f))
			made, err := Target{}.Build(context.Background(), r)
			if err != nil {
				t.Fatal(err)
			}
			if len(made) != 1 || made[0].Path != filepath.Join(r.OutDir, "minbase-amd64.tar"+f.Suffix()) {
				t.Fatalf("made %+v", made)
			}
			// GNU tar is the judge. It finds the compression out by itself.
			list, err := exec.Command(gnu, "--numeric-owner", "--xattrs", "--full-time", "--utc", "--quoting-style=literal", "-tvf", made[0].Path).CombinedOutput()
			if err != nil {
				t.Fatalf("tar: %v\n%s", err, list)
			}
			for _, want := range []string{
				"drwxr-xr-x  0/0               0 2025-10-09 08:53:20 ./\n",
				" 1,3 2025-10-09 08:53:20 ./dev/null\n",
				"-rw-r-----  0/42             14 2025-10-09 08:53:20 ./etc/shadow\n",
				"./etc/shadow.again link to ./etc/shadow\n",
				"-rwsr-xr-x  70000/70000       2 ",
				"./lib -> usr/lib\n",
				strings.Repeat("ü", 100),
			} {
				// The width of columns follows the entries.
				if !strings.Contains(squeeze(string(list)), squeeze(want)) {
					t.Errorf("no %q in\n%s", want, list)
				}
			}
			big, err := exec.Command(gnu, "-xOf", made[0].Path, "./etc/big").Output()
			if want := root().Find("etc/big").Data; err != nil || !bytes.Equal(big, want) {
				t.Errorf("etc/big has %d bytes, want %d (%v)", len(big), len(want), err)
			}
			left, err := filepath.Glob(filepath.Join(r.OutDir, ".*"))
			if err != nil || len(left) > 0 {
				t.Errorf("left over: %v %v", left, err)
			}
		})
	}
}

func squeeze(s string) string {
	for strings.Contains(s, "  ") {
		s = strings.ReplaceAll(s, "  ", " ")
	}
	return s
}

// TestSameBits builds on one core and on several.
func TestSameBits(t *testing.T) {
	for _, f := range compress.Formats() {
		var sums []string
		for _, cores := range []int{1, 2, 4} {
			old := runtime.GOMAXPROCS(cores)
			made, err := Target{}.Build(context.Background(), request(t, string(f)))
			runtime.GOMAXPROCS(old)
			if err != nil {
				t.Fatal(err)
			}
			sums = append(sums, made[0].SHA256)
		}
		if sums[0] != sums[1] || sums[0] != sums[2] {
			t.Errorf("%s: %v", f, sums)
		}
	}
}

func TestCapability(t *testing.T) {
	made, err := Target{}.Build(context.Background(), request(t, "none"))
	if err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(made[0].Path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for r := tar.NewReader(f); ; {
		h, err := r.Next()
		if err != nil {
			t.Fatalf("no ./ping with its capability: %v", err)
		}
		if h.Name == "./ping" {
			if v := h.PAXRecords["SCHILY.xattr.security.capability"]; len(v) != 20 {
				t.Errorf("capability is %q", v)
			}
			return
		}
	}
}

func TestOptions(t *testing.T) {
	for _, c := range []struct {
		options any
		want    compress.Format
	}{
		{nil, compress.Zstd}, {Options{}, compress.Zstd}, {&Options{Compress: "xz"}, compress.XZ}, {Options{Compress: "none"}, compress.None},
	} {
		if got, err := format(c.options); got != c.want || err != nil {
			t.Errorf("%v: %q, %v", c.options, got, err)
		}
	}
	err := Target{}.Validate("amd64", Options{Compress: "rar"})
	if err == nil || fail.KindOf(err) != fail.User {
		t.Errorf("rar: %v", err)
	}
	if err := (Target{}).Validate("amd64", 7); err == nil {
		t.Error("a number as options is well")
	}
}

// TestFails leaves nothing behind when a file cannot be read or time is up.
func TestFails(t *testing.T) {
	bad := errors.New("bad block")
	gone, cancel := context.WithCancel(context.Background())
	cancel()
	for name, c := range map[string]struct {
		ctx  context.Context
		size int64
		open func() (io.ReadCloser, error)
	}{
		"read":    {context.Background(), 5, func() (io.ReadCloser, error) { return nil, bad }},
		"short":   {context.Background(), 5, func() (io.ReadCloser, error) { return io.NopCloser(strings.NewReader("x")), nil }},
		"stopped": {gone, 1, func() (io.ReadCloser, error) { return io.NopCloser(strings.NewReader("x")), nil }},
	} {
		for _, f := range compress.Formats() {
			t.Run(fmt.Sprint(name, f), func(t *testing.T) {
				r := request(t, string(f))
				r.Root.Entries = append(r.Root.Entries, tree.Entry{Path: "zz", Type: tree.File, Size: c.size, Content: c.open})
				if made, err := (Target{}).Build(c.ctx, r); err == nil {
					t.Fatalf("made %v", made)
				}
				left, err := os.ReadDir(r.OutDir)
				if err != nil || len(left) > 0 {
					t.Errorf("left over: %v %v", left, err)
				}
			})
		}
	}
}

func TestFullDisk(t *testing.T) {
	targettest.Full(t, Target{}, root(), Options{Compress: "none"})
}
