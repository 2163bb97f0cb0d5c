package resolve

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"testing"
)

// TestMinbaseLikeMmdebstrap compares the smallest usual system, essential and
// required packages and apt, with what mmdebstrap would install.
func TestMinbaseLikeMmdebstrap(t *testing.T) {
	all := trixie(t)
	if _, err := exec.LookPath("mmdebstrap"); err != nil {
		missing(t, "needs mmdebstrap")
	}
	if os.Getuid() != 0 {
		missing(t, "needs root, for mmdebstrap --mode=root")
	}
	req := Request{Essential: true, Install: []Want{{Name: "apt"}}}
	sets := []string{"apt"}
	for _, p := range all {
		if p.Priority == "required" && p.Architecture != "i386" && !p.Essential {
			req.Install = append(req.Install, Want{Name: p.Name})
			sets = append(sets, p.Name)
		}
	}
	part := closure(t, all, sets, false)
	a := newApt(t, part)
	out, err := exec.Command("mmdebstrap", "--simulate", "--verbose", "--mode=root", "--variant=minbase", "--architectures=amd64", "trixie",
		filepath.Join(t.TempDir(), "out.tar"), "deb [trusted=yes] copy:"+a.dir+"/repo trixie main").CombinedOutput()
	if err != nil {
		t.Fatalf("mmdebstrap: %v\n%s", err, out)
	}
	var want []string
	for _, m := range regexp.MustCompile(`(?m)^Inst (\S+) \((\S+) `).FindAllStringSubmatch(string(out), -1) {
		want = append(want, m[1]+"_"+m[2])
	}
	slices.Sort(want)
	want = slices.Compact(want)
	u := universe(part)
	sol, err := Resolve(context.Background(), u, req)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, p := range sol.Packages() {
		got = append(got, p.Name+"_"+p.Version)
	}
	slices.Sort(got)
	if !slices.Equal(got, want) {
		t.Errorf("ours, %d:\n%v\nmmdebstrap, %d:\n%v", len(got), got, len(want), want)
	}
	t.Logf("%d packages", len(got))
}
