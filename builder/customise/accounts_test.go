package customise

import (
	"fmt"
	"strings"
	"testing"

	"cloudy/builder/fail"
	"cloudy/builder/recipe"
	"cloudy/builder/tree"
)

func num(n int64) *int64 { return &n }

func accountTree() *tree.Tree {
	t := treeOf(
		"etc/passwd=root:x:0:0:root:/root:/bin/bash\ngames:x:5:60:games:/usr/games:/usr/sbin/nologin\nsys:x:100:101::/nonexistent:/usr/sbin/nologin\n",
		"etc/group=root:x:0:\nshadow:x:42:\ngames:x:60:\nsudo:x:27:root\nsys:x:101:\n",
		"etc/shadow=root:*:20000:0:99999:7:::\ngames:*:20000:0:99999:7:::\nsys:!:20000::::::\n",
		"etc/gshadow=root:*::\nshadow:*::\ngames:*::\nsudo:*::root\nsys:!::\n",
		"etc/subuid=", "etc/subgid=old:100000:65536\n",
		"etc/skel/.bashrc=# skel\n", "etc/skel/dir/f=x", "root/", "home/",
	)
	for i := range t.Entries {
		if e := &t.Entries[i]; e.Path == "etc/shadow" || e.Path == "etc/gshadow" {
			e.Mode, e.GID = 0o640, 42
		}
	}
	return t
}

func TestAccounts(t *testing.T) {
	img := &recipe.Image{
		Groups: []recipe.Group{{Name: "mesh"}, {Name: "daemons", System: true}, {Name: "fixed", GID: num(4000)}, {Name: "sudo"}},
		Users: []recipe.User{
			{Name: "guest", Comment: "A guest", PasswordHash: "$6$abc", Groups: texts("sudo", "mesh"), SSHAuthorizedKeys: []string{"ssh-ed25519 AAAA a", "ssh-ed25519 BBBB b"}},
			{Name: "worker", System: true, Group: "daemons"},
			{Name: "open", NoPassword: true, Shell: "/bin/sh", Home: "/srv/open"},
			{Name: "fix", UID: num(4000), Lock: true, PasswordHash: "$6$x"},
			{Name: "root", Lock: true, SSHAuthorizedKeys: []string{"ssh-rsa R"}},
			{Name: "games", Shell: "/bin/sh"},
			{Name: "rootless", Home: "/"},
		},
	}
	d, err := Apply(accountTree(), img, nil, epoch)
	must(t, err)
	for p, want := range map[string]string{
		"etc/passwd": "root:x:0:0:root:/root:/bin/bash\ngames:x:5:60:games:/usr/games:/bin/sh\nsys:x:100:101::/nonexistent:/usr/sbin/nologin\n" +
			"guest:x:1001:1001:A guest:/home/guest:/bin/bash\nworker:x:103:102::/nonexistent:/usr/sbin/nologin\nopen:x:1002:1002::/srv/open:/bin/sh\n" +
			"fix:x:4000:1003::/home/fix:/bin/bash\nrootless:x:1004:1004::/:/bin/bash\n",
		"etc/group": "root:x:0:\nshadow:x:42:\ngames:x:60:\nsudo:x:27:root,guest\nsys:x:101:\nmesh:x:1000:guest\ndaemons:x:102:\nfixed:x:4000:\n" +
			"guest:x:1001:\nopen:x:1002:\nfix:x:1003:\nrootless:x:1004:\n",
		"etc/shadow": "root:!:20456:0:99999:7:::\ngames:*:20000:0:99999:7:::\nsys:!:20000::::::\nguest:$6$abc:20456:0:99999:7:::\nworker:!:20456:0:99999:7:::\n" +
			"open::20456:0:99999:7:::\nfix:!$6$x:20456:0:99999:7:::\nrootless:!:20456:0:99999:7:::\n",
		"etc/gshadow":                     "root:*::\nshadow:*::\ngames:*::\nsudo:*::root,guest\nsys:!::\nmesh:!::guest\ndaemons:!::\nfixed:!::\nguest:!::\nopen:!::\nfix:!::\nrootless:!::\n",
		"etc/subuid":                      "guest:100000:65536\nopen:165536:65536\nfix:231072:65536\nrootless:296608:65536\n",
		"etc/subgid":                      "old:100000:65536\nguest:165536:65536\nopen:231072:65536\nfix:296608:65536\nrootless:362144:65536\n",
		"home/guest/.ssh/authorized_keys": "ssh-ed25519 AAAA a\nssh-ed25519 BBBB b\n",
		"home/guest/.bashrc":              "# skel\n",
		"srv/open/dir/f":                  "x",
		"root/.ssh/authorized_keys":       "ssh-rsa R\n",
	} {
		if got, err := d.read(p); err != nil || got != want {
			t.Errorf("/%s, %v\n%s\nwant\n%s", p, err, got, want)
		}
	}
	tr := d.Tree()
	for p, want := range map[string]tree.Entry{
		"etc/shadow":                      {Mode: 0o640, GID: 42},
		"etc/passwd":                      {Mode: 0o644},
		"home/guest":                      {Mode: 0o700, UID: 1001, GID: 1001},
		"home/guest/.bashrc":              {Mode: 0o644, UID: 1001, GID: 1001},
		"home/guest/.ssh":                 {Mode: 0o700, UID: 1001, GID: 1001},
		"home/guest/.ssh/authorized_keys": {Mode: 0o600, UID: 1001, GID: 1001},
		"root/.ssh":                       {Mode: 0o700},
		".":                               {Mode: 0o755}, // a home of "/" is nobody's to take
	} {
		if e := tr.Find(p); e == nil || e.Mode != want.Mode || e.UID != want.UID || e.GID != want.GID {
			t.Errorf("/%s: %+v, want %o %d:%d", p, e, want.Mode, want.UID, want.GID)
		}
	}
	if tr.Find("nonexistent") != nil || tr.Find("root/.bashrc") != nil {
		t.Error("a home for who should have none")
	}
}

func TestAccountErrors(t *testing.T) {
	for name, tc := range map[string]struct {
		img  recipe.Image
		want string
	}{
		"group of another id":     {recipe.Image{Groups: []recipe.Group{{Name: "games", GID: num(61)}}}, `group "games" has the id 60 already`},
		"id of another group":     {recipe.Image{Groups: []recipe.Group{{Name: "new", GID: num(60)}}}, `the id 60 belongs to group "games"`},
		"id of another user":      {recipe.Image{Users: []recipe.User{{Name: "new", UID: num(5)}}}, `the id 5 belongs to user "games"`},
		"unknown group":           {recipe.Image{Users: []recipe.User{{Name: "u", Groups: texts("nobody-knows")}}}, `no group "nobody-knows"`},
		"unknown primary group":   {recipe.Image{Users: []recipe.User{{Name: "u", Group: "nobody-knows"}}}, `no account or group "nobody-knows"`},
		"unknown owner of a file": {recipe.Image{Files: []recipe.File{{Path: "/etc/x", Owner: "nobody-knows"}}}, `no account or group "nobody-knows"`},
		"unknown owner of a dir":  {recipe.Image{Directories: []recipe.Directory{{Path: "/etc/x", Group: "nobody-knows"}}}, `no account or group "nobody-knows"`},
	} {
		_, err := Apply(accountTree(), &tc.img, nil, epoch)
		if err == nil || !strings.Contains(err.Error(), tc.want) || fail.KindOf(err) != fail.User {
			t.Errorf("%s: %v, want %q", name, err, tc.want)
		}
	}
}

func TestApply(t *testing.T) {
	base := treeOf("usr/lib/a=old", "lib->usr/lib", "etc/hosts=x", "etc/absent=gone", "etc/absent.d/f=gone", "etc/locale.gen=# all\n", "usr/share/zoneinfo/Europe/Madrid=", "etc/skel/", "etc/mode/", "etc/to->mode",
		"etc/passwd=www-data:x:33:33::/:\n", "etc/group=www-data:x:33:\n")
	base.Find("etc/mode").Mode = 0o711
	img := &recipe.Image{
		Hostname: "node1", Timezone: "Europe/Madrid", Locale: "ca_ES.UTF-8",
		Overlays: []recipe.Overlay{{Name: "o", Entries: []recipe.OverlayEntry{
			{Path: "etc", Type: 'd', Mode: 0o700}, {Path: "etc/mode", Type: 'd', Mode: 0o755}, {Path: "etc/mode/f", Type: 'l', Mode: 0o777, Link: "x"},
			{Path: "etc/to", Type: 'd', Mode: 0o755}, {Path: "etc/to/g", Type: 'l', Link: "y"}, {Path: "lib", Type: 'd', Mode: 0o755},
			{Path: "lib/b", Type: 'f', Mode: 0o755, Owner: "www-data", Group: "33"}, {Path: "srv/new", Type: 'd', Mode: 0o2755, Declared: true},
			{Path: "etc/hostname", Type: 'f', Mode: 0o644},
		}}},
		Directories: []recipe.Directory{{Path: "/lib/dir", Mode: 0o750, Owner: "33"}},
		Files: []recipe.File{
			{Path: "/etc/absent", Absent: true}, {Path: "/etc/absent.d", Absent: true}, {Path: "/lib/a", Mode: 0o600, Group: "www-data"}, {Path: "/etc/link", Link: "/usr"},
			{Path: "/etc/never", Absent: true},
		},
	}
	d, err := Apply(base, img, nil, epoch)
	must(t, err)
	tr := d.Tree()
	for p, want := range map[string]string{
		"etc/absent": "", "etc/absent.d": "", "etc/absent.d/f": "", "usr/lib/a": "f 600 0:33", "usr/lib/b": "f 755 33:33", "usr/lib/dir": "d 750 33:0",
		"lib": "l 777 0:0 usr/lib", "etc/link": "l 777 0:0 /usr", "etc/mode": "d 711 0:0", "etc/mode/f": "l 777 0:0 x", "etc/mode/g": "l 0 0:0 y", "etc/to": "l 777 0:0 mode",
		"etc": "d 755 0:0", "srv/new": "d 2755 0:0", "etc/localtime": "l 777 0:0 /usr/share/zoneinfo/Europe/Madrid", "etc/hostname": "f 644 0:0",
	} {
		got := ""
		if e := tr.Find(p); e != nil {
			got = strings.TrimSpace(strings.Join(strings.Fields(describe(t, &tree.Tree{Entries: []tree.Entry{*e}}))[1:4], " ") + " " + e.Link)
		}
		if got != want {
			t.Errorf("/%s is %q, want %q", p, got, want)
		}
	}
	for p, want := range map[string]string{
		"etc/hosts":    "127.0.0.1\tlocalhost\n127.0.1.1\tnode1\n\n::1\tlocalhost ip6-localhost ip6-loopback\nff02::1\tip6-allnodes\nff02::2\tip6-allrouters\n",
		"etc/hostname": "",                                                                                      // the overlay's wins
		"etc/timezone": "Europe/Madrid\n", "etc/locale.conf": "LANG=ca_ES.UTF-8\n", "etc/locale.gen": "# all\n", // the package's, which generated it
	} {
		if got, err := d.read(p); err != nil || got != want {
			t.Errorf("/%s: %q %v, want %q", p, got, err, want)
		}
	}
	if !d.Declares("srv/new") || d.Declares("srv") || !d.Declares("usr/lib/b") {
		t.Error("what the recipe names is not told from what comes with it")
	}
	same, err := Apply(base, &recipe.Image{}, nil, epoch)
	if must(t, err); len(same.Added())+len(same.Removed()) != 0 {
		t.Errorf("an empty recipe changes %v %v", same.Added(), same.Removed())
	}
}

// TestTimezone: a zone that is not there would be UTC without a word.
func TestTimezone(t *testing.T) {
	base := treeOf("usr/share/zoneinfo/Europe/Madrid=x", "usr/share/zoneinfo/Europe/Lisbon=x")
	link := recipe.File{Path: "/etc/localtime", Link: "../other"}
	for _, c := range []struct {
		img  recipe.Image
		base *tree.Tree
		hint string // of the error; "" is none
	}{
		{recipe.Image{Timezone: "Europe/Madrid"}, base, ""},
		{recipe.Image{Timezone: "Etc/UTC"}, treeOf("a=b"), ""},
		{recipe.Image{}, base, ""},
		{recipe.Image{Timezone: "Europe/Nowhere", Files: []recipe.File{link}}, base, ""},
		{recipe.Image{Timezone: "Europe/Madird"}, base, `did you mean "Europe/Madrid"?`},
		{recipe.Image{Timezone: "US/Eastern"}, base, "tzdata-legacy"},
		{recipe.Image{Timezone: "Europe"}, base, `did you mean`}, // a folder
		{recipe.Image{Timezone: "Europe/Madrid"}, treeOf("a=b"), `add "tzdata"`},
	} {
		_, err := Apply(c.base, &c.img, nil, epoch)
		if (err != nil) != (c.hint != "") || !strings.Contains(fail.HintOf(err), c.hint) || err != nil && fail.KindOf(err) != fail.User {
			t.Errorf("%q: %v, hint %q, want %q", c.img.Timezone, err, fail.HintOf(err), c.hint)
		}
	}
}

func TestLocale(t *testing.T) {
	d := newDelta(treeOf("etc/default/locale=LANG=C\n"), epoch)
	must(t, names(d, &recipe.Image{Locale: "de_DE.UTF-8"}))
	if got, _ := d.read("etc/default/locale"); got != "LANG=de_DE.UTF-8\n" {
		t.Errorf("%q", got)
	}
}

// TestSkel: the home of a new user has what overlays and files put into
// /etc/skel, as its own; what the recipe puts into the home itself stays.
func TestSkel(t *testing.T) {
	base := treeOf("etc/passwd=root:x:0:0::/root:/bin/sh\n", "etc/group=root:x:0:\n", "etc/skel/.profile=old\n", "etc/skel/gone=x", "etc/skel/.bashrc=base\n")
	text := func(path, content string, mode uint32) recipe.File {
		return recipe.File{Path: path, Mode: mode, Link: content}
	}
	img := &recipe.Image{
		Users: []recipe.User{{Name: "ada", SSHAuthorizedKeys: []string{"ssh-ed25519 AAAA a"}}, {Name: "bob"}},
		Overlays: []recipe.Overlay{{Name: "o", Entries: []recipe.OverlayEntry{
			{Path: "etc/skel/.config", Type: 'd', Mode: 0o755}, {Path: "etc/skel/.config/x", Type: 'l', Link: "overlay"},
			{Path: "etc/skel/.profile", Type: 'l', Link: "overlay"},
			{Path: "home/bob", Type: 'd', Mode: 0o755}, {Path: "home/bob/.profile", Type: 'l', Link: "bob's"},
		}}},
		Files: []recipe.File{text("/etc/skel/file", "file", 0), {Path: "/etc/skel/gone", Absent: true}, text("/home/ada/.ssh/authorized_keys", "mine", 0)},
	}
	d, err := Apply(base, img, nil, epoch)
	must(t, err)
	tr := d.Tree()
	for p, want := range map[string]string{
		"home/ada": "1000 0700", "home/ada/.config": "1000 0755", "home/ada/.config/x": "1000 overlay", "home/ada/.profile": "1000 overlay",
		"home/ada/.bashrc": "1000 0644", "home/ada/file": "1000 file", "home/ada/gone": "", "home/ada/.ssh/authorized_keys": "0 mine",
		"home/ada/.ssh": "1000 0700", "home/bob/.profile": "0 bob's", "home/bob/file": "1001 file", "etc/skel/file": "0 file",
	} {
		got := ""
		if e := tr.Find(p); e != nil {
			got = fmt.Sprintf("%d %04o", e.UID, e.Mode)
			if e.Type == tree.Symlink {
				got = fmt.Sprintf("%d %s", e.UID, e.Link)
			}
		}
		if got != want {
			t.Errorf("/%s is %q, want %q", p, got, want)
		}
	}
}

func TestGrow(t *testing.T) {
	g := recipe.Grow{Enabled: true}
	d := newDelta(treeOf("etc/"), epoch)
	must(t, grow(d, g))
	if got, err := d.read(recipe.RepartPath); err != nil || got == "" || got != g.RepartConf() {
		t.Errorf("%q %v", got, err)
	}
	none := newDelta(treeOf("etc/"), epoch)
	if must(t, grow(none, recipe.Grow{})); len(none.Added()) != 0 {
		t.Error("grows without being asked")
	}
}
