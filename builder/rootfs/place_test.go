package rootfs

import (
	"archive/tar"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"cloudy/builder/archive/archivetest"
	"cloudy/builder/fail"
)

// raw is a member of data.tar as it is, whatever it asks for.
func raw(name string, typ byte, link string) tar.Header {
	return tar.Header{Name: name, Typeflag: typ, Linkname: link, Mode: 0o755, Format: tar.FormatGNU, ModTime: archivetest.Date}
}

// TestNothingLeavesTheRoot unpacks hostile packages: whatever comes of it, all
// that is beside the root stays as it was.
func TestNothingLeavesTheRoot(t *testing.T) {
	for name, tc := range map[string]struct {
		extra []tar.Header
		err   string // "" where dpkg would go on too
	}{
		"absolute name":              {[]tar.Header{raw("/outside/f", tar.TypeReg, "")}, "absolute"},
		"name with ..":               {[]tar.Header{raw("./../outside/f", tar.TypeReg, "")}, ".."},
		".. in the middle":           {[]tar.Header{raw("./usr/../../outside/f", tar.TypeReg, "")}, ".."},
		"newline":                    {[]tar.Header{raw("./usr/a\nb", tar.TypeReg, "")}, `'\n'`},
		"through an absolute link":   {[]tar.Header{raw("./x", tar.TypeSymlink, "OUTSIDE"), raw("./x/f", tar.TypeReg, "")}, ""},
		"through a relative link":    {[]tar.Header{raw("./x", tar.TypeSymlink, "../outside"), raw("./x/f", tar.TypeReg, "")}, ""},
		"device through a link":      {[]tar.Header{raw("./etc/x", tar.TypeSymlink, "../../../outside"), raw("./etc/x/f", tar.TypeChar, "")}, "device behind the link"},
		"fifo through a link":        {[]tar.Header{raw("./x", tar.TypeSymlink, "../outside"), raw("./x/f", tar.TypeFifo, "")}, ""},
		"directory through a link":   {[]tar.Header{raw("./x", tar.TypeSymlink, "../outside"), raw("./x/new/", tar.TypeDir, "")}, ""},
		"link through a link":        {[]tar.Header{raw("./x", tar.TypeSymlink, "../outside"), raw("./x/l", tar.TypeSymlink, "y")}, "not one in the root"},
		"hard link to the outside":   {[]tar.Header{raw("./x", tar.TypeLink, "../outside/secret")}, ".."},
		"hard link, absolute":        {[]tar.Header{raw("./x", tar.TypeLink, "OUTSIDE/secret")}, "absolute"},
		"hard link through a link":   {[]tar.Header{raw("./l", tar.TypeSymlink, "../outside"), raw("./x", tar.TypeLink, "./l/secret")}, "not brought before"},
		"hard link to nothing":       {[]tar.Header{raw("./x", tar.TypeLink, "./etc/passwd")}, "not brought before"},
		"hard link to a later file":  {[]tar.Header{raw("./x", tar.TypeLink, "./y"), raw("./y", tar.TypeReg, "")}, "not brought before"},
		"a file is the root":         {[]tar.Header{raw(".", tar.TypeReg, "")}, "/."},
		"empty link":                 {[]tar.Header{raw("./x", tar.TypeSymlink, "")}, "not allowed"},
		"odd type":                   {[]tar.Header{raw("./x", 'Z', "")}, "not allowed"},
		"database becomes a link":    {[]tar.Header{raw("./var/lib/dpkg/info", tar.TypeSymlink, "OUTSIDE")}, ""},
		"file over a directory":      {[]tar.Header{raw("./etc", tar.TypeReg, "")}, "/etc"},
		"file below a file":          {[]tar.Header{raw("./f", tar.TypeReg, ""), raw("./f/g", tar.TypeReg, "")}, "/f/g"},
		"directory over a file":      {[]tar.Header{raw("./etc/passwd/", tar.TypeDir, "")}, "not one in the root"},
		"link loop on the way":       {[]tar.Header{raw("./a", tar.TypeSymlink, "b"), raw("./b", tar.TypeSymlink, "a"), raw("./a/f", tar.TypeReg, "")}, ""},
		"proc's magic links, absent": {[]tar.Header{raw("./x", tar.TypeSymlink, "/proc/self/root"), raw("./x/f", tar.TypeReg, "")}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			root := skeleton(t)
			outside := filepath.Join(filepath.Dir(root), "outside")
			writeFiles(t, outside, map[string]string{"secret": "s"})
			before := listing(t, outside)
			for i, h := range tc.extra {
				tc.extra[i].Linkname = strings.ReplaceAll(h.Linkname, "OUTSIDE", outside)
			}
			// Links are placed last, so each member comes in a package of its
			// own too: then the link is there before what goes through it.
			var debs [][]string
			for i, h := range tc.extra {
				debs = append(debs, []string{writeDeb(t, pkg{Name: fmt.Sprint("evil", i), Extra: []tar.Header{h}})})
			}
			together := writeDeb(t, pkg{Name: "evil", Extra: tc.extra})
			err := unpack(t, newTestInstaller(t, root), []string{together})
			switch {
			case tc.err == "" && err != nil:
				t.Errorf("error %v", err)
			case tc.err != "" && (err == nil || !strings.Contains(err.Error(), tc.err)):
				t.Errorf("error %v, want one with %q", err, tc.err)
			}
			compareListings(t, listing(t, outside), before)
			root = skeleton(t)
			if err := os.Rename(outside, filepath.Join(filepath.Dir(root), "outside")); err != nil {
				t.Fatal(err)
			}
			outside = filepath.Join(filepath.Dir(root), "outside")
			before = listing(t, outside)
			if err := unpack(t, newTestInstaller(t, root), debs...); err == nil && tc.err != "" && len(debs) == 1 {
				t.Error("no error")
			}
			compareListings(t, listing(t, outside), before)
		})
	}
}

// Maintainer scripts can put links in place of dpkg's own files, and our code
// writes those from outside the sandbox.
func TestDatabaseThroughLinks(t *testing.T) {
	for _, dir := range []string{"var/lib/dpkg/info", "var/lib/dpkg/triggers", "var/lib/dpkg", "var/lib", "var"} {
		for _, link := range []string{"absolute", "relative"} {
			t.Run(dir+" "+link, func(t *testing.T) {
				root := skeleton(t)
				in := newTestInstaller(t, root)
				outside := filepath.Join(filepath.Dir(root), "outside")
				if err := os.Rename(filepath.Join(root, dir), outside); err != nil {
					t.Fatal(err)
				}
				before := listing(t, outside)
				to := outside
				if link == "relative" {
					to = strings.Repeat("../", strings.Count(dir, "/")+1) + "outside"
				}
				if err := os.Symlink(to, filepath.Join(root, dir)); err != nil {
					t.Fatal(err)
				}
				err := unpack(t, in, []string{writeDeb(t, pkg{Name: "p", Files: files{"/usr/share/p": {}}, Control: map[string]string{"triggers": "interest x\ninterest /y\n"}})})
				if err == nil {
					t.Error("no error")
				}
				compareListings(t, listing(t, outside), before)
			})
		}
	}
}

func TestConflicts(t *testing.T) {
	plain := pkg{Name: "first", Version: "1.0", Files: files{"/usr/share/x": {Content: "1"}}}
	for name, tc := range map[string]struct {
		first, second pkg
		prepare       map[string]string
		err           string
	}{
		"no Replaces": {first: plain, second: pkg{Name: "second", Files: files{"/usr/share/x": {}}},
			err: "unpack second: /usr/share/x is also in package first"},
		"Replaces another version": {first: plain, second: pkg{Name: "second", Fields: "Replaces: first (<< 1.0)", Files: files{"/usr/share/x": {}}},
			err: "unpack second: /usr/share/x is also in package first"},
		"local diversion moves both": {first: plain, second: pkg{Name: "second", Files: files{"/usr/share/x": {}}},
			prepare: map[string]string{"var/lib/dpkg/diversions": "/usr/share/x\n/usr/share/y\n:\n"},
			err:     "unpack second: /usr/share/x is also in package first"},
		"another link": {first: pkg{Name: "first", Files: files{"/usr/share/x": {Link: "a"}}}, second: pkg{Name: "second", Files: files{"/usr/share/x": {Link: "b"}}},
			err: "unpack second: /usr/share/x is also in package first"},
		"the same link to nothing": {first: pkg{Name: "first", Files: files{"/usr/share/x": {Link: "a"}}}, second: pkg{Name: "second", Files: files{"/usr/share/x": {Link: "a"}}},
			err: "unpack second: /usr/share/x is also in package first"},
		"instances differ": {
			first:  pkg{Name: "lib", Architecture: "amd64", Fields: "Multi-Arch: same", Files: files{"/usr/share/x": {Content: "1"}}},
			second: pkg{Name: "lib", Architecture: "i386", Fields: "Multi-Arch: same", Files: files{"/usr/share/x": {Content: "2"}}},
			err:    "unpack lib:i386: /usr/share/x: differs"},
	} {
		t.Run(name, func(t *testing.T) {
			one, two := writeDeb(t, tc.first), writeDeb(t, tc.second)
			root := skeleton(t)
			writeFiles(t, root, tc.prepare)
			err := unpack(t, newTestInstaller(t, root), []string{one}, []string{two})
			if err == nil || !strings.Contains(err.Error(), tc.err) || fail.KindOf(err) != fail.Build {
				t.Errorf("error %v of kind %d, want %q", err, fail.KindOf(err), tc.err)
			}
			// dpkg refuses it too.
			root = skeleton(t)
			writeFiles(t, root, tc.prepare)
			if out, err := dpkgUnpack(t, root, []string{one}); err != nil {
				t.Fatalf("%v\n%s", err, out)
			}
			if out, err := dpkgUnpack(t, root, []string{two}); err == nil {
				t.Errorf("dpkg takes it:\n%s", out)
			}
		})
	}
}

// A second batch of packages finds the owners in the database of the first.
func TestAdoptedOwners(t *testing.T) {
	first := writeDeb(t, pkg{Name: "first", Version: "1.0", Files: files{"/bin/x": {Content: "1"}, "/usr/share/d/y": {Content: "2"}}})
	root := skeleton(t)
	if err := unpack(t, newTestInstaller(t, root), []string{first}); err != nil {
		t.Fatal(err)
	}
	err := unpack(t, newTestInstaller(t, root), []string{writeDeb(t, pkg{Name: "second", Files: files{"/bin/x": {}}})})
	if err == nil || !strings.Contains(err.Error(), "/bin/x is also in package first") {
		t.Errorf("conflict with an earlier batch: %v", err)
	}
	takes := writeDeb(t, pkg{Name: "takes", Fields: "Replaces: first (= 1.0)", Files: files{"/bin/x": {Content: "new"}}})
	if err := unpack(t, newTestInstaller(t, root), []string{takes}); err != nil {
		t.Fatal(err)
	}
	list, err := os.ReadFile(filepath.Join(root, "var/lib/dpkg/info/first.list"))
	if err != nil || strings.Contains(string(list), "/bin/x") || !strings.Contains(string(list), "/usr/share/d/y\n") {
		t.Errorf("list of the former owner, %v:\n%s", err, list)
	}
}

func TestExcluded(t *testing.T) {
	root := skeleton(t)
	in := newTestInstaller(t, root)
	in.placer.exclude = func(p string) bool {
		return strings.HasPrefix(p, "usr/share/doc/") && !strings.HasSuffix(p, "/copyright")
	}
	deb := writeDeb(t, pkg{Name: "p", Files: files{
		"/usr/share/doc/p/changelog": {Content: "c"}, "/usr/share/doc/p/copyright": {Content: "c"}, "/usr/share/doc/p/a": {Content: "linked"},
		"/usr/share/q": {HardLink: "/usr/share/doc/p/a", Mode: 0o644}, "/usr/share/r": {HardLink: "/usr/share/doc/p/a", Mode: 0o644},
	}})
	if err := unpack(t, in, []string{deb}); err != nil {
		t.Fatal(err)
	}
	got := listing(t, filepath.Join(root, "usr/share"))
	for _, gone := range []string{"doc/p/changelog", "doc/p/a"} {
		if _, ok := got[gone]; ok {
			t.Errorf("%s is there", gone)
		}
	}
	if _, ok := got["doc/p/copyright"]; !ok {
		t.Error("copyright is gone")
	}
	// The content of a hard link whose first name is excluded comes under the other names.
	if !strings.HasSuffix(got["q"], "\nlinked") || !strings.Contains(got["r"], "same as q") {
		t.Errorf("q is %q, r is %q", got["q"], got["r"])
	}
	list, _ := os.ReadFile(filepath.Join(root, "var/lib/dpkg/info/p.list"))
	if !strings.Contains(string(list), "/usr/share/doc/p/changelog\n") {
		t.Error("what is excluded is not listed, as dpkg does")
	}
}

// A hard link needs two directories open at once, whatever was open before.
func TestHardLinksAmongManyDirectories(t *testing.T) {
	for single := range 2 { // the limit is met at the first directory of a pair, and at the second
		fs := files{}
		for i := range maxOpenDirs {
			fs[fmt.Sprintf("/usr/share/b%03d/f", i)] = file{Content: "y"}
			fs[fmt.Sprintf("/usr/share/d%03d/l", i)] = file{HardLink: fmt.Sprintf("/usr/share/b%03d/f", i)}
		}
		for i := range single {
			fs[fmt.Sprintf("/usr/share/a%d/f", i)] = file{Content: "y"}
			fs[fmt.Sprintf("/usr/share/a%d/l", i)] = file{HardLink: fmt.Sprintf("/usr/share/a%d/f", i)}
		}
		root := skeleton(t)
		in := newTestInstaller(t, root)
		p, err := in.stage.stage(context.Background(), writeDeb(t, pkg{Name: "p", Files: fs}), make([]byte, copyBuffer))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := in.placer.place(p, asNew); err != nil {
			t.Fatal(err)
		}
		for i := range maxOpenDirs {
			one, err1 := os.Stat(filepath.Join(root, fmt.Sprintf("usr/share/b%03d/f", i)))
			two, err2 := os.Stat(filepath.Join(root, fmt.Sprintf("usr/share/d%03d/l", i)))
			if err := errors.Join(err1, err2); err != nil || !os.SameFile(one, two) {
				t.Fatalf("link %d: %v", i, err)
			}
		}
	}
}

func TestBaseIsFinal(t *testing.T) {
	deb := writeDeb(t, pkg{Name: "base", Control: map[string]string{"conffiles": "/etc/a\n/etc/l\n/etc/h\n"},
		Files: files{"/etc/a": {Content: "a"}, "/etc/l": {Link: "a"}, "/etc/h": {HardLink: "/etc/a"}}})
	root := skeleton(t)
	in := newTestInstaller(t, root)
	p, err := in.stage.stage(context.Background(), deb, make([]byte, copyBuffer))
	if err != nil {
		t.Fatal(err)
	}
	inst, err := in.placer.place(p, asFinal)
	if err != nil {
		t.Fatal(err)
	}
	if err := in.register([]*installed{inst}); err != nil {
		t.Fatal(err)
	}
	status, _ := os.ReadFile(filepath.Join(root, "var/lib/dpkg/status"))
	want := "Conffiles:\n /etc/a 0cc175b9c0f1b6a831c399e269772661\n /etc/l newconffile\n /etc/h 0cc175b9c0f1b6a831c399e269772661\n"
	if !strings.Contains(string(status), want) {
		t.Errorf("status lacks\n%s\n%s", want, status)
	}
	if data, err := os.ReadFile(filepath.Join(root, "etc/a")); err != nil || string(data) != "a" {
		t.Errorf("/etc/a: %q, %v", data, err)
	}
	if _, err := exec.LookPath("dpkg"); err == nil {
		rewriteStatus(t, root) // dpkg can read it
	}
}

func TestUsrMergeLinks(t *testing.T) {
	for arch, want := range map[string]string{"amd64": "bin sbin lib lib64", "arm64": "bin sbin lib", "i386": "bin sbin lib"} {
		root := t.TempDir()
		in := newTestInstaller(t, root)
		for range 2 { // a second time changes nothing
			if err := in.placer.usrMergeLinks(&staged{}, arch); err != nil {
				t.Fatal(err)
			}
		}
		var got []string
		for _, l := range []string{"bin", "sbin", "lib", "lib64"} {
			if to, err := os.Readlink(filepath.Join(root, l)); err == nil && to == "usr/"+l {
				got = append(got, l)
			}
		}
		if strings.Join(got, " ") != want {
			t.Errorf("%s: %s, want %s", arch, got, want)
		}
	}
	root := t.TempDir()
	in := newTestInstaller(t, root)
	ships := &staged{entries: []stagedEntry{{path: "bin", typ: tar.TypeSymlink, link: "usr/bin"}}}
	if err := in.placer.usrMergeLinks(ships, "amd64"); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Lstat(filepath.Join(root, "bin")); !errors.Is(err, fs.ErrNotExist) {
		t.Error("links are made though base-files ships them")
	}
}

// The umask of who builds must not show in the image.
func TestUmask(t *testing.T) {
	needRoot(t)
	sh := `umask 077; exec "$0" -test.run TestUmaskInside -test.count 1`
	cmd := exec.Command("sh", "-c", sh, os.Args[0])
	cmd.Env = append(os.Environ(), "CLOUDY_TEST_UMASK=1")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}

func TestUmaskInside(t *testing.T) {
	if os.Getenv("CLOUDY_TEST_UMASK") == "" {
		t.Skip("runs in TestUmask")
	}
	root := t.TempDir()
	in := newTestInstaller(t, root)
	if err := unpack(t, in, []string{writeDeb(t, pkg{Name: "p", Files: files{"/usr/share/p": {}},
		Control: map[string]string{"triggers": "interest x\n"}, Scripts: map[string]string{"postinst": "#!/bin/sh\n"}})}); err != nil {
		t.Fatal(err)
	}
	in.order = []*job{{Package: Package{Name: "p", Architecture: "all", Auto: true}}}
	if err := in.writeAutoMarks(); err != nil {
		t.Fatal(err)
	}
	for _, p := range []string{"var", "var/lib/dpkg", "var/lib/dpkg/info", "var/lib/dpkg/info/p.postinst", "var/lib/apt", "usr", "usr/share"} {
		if st, err := os.Stat(filepath.Join(root, p)); err != nil || st.Mode().Perm() != 0o755 {
			t.Errorf("/%s: %v %v", p, st.Mode(), err)
		}
	}
	for _, p := range []string{"var/lib/dpkg/status", "var/lib/dpkg/arch", "var/lib/dpkg/info/p.list", "var/lib/dpkg/triggers/x", extendedState} {
		if st, err := os.Stat(filepath.Join(root, p)); err != nil || st.Mode().Perm() != 0o644 {
			t.Errorf("/%s: %v %v", p, st.Mode(), err)
		}
	}
}
