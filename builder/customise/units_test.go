package customise

import (
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"cloudy/builder/fail"
	"cloudy/builder/recipe"
	"cloudy/builder/tree"
)

func texts(list ...string) []recipe.Text {
	var out []recipe.Text
	for _, s := range list {
		out = append(out, recipe.Text{Value: s})
	}
	return out
}

// unitFiles are the units of the test's image.
var unitFiles = map[string]string{
	"plain.service":     "[Unit]\nDescription=x\nWantedBy=wrong.target\n[Service]\nExecStart=/bin/true\n[Install]\nWantedBy=multi-user.target\n",
	"required.service":  "[Install]\nRequiredBy=a.target b.target\nWantedBy=multi-user.target\n",
	"alias.service":     "[Install]\nWantedBy=multi-user.target\nAlias=other-name.service third.service\n",
	"also.service":      "[Install]\nWantedBy=multi-user.target\nAlso=also.socket plain.service\n",
	"also.socket":       "[Socket]\nListenStream=/run/x\n[Install]\nWantedBy=sockets.target\nAlso=also.service\n",
	"tpl@.service":      "[Install]\nWantedBy=multi-user.target\n",
	"def@.service":      "[Install]\nWantedBy=getty.target\nDefaultInstance=tty1\n",
	"spec@.service":     "[Install]\nWantedBy=dev-%i.device\nAlias=%p-named@%i.service\n",
	"prefix@.service":   "[Install]\nDefaultInstance=lo\nAlias=multi-user.target.wants/prefix@%i.service\n",
	"continued.service": "[Install]\n# WantedBy=no.target\n; WantedBy=no.target\nWantedBy=a.target \\\n  b.target\n",
	"reset.service":     "[Install]\nWantedBy=a.target\nWantedBy=\nWantedBy=b.target\n",
	"static.service":    "[Service]\nExecStart=/bin/true\n",
	"target.target":     "[Install]\nAlias=default.target\n",
	"quoted.service":    "[Install]\nWantedBy=\"multi-user.target\"\n",
	"spaces.service":    "[Install]\n  WantedBy =  multi-user.target  \n",
}

// unitTree is an image with those units, and some of the administrator's.
func unitTree() *tree.Tree {
	var specs []string
	for name, text := range unitFiles {
		specs = append(specs, "usr/lib/systemd/system/"+name+"="+text)
	}
	const admin = "etc/systemd/system/"
	specs = append(specs, "lib->usr/lib", "etc/os-release=ID=debian\n",
		admin+"multi-user.target.wants/plain.service->/usr/lib/systemd/system/plain.service",
		admin+"multi-user.target.wants/tpl@one.service->/usr/lib/systemd/system/tpl@.service",
		admin+"multi-user.target.wants/tpl@two.service->/usr/lib/systemd/system/tpl@.service",
		admin+"other-name.service->/usr/lib/systemd/system/alias.service",
		admin+"multi-user.target.wants/alias.service->/usr/lib/systemd/system/alias.service",
		admin+"multi-user.target.wants/also.service->/usr/lib/systemd/system/also.service",
		admin+"sockets.target.wants/also.socket->/usr/lib/systemd/system/also.socket",
		admin+"masked.service->/dev/null",
		"usr/lib/systemd/system/masked.service=[Install]\nWantedBy=multi-user.target\n",
		admin+"own.service=[Install]\nWantedBy=multi-user.target\n",
	)
	return treeOf(specs...)
}

// adminLinks are the links in the administrator's folder.
func adminLinks(tr *tree.Tree) map[string]string {
	out := map[string]string{}
	for i := range tr.Entries {
		if e := &tr.Entries[i]; e.Type == tree.Symlink && strings.HasPrefix(e.Path, adminUnits+"/") {
			out[e.Path] = strings.Replace(e.Link, "/lib/systemd", "/usr/lib/systemd", 1)
			out[e.Path] = strings.Replace(out[e.Path], "/usr/usr/", "/usr/", 1)
		}
	}
	return out
}

// TestUnitsAsSystemctl does the same to the same units with systemctl --root.
func TestUnitsAsSystemctl(t *testing.T) {
	systemctl, err := exec.LookPath("systemctl")
	if err != nil {
		skip(t, "no systemctl on this host")
	}
	for _, args := range [][]string{
		{"enable", "plain.service"}, {"enable", "required.service"}, {"enable", "alias.service"}, {"enable", "also.service"}, {"enable", "also.socket"},
		{"enable", "tpl@x.service"}, {"enable", "def@.service"}, {"enable", "def@tty2.service"}, {"enable", "spec@x.service"}, {"enable", "prefix@eth0.service"},
		{"enable", "continued.service"}, {"enable", "reset.service"}, {"enable", "target.target"}, {"enable", "own.service"},
		{"enable", "spaces.service"}, {"enable", "quoted.service"}, {"enable", "spec@a-b.service"},
		{"disable", "plain.service"}, {"disable", "alias.service"}, {"disable", "also.service"}, {"disable", "tpl@.service"}, {"disable", "tpl@one.service"},
		{"disable", "required.service"}, {"disable", "own.service"},
		{"mask", "plain.service"}, {"mask", "static.service"}, {"mask", "nothing.service"},
	} {
		t.Run(strings.Join(args, " "), func(t *testing.T) {
			base := unitTree()
			dir := writeOut(t, base)
			if out, err := exec.Command(systemctl, append([]string{"--root=" + dir, "-q"}, args...)...).CombinedOutput(); err != nil {
				t.Fatalf("%v\n%s", err, out)
			}
			scanned, err := tree.Scan(dir)
			must(t, err)
			want := adminLinks(scanned)
			u := recipe.Units{}
			switch args[0] {
			case "enable":
				u.Enable = texts(args[1])
			case "disable":
				u.Disable = texts(args[1])
			case "mask":
				u.Mask = texts(args[1])
				// Besides masking we drop the links that would start it.
				for p, to := range want {
					if strings.HasSuffix(to, "/"+args[1]) {
						delete(want, p)
					}
				}
			}
			d := newDelta(base, epoch)
			must(t, units(d, u))
			got := adminLinks(d.Tree())
			for _, p := range slices.Sorted(maps.Keys(want)) {
				if got[p] != want[p] {
					t.Errorf("/%s -> %q, systemctl has it to %q", p, got[p], want[p])
				}
			}
			for _, p := range slices.Sorted(maps.Keys(got)) {
				if want[p] == "" {
					t.Errorf("/%s -> %q, which systemctl does not have", p, got[p])
				}
			}
		})
	}
}

func TestUnitErrors(t *testing.T) {
	for _, tc := range []struct {
		name string
		u    recipe.Units
		want string
	}{
		{"unknown", recipe.Units{Enable: texts("none.service")}, "enable none.service: the image has no unit none.service"},
		{"masked", recipe.Units{Enable: texts("masked.service")}, "the unit is masked"},
		{"template without instance", recipe.Units{Enable: texts("tpl@.service")}, "instance"},
	} {
		err := units(newDelta(unitTree(), epoch), tc.u)
		if err == nil || !strings.Contains(err.Error(), tc.want) || fail.KindOf(err) != fail.User {
			t.Errorf("%s: %v, want %q", tc.name, err, tc.want)
		}
	}
	if err := units(newDelta(unitTree(), epoch), recipe.Units{Disable: texts("none.service", "tpl@.service")}); err != nil {
		t.Errorf("disable what is not there: %v", err)
	}
}

// The preset keeps the first boot, which enables everything that no preset
// names, from undoing the recipe.
func TestPreset(t *testing.T) {
	d := newDelta(unitTree(), epoch)
	must(t, units(d, recipe.Units{Enable: texts("plain.service", "tpl@x.service"), Disable: texts("also.service"), Mask: texts("static.service")}))
	got, err := d.read(presetFile)
	must(t, err)
	want := "# Made from the recipe's units block.\nenable plain.service\nenable tpl@x.service\ndisable also.service\ndisable also.socket\ndisable static.service\n"
	if got != want {
		t.Errorf("%q, want %q", got, want)
	}
	systemctl, err := exec.LookPath("systemctl")
	if err != nil {
		skip(t, "no systemctl on this host")
	}
	dir := writeOut(t, d.Tree())
	if out, err := exec.Command(systemctl, "--root="+dir, "-q", "preset-all", "--preset-mode=enable-only").CombinedOutput(); err != nil {
		t.Logf("preset-all: %v\n%s", err, out)
	}
	for link, there := range map[string]bool{"multi-user.target.wants/plain.service": true, "multi-user.target.wants/also.service": false, "multi-user.target.wants/alias.service": true} {
		if _, err := os.Lstat(filepath.Join(dir, adminUnits, link)); (err == nil) != there {
			t.Errorf("after the first boot: %s: %v", link, err)
		}
	}
	none := newDelta(unitTree(), epoch)
	if must(t, units(none, recipe.Units{})); len(none.Added()) != 0 {
		t.Error("a preset without units")
	}
}
