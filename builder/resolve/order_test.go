package resolve

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"cloudy/builder/deb"
)

// parse reads stanzas of a short form: "name version; Field: value; ...".
func parse(t testing.TB, lines ...string) []*deb.Package {
	t.Helper()
	var out []*deb.Package
	for _, line := range lines {
		head, fields, _ := strings.Cut(line, ";")
		name, version, _ := strings.Cut(strings.TrimSpace(head), " ")
		if version == "" {
			version = "1"
		}
		stanza := fmt.Sprintf("Package: %s\nVersion: %s\n", name, version)
		if !strings.Contains(fields, "Architecture:") {
			stanza += "Architecture: amd64\n"
		}
		if !strings.Contains(fields, "Priority:") {
			stanza += "Priority: optional\n"
		}
		suite := "trixie"
		for field := range strings.SplitSeq(fields, ";") {
			field = strings.TrimSpace(field)
			if s, ok := strings.CutPrefix(field, "Suite: "); ok {
				suite = s
			} else if field != "" {
				stanza += field + "\n"
			}
		}
		err := deb.ParseIndex([]byte(stanza), func(p *deb.Package) error {
			p.Suite = suite
			p.Size = int64(len(out) + 1)
			out = append(out, p)
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return out
}

func batches(o *Order) string {
	var s []string
	for _, b := range o.Configure {
		var names []string
		for _, p := range b {
			names = append(names, p.Name)
		}
		s = append(s, strings.Join(names, "+"))
	}
	return strings.Join(s, " ")
}

func TestBatches(t *testing.T) {
	for _, c := range []struct {
		name     string
		packages []string
		postinst string // of these packages only; "-" for unknown
		want     string
	}{
		{"chain", []string{"a; Depends: b", "b; Depends: c", "c"}, "-", "c b a"},
		{"essential first", []string{"a", "z; Essential: yes; Pre-Depends: y", "y"}, "-", "y z a"},
		{"provider", []string{"a; Depends: v", "z; Provides: v"}, "-", "z a"},
		{"alternatives that are there", []string{"a; Depends: b | c", "b", "c"}, "-", "b c a"},
		{"version", []string{"a; Depends: b (>= 2)", "b 1"}, "-", "a b"},
		{"recommends do not count", []string{"a; Recommends: b", "b"}, "-", "a b"},
		{"circle by name", []string{"a; Depends: b", "b; Depends: a"}, "-", "a+b"},
		{"circle cut without postinst", []string{"a; Depends: b", "b; Depends: a"}, "a", "b+a"},
		{"circle keeps pre-depends", []string{"a; Pre-Depends: b", "b; Depends: a"}, "b", "b+a"},
		{"circle of three", []string{"a; Depends: b", "b; Depends: c", "c; Depends: a", "d; Depends: a"}, "a c", "b+a+c d"},
		{"other architecture", []string{"a; Depends: b:any", "b; Architecture: i386; Multi-Arch: allowed"}, "-", "b a"},
	} {
		has := func(name string) bool { return strings.Contains(c.postinst, name) }
		if c.postinst == "-" {
			has = nil
		}
		ps := parse(t, c.packages...)
		for range 4 {
			o, err := Batches(ps, has)
			if err != nil {
				t.Fatal(err)
			}
			if got := batches(o); got != c.want {
				t.Errorf("%s: %s, want %s", c.name, got, c.want)
			}
			rand.Shuffle(len(ps), func(i, j int) { ps[i], ps[j] = ps[j], ps[i] })
		}
	}
}

// TestBatchesOfTrixie orders a large set and looks at each dependency.
func TestBatchesOfTrixie(t *testing.T) {
	u := universe(trixie(t))
	req := request("task-xfce-desktop linux-image-amd64 default-jdk kde-plasma-desktop")
	req.Recommends, req.Essential = true, true
	sol, err := Resolve(t.Context(), u, req)
	if err != nil {
		t.Fatal(err)
	}
	o, err := Batches(sol.Packages(), nil)
	if err != nil {
		t.Fatal(err)
	}
	place := map[*deb.Package]int{}
	for i, b := range o.Configure {
		for _, p := range b {
			place[p] = i
		}
	}
	if len(place) != len(sol.Choices) {
		t.Fatalf("%d packages in order, %d in the solution", len(place), len(sol.Choices))
	}
	s := newSolver(u, false)
	for _, v := range u.versions {
		at, in := place[v.p]
		if !in {
			continue
		}
		if v.p.Essential && at >= o.Base {
			t.Errorf("%s is essential, but not in the base", v.p)
		}
		for _, c := range s.clauses(v) {
			if c.kind > depends {
				continue
			}
			ok := false
			for _, a := range c.alts {
				for _, target := range a.targets {
					if i, in := place[target.p]; in {
						if i > at {
							t.Errorf("%s %s %s, but comes before it", v.p, verb(c.kind), target.p)
						}
						ok = true
					}
				}
			}
			if !ok {
				t.Errorf("%s %s %s, which nothing fulfils", v.p, verb(c.kind), &c)
			}
		}
	}
	circles := slices.DeleteFunc(slices.Clone(o.Configure), func(b []*deb.Package) bool { return len(b) < 2 })
	t.Logf("%d packages, %d batches, %d of the base, %d circles, %d edges cut", len(place), len(o.Configure), o.Base, len(circles), len(o.Broken))
}
