package report

import (
	"strings"
	"testing"

	"cloudy/builder/tree"
)

// rootWith makes a root of the files given as path and content; folders
// appear by themselves. "-> target" is a symbolic link, "=> path" a hard link.
func rootWith(files map[string]string) *Root {
	t := &tree.Tree{Entries: []tree.Entry{{Path: ".", Type: tree.Dir, Mode: 0o755}}}
	seen := map[string]bool{}
	for path, content := range files {
		for i, c := range path {
			if dir := path[:i]; c == '/' && !seen[dir] {
				seen[dir] = true
				t.Entries = append(t.Entries, tree.Entry{Path: dir, Type: tree.Dir, Mode: 0o755})
			}
		}
		e := tree.Entry{Path: path, Type: tree.File, Mode: 0o644, Data: []byte(content), Size: int64(len(content))}
		if link, ok := strings.CutPrefix(content, "-> "); ok {
			e = tree.Entry{Path: path, Type: tree.Symlink, Mode: 0o777, Link: link}
		}
		if link, ok := strings.CutPrefix(content, "=> "); ok {
			e = tree.Entry{Path: path, Type: tree.Hardlink, Mode: 0o644, Link: link}
		}
		t.Entries = append(t.Entries, e)
	}
	t.Sort()
	return RootOf(t)
}

const sampleStatus = `Package: bash
Status: install ok installed
Section: shells
Installed-Size: 7000
Maintainer: Matthias Klose <doko@debian.org>
Architecture: amd64
Version: 5.2-1
Description: GNU Bourne Again SHell
 Long text.

Package: gone
Status: deinstall ok config-files
Architecture: amd64
Version: 1

Package: libc6
Status: install ok installed
Section: libs
Architecture: i386
Version: 2.41-1
Source: glibc
Description: C library

Package: libc6
Status: install ok installed
Section: libs
Architecture: amd64
Version: 2.41-1
Source: glibc (2.41-0)
Description: C library
`

func sampleRoot() *Root {
	return rootWith(map[string]string{
		"bin":                                "-> usr/bin",
		"usr/bin/bash":                       strings.Repeat("b", 1000),
		"usr/bin/rbash":                      "-> bash",
		"usr/bin/bash-static":                "=> usr/bin/bash",
		"usr/bin/sh.distrib":                 strings.Repeat("d", 30),
		"usr/lib/x86_64-linux-gnu/libc.so.6": strings.Repeat("c", 2000),
		"usr/lib/i386-linux-gnu/libc.so.6":   strings.Repeat("i", 1500),
		"usr/share/doc/bash/copyright":       "Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/\n\nFiles: *\nCopyright: x\nLicense: GPL-3+\n",
		"usr/share/doc/libc6/copyright":      "This is free software.",
		"var/lib/apt/lists/debian_Packages":  strings.Repeat("p", 500),
		"etc/machine-id":                     "uninitialized\n",
		"etc/os-release":                     "-> ../usr/lib/os-release",
		"usr/lib/os-release":                 "PRETTY_NAME=\"Debian GNU/Linux 13 (trixie)\"\nID=debian\nVERSION_ID=\"13\"\nVERSION_CODENAME=trixie\n",
		"var/lib/dpkg/status":                sampleStatus,
		"var/lib/dpkg/diversions":            "/bin/sh\n/bin/sh.distrib\ndash\n",
		"var/lib/dpkg/info/bash.list":        "/.\n/bin\n/bin/bash\n/bin/sh\n/usr/bin/rbash\n/usr/share/doc/bash/copyright\n",
		"var/lib/dpkg/info/libc6:amd64.list": "/usr/lib/x86_64-linux-gnu/libc.so.6\n/usr/share/doc/libc6/copyright\n",
		"var/lib/dpkg/info/libc6:i386.list":  "/usr/lib/i386-linux-gnu/libc.so.6\n/usr/share/doc/libc6/copyright\n",
	})
}

func TestPackages(t *testing.T) {
	list, err := Packages(sampleRoot())
	if err != nil {
		t.Fatal(err)
	}
	want := []Package{
		{Name: "bash", Version: "5.2-1", Architecture: "amd64", Source: "bash", SourceVersion: "5.2-1", Section: "shells",
			Maintainer: "Matthias Klose <doko@debian.org>", Summary: "GNU Bourne Again SHell", InstalledSize: 7000 << 10, License: "GPL-3.0-or-later"},
		{Name: "libc6", Version: "2.41-1", Architecture: "amd64", Source: "glibc", SourceVersion: "2.41-0", Section: "libs", Summary: "C library"},
		{Name: "libc6", Version: "2.41-1", Architecture: "i386", Source: "glibc", SourceVersion: "2.41-1", Section: "libs", Summary: "C library"},
	}
	if len(list) != len(want) {
		t.Fatalf("got %+v", list)
	}
	for i := range want {
		if list[i] != want[i] {
			t.Errorf("got %+v, want %+v", list[i], want[i])
		}
	}
	if _, err := Packages(rootWith(nil)); err != ErrNoPackages {
		t.Errorf("an empty root: %v", err)
	}
	if _, err := Packages(rootWith(map[string]string{statusFile: "no field\n"})); err == nil {
		t.Error("a broken status file passed")
	}
	distroless := rootWith(map[string]string{"var/lib/dpkg/status.d/base": "Package: base-files\nVersion: 12\nArchitecture: amd64\n", "var/lib/dpkg/status.d/base.md5sums": "x"})
	if list, err := Packages(distroless); err != nil || len(list) != 1 {
		t.Errorf("distroless: %v, %v", list, err)
	}
}

func TestReleaseOf(t *testing.T) {
	want := Release{ID: "debian", Version: "13", Codename: "trixie", Pretty: "Debian GNU/Linux 13 (trixie)"}
	if got := ReleaseOf(sampleRoot()); got != want {
		t.Errorf("got %+v", got)
	}
}

func TestParseCopyright(t *testing.T) {
	const head = "Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/\n\n"
	stanza := func(files, license string) string {
		return "Files: " + files + "\nCopyright: x\nLicense: " + license + "\n\n"
	}
	for name, tt := range map[string]struct{ text, want string }{
		"free text":         {"Copyright 1990 by me.\nDo what you want.\n", ""},
		"no stanza":         {head, ""},
		"one":               {head + stanza("*", "Expat\n The text"), "MIT"},
		"several, sorted":   {head + stanza("*", "GPL-2+") + stanza("b", "Apache-2.0") + stanza("c", "GPL-2+"), "Apache-2.0 AND GPL-2.0-or-later"},
		"choice":            {head + stanza("*", "GPL-1+ or Artistic-1.0"), "GPL-1.0-or-later OR Artistic-1.0"},
		"choice among many": {head + stanza("*", "GPL-2 or Expat") + stanza("b", "ISC"), "(GPL-2.0-only OR MIT) AND ISC"},
		"comma":             {head + stanza("*", "GPL-2+ or Artistic-2.0, and BSD-3-clause"), "(GPL-2.0-or-later OR Artistic-2.0) AND BSD-3-Clause"},
		"and before or":     {head + stanza("*", "ISC and Zlib or MPL-2.0"), "ISC AND Zlib OR MPL-2.0"},
		"packaging aside":   {head + stanza("*", "Zlib") + stanza("debian/*", "my-own"), "Zlib"},
		"one unknown":       {head + stanza("*", "Expat") + stanza("b", "custom"), ""},
		"exception":         {head + stanza("*", "GPL-2+ with OpenSSL exception"), ""},
		"MIT is no one's":   {head + stanza("*", "MIT"), ""},
		"texts aside":       {head + stanza("*", "LGPL-2.1") + "License: weird\n text\n", "LGPL-2.1-only"},
		"GFDL":              {head + stanza("*", "GFDL-NIV-1.3+"), "GFDL-1.3-no-invariants-or-later"},
		"no such GPL":       {head + stanza("*", "GPL-7"), ""},
	} {
		if got := ParseCopyright(strings.NewReader(tt.text)); got != tt.want {
			t.Errorf("%s: got %q, want %q", name, got, tt.want)
		}
	}
}

func FuzzParseCopyright(f *testing.F) {
	f.Add("Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/\n\nFiles: *\nLicense: GPL-2+ or Expat, and X\n")
	f.Fuzz(func(t *testing.T, s string) { ParseCopyright(strings.NewReader(s)) })
}
