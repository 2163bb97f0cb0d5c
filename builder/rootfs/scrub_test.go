package rootfs

import (
	"errors"
	"io"
	"path"
	"slices"
	"strings"
	"testing"
	"time"

	"cloudy/builder/fail"
	"cloudy/builder/tree"
)

var testEpoch = time.Unix(1767441600, 0).UTC()

// rootTree makes a tree of files by path, with the folders above them; a
// content that begins with "=>" makes a hard link.
func rootTree(files map[string]string) *tree.Tree {
	t := &tree.Tree{Entries: []tree.Entry{{Path: ".", Type: tree.Dir, Mode: 0o755, MTime: testEpoch}}}
	have := map[string]bool{".": true}
	for p, content := range files {
		for dir := path.Dir(p); !have[dir]; dir = path.Dir(dir) {
			have[dir] = true
			t.Entries = append(t.Entries, tree.Entry{Path: dir, Type: tree.Dir, Mode: 0o755, MTime: testEpoch})
		}
		e := tree.Entry{Path: p, Type: tree.File, Mode: 0o600, MTime: testEpoch, Data: []byte(content), Size: int64(len(content))}
		if link, ok := strings.CutPrefix(content, "=>"); ok {
			e = tree.Entry{Path: p, Type: tree.Hardlink, Link: link, MTime: testEpoch}
		}
		t.Entries = append(t.Entries, e)
	}
	t.Sort()
	return t
}

func none(string) bool { return false }

// samples has a path for each rule.
var samples = map[string]string{
	"var/lib/dbus/machine-id": "", "etc/ssh/ssh_host_*": "etc/ssh/ssh_host_rsa_key", "etc/tinc/*/*_key.priv": "etc/tinc/net/rsa_key.priv",
	"etc/*-": "etc/passwd-", "var/lib/dpkg/*-old": "var/lib/dpkg/status-old", "var/cache/debconf/*-old": "var/cache/debconf/config.dat-old",
	"var/cache/apt/*.bin": "var/cache/apt/pkgcache.bin", "var/log/*.log": "var/log/fontconfig.log",
}

func TestScrubRules(t *testing.T) {
	for _, r := range scrubRules {
		p := samples[r.pattern]
		if p == "" {
			p = r.pattern
		}
		if strings.ContainsAny(p, "*?[") {
			t.Errorf("no sample for %s", r.pattern)
			continue
		}
		if r.action == contents {
			p += "/some/thing"
		}
		in := rootTree(map[string]string{p: "secret", "usr/bin/x": "x"})
		got := Scrub(in, testEpoch, none)
		e := got.Find(p)
		switch r.action {
		case remove:
			if e != nil {
				t.Errorf("/%s is still there", p)
			}
		case contents:
			if got.Find(r.pattern) == nil || got.Find(r.pattern+"/some") != nil {
				t.Errorf("/%s: the folder must stay and be empty", r.pattern)
			}
		case truncate:
			if e == nil || e.Size != 0 || e.Data != nil {
				t.Errorf("/%s is not empty: %+v", p, e)
			}
		case keep:
			if e == nil || e.Size == 0 {
				t.Errorf("/%s is gone", p)
			}
		}
		if got.Find("usr/bin/x") == nil {
			t.Errorf("%s takes along what it does not name", r.pattern)
		}
		// What the recipe asked for stays, with its folders.
		asked := Scrub(in, testEpoch, func(q string) bool { return q == p })
		for q := p; q != "."; q = path.Dir(q) {
			if asked.Find(q) == nil {
				t.Errorf("/%s was asked for, but /%s is gone", p, q)
			}
		}
		if e := asked.Find(p); e != nil && string(e.Data) != "secret" {
			t.Errorf("/%s was asked for, but has changed", p)
		}
		if in.Find(p) == nil || string(in.Find(p).Data) != "secret" {
			t.Errorf("%s: the tree that was given has changed", p)
		}
		if !strings.Contains(ScrubTable(), "`/"+r.pattern+"`") {
			t.Errorf("%s is not documented", r.pattern)
		}
	}
}

func TestScrub(t *testing.T) {
	in := rootTree(map[string]string{
		"etc/machine-id": "0123456789abcdef0123456789abcdef\n", "etc/backup-/x": "below a folder that goes", "etc/keep": "k",
		"etc/old-": "linked", "usr/lib/linked": "=>etc/old-", "usr/lib/linked2": "=>etc/old-",
	})
	in.Find("etc/keep").MTime = testEpoch.Add(time.Hour)
	got := Scrub(in, testEpoch, none)
	if e := got.Find("etc/machine-id"); string(e.Data) != "uninitialized\n" || e.Mode != 0o444 || e.Size != int64(len(e.Data)) {
		t.Errorf("machine-id: %+v", e)
	}
	if got.Find("etc/backup-") != nil || got.Find("etc/backup-/x") != nil {
		t.Error("a file is left without its folder")
	}
	if e := got.Find("etc/keep"); !e.MTime.Equal(testEpoch) {
		t.Errorf("time %v", e.MTime)
	}
	if e := got.Find("usr/lib/linked"); e == nil || e.Type != tree.File || string(e.Data) != "linked" {
		t.Errorf("the other name of a removed file: %+v", e)
	}
	if e := got.Find("usr/lib/linked2"); e == nil || e.Type != tree.Hardlink || e.Link != "usr/lib/linked" {
		t.Errorf("the third name of a removed file: %+v", e)
	}
	for i := range got.Entries {
		if p := got.Entries[i].Path; p != "." && got.Find(path.Dir(p)) == nil {
			t.Errorf("/%s has no folder", p)
		}
	}
	if err := Verify(got, testEpoch, none); err != nil {
		t.Errorf("what is scrubbed does not verify: %v", err)
	}
}

const fakeKey = "-----BEGIN OPENSSH PRIVATE" + " KEY-----\nb3BlbnNzaC1rZXk\n"

func TestVerify(t *testing.T) {
	for _, tc := range []struct {
		name, path, content string
		want                string // "" for fine
	}{
		{"OpenSSH key", "root/.ssh/id_ed25519", fakeKey, "holds a private key"},
		{"RSA key", "etc/ssl/private/x.key", "-----BEGIN RSA PRIVATE" + " KEY-----\n", "holds a private key"},
		{"key inside of a configuration", "etc/app.conf", "a = 1\nkey = \"\"\"\n-----BEGIN PRIVATE" + " KEY-----\n\"\"\"", "holds a private key"},
		{"OpenPGP key", "home/u/key.asc", "-----BEGIN PGP PRIVATE" + " KEY BLOCK-----\n", "holds a private key"},
		{"invitation", "root/notes", "my line: cloudy1.ZXhhbXBsZQ." + strings.Repeat("A", 86) + "\n", "holds an invitation"},
		{"age key", "opt/age.txt", "# created\nAGE-SECRET-KEY" + "-1XYZ\n", "holds a private key"},
		{"key in /srv", "srv/k", fakeKey, "holds a private key"},
		{"key in /var", "var/lib/app/k", fakeKey, "holds a private key"},
		{"machine id", "etc/machine-id", "0123456789abcdef0123456789abcdef\n", "has the id of a machine"},
		{"machine id not set", "etc/machine-id", "uninitialized\n", ""},
		{"machine id empty", "etc/machine-id", "", ""},
		{"SSH host key", "etc/ssh/ssh_host_ecdsa_key", "x", "is an SSH host key"},
		{"public host key", "etc/ssh/ssh_host_ecdsa_key.pub", "x", "is an SSH host key"},
		{"random seed", "var/lib/systemd/random-seed", "x", "is a random seed"},
		{"example in the documentation", "usr/share/doc/openssl/example.pem", fakeKey, ""},
		{"script that speaks of keys", "var/lib/dpkg/info/ssl-cert.postinst", "grep 'PRIVATE" + " KEY-----'", ""},
		{"public key", "etc/ssl/certs/ca.pem", "-----BEGIN CERTIFICATE-----\n", ""},
	} {
		in := rootTree(map[string]string{tc.path: tc.content})
		err := Verify(in, testEpoch, none)
		switch {
		case tc.want == "" && err != nil:
			t.Errorf("%s: %v", tc.name, err)
		case tc.want != "" && (!errors.Is(err, ErrIdentity) || !strings.Contains(err.Error(), "/"+tc.path+" "+tc.want) || fail.KindOf(err) != fail.Build || fail.HintOf(err) == ""):
			t.Errorf("%s: error %v, want %q", tc.name, err, tc.want)
		}
		if err := Verify(in, testEpoch, func(p string) bool { return p == tc.path }); err != nil {
			t.Errorf("%s, declared: %v", tc.name, err)
		}
	}
}

func TestVerifyMore(t *testing.T) {
	late := rootTree(map[string]string{"usr/x": "x"})
	late.Find("usr/x").MTime = testEpoch.Add(time.Second)
	if err := Verify(late, testEpoch, none); err == nil || !strings.Contains(err.Error(), "/usr/x is newer") {
		t.Errorf("a file of the future: %v", err)
	}
	two := rootTree(map[string]string{"etc/ssh/ssh_host_a": "x", "root/k": fakeKey})
	if err := Verify(two, testEpoch, none); err == nil || strings.Count(err.Error(), "\n") != 2 {
		t.Errorf("not both are named: %v", err)
	}
	// The name outside of the searched folders must not hide the one inside.
	linked := rootTree(map[string]string{"bin/k": fakeKey, "root/k": "=>bin/k"})
	if err := Verify(linked, testEpoch, none); err == nil || !strings.Contains(err.Error(), "/root/k holds a private key") {
		t.Errorf("a key behind a hard link: %v", err)
	}
	// A machine id that comes from a file, not from memory.
	lazy := rootTree(map[string]string{"etc/machine-id": machineID})
	e := lazy.Find("etc/machine-id")
	data := string(e.Data)
	e.Data, e.Content = nil, func() (io.ReadCloser, error) { return io.NopCloser(strings.NewReader(data)), nil }
	if err := Verify(lazy, testEpoch, none); err != nil {
		t.Errorf("machine id without an id: %v", err)
	}
	broken := rootTree(map[string]string{"etc/f": "xx"})
	broken.Find("etc/f").Content = func() (io.ReadCloser, error) { return nil, errors.New("cannot be read") }
	if err := Verify(broken, testEpoch, none); err == nil || !strings.Contains(err.Error(), "verify /etc/f: cannot be read") {
		t.Errorf("a file that cannot be read: %v", err)
	}
	if !slices.Contains(secretFolders, "etc/") {
		t.Error("no /etc")
	}
}
