package rootfs

import (
	"archive/tar"
	"context"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"cloudy/builder/archive/archivetest"
)

// skip ends a test that cannot run here, or fails it where all must run.
func skip(t testing.TB, reason string) {
	t.Helper()
	if os.Getenv("CLOUDY_REQUIRE_ALL") != "" {
		t.Fatal(reason)
	}
	t.Skip(reason)
}

func needRoot(t testing.TB) {
	t.Helper()
	if os.Getuid() != 0 {
		skip(t, "needs root: owners and device nodes")
	}
}

// writeDeb makes a .deb of p in a folder of the test.
func writeDeb(t testing.TB, p archivetest.Package) string {
	t.Helper()
	if p.Compression == "" {
		p.Compression = "none"
	}
	if p.Architecture == "" {
		p.Architecture = "amd64"
	}
	data, err := p.Deb()
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), p.FileName())
	if err := os.WriteFile(file, data, 0o644); err != nil {
		t.Fatal(err)
	}
	return file
}

// skeleton makes an empty root as base-files would: a merged /usr.
func skeleton(t testing.TB) string {
	t.Helper()
	root := filepath.Join(t.TempDir(), "root")
	for _, d := range []string{"usr/bin", "usr/lib", "usr/sbin", "etc", "var/lib/dpkg/info", "var/lib/dpkg/updates", "var/lib/dpkg/triggers", "tmp"} {
		if err := os.MkdirAll(filepath.Join(root, d), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	writeFiles(t, root, map[string]string{
		"var/lib/dpkg/status": "", "var/lib/dpkg/arch": "amd64\n", "var/lib/dpkg/info/format": "1\n",
		"etc/passwd": "root:x:0:0:root:/root:/bin/sh\ngames:x:5:60::/:\n", "etc/group": "root:x:0:\ngames:x:60:\n",
	})
	for _, l := range []string{"bin", "sbin", "lib"} {
		writeLink(t, root, l, "usr/"+l)
	}
	return root
}

func writeLink(t testing.TB, root, name, to string) {
	t.Helper()
	full := filepath.Join(root, name)
	if err := os.Symlink(to, full); err != nil {
		t.Fatal(err)
	}
	ts := []unix.Timespec{{Sec: 1e9}, {Sec: 1e9}}
	if err := unix.UtimesNanoAt(unix.AT_FDCWD, full, ts, unix.AT_SYMLINK_NOFOLLOW); err != nil {
		t.Fatal(err)
	}
}

func writeFiles(t testing.TB, root string, files map[string]string) {
	t.Helper()
	for name, content := range files {
		full := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(full), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(full, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
		if err := os.Chtimes(full, time.Unix(1e9, 0), time.Unix(1e9, 0)); err != nil {
			t.Fatal(err)
		}
	}
}

// newTestInstaller opens an installer on root that runs nothing.
func newTestInstaller(t testing.TB, root string) *installer {
	t.Helper()
	in, err := newInstaller(Request{Root: root, Stage: filepath.Join(t.TempDir(), "stage"), Architecture: "amd64"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { in.close() })
	if err := in.adoptOwners(); err != nil {
		t.Fatal(err)
	}
	return in
}

// unpack does to root what dpkg --unpack does, one package after the other.
// Of the groups each is registered at once, as in a round.
func unpack(t testing.TB, in *installer, groups ...[]string) error {
	t.Helper()
	buf := make([]byte, copyBuffer)
	for _, g := range groups {
		var placed []*installed
		for _, file := range g {
			p, err := in.stage.stage(context.Background(), file, buf)
			if err != nil {
				return err
			}
			inst, err := in.placer.place(p, asNew)
			if err != nil {
				return err
			}
			in.db.interests.activate(inst, in.configured)
			placed = append(placed, inst)
		}
		if err := in.register(placed); err != nil {
			return err
		}
	}
	return nil
}

// dpkgUnpack lets the host's dpkg unpack files into root.
func dpkgUnpack(t testing.TB, root string, files []string, args ...string) (string, error) {
	t.Helper()
	if _, err := exec.LookPath("dpkg"); err != nil {
		skip(t, "no dpkg on this host")
	}
	needRoot(t)
	args = append([]string{"--root=" + root, "--force-unsafe-io", "--force-depends", "--force-architecture", "--no-triggers"}, args...)
	args = append(append(args, "--unpack"), files...)
	cmd := exec.Command("dpkg", args...)
	cmd.Env = []string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL=C"}
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// rewriteStatus lets dpkg write the status file in its own words.
func rewriteStatus(t testing.TB, root string) {
	t.Helper()
	cmd := exec.Command("dpkg", "--root="+root, "--set-selections")
	cmd.Stdin = strings.NewReader("")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("dpkg cannot read the status file: %v\n%s", err, out)
	} else if len(out) > 0 {
		t.Errorf("dpkg complains of the status file:\n%s", out)
	}
}

// notCompared are files of the database that say nothing about packages.
var notCompared = []string{
	"var/lib/dpkg/lock", "var/lib/dpkg/lock-frontend", "var/lib/dpkg/status-old", "var/lib/dpkg/available", "var/lib/dpkg/triggers/Lock",
	"var/lib/dpkg/triggers/Unincorp", "var/lib/dpkg/arch-native", "var/lib/dpkg/parts", "var/lib/dpkg/alternatives", "var/lib/dpkg/tmp.ci",
	"var/log", "var/log/dpkg.log", "var/lib/dpkg/diversions-old", "var/lib/dpkg/statoverride-old",
}

// listing describes everything below root: type, owner, mode, time, content.
func listing(t testing.TB, root string) map[string]string {
	t.Helper()
	out := map[string]string{}
	inodes := map[uint64]string{}
	err := filepath.WalkDir(root, func(full string, _ fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, _ := filepath.Rel(root, full)
		if slices.Contains(notCompared, rel) {
			return nil
		}
		var st unix.Stat_t
		if err := unix.Lstat(full, &st); err != nil {
			return err
		}
		desc := fmt.Sprintf("%o %d:%d", st.Mode, st.Uid, st.Gid)
		switch st.Mode & 0o170000 {
		case 0o040000:
		case 0o120000:
			link, _ := os.Readlink(full)
			desc += fmt.Sprintf(" -> %s t%d", link, st.Mtim.Sec)
		case 0o100000:
			data, err := os.ReadFile(full)
			if err != nil {
				return err
			}
			if !strings.HasPrefix(rel, "var/lib/dpkg/") {
				desc += fmt.Sprintf(" t%d", st.Mtim.Sec)
			}
			if first := inodes[st.Ino]; first != "" {
				desc += " same as " + first
			} else if st.Nlink > 1 {
				inodes[st.Ino] = rel
			}
			desc += "\n" + string(data)
		default:
			desc += fmt.Sprintf(" dev %d", st.Rdev)
		}
		out[rel] = desc
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func compareListings(t *testing.T, ours, theirs map[string]string) {
	t.Helper()
	for _, p := range sortedUnion(ours, theirs) {
		switch o, th := ours[p], theirs[p]; {
		case o == "":
			t.Errorf("/%s is missing; dpkg has it as %s", p, th)
		case th == "":
			t.Errorf("/%s is there, but not after dpkg: %s", p, o)
		case o != th:
			t.Errorf("/%s differs\n--- ours\n%s\n--- dpkg's\n%s", p, o, th)
		}
	}
}

func sortedUnion(a, b map[string]string) []string {
	var out []string
	for k := range a {
		out = append(out, k)
	}
	for k := range b {
		if _, ok := a[k]; !ok {
			out = append(out, k)
		}
	}
	slices.Sort(out)
	return out
}

type (
	pkg   = archivetest.Package
	files = archivetest.Files
	file  = archivetest.File
)

// scenarios are sets of packages that dpkg unpacks without an error.
var scenarios = map[string]struct {
	prepare map[string]string // files of the root before
	links   map[string]string
	pkgs    []pkg
}{
	"plain": {pkgs: []pkg{{
		Name: "plain", Version: "1:2.0-1~a", Fields: "Section: misc\nPriority: optional\nDepends: other (>= 1), a | b\nX-Odd: yes\nHomepage: https://example.org",
		Files: files{
			"/usr/bin/plain": {Mode: 0o755, Content: "x"}, "/usr/bin/set": {Mode: 0o755 | fs.ModeSetuid, Content: "y"},
			"/usr/share/plain/owned": {UID: 5, GID: 60, Mode: 0o640, Content: "z"}, "/usr/share/plain/dir": {Type: tar.TypeDir, Mode: 0o2770, GID: 60},
			"/usr/share/plain/link": {Link: "../nowhere"}, "/usr/share/plain/fifo": {Type: tar.TypeFifo, Mode: 0o600},
			"/usr/share/plain/null": {Type: tar.TypeChar, Major: 1, Minor: 3, Mode: 0o666}, "/usr/share/plain/disk": {Type: tar.TypeBlock, Major: 7, Mode: 0o660, GID: 6},
			"/usr/share/plain/hard": {HardLink: "/usr/bin/plain", Mode: 0o755}, "/usr/share/plain/with space": {Content: "s"},
		}}}},
	"merged usr": {pkgs: []pkg{
		{Name: "old-style", Files: files{"/bin/tool": {Mode: 0o755, Content: "t"}, "/lib/x/lib.so": {Content: "l"}, "/lib/x/lib.so.1": {Link: "lib.so"}}},
		{Name: "new-style", Files: files{"/usr/bin/new": {Mode: 0o755}, "/usr/lib/x/new.so": {}}},
	}},
	"existing directory keeps owner and mode": {pkgs: []pkg{
		{Name: "first", Files: files{"/srv/d": {Type: tar.TypeDir, Mode: 0o2750, UID: 5, GID: 60}, "/srv/e": {}}},
		{Name: "second", Files: files{"/srv/d": {Type: tar.TypeDir, Mode: 0o755}, "/srv/d/f": {}}},
	}},
	"symbolic link where a directory is": {pkgs: []pkg{
		{Name: "first", Files: files{"/srv/d/f": {Content: "1"}}},
		{Name: "second", Files: files{"/srv/d": {Link: "elsewhere"}}},
	}},
	"the same symbolic link in two packages": {pkgs: []pkg{
		{Name: "first", Files: files{"/srv/d/f": {Content: "1"}, "/srv/l": {Link: "d"}}},
		{Name: "second", Files: files{"/srv/l": {Link: "d"}, "/srv/g": {}}},
	}},
	"file over an unowned symbolic link": {
		links: map[string]string{"etc/target": "passwd", "etc/dir": "../usr"},
		pkgs:  []pkg{{Name: "one", Files: files{"/etc/target": {Content: "new"}, "/etc/dir/file": {Content: "f"}}}},
	},
	"conffiles": {pkgs: []pkg{{
		Name: "conf", Control: map[string]string{"conffiles": "/etc/conf/b\n/etc/conf/a\nremove-on-upgrade /etc/conf/gone\n"},
		Files: files{"/etc/conf/a": {Content: "a"}, "/etc/conf/b": {Content: "b", Mode: 0o600, UID: 5}, "/etc/conf/not": {Content: "n"}},
	}}},
	"hard link to a conffile": {pkgs: []pkg{{
		Name: "conf", Control: map[string]string{"conffiles": "/etc/conf/a\n/etc/conf/b\n", "md5sums": ""},
		Files: files{"/etc/conf/a": {Content: "a"}, "/etc/conf/b": {HardLink: "/etc/conf/a"}, "/usr/share/c": {HardLink: "/etc/conf/a"}},
	}}},
	"replaces, newer takes over": {pkgs: []pkg{
		{Name: "was", Version: "1.0", Files: files{"/usr/share/a": {Content: "old"}, "/usr/share/b": {Content: "b"}, "/usr/share/d/x": {}}},
		{Name: "now", Fields: "Replaces: was (<< 2)", Files: files{"/usr/share/a": {Content: "new"}, "/usr/share/d/y": {}}},
	}},
	"replaces, older comes later": {pkgs: []pkg{
		{Name: "now", Fields: "Replaces: was", Files: files{"/usr/share/a": {Content: "new"}}},
		{Name: "was", Version: "1.0", Files: files{"/usr/share/a": {Content: "old"}, "/usr/share/b": {Content: "b"}, "/usr/share/z": {HardLink: "/usr/share/b"}}},
	}},
	"multi-arch same": {pkgs: []pkg{
		{Name: "libm", Architecture: "amd64", Fields: "Multi-Arch: same", Control: map[string]string{"triggers": "interest-noawait /usr/share/m\n"},
			Files: files{"/usr/share/doc/libm/copyright": {Content: "c"}, "/usr/lib/x86_64-linux-gnu/libm.so": {Content: "64"}}},
		{Name: "libm", Architecture: "i386", Fields: "Multi-Arch: same",
			Files: files{"/usr/share/doc/libm/copyright": {Content: "c", Time: time.Unix(15e8, 0)}, "/usr/lib/i386-linux-gnu/libm.so": {Content: "32"}}},
	}},
	"local diversion": {
		prepare: map[string]string{"var/lib/dpkg/diversions": "/usr/bin/tool\n/usr/bin/tool.local\n:\n"},
		pkgs:    []pkg{{Name: "tool", Files: files{"/usr/bin/tool": {Content: "t", Mode: 0o755}, "/usr/bin/hard": {HardLink: "/usr/bin/tool", Mode: 0o755}}}},
	},
	"diversion by a package": {
		prepare: map[string]string{"var/lib/dpkg/diversions": "/usr/bin/tool\n/usr/bin/tool.real\nwrap\n"},
		pkgs: []pkg{
			{Name: "tool", Files: files{"/usr/bin/tool": {Content: "t", Mode: 0o755}}},
			{Name: "wrap", Files: files{"/usr/bin/tool": {Content: "w", Mode: 0o755}}},
		},
	},
	"diversion, the diverting package first": {
		prepare: map[string]string{"var/lib/dpkg/diversions": "/usr/bin/tool\n/usr/bin/tool.real\nwrap\n"},
		pkgs: []pkg{
			{Name: "wrap", Files: files{"/usr/bin/tool": {Content: "w", Mode: 0o755}}},
			{Name: "tool", Files: files{"/usr/bin/tool": {Content: "t", Mode: 0o755}}},
		},
	},
	"diverted conffile": {
		prepare: map[string]string{"var/lib/dpkg/diversions": "/etc/c\n/etc/c.real\nwrap\n"},
		pkgs:    []pkg{{Name: "c", Control: map[string]string{"conffiles": "/etc/c\n"}, Files: files{"/etc/c": {Content: "t"}}}},
	},
	"statoverride": {
		prepare: map[string]string{"var/lib/dpkg/statoverride": "root games 2755 /usr/bin/game\ngames root 0700 /var/lib/game\n#7 #8 640 /usr/share/a b\nroot games 4710 /etc/c\n"},
		pkgs: []pkg{{Name: "game", Control: map[string]string{"conffiles": "/etc/c\n"}, Files: files{
			"/usr/bin/game": {Content: "g", Mode: 0o755}, "/var/lib/game": {Type: tar.TypeDir}, "/usr/share/a b": {Content: "x"},
			"/etc/c": {Content: "c"},
		}}},
	},
	"md5sums made": {pkgs: []pkg{{
		Name: "nosums", Control: map[string]string{"conffiles": "/etc/n\n"},
		Files: files{"/etc/n": {Content: "n"}, "/usr/share/b": {Content: "b"}, "/usr/share/a": {Content: "a"}, "/usr/share/h": {HardLink: "/usr/share/a"},
			"/usr/share/l": {Link: "a"}, "/usr/share/empty": {}},
	}}},
	"triggers": {pkgs: []pkg{
		{Name: "waits", Control: map[string]string{"triggers": "# a remark\ninterest-noawait /usr/share/icons\ninterest explicit-one\n  # another\n\ninterest-await /usr/lib/waits\ninterest-noawait explicit-two\n"},
			Files: files{"/usr/share/w": {}}},
		{Name: "waits2", Control: map[string]string{"triggers": "interest-noawait /usr/share/icons\ninterest explicit-one\nactivate-noawait explicit-two\n"}, Files: files{"/usr/share/w2": {}}},
		{Name: "sets-off", Control: map[string]string{"triggers": "activate explicit-one\n"}, Files: files{"/usr/share/icons/i": {}}},
	}},
	"scripts and templates are kept": {pkgs: []pkg{{
		Name: "scripts", Control: map[string]string{"templates": "Template: a/b\n", "shlibs": "lib 1 x\n"},
		Scripts: map[string]string{"postinst": "#!/bin/sh\n", "prerm": "#!/bin/sh\n", "config": "#!/bin/sh\n"}, Files: files{"/usr/share/s": {}},
	}}},
}

// TestAsDpkg unpacks the same packages with dpkg and with our code; root and
// database must be the same to the letter.
func TestAsDpkg(t *testing.T) {
	for name, sc := range scenarios {
		t.Run(name, func(t *testing.T) {
			var debs []string
			var oneByOne [][]string
			for _, p := range sc.pkgs {
				d := writeDeb(t, p)
				if name == "md5sums made" {
					d = withoutSums(t, d)
				}
				debs = append(debs, d)
				oneByOne = append(oneByOne, []string{d})
			}
			prepared := func() string {
				root := skeleton(t)
				writeFiles(t, root, sc.prepare)
				for l, to := range sc.links {
					writeLink(t, root, l, to)
				}
				return root
			}
			theirs := prepared()
			for _, d := range debs { // one run of dpkg each, or it would sort them
				if out, err := dpkgUnpack(t, theirs, []string{d}); err != nil {
					t.Fatalf("dpkg: %v\n%s", err, out)
				}
			}
			rewriteStatus(t, theirs)
			want := listing(t, theirs)
			for _, groups := range [][][]string{oneByOne, {debs}} {
				ours := prepared()
				if err := unpack(t, newTestInstaller(t, ours), groups...); err != nil {
					t.Fatal(err)
				}
				rewriteStatus(t, ours)
				compareListings(t, listing(t, ours), want)
				if len(debs) == 1 {
					break
				}
			}
		})
	}
}

// withoutSums packs a .deb again without its md5sums.
func withoutSums(t *testing.T, deb string) string {
	t.Helper()
	dir := t.TempDir()
	out := filepath.Join(dir, filepath.Base(deb))
	for _, args := range [][]string{
		{"dpkg-deb", "-R", deb, filepath.Join(dir, "x")},
		{"rm", filepath.Join(dir, "x/DEBIAN/md5sums")},
		{"dpkg-deb", "-Znone", "-b", filepath.Join(dir, "x"), out},
	} {
		if msg, err := exec.Command(args[0], args[1:]...).CombinedOutput(); err != nil {
			t.Fatalf("%v: %v\n%s", args, err, msg)
		}
	}
	return out
}
