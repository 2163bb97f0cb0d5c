package archivetest

import (
	"archive/tar"
	"bytes"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

func skip(t *testing.T, reason string) {
	t.Helper()
	if os.Getenv("CLOUDY_REQUIRE_ALL") != "" {
		t.Fatal(reason)
	}
	t.Skip(reason)
}

func samplePackage(compression string) Package {
	return Package{
		Name: "sample", Version: "1:2.0-1", Architecture: "amd64", Compression: compression,
		Fields:  "Depends: other (>= 1)\nSection: misc\nPriority: optional",
		Scripts: map[string]string{"postinst": "#!/bin/sh\nset -e\n"},
		Control: map[string]string{"conffiles": "/etc/sample.conf\n"},
		Files: Files{
			"/etc/sample.conf": {Content: "a=1\n"},
			"/usr/bin/sample":  {Content: "#!/bin/sh\n", Mode: 0o755},
			"/usr/bin/a-same":  {HardLink: "/usr/bin/sample"},
			"/usr/bin/setuid":  {Content: "x", Mode: 0o755 | fs.ModeSetuid},
			"/usr/bin/link":    {Link: "sample"},
			"/var/lib/sample":  {Type: tar.TypeDir, Mode: 0o700, UID: 33, GID: 33},
			"/usr/share/" + strings.Repeat("long/", 40) + "file": {},
		},
	}
}

// dpkg-deb judges our .deb files.
func TestDeb(t *testing.T) {
	dpkg, err := exec.LookPath("dpkg-deb")
	if err != nil {
		skip(t, "no dpkg-deb")
	}
	for _, c := range []string{"", ".gz", ".zst", "none"} {
		p := samplePackage(c)
		data, err := p.Deb()
		if err != nil {
			t.Fatal(err)
		}
		again, _ := p.Deb()
		if !bytes.Equal(data, again) {
			t.Errorf("%q: two builds differ", c)
		}
		dir := t.TempDir()
		file := filepath.Join(dir, p.FileName())
		os.WriteFile(file, data, 0o644)
		out, err := exec.Command(dpkg, "--info", file).CombinedOutput()
		if err != nil || !strings.Contains(string(out), "Depends: other (>= 1)") {
			t.Errorf("%q: --info: %v\n%s", c, err, out)
		}
		out, err = exec.Command(dpkg, "--contents", file).CombinedOutput()
		for _, want := range []string{"-rwsr-xr-x root/root", "./usr/bin/a-same link to ./usr/bin/sample",
			"./usr/bin/link -> sample", "drwx------ 33/33"} {
			if err != nil || !strings.Contains(string(out), want) {
				t.Errorf("%q: --contents lacks %q: %v\n%s", c, want, err, out)
			}
		}
		root := filepath.Join(dir, "root")
		if out, err := exec.Command(dpkg, "-R", file, root).CombinedOutput(); err != nil {
			t.Fatalf("%q: -R: %v\n%s", c, err, out)
		}
		if got, _ := os.ReadFile(filepath.Join(root, "etc/sample.conf")); string(got) != "a=1\n" {
			t.Errorf("%q: conffile holds %q", c, got)
		}
		if out, err := exec.Command("sh", "-c", "cd "+root+" && md5sum -c DEBIAN/md5sums").CombinedOutput(); err != nil {
			t.Errorf("%q: md5sums: %v\n%s", c, err, out)
		}
	}
}

// apt itself reads the archive, checks its signature and downloads from it.
func TestAptTakesIt(t *testing.T) {
	apt, err := exec.LookPath("apt-get")
	if err != nil {
		skip(t, "no apt-get")
	}
	for name, suite := range map[string]Suite{
		"inline":   {Name: "stable"},
		"detached": {Name: "stable", Detached: true, NoByHash: true},
		"split":    {Name: "stable", SplitAll: true},
	} {
		t.Run(name, func(t *testing.T) {
			suite.Packages = []Package{samplePackage(""), {Name: "other", Version: "1.5"}}
			srv := Serve(t, Archive{Suites: []Suite{suite}})
			dir := t.TempDir()
			for _, d := range []string{"etc/sources.list.d", "etc/apt.conf.d", "etc/preferences.d", "state/lists/partial", "cache/archives/partial"} {
				os.MkdirAll(filepath.Join(dir, d), 0o755)
			}
			os.WriteFile(filepath.Join(dir, "key.asc"), srv.Keyring, 0o644)
			os.WriteFile(filepath.Join(dir, "status"), nil, 0o644)
			os.WriteFile(filepath.Join(dir, "apt.conf"), nil, 0o644)
			os.WriteFile(filepath.Join(dir, "etc/sources.list"),
				[]byte("deb [signed-by="+dir+"/key.asc] "+srv.URL+" stable main\n"), 0o644)
			run := func(args ...string) string {
				t.Helper()
				args = append([]string{"-q", "-o", "Dir::Etc=" + dir + "/etc", "-o", "Dir::State=" + dir + "/state",
					"-o", "Dir::Cache=" + dir + "/cache", "-o", "Dir::State::status=" + dir + "/status",
					"-o", "APT::Architecture=amd64", "-o", "APT::Architectures=amd64", "-o", "APT::Sandbox::User=root",
					"-o", "Acquire::http::Proxy=DIRECT", "-o", "Dir::Etc::parts=" + dir + "/etc/apt.conf.d"}, args...)
				cmd := exec.Command(apt, args...)
				cmd.Env = append(os.Environ(), "APT_CONFIG="+dir+"/apt.conf")
				cmd.Dir = dir
				out, err := cmd.CombinedOutput()
				if err != nil || strings.Contains(string(out), "W:") {
					t.Fatalf("%v: %v\n%s", args, err, out)
				}
				return string(out)
			}
			run("update")
			if out := run("install", "-s", "sample"); !strings.Contains(out, "Inst other (1.5") || !strings.Contains(out, "Inst sample (1:2.0-1") {
				t.Errorf("install -s:\n%s", out)
			}
			run("download", "sample", "other")
		})
	}
}
