package integration

import (
	"archive/tar"
	"os"
	"path/filepath"
	"testing"

	"cloudy/builder/archive/archivetest"
)

// TestHostilePackages builds from packages that try to write outside of the
// root: nothing is written there, and what no honest package has is refused
// by name. Files behind a link are put where the link points inside of the
// root, as dpkg does; such a build gets as far as the first program.
func TestHostilePackages(t *testing.T) {
	needRoot(t)
	victim := filepath.Join(scratch, "victim")
	mkdir(t, victim)
	file := func(name string) tar.Header {
		return tar.Header{Name: name, Typeflag: tar.TypeReg, Mode: 0o644, Size: 4, ModTime: archivetest.Date}
	}
	link := func(name, to string) tar.Header {
		return tar.Header{Name: name, Typeflag: tar.TypeSymlink, Linkname: to, Mode: 0o777, ModTime: archivetest.Date}
	}
	for _, c := range []struct {
		name  string
		extra []tar.Header
		want  string
	}{
		{"dot dot", []tar.Header{file("./usr/../../../../../../../../.." + victim + "/x")}, `evil.*unsafe path`},
		{"absolute", []tar.Header{file(victim + "/x")}, `evil.*unsafe path .*absolute`},
		{"newline", []tar.Header{file("./usr/a\nb")}, `evil.*unsafe path`},
		{"through a link", []tar.Header{link("./usr/way", victim), file("./usr/way/x")}, `no such program in the root`},
		{"through a relative link", []tar.Header{link("./way", "../../../../../../../.."+victim), file("./way/x")}, `no such program in the root`},
		{"device through a link", []tar.Header{link("./usr/way", victim),
			{Name: "./usr/way/x", Typeflag: tar.TypeChar, Mode: 0o666, Devmajor: 1, Devminor: 3, ModTime: archivetest.Date}}, `evil.*device behind the link /usr/way`},
		{"hard link out", []tar.Header{
			{Name: "./usr/x", Typeflag: tar.TypeLink, Linkname: "../../../../../../../../etc/shadow", Mode: 0o644, ModTime: archivetest.Date}}, `evil.*unsafe path`},
		{"hard link through a link", []tar.Header{link("./usr/way", "/etc"),
			{Name: "./usr/x", Typeflag: tar.TypeLink, Linkname: "./usr/way/shadow", Mode: 0o644, ModTime: archivetest.Date}}, `usr/(x|way)`},
		{"no file for a hard link", []tar.Header{
			{Name: "./usr/x", Typeflag: tar.TypeLink, Linkname: "./usr/nothing", Mode: 0o644, ModTime: archivetest.Date}}, `usr/nothing|usr/x`},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			evil := archivetest.Package{Name: "evil", Fields: "Essential: yes", Extra: c.extra}
			p, _ := tiny(t, suite(evil), "evil")
			p.fails(1, []string{c.want}, "build", "--progress=plain")
			p.clean()
			if list, _ := os.ReadDir(victim); len(list) > 0 {
				t.Errorf("written outside of the root: %v", list)
			}
		})
	}
}

// TestBrokenPackages builds from files that are no packages, though their
// checksums are right.
func TestBrokenPackages(t *testing.T) {
	needRoot(t)
	for _, c := range []struct {
		name string
		pkg  archivetest.Package
		want string
	}{
		{"other name", archivetest.Package{Name: "init", Control: map[string]string{"control": "Package: other\nVersion: 1\nArchitecture: all\nMaintainer: x\nDescription: x\n"}}, `init.*other|other.*init`},
		{"no control", archivetest.Package{Name: "init", Control: map[string]string{"control": "this is not a control file\n"}}, `package init: .*control`},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			c.pkg.Fields = "Essential: yes"
			p, _ := tiny(t, suite(c.pkg), "init")
			p.fails(1, []string{c.want}, "build", "--progress=plain")
			p.clean()
		})
	}
}
