package rootfs

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"cloudy/builder/deb"
)

// FuzzStage decodes whatever calls itself a .deb: it may fail, but touches
// nothing besides the staging folder.
func FuzzStage(f *testing.F) {
	for _, p := range []pkg{
		{Name: "a", Compression: "none", Files: files{"/usr/bin/a": {Content: "x"}, "/usr/bin/l": {Link: "a"}, "/usr/bin/h": {HardLink: "/usr/bin/a"}}},
		{Name: "c", Compression: ".gz", Control: map[string]string{"conffiles": "/etc/c\n", "triggers": "interest /x\n"}, Files: files{"/etc/c": {}}},
	} {
		data, err := p.Deb()
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		dir := t.TempDir()
		path := filepath.Join(dir, "x.deb")
		if err := os.WriteFile(path, data, 0o644); err != nil {
			t.Fatal(err)
		}
		s, err := newStager(filepath.Join(dir, "stage"))
		if err != nil {
			t.Fatal(err)
		}
		p, err := s.stage(context.Background(), path, make([]byte, 4096))
		if err == nil {
			if p.name == "" || strings.ContainsAny(p.name, "/\n") {
				t.Errorf("package name %q", p.name)
			}
			for _, e := range p.entries {
				if clean, err := deb.CleanPath(e.path); err != nil || clean != e.path {
					t.Errorf("path %q: %v", e.path, err)
				}
			}
		}
		s.close()
		if left, _ := os.ReadDir(dir); len(left) != 1 {
			t.Errorf("left: %v", left)
		}
	})
}

// FuzzStanza: what goes into the status file is one paragraph with one Status
// field and all that the control file had.
func FuzzStanza(f *testing.F) {
	f.Add([]byte("Package: a\nVersion: 1\nDescription: x\n long\n .\n more\n"))
	f.Add([]byte("\n\npackage: a\nStatus: no\n"))
	f.Fuzz(func(t *testing.T, control []byte) {
		before, err := deb.NewParagraphReader(bytes.NewReader(control)).Next()
		if err != nil || before.Get("Package") == "" || before.Get("Status") != "" {
			return
		}
		if more, err := deb.NewParagraphReader(bytes.NewReader(control)).Next(); err != nil || more == nil {
			return
		}
		in := &installed{name: before.Get("Package"), control: map[string]deb.ControlFile{"control": {Data: control}}}
		rd := deb.NewParagraphReader(strings.NewReader(in.stanza()))
		after, err := rd.Next()
		if err != nil {
			t.Fatalf("%v in\n%s", err, in.stanza())
		}
		if after.Get("Status") != "install ok unpacked" || after.Get("Package") != before.Get("Package") || after.Get("Version") != before.Get("Version") {
			t.Errorf("%q became\n%s", control, in.stanza())
		}
	})
}

func TestConffilesList(t *testing.T) {
	got := parseConffiles([]byte("/etc/a\n  /etc/b  \nremove-on-upgrade   /etc/c\nrelative\n/etc/../x\n\n/etc//d\n"))
	if len(got) != 4 || got["etc/a"] == nil || got["etc/b"] == nil || !got["etc/c"].remove || got["etc/a"].remove || got["etc/d"] == nil {
		t.Errorf("%v", got)
	}
}

func TestPackageNames(t *testing.T) {
	for name, ok := range map[string]bool{"bash": true, "lib.so+1": true, "": false, "a/b": false, "../x": false, ".x": false, "a b": false, "a\nb": false} {
		if err := safeName(name); (err == nil) != ok {
			t.Errorf("%q: %v", name, err)
		}
	}
}
