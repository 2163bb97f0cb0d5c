package integration

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"cloudy/builder/archive"
	"cloudy/builder/lock"
	"cloudy/builder/plan"
	"cloudy/builder/recipe"
	"cloudy/builder/rootfs"
	"cloudy/builder/tree"
)

// TestReference compares roots file by file with what mmdebstrap makes of the
// same packages: path, type, mode, owner, link target, content. What may
// differ stands in allowed, each with its reason.
func TestReference(t *testing.T) {
	long(t)
	archiveOnce(t)
	needTools(t, "mmdebstrap", "chroot")
	used := map[int]bool{}
	all := true
	for _, image := range sharedImages {
		all = t.Run(image, func(t *testing.T) {
			p := archivePlace(t)
			tar := filepath.Join(p.dir, "root.tar")
			if r := p.role("root", image, tar); r.code != 0 {
				t.Fatalf("build: %v", r)
			}
			root := unpacked(t, tar)
			t.Run("sound", func(t *testing.T) { soundRoot(t, root) })
			t.Run("helper", func(t *testing.T) { sameHelper(t, root) })
			img, l := p.image(image)
			ref := reference(t, p, l, img)
			ours, err := p.packageTree(img, l)
			if err != nil {
				t.Fatal(err)
			}
			theirs, err := tree.Scan(ref)
			if err != nil {
				t.Fatal(err)
			}
			base := map[string]bool{}
			for _, k := range l.Packages {
				base[k.Name] = k.Base
			}
			diffs, err := compare(theirs, ours, base)
			if err != nil {
				t.Fatal(err)
			}
			t.Logf("%d entries, %d differences", len(ours.Entries), len(diffs))
			for _, d := range diffs {
				if i := d.allowed(); i >= 0 {
					used[i] = true
				} else {
					t.Errorf("%s", d)
				}
			}
		}) && all
	}
	if !all {
		return
	}
	for i, a := range allowed {
		if !used[i] {
			t.Errorf("stale rule: %s %s matches nothing any more", a.path, a.what)
		}
	}
}

// packageTree is the root of packages alone, before the recipe changes it,
// without what never ships.
func (p *place) packageTree(img *recipe.Image, l *lock.Image) (*tree.Tree, error) {
	b, err := (&plan.Engine{Store: p.store()}).New(img, l, nil)
	if err != nil {
		return nil, err
	}
	var dirs []string
	for _, s := range b.Steps {
		if strings.HasPrefix(s.Name, "packages") {
			dirs = append(dirs, p.layerDir(s.Key))
		}
	}
	t, err := tree.Scan(dirs...)
	if err != nil {
		return nil, err
	}
	return rootfs.Scrub(t, time.Unix(l.Epoch, 0).UTC(), func(string) bool { return false }), nil
}

// unpacked unpacks a root for programs to run in.
func unpacked(t *testing.T, tar string) string {
	t.Helper()
	dir := filepath.Join(filepath.Dir(tar), "root")
	mkdir(t, dir)
	out, err := exec.Command("tar", "-C", dir, "--numeric-owner", "--xattrs", "--xattrs-include=*", "-xpf", tar).CombinedOutput()
	if err != nil {
		t.Fatalf("tar: %v\n%s", err, out)
	}
	return dir
}

// soundRoot lets the root's own programs judge it.
func soundRoot(t *testing.T, root string) {
	for _, c := range []string{"dpkg --audit", "dpkg --verify", "apt-get check -q"} {
		out, err := exec.Command("chroot", append([]string{root}, strings.Fields(c)...)...).CombinedOutput()
		text := string(out)
		if strings.HasPrefix(c, "apt-get") {
			if err != nil || strings.Contains(text, "E:") || strings.Contains(text, "W:") {
				t.Errorf("%s: %v\n%s", c, err, out)
			}
			continue
		}
		if err != nil || strings.TrimSpace(text) != "" {
			t.Errorf("%s: %v\n%s", c, err, out)
		}
	}
	status := readFile(t, filepath.Join(root, "var/lib/dpkg/status"))
	for line := range strings.Lines(status) {
		if strings.HasPrefix(line, "Status: ") && line != "Status: install ok installed\n" {
			t.Errorf("a package is %q", strings.TrimSpace(line))
		}
	}
}

// reference makes a root of the lock's packages with mmdebstrap. Versions are
// pinned to the lock's, the choice of dependencies is apt's own.
func reference(t *testing.T, p *place, l *lock.Image, img *recipe.Image) string {
	t.Helper()
	top := filepath.Join(p.top, "reference")
	debs, tmp, root := filepath.Join(top, "debs"), filepath.Join(top, "tmp"), filepath.Join(top, "root")
	mkdir(t, debs)
	mkdir(t, tmp)
	var pins, include []string
	for i := range l.Packages {
		k := &l.Packages[i]
		name := strings.ReplaceAll(k.Name+"_"+k.Version, ":", "%3a") + "_" + k.Architecture + ".deb"
		if err := os.Link(p.blob(k.SHA256), filepath.Join(debs, name)); err != nil {
			t.Fatal(err)
		}
		pins = append(pins, fmt.Sprintf("Package: %s\nPin: version %s\nPin-Priority: 1001\n", k.Name, k.Version))
	}
	for _, w := range img.Packages {
		if k := l.Find(w.Name); k != nil {
			include = append(include, k.Name+"="+k.Version)
		}
	}
	writeFile(t, filepath.Join(top, "pins"), strings.Join(pins, "\n"))
	mirrors, err := archive.HostMirrors(nil)
	if err != nil {
		t.Fatal(err)
	}
	// The recipe's settings for the initramfs have to be there before it is made.
	conf := "MODULES=" + img.Initramfs.Modules + "\nCOMPRESS=" + img.Initramfs.Compress + "\n"
	writeFile(t, filepath.Join(top, "initramfs"), "# Made from the recipe's initramfs block.\n"+conf)
	setup := []string{
		`mkdir -p "$1/var/cache/apt/archives" "$1/etc/apt/preferences.d"`,
		"cp " + debs + `/*.deb "$1/var/cache/apt/archives/"`,
		"cp " + top + `/pins "$1/etc/apt/preferences.d/pins"`,
	}
	if l.Find("initramfs-tools-core") != nil {
		setup = append(setup, `mkdir -p "$1/etc/initramfs-tools/conf.d"`, "cp "+top+`/initramfs "$1/etc/initramfs-tools/conf.d/cloudy"`)
	}
	// In a world of its own like the builder's: no variable of the caller.
	args := []string{
		"--mode=root", "--variant=minbase", "--format=directory", "--components=main,non-free-firmware",
		"--setup-hook=" + strings.Join(setup, "; "),
		"--customize-hook=rm \"$1/etc/apt/preferences.d/pins\"",
	}
	if len(include) > 0 {
		args = append(args, "--include="+strings.Join(include, ","))
	}
	deb, sec := mirrors.Named("debian")[0].URL, mirrors.Named("debian-security")[0].URL
	const comps = " main non-free-firmware"
	args = append(args, "trixie", root,
		"deb "+deb+" trixie"+comps, "deb "+deb+" trixie-updates"+comps, "deb "+sec+" trixie-security"+comps)
	c := exec.CommandContext(t.Context(), "mmdebstrap", args...)
	c.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=/root", "TMPDIR=" + tmp, "LANG=C.UTF-8", "SOURCE_DATE_EPOCH=" + strconv.FormatInt(l.Epoch, 10)}
	if out, err := c.CombinedOutput(); err != nil {
		if len(out) > 4000 {
			out = out[len(out)-4000:]
		}
		t.Fatalf("mmdebstrap: %v\n%s", err, out)
	}
	samePackages(t, root, l)
	return root
}

// samePackages makes sure that apt chose what the lock has; else comparing
// files says nothing.
func samePackages(t *testing.T, root string, l *lock.Image) {
	t.Helper()
	out, err := exec.Command("dpkg-query", "--admindir="+filepath.Join(root, "var/lib/dpkg"), "-W", "-f", "${Package}_${Version}_${Architecture}\n").Output()
	if err != nil {
		t.Fatal(err)
	}
	theirs := strings.Fields(string(out))
	var ours []string
	for i := range l.Packages {
		ours = append(ours, l.Packages[i].ID())
	}
	slices.Sort(theirs)
	slices.Sort(ours)
	if !slices.Equal(ours, theirs) {
		t.Fatalf("apt chose other packages:\nours:   %v\ntheirs: %v", without(ours, theirs), without(theirs, ours))
	}
}

func without(a, b []string) []string {
	return slices.DeleteFunc(slices.Clone(a), func(s string) bool { return slices.Contains(b, s) })
}
