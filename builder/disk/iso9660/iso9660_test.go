package iso9660

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"cloudy/builder/disk/internal/disktest"
	"cloudy/builder/tree"
)

var epoch = time.Unix(1760000000, 0).UTC()

// sample is a tree with long and awkward names, a directory of several
// sectors, empty and larger files, modes and owners.
func sample() *tree.Tree {
	t := &tree.Tree{Entries: []tree.Entry{{Path: ".", Type: tree.Dir, Mode: 0o755, MTime: epoch.Add(-time.Hour)}}}
	dir := func(p string) {
		t.Entries = append(t.Entries, tree.Entry{Path: p, Type: tree.Dir, Mode: 0o750, MTime: epoch.Add(-2 * time.Hour)})
	}
	file := func(p, content string, mode uint32) {
		t.Entries = append(t.Entries, tree.Entry{Path: p, Type: tree.File, Mode: mode, UID: 5, GID: 70000, MTime: epoch.Add(-3 * time.Hour), Size: int64(len(content)), Data: []byte(content)})
	}
	for _, d := range []string{"a", "a/deep", "a/deep/er", "many", "boot"} {
		dir(d)
	}
	file("a/deep/er/empty", "", 0o600)
	file("a/deep/er/large file", strings.Repeat("0123456789", 100_000), 0o755)
	file("a/"+strings.Repeat("long", 30)+".tar.gz", "x", 0o644)
	file("a/"+strings.Repeat("long", 30)+".tar.xz", "y", 0o644)
	file("a/ünïcode.txt", "z", 0o444)
	file("a/Same", "upper", 0o644)
	file("a/same", "lower", 0o644)
	file("boot/bios.img", strings.Repeat("B", 5000), 0o644)
	for i := range 200 {
		file(fmt.Sprintf("many/file-with-a-name-%d.mod", i), fmt.Sprint(i), 0o644)
	}
	t.Sort()
	return t
}

func options(f *os.File) Options {
	put := func(s string) func(int64) (int64, error) {
		return func(at int64) (int64, error) {
			_, err := f.WriteAt([]byte(s), at)
			return int64(len(s)), err
		}
	}
	return Options{
		Volume: "CLOUDY_TEST", Set: "set", Application: func(*Image) []byte { return []byte("hello") }, Epoch: epoch, Tail: 1 << 20,
		Boot: []Boot{{Platform: BIOS, Path: "boot/bios.img", Load: 4}, {Platform: UEFI, Path: "boot/esp.img"}},
		Placed: []Placed{
			{Path: "boot/esp.img", Align: 1 << 20, Write: put(strings.Repeat("E", 7000))},
			{Path: "root.squashfs", Write: put(strings.Repeat("S", 3<<20))},
		},
	}
}

func made(t testing.TB) (*os.File, *Image) {
	t.Helper()
	f := disktest.Create(t, "x.iso")
	im, err := Write(f, sample(), options(f))
	if err != nil {
		t.Fatal(err)
	}
	if err := f.Truncate(im.Size); err != nil {
		t.Fatal(err)
	}
	return f, im
}

// TestJudge lets xorriso read what was written.
func TestJudge(t *testing.T) {
	disktest.Need(t, "xorriso")
	f, im := made(t)
	dir := t.TempDir()
	log := disktest.Run(t, "xorriso", "-osirrox", "on:o_excl_off", "-indev", f.Name(), "-extract", "/", dir)
	for _, bad := range []string{"SORRY", "WARNING", "FAILURE", "FATAL"} {
		if strings.Contains(log, bad) {
			t.Errorf("xorriso is not content:\n%s", log)
		}
	}
	tr := sample()
	for i := range tr.Entries {
		e := &tr.Entries[i]
		full := filepath.Join(dir, e.Path)
		info, err := os.Stat(full)
		if err != nil {
			t.Error(err)
			continue
		}
		if info.Mode().Perm() != os.FileMode(e.Mode) || info.IsDir() != (e.Type == tree.Dir) {
			t.Errorf("%s has mode %v", e.Path, info.Mode())
		}
		if e.Type != tree.File {
			continue
		}
		if got, err := os.ReadFile(full); err != nil || !bytes.Equal(got, e.Data) {
			t.Errorf("%s: %d bytes, %v", e.Path, len(got), err)
		}
		if !info.ModTime().Equal(e.MTime) {
			t.Errorf("%s is of %v", e.Path, info.ModTime())
		}
		if st := info.Sys().(*syscall.Stat_t); os.Geteuid() == 0 && (st.Uid != e.UID || st.Gid != e.GID) {
			t.Errorf("%s belongs to %d:%d", e.Path, st.Uid, st.Gid)
		}
	}
	for name, want := range map[string]string{"boot/esp.img": strings.Repeat("E", 7000), "root.squashfs": strings.Repeat("S", 3<<20)} {
		got, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil || string(got) != want {
			t.Errorf("%s: %d bytes, %v", name, len(got), err)
		}
		at, ok := im.Find(name)
		part := make([]byte, len(want))
		if _, err := f.ReadAt(part, at.Offset); !ok || err != nil || string(part) != want || at.Size != int64(len(want)) {
			t.Errorf("%s is not at %+v", name, at)
		}
		if name == "boot/esp.img" && at.Offset%(1<<20) != 0 {
			t.Errorf("%s is at %d", name, at.Offset)
		}
	}
	report := disktest.Run(t, "xorriso", "-indev", f.Name(), "-report_el_torito", "plain", "-pvd_info")
	for _, want := range []string{"El Torito boot img :   1  BIOS  y   none", "El Torito boot img :   2  UEFI  y   none",
		"El Torito img path :   1  /boot/bios.img", "El Torito img path :   2  /boot/esp.img", "Volume Id    : CLOUDY_TEST", "Volume Set Id: set"} {
		if !strings.Contains(report, want) {
			t.Errorf("no %q in\n%s", want, report)
		}
	}
	if im.Size%(1<<20) != 0 {
		t.Errorf("%d bytes", im.Size)
	}
}

// TestPlainNames: what has no Rock Ridge sees other names, each of them once.
func TestPlainNames(t *testing.T) {
	list := []*node{}
	for _, name := range []string{"same", "Same", "SAME", strings.Repeat("long", 30) + ".tar.gz", strings.Repeat("long", 30) + ".tar.gx", ".hidden", "grub.cfg"} {
		list = append(list, &node{name: name, entry: &tree.Entry{Type: tree.File}})
	}
	if err := identify(list); err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	for _, n := range list {
		if seen[n.id] || len(n.id) > maxID || strings.Trim(n.id, "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.;") != "" {
			t.Errorf("%s is called %s", n.name, n.id)
		}
		seen[n.id] = true
	}
	if !seen["GRUB.CFG;1"] {
		t.Errorf("names %v", seen)
	}
}

func TestSameBits(t *testing.T) {
	a, _ := made(t)
	b, _ := made(t)
	x, err := os.ReadFile(a.Name())
	if err != nil {
		t.Fatal(err)
	}
	y, err := os.ReadFile(b.Name())
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(x, y) {
		t.Error("other bytes the second time")
	}
}

func TestErrors(t *testing.T) {
	f := disktest.Create(t, "x.iso")
	root := tree.Entry{Path: ".", Type: tree.Dir}
	for name, entries := range map[string][]tree.Entry{
		"symlink":  {root, {Path: "l", Type: tree.Symlink, Link: "x"}},
		"too long": {root, {Path: strings.Repeat("n", 200), Type: tree.File}},
		"too big":  {root, {Path: "f", Type: tree.File, Size: 1 << 32}},
	} {
		if _, err := Write(f, &tree.Tree{Entries: entries}, Options{}); !errors.Is(err, ErrLimit) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for name, o := range map[string]Options{
		"volume":    {Volume: "lower case"},
		"boot":      {Boot: []Boot{{Path: "nonesuch"}}},
		"no folder": {Placed: []Placed{{Path: "no/such", Write: func(int64) (int64, error) { return 0, nil }}}},
	} {
		if _, err := Write(f, &tree.Tree{Entries: []tree.Entry{root}}, o); err == nil {
			t.Errorf("%s is taken", name)
		}
	}
	short := []tree.Entry{root, {Path: "f", Type: tree.File, Size: 5, Data: []byte("abc")}}
	if _, err := Write(f, &tree.Tree{Entries: short}, Options{}); err == nil {
		t.Error("a file that is shorter than announced is taken")
	}
}
