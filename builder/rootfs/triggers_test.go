package rootfs

import (
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestActivateAsDpkg unpacks packages that set off triggers of configured
// ones; the states must be dpkg's.
func TestActivateAsDpkg(t *testing.T) {
	waits := []pkg{
		{Name: "waits", Control: map[string]string{"triggers": "interest-noawait /usr/share/icons\ninterest-noawait /usr/share/icons/deep\ninterest-noawait one\ninterest-noawait two\n"},
			Files: files{"/usr/share/w": {}}},
		{Name: "libwaits", Architecture: "amd64", Fields: "Multi-Arch: same", Control: map[string]string{"triggers": "interest-noawait /usr/share/schemas\n"},
			Files: files{"/usr/share/lw": {}}},
		{Name: "libwaits", Architecture: "i386", Fields: "Multi-Arch: same", Files: files{"/usr/share/lw": {}}},
		{Name: "self", Control: map[string]string{"triggers": "interest-noawait /usr/share/self\n"}, Files: files{"/usr/share/self/a": {}}},
	}
	for name, tc := range map[string][]pkg{
		"by path":        {{Name: "icons", Files: files{"/usr/share/icons/x/y": {}}}},
		"two by path":    {{Name: "icons", Files: files{"/usr/share/icons/deep/y": {}}}},
		"multi-arch":     {{Name: "schema", Files: files{"/usr/share/schemas/y": {}}}},
		"by name":        {{Name: "names", Control: map[string]string{"triggers": "activate-noawait two\nactivate-noawait one\n"}}},
		"one by one":     {{Name: "a", Control: map[string]string{"triggers": "activate-noawait two\n"}}, {Name: "b", Files: files{"/usr/share/icons/z": {}}}},
		"twice the same": {{Name: "a", Files: files{"/usr/share/icons/a": {}}}, {Name: "b", Files: files{"/usr/share/icons/z": {}}}},
		"none":           {{Name: "none", Files: files{"/usr/share/iconsandmore/z": {}}, Control: map[string]string{"triggers": "activate-noawait nobody\n"}}},
		"not configured": {{Name: "late", Files: files{"/usr/share/l": {}}, Control: map[string]string{"triggers": "interest-noawait /usr/share/late\n"}},
			{Name: "user", Files: files{"/usr/share/late/f": {}}}},
	} {
		t.Run(name, func(t *testing.T) {
			theirs := skeleton(t)
			for _, p := range waits {
				if out, err := dpkgUnpack(t, theirs, []string{writeDeb(t, p)}); err != nil {
					t.Fatalf("%v\n%s", err, out)
				}
			}
			cmd := exec.Command("dpkg", "--root="+theirs, "--force-depends", "--configure", "--pending")
			if out, err := cmd.CombinedOutput(); err != nil {
				t.Fatalf("%v\n%s", err, out)
			}
			ours := filepath.Join(t.TempDir(), "root")
			if out, err := exec.Command("cp", "-a", theirs, ours).CombinedOutput(); err != nil {
				t.Fatalf("%v\n%s", err, out)
			}
			in := newTestInstaller(t, ours)
			for _, p := range tc {
				deb := writeDeb(t, p)
				if out, err := dpkgUnpack(t, theirs, []string{deb}); err != nil {
					t.Fatalf("%v\n%s", err, out)
				}
				in.byName[p.Name] = &job{} // not configured
				if err := unpack(t, in, []string{deb}); err != nil {
					t.Fatal(err)
				}
			}
			rewriteStatus(t, ours)
			rewriteStatus(t, theirs)
			compareListings(t, sortPending(listing(t, ours)), sortPending(listing(t, theirs)))
		})
	}
}

// sortPending orders the triggers of a package, which have no order.
func sortPending(l map[string]string) map[string]string {
	lines := strings.SplitAfter(l["var/lib/dpkg/status"], "\n")
	for i, line := range lines {
		if rest, ok := strings.CutPrefix(line, "Triggers-Pending: "); ok {
			f := strings.Fields(rest)
			for a := range f {
				for b := range f[:a] {
					if f[a] < f[b] {
						f[a], f[b] = f[b], f[a]
					}
				}
			}
			lines[i] = "Triggers-Pending: " + strings.Join(f, " ") + "\n"
		}
	}
	l["var/lib/dpkg/status"] = strings.Join(lines, "")
	return l
}
