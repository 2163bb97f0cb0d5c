package customise

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"cloudy/builder/fail"
	"cloudy/builder/tree"
)

func skip(t testing.TB, reason string) {
	t.Helper()
	if os.Getenv("CLOUDY_REQUIRE_ALL") != "" {
		t.Fatal(reason)
	}
	t.Skip(reason)
}

func must(t testing.TB, errs ...error) {
	t.Helper()
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
}

var epoch = time.Unix(1767441600, 0).UTC()

// treeOf makes a tree out of "path/" for a folder, "path=content" and
// "path->link"; the folders above come by themselves.
func treeOf(specs ...string) *tree.Tree {
	t := &tree.Tree{Entries: []tree.Entry{{Path: ".", Type: tree.Dir, Mode: 0o755, MTime: epoch}}}
	have := map[string]bool{".": true}
	for _, s := range specs {
		e := tree.Entry{MTime: epoch}
		if p, link, ok := strings.Cut(s, "->"); ok {
			e.Path, e.Type, e.Mode, e.Link = p, tree.Symlink, 0o777, link
		} else if strings.HasSuffix(s, "/") {
			e.Path, e.Type, e.Mode = strings.TrimSuffix(s, "/"), tree.Dir, 0o755
		} else {
			p, content, _ := strings.Cut(s, "=")
			e.Path, e.Type, e.Mode, e.Data, e.Size = p, tree.File, 0o644, []byte(content), int64(len(content))
		}
		for dir := path.Dir(e.Path); !have[dir]; dir = path.Dir(dir) {
			have[dir] = true
			t.Entries = append(t.Entries, tree.Entry{Path: dir, Type: tree.Dir, Mode: 0o755, MTime: epoch})
		}
		if !have[e.Path] {
			have[e.Path] = true
			t.Entries = append(t.Entries, e)
		}
	}
	t.Sort()
	return t
}

// describe writes a tree as text, one entry a line.
func describe(t testing.TB, tr *tree.Tree) string {
	t.Helper()
	var b strings.Builder
	for i := range tr.Entries {
		e := &tr.Entries[i]
		fmt.Fprintf(&b, "%s %c %o %d:%d", e.Path, e.Type, e.Mode, e.UID, e.GID)
		if e.Type == tree.Symlink {
			fmt.Fprintf(&b, " -> %s", e.Link)
		}
		if e.Type == tree.File {
			r, err := e.Open()
			must(t, err)
			data, err := io.ReadAll(r)
			must(t, err, r.Close())
			fmt.Fprintf(&b, " %q", data)
		}
		b.WriteByte('\n')
	}
	return b.String()
}

// writeOut writes a tree into a folder.
func writeOut(t testing.TB, tr *tree.Tree) string {
	t.Helper()
	dir := t.TempDir()
	for i := range tr.Entries {
		e := &tr.Entries[i]
		full := filepath.Join(dir, e.Path)
		if e.Path == "." {
			must(t, os.Chmod(dir, 0o755))
			continue
		}
		must(t, tree.WriteEntry(full, e))
	}
	return dir
}

func TestResolve(t *testing.T) {
	d := newDelta(treeOf("usr/bin/", "bin->usr/bin", "abs->/usr/bin", "up->../../usr", "usr/local/x->../bin/../lib", "usr/lib/", "loop->loop",
		"two->abs", "file=x", "filelink->file", "usr/far/away/", "jump->usr/far/away", "back->jump/../up"), epoch)
	for p, want := range map[string]string{
		"bin/x": "usr/bin/x", "/bin/x": "usr/bin/x", "bin": "bin", "abs/x/y": "usr/bin/x/y", "up/z": "usr/z", "usr/local/x/y": "usr/lib/y", "two/x": "usr/bin/x",
		".": ".", "": ".", "/": ".", "../../etc/x": "etc/x", "new/folder/f": "new/folder/f", "bin/../x": "x", "back/z": "usr/far/up/z",
	} {
		if got, err := d.resolve(p); err != nil || got != want {
			t.Errorf("%q: %q, %v; want %q", p, got, err, want)
		}
	}
	if got, err := d.follow("filelink"); err != nil || got != "file" {
		t.Errorf("follow: %q %v", got, err)
	}
	if _, err := d.resolve("loop/x"); err == nil {
		t.Error("a loop resolves")
	}
	if err := d.put(tree.Entry{Path: "loop/x", Type: tree.File}); fail.KindOf(err) != fail.User {
		t.Errorf("put into a loop: %v", err)
	}
}

// randomLinks makes a tree with folders and links that lead anywhere.
func randomLinks(r *rand.Rand) *tree.Tree {
	names := []string{"a", "b", "c"}
	var specs, dirs []string
	dirs = append(dirs, "")
	for range 12 {
		dir := dirs[r.IntN(len(dirs))]
		p := dir + names[r.IntN(len(names))]
		if r.IntN(2) == 0 {
			specs = append(specs, p+"/")
			dirs = append(dirs, p+"/")
			continue
		}
		var parts []string
		for range 1 + r.IntN(3) {
			parts = append(parts, []string{"a", "b", "c", "..", "."}[r.IntN(5)])
		}
		link := strings.Join(parts, "/")
		if r.IntN(3) == 0 {
			link = "/" + link
		}
		specs = append(specs, p+"->"+link)
	}
	// Of one name the first counts, and nothing is below a link.
	kind := map[string]bool{}
	var out []string
next:
	for _, s := range specs {
		p, _, isLink := strings.Cut(strings.TrimSuffix(s, "/"), "->")
		for dir := path.Dir(p); dir != "."; dir = path.Dir(dir) {
			if kind[dir] {
				continue next
			}
			kind[dir] = false
		}
		if _, seen := kind[p]; !seen {
			kind[p] = isLink
			out = append(out, s)
		}
	}
	return treeOf(out...)
}

// FuzzResolve compares our walk with the kernel's, which resolves the same
// path in a folder as if that were the root (openat2(2)).
func FuzzResolve(f *testing.F) {
	for i := range uint64(40) {
		f.Add(i, "a/b/c")
		f.Add(i, "c/../b/a")
	}
	f.Fuzz(func(t *testing.T, seed uint64, p string) {
		tr := randomLinks(rand.New(rand.NewPCG(seed, 1)))
		d := newDelta(tr, epoch)
		got, err := d.follow(p)
		if err == nil && (path.IsAbs(got) || got == ".." || strings.HasPrefix(got, "../") || path.Clean(got) != got) {
			t.Fatalf("%q leads to %q", p, got)
		}
		if strings.ContainsRune(p, 0) || len(p) > 200 {
			return
		}
		dir := writeOut(t, tr)
		root, rerr := unix.Open(dir, unix.O_PATH|unix.O_DIRECTORY, 0)
		must(t, rerr)
		defer unix.Close(root)
		fd, kerr := unix.Openat2(root, path.Clean("/"+p), &unix.OpenHow{Flags: unix.O_PATH, Resolve: unix.RESOLVE_IN_ROOT})
		if kerr != nil {
			return // what is not there has no path to compare
		}
		defer unix.Close(fd)
		full, kerr := os.Readlink(fmt.Sprintf("/proc/self/fd/%d", fd))
		must(t, kerr)
		want, kerr := filepath.Rel(dir, full)
		must(t, kerr)
		if err != nil || got != want {
			t.Errorf("%q: %q, %v; the kernel says %q\n%s", p, got, err, want, describe(t, tr))
		}
	})
}

func TestPut(t *testing.T) {
	base := []string{"usr/bin/x=old", "bin->usr/bin", "etc/dir/f=1", "etc/file=2"}
	for _, tc := range []struct{ name, path, typ, want string }{
		{"new file, new folders", "srv/a/b", "f", ""},
		{"through a link", "bin/y", "f", ""},
		{"file over a folder", "etc/dir", "f", "/etc/dir is a folder in the one and not in the other"},
		{"folder over a file", "etc/file", "d", "/etc/file is a folder in the one and not in the other"},
		{"below a file", "etc/file/x", "f", "/etc/file is no folder, so /etc/file/x cannot be in it"},
		{"link over a file", "etc/file", "l", ""},
		{"folder over a folder", "etc/dir", "d", ""},
	} {
		d := newDelta(treeOf(base...), epoch)
		err := d.put(tree.Entry{Path: tc.path, Type: tree.Type(tc.typ[0]), Mode: 0o700, Link: "x"})
		if tc.want == "" && err != nil || tc.want != "" && (err == nil || err.Error() != tc.want || fail.KindOf(err) != fail.User) {
			t.Errorf("%s: %v, want %q", tc.name, err, tc.want)
		}
		tr := d.Tree()
		for i := range tr.Entries {
			if p := tr.Entries[i].Path; p != "." && tr.Find(path.Dir(p)) == nil {
				t.Errorf("%s: /%s has no folder", tc.name, p)
			}
		}
	}
}

// TestWriteTo writes differences as overlay layers; the union of base and
// layer is the tree that the difference promises.
func TestWriteTo(t *testing.T) {
	if os.Getuid() != 0 {
		skip(t, "needs root to make the marks of removed files")
	}
	base := []string{"usr/bin/x=old", "bin->usr/bin", "etc/dir/f=1", "etc/dir/sub/g=2", "etc/file=2", "etc/link->file", "opt/a/b/c/d=deep", "opt/a/e=e"}
	put := func(p string) func(*Delta) error {
		return func(d *Delta) error { return d.write(p, 0o640, "new "+p) }
	}
	remove := func(p string) func(*Delta) error { return func(d *Delta) error { return d.remove(p) } }
	for name, steps := range map[string][]func(*Delta) error{
		"nothing":                           nil,
		"new, replaced and through a link":  {put("new/folder/f"), put("etc/file"), put("bin/y"), put("usr/bin/x")},
		"removed":                           {remove("etc/file"), remove("etc/link"), remove("bin/x")},
		"removed folder":                    {remove("etc/dir")},
		"removed, and made anew":            {remove("etc/file"), put("etc/file")},
		"removed folder with something new": {remove("etc/dir"), put("etc/dir/new")},
		"the same, deeper":                  {remove("opt"), put("opt/a/b/new"), put("opt/z/z")},
		"folder becomes a file":             {remove("etc/dir"), put("etc/dir")},
		"file becomes a folder":             {remove("etc/file"), put("etc/file/below")},
		"link becomes a folder":             {remove("bin"), put("bin/own")},
		"first what is in it, then itself":  {remove("opt/a/b"), remove("opt")},
		"first itself, then what is in it":  {remove("opt"), remove("opt/a/b")},
		"made and removed again":            {put("srv/x"), remove("srv/x")},
		"made and removed with its folder":  {put("etc/dir/new"), remove("etc/dir")},
		"what is not there":                 {remove("nothing/at/all")},
		"folders with owners": {func(d *Delta) error {
			return d.put(tree.Entry{Path: "srv/own", Type: tree.Dir, Mode: 0o2770, UID: 5, GID: 60})
		}, func(d *Delta) error { return d.put(tree.Entry{Path: "etc/dir", Type: tree.Dir, Mode: 0o700, UID: 5}) }},
		"link": {func(d *Delta) error { return d.symlink("etc/new", "../x") }, func(d *Delta) error { return d.symlink("etc/file", "y") }},
	} {
		t.Run(name, func(t *testing.T) {
			d := newDelta(treeOf(base...), epoch)
			for _, s := range steps {
				must(t, s(d))
			}
			lower, upper := writeOut(t, d.base), t.TempDir()
			must(t, os.Chmod(upper, 0o755), d.WriteTo(upper))
			got, err := tree.Scan(lower, upper)
			must(t, err)
			if g, w := describe(t, got), describe(t, d.Tree()); g != w {
				t.Errorf("layer says\n%s\ndifference says\n%s", g, w)
			}
			again := t.TempDir()
			must(t, os.Chmod(again, 0o755), d.WriteTo(again))
			second, err := tree.Scan(lower, again)
			must(t, err)
			if describe(t, got) != describe(t, second) {
				t.Error("a second time differs")
			}
		})
	}
}

func TestRemoveRoot(t *testing.T) {
	d := newDelta(treeOf("a=1"), epoch)
	for _, p := range []string{"/", ".", "a/.."} {
		if err := d.remove(p); fail.KindOf(err) != fail.User {
			t.Errorf("%q: %v", p, err)
		}
	}
}

func TestReadAndDeclares(t *testing.T) {
	d := newDelta(treeOf("etc/a=1", "etc/l->a", "etc/dir/"), epoch)
	if s, err := d.read("etc/l"); err != nil || s != "1" {
		t.Errorf("through a link: %q %v", s, err)
	}
	if s, err := d.read("etc/none"); err != nil || s != "" {
		t.Errorf("nothing: %q %v", s, err)
	}
	if _, err := d.read("etc/dir"); err == nil {
		t.Error("a folder can be read")
	}
	must(t, d.write("etc/a", 0o600, "2"), d.write("new/b", 0o600, "3"), d.ask(tree.Entry{Path: "var/tmp/x", Type: tree.Dir, Mode: 0o755}))
	for p, want := range map[string]bool{"etc/a": true, "new/b": true, "new": false, "var/tmp/x": true, "var/tmp": false, "etc/l": false} {
		if d.Declares(p) != want {
			t.Errorf("Declares(%q) = %t", p, !want)
		}
	}
	if e := d.Tree().Find("etc/a"); !e.MTime.Equal(epoch) || !bytes.Equal(e.Data, []byte("2")) {
		t.Errorf("%+v", e)
	}
}
