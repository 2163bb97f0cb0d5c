package ext4

import (
	"context"
	"encoding/binary"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"cloudy/builder/tree"
)

var epoch = time.Date(2025, 8, 9, 10, 0, 0, 0, time.UTC)

func testOptions(size int64) Options {
	return Options{
		UUID:     [16]byte{0xc1, 0x0d, 1, 2, 3, 4, 0x45, 6, 0x87, 8, 9, 10, 11, 12, 13, 14},
		HashSeed: [16]byte{0x5e, 0xed, 1, 2, 3, 4, 0x45, 6, 0x87, 8, 9, 10, 11, 12, 13, 14},
		Label:    "cloudy",
		Size:     size, Epoch: epoch, ReservedPercent: 5,
	}
}

// need skips the test, or fails it where everything must be there.
func need(t testing.TB, reason string) {
	t.Helper()
	if os.Getenv("CLOUDY_REQUIRE_ALL") != "" {
		t.Fatal(reason)
	}
	t.Skip(reason)
}

// tool returns the path of a program of e2fsprogs.
func tool(t testing.TB, name string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		if path = "/sbin/" + name; exec.Command(path, "-V").Run() != nil {
			need(t, name+" is not installed")
		}
	}
	return path
}

// writeImage writes the tree into a new sparse file at offset off.
func writeImage(t testing.TB, tr *tree.Tree, o Options, off int64) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "image")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := Write(context.Background(), f, off, tr, o); err != nil {
		t.Fatal(err)
	}
	if err := f.Truncate(off + o.Size); err != nil {
		t.Fatal(err)
	}
	return path
}

// fsck runs e2fsck without changing anything and fails on the least remark.
func fsck(t testing.TB, image string, off int64) {
	t.Helper()
	args := []string{"-fn"}
	target := image
	if off > 0 {
		target = fmt.Sprintf("%s?offset=%d", image, off)
	}
	out, err := exec.Command(tool(t, "e2fsck"), append(args, target)...).CombinedOutput()
	if err != nil {
		t.Fatalf("e2fsck: %v\n%s", err, clip(out))
	}
	for _, line := range strings.Split(strings.TrimSpace(string(out)), "\n") {
		if !strings.HasPrefix(line, "Pass ") && !strings.HasPrefix(line, "e2fsck ") && !strings.Contains(line, "non-contiguous") {
			t.Fatalf("e2fsck says: %s", line)
		}
	}
}

func clip(out []byte) string {
	if len(out) > 3000 {
		return string(out[:3000]) + "..."
	}
	return string(out)
}

func acl(entries ...[3]uint32) []byte {
	b := binary.LittleEndian.AppendUint32(nil, 2)
	for _, e := range entries {
		b = binary.LittleEndian.AppendUint16(b, uint16(e[0]))
		b = binary.LittleEndian.AppendUint16(b, uint16(e[1]))
		b = binary.LittleEndian.AppendUint32(b, e[2])
	}
	return b
}

func capability() []byte {
	b := binary.LittleEndian.AppendUint32(nil, 0x02000001)
	return append(b, 0, 0x20, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0)
}

func pattern(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(i*7+i>>8*13) | 1
	}
	return b
}

// torture is a tree with one of everything that is hard.
func torture(t testing.TB) *tree.Tree {
	t.Helper()
	dir := t.TempDir()
	var tr tree.Tree
	add := func(e tree.Entry) {
		if e.MTime.IsZero() {
			e.MTime = epoch.Add(-time.Hour)
		}
		if e.Type == tree.File && e.Source == "" {
			e.Size = int64(len(e.Data))
		}
		if e.Mode == 0 {
			e.Mode = 0o755
		}
		tr.Entries = append(tr.Entries, e)
	}
	add(tree.Entry{Path: ".", Type: tree.Dir, Mode: 0o755})
	for _, d := range []string{"bin", "dev", "sizes", "names", "links", "xattr", "many", "times"} {
		add(tree.Entry{Path: d, Type: tree.Dir})
	}
	add(tree.Entry{Path: "tmp", Type: tree.Dir, Mode: 0o1777})
	for _, n := range []int{0, 1, 4095, 4096, 4097, 1<<20 - 1, 1 << 20, 1<<20 + 1, 5<<20 + 17} {
		add(tree.Entry{Path: fmt.Sprintf("sizes/%d", n), Type: tree.File, Mode: 0o644, Data: pattern(n)})
	}
	add(tree.Entry{Path: "sizes/zeros", Type: tree.File, Mode: 0o600, Data: make([]byte, 7<<20+5)})
	striped := make([]byte, 3000*BlockSize)
	for i := 0; i < len(striped); i += 2 * BlockSize {
		copy(striped[i:], pattern(BlockSize))
	}
	add(tree.Entry{Path: "sizes/striped", Type: tree.File, Data: striped})
	few := pattern(largeFile)
	for _, b := range []int{1, 2, 7, 700} {
		clear(few[b*BlockSize:][:BlockSize])
	}
	add(tree.Entry{Path: "sizes/few-holes", Type: tree.File, Data: few})
	add(tree.Entry{Path: "sizes/small-zeros", Type: tree.File, Data: make([]byte, largeFile-1)})
	add(tree.Entry{Path: "sizes/sparse", Type: tree.File, Size: 3 << 30, Source: sparseFile(t, dir)})

	add(tree.Entry{Path: "bin/ping", Type: tree.File, Data: pattern(100), Xattrs: []tree.Xattr{{Name: "security.capability", Value: capability()}}})
	add(tree.Entry{Path: "bin/su", Type: tree.File, Mode: 0o4755, UID: 70000, GID: 1 << 31, Data: pattern(5000)})
	add(tree.Entry{Path: "bin/wall", Type: tree.File, Mode: 0o2755, GID: 42, Data: pattern(10)})

	add(tree.Entry{Path: "dev/null", Type: tree.Char, Mode: 0o666, Major: 1, Minor: 3})
	add(tree.Entry{Path: "dev/sda", Type: tree.Block, Mode: 0o660, GID: 6, Major: 8})
	add(tree.Entry{Path: "dev/big", Type: tree.Block, Mode: 0o660, Major: 259, Minor: 0xabcde})
	add(tree.Entry{Path: "dev/bigc", Type: tree.Char, Mode: 0o660, Major: 4095, Minor: 1<<20 - 1})
	add(tree.Entry{Path: "dev/fifo", Type: tree.Fifo, Mode: 0o622})

	for _, n := range []int{1, 59, 60, 61, 1000, 4095} {
		add(tree.Entry{Path: fmt.Sprintf("links/sym%d", n), Type: tree.Symlink, Mode: 0o777, Link: strings.Repeat("x", n)})
	}
	add(tree.Entry{Path: "links/a", Type: tree.File, Data: pattern(9000)})
	add(tree.Entry{Path: "links/b", Type: tree.Hardlink, Link: "links/a"})
	add(tree.Entry{Path: "zlink", Type: tree.Hardlink, Link: "links/a"})
	add(tree.Entry{Path: "links/z", Type: tree.Hardlink, Link: "links/sym60"})

	add(tree.Entry{Path: "names/" + strings.Repeat("n", 255), Type: tree.File, Data: []byte("long")})
	add(tree.Entry{Path: "names/żółć-名前-🚀", Type: tree.File, Data: []byte("utf-8")})
	add(tree.Entry{Path: "names/\xff\xfe\x80", Type: tree.File, Data: []byte("bytes")})

	add(tree.Entry{Path: "xattr/small", Type: tree.File, Xattrs: []tree.Xattr{{Name: "user.a", Value: []byte("b")}, {Name: "user.empty"}}})
	add(tree.Entry{Path: "xattr/big", Type: tree.File, Data: pattern(3), Xattrs: []tree.Xattr{
		{Name: "trusted.overlay.opaque", Value: []byte("y")},
		{Name: "user.big", Value: pattern(3000)}, {Name: "user.other", Value: pattern(700)}}})
	access := acl([3]uint32{1, 6, 1<<32 - 1}, [3]uint32{2, 4, 1000}, [3]uint32{4, 4, 1<<32 - 1}, [3]uint32{8, 5, 70000}, [3]uint32{16, 5, 1<<32 - 1}, [3]uint32{32, 4, 1<<32 - 1})
	add(tree.Entry{Path: "xattr/acl", Type: tree.File, Mode: 0o654, Xattrs: []tree.Xattr{{Name: "system.posix_acl_access", Value: access}}})
	add(tree.Entry{Path: "xattr/dir", Type: tree.Dir, Mode: 0o754, Xattrs: []tree.Xattr{
		{Name: "system.posix_acl_access", Value: access}, {Name: "system.posix_acl_default", Value: access}, {Name: "user.x", Value: pattern(200)}}})
	add(tree.Entry{Path: "xattr/link", Type: tree.Symlink, Mode: 0o777, Link: "big", Xattrs: []tree.Xattr{{Name: "trusted.l", Value: pattern(99)}}})

	for name, at := range map[string]time.Time{
		"1960": time.Date(1960, 1, 2, 3, 4, 5, 6, time.UTC), "2040": time.Date(2040, 1, 2, 3, 4, 5, 999999999, time.UTC),
		"1902": time.Date(1902, 1, 1, 0, 0, 0, 0, time.UTC), "2400": time.Date(2400, 1, 1, 0, 0, 0, 1, time.UTC),
	} {
		add(tree.Entry{Path: "times/" + name, Type: tree.File, MTime: at, Data: []byte(name)})
	}
	for i := range 6000 {
		add(tree.Entry{Path: fmt.Sprintf("many/file-%d", i), Type: tree.File, Mode: 0o644, Data: []byte(fmt.Sprint(i))})
	}
	for i := range 300 {
		add(tree.Entry{Path: fmt.Sprintf("names/d%0200d", i), Type: tree.Dir})
	}
	tr.Sort()
	return &tr
}

// sparseFile is a file of 3 GiB with four blocks of data.
func sparseFile(t testing.TB, dir string) string {
	t.Helper()
	path := filepath.Join(dir, "sparse")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for _, at := range []int64{0, 1<<30 + 4096*3, 2 << 30, 3<<30 - 3} {
		if _, err := f.WriteAt([]byte("abc"), at); err != nil {
			t.Fatal(err)
		}
	}
	return path
}

func TestEmptyTree(t *testing.T) {
	for _, size := range []int64{2 << 20, 8 << 20, 64 << 20, 128<<20 + 4096, 129 << 20, 200<<20 + 12345, 512 << 20, 2 << 30, 3<<30 + 77<<20, 8 << 30, 64 << 30, 300 << 30} {
		t.Run(fmt.Sprint(size), func(t *testing.T) {
			fsck(t, writeImage(t, &tree.Tree{}, testOptions(size), 0), 0)
		})
	}
}

func TestTorture(t *testing.T) {
	tr := torture(t)
	for _, size := range []int64{128 << 20, 1 << 30, 20 << 30} {
		t.Run(fmt.Sprint(size), func(t *testing.T) {
			fsck(t, writeImage(t, tr, testOptions(size), 0), 0)
		})
	}
}
