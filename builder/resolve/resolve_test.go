package resolve

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"

	"cloudy/builder/deb"
	"cloudy/builder/fail"
)

// small is a universe of stanzas in the short form of parse. The pin of a
// package is that of its suite.
func small(t testing.TB, pins map[string]int, lines ...string) *Universe {
	t.Helper()
	u := NewUniverse("amd64", "i386")
	for _, p := range parse(t, lines...) {
		pin, ok := pins[p.Suite]
		if !ok {
			pin = 500
		}
		u.Add(p, pin)
	}
	return u
}

func names(sol *Solution) string {
	var s []string
	for _, c := range sol.Choices {
		name := c.Package.Name
		if c.Package.Architecture == "i386" {
			name += ":i386"
		}
		s = append(s, name+"="+c.Package.Version)
	}
	return strings.Join(s, " ")
}

// cases are small archives with requests. Where no answer is given it has to
// be apt's, which TestCasesLikeApt sees to; want is what both have to say.
var cases = []struct {
	name     string
	packages []string
	request  string
	want     string
	searched bool // only the search finds it; apt 2.6 fails
}{
	{"depends", []string{"a; Depends: b", "b 2"}, "a", "a=1 b=2", false},
	{"newest", []string{"a 1", "a 3", "a 2"}, "a", "a=3", false},
	{"named version", []string{"a 1", "a 3"}, "a=1", "a=1", false},
	{"first alternative", []string{"a; Depends: b | c", "b", "c"}, "a", "a=1 b=1", false},
	{"alternative that is there", []string{"a; Depends: b | c", "b", "c"}, "a c", "a=1 c=1", false},
	{"alternative that exists", []string{"a; Depends: b | c", "c"}, "a", "a=1 c=1", false},
	{"alternative that works", []string{"a; Depends: b | c", "b; Depends: none", "c"}, "a", "a=1 c=1", false},
	{"provider by priority", []string{"a; Depends: v", "b; Provides: v", "c; Provides: v; Priority: standard"}, "a", "a=1 c=1", false},
	{"provider met last", []string{"a; Depends: v", "b; Provides: v", "c; Provides: v"}, "a", "a=1 c=1", false},
	{"provider mentioned last", []string{"a; Depends: v; Suggests: c, b", "b; Provides: v", "c; Provides: v"}, "a", "a=1 b=1", false},
	{"real package before providers", []string{"a; Depends: v", "b; Provides: v", "v"}, "a", "a=1 v=1", false},
	{"versioned provide", []string{"a; Depends: v (>= 2)", "b; Provides: v", "c; Provides: v (= 1)", "d; Provides: v (= 2)"}, "a", "a=1 d=1", false},
	{"virtual want with one provider", []string{"b; Provides: v"}, "v", "b=1", false},
	{"conflict backs out the alternative", []string{"a; Depends: b | c; Conflicts: b", "b", "c"}, "a", "a=1 c=1", false},
	{"wanted conflict", []string{"a; Depends: b | c", "d; Conflicts: b", "b", "c"}, "a d", "a=1 c=1 d=1", false},
	{"late conflict", []string{"a; Depends: x, y", "x; Depends: b | c", "y; Conflicts: b", "b", "c"}, "a", "a=1 c=1 x=1 y=1", false},
	{"own provide", []string{"a; Provides: v; Conflicts: v"}, "a", "a=1", false},
	{"rival provide", []string{"a; Depends: b | c", "b; Provides: v; Conflicts: v", "c", "d; Provides: v"}, "a d", "a=1 c=1 d=1", false},
	{"breaks older", []string{"a; Breaks: b (<< 2)", "b 1", "b 2"}, "a b", "a=1 b=2", false},
	{"pre-depends", []string{"a; Pre-Depends: b", "b"}, "a", "a=1 b=1", false},
	{"recommends off", []string{"a; Recommends: b", "b"}, "a", "a=1", false},
	{"recommends on", []string{"a; Recommends: b", "b"}, "a +recommends", "a=1 b=1", false},
	{"recommends that fails", []string{"a; Recommends: b, d", "b; Depends: none", "d"}, "a +recommends", "a=1 d=1", false},
	{"recommends in conflict", []string{"a; Recommends: b", "b; Conflicts: a"}, "a +recommends", "a=1", false},
	{"drop a recommended package", []string{"a; Recommends: b, c", "b", "c"}, "a b- +recommends", "a=1 c=1", false},
	{"drop takes the alternative", []string{"a; Depends: b | c", "b", "c"}, "a b-", "a=1 c=1", false},
	{"foreign", []string{"a; Depends: b", "b; Architecture: i386; Multi-Arch: foreign"}, "a", "a=1 b:i386=1", false},
	{"not foreign enough", []string{"a; Depends: b | c", "b; Architecture: i386", "c"}, "a", "a=1 c=1", false},
	{"native first", []string{"a; Depends: b", "b; Architecture: i386; Multi-Arch: foreign", "b; Multi-Arch: foreign"}, "a", "a=1 b=1", false},
	{"allowed", []string{"a; Depends: b:any", "b; Architecture: i386; Multi-Arch: allowed"}, "a", "a=1 b:i386=1", false},
	{"same version twice", []string{"a; Multi-Arch: same", "a; Architecture: i386; Multi-Arch: same"}, "a a:i386", "a=1 a:i386=1", false},
	{"foreign want", []string{"a; Architecture: i386; Depends: b", "b", "b; Architecture: i386"}, "a:i386", "a:i386=1 b:i386=1", false},
	{"only foreign", []string{"a; Architecture: i386"}, "a", "a:i386=1", false},
	{"garbage goes", []string{"a; Depends: b | c", "b; Depends: d, e", "d", "e; Conflicts: a", "c"}, "a", "a=1 c=1", false},
	{"circle", []string{"a; Depends: b", "b; Depends: a"}, "a", "a=1 b=1", false},
	{"missing", []string{"a; Depends: none"}, "a", "", false},
	{"too old", []string{"a; Depends: b (>= 2)", "b 1"}, "a", "", false},
	{"conflict of wants", []string{"a; Conflicts: b", "b"}, "a b", "", false},
	{"dropped need", []string{"a; Depends: b", "b; Depends: c", "c"}, "a c-", "", false},
	{"two virtual providers", []string{"b; Provides: v", "c; Provides: v"}, "v", "", false},
	{"same of two versions", []string{"a 1; Multi-Arch: same", "a 2; Architecture: i386; Multi-Arch: same"}, "a a:i386", "", false},
	{"one architecture at a time", []string{"a", "a; Architecture: i386"}, "a a:i386", "", false},
	{"choice to go back on", []string{
		"a; Depends: x, y", "x; Depends: b | c", "y; Depends: d | e", "b; Depends: p", "c", "d; Conflicts: p", "e; Depends: none", "p",
	}, "a", "a=1 c=1 d=1 x=1 y=1", true},
}

func caseRequest(line string) Request {
	line, recommends := strings.CutSuffix(line, " +recommends")
	req := request(line)
	req.Recommends = recommends
	return req
}

func TestCases(t *testing.T) {
	for _, c := range cases {
		sol, err := Resolve(context.Background(), small(t, nil, c.packages...), caseRequest(c.request))
		got := ""
		if err == nil {
			got = names(sol)
		} else if fail.KindOf(err) != fail.User {
			t.Errorf("%s: kind of %v is %v", c.name, err, fail.KindOf(err))
		}
		if got != c.want {
			t.Errorf("%s: %q (%v), want %q", c.name, got, err, c.want)
		}
		if sol != nil && sol.Searched != c.searched {
			t.Errorf("%s: searched: %v", c.name, sol.Searched)
		}
	}
}

func TestCasesLikeApt(t *testing.T) {
	for _, c := range cases {
		packages := parse(t, c.packages...)
		want, err := newApt(t, packages).install(caseRequest(c.request))
		if c.searched {
			continue // apt 2.6 fails, apt 3 has a second solver
		}
		if c.want == "" {
			if err == nil {
				t.Errorf("%s: apt installs %v", c.name, want)
			}
			continue
		}
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		sol, err := Resolve(context.Background(), small(t, nil, c.packages...), caseRequest(c.request))
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
		} else if got := strings.Join(sol.ids(), " "); got != strings.Join(want, " ") {
			t.Errorf("%s: %s, apt says %s", c.name, got, strings.Join(want, " "))
		}
	}
}

// TestPinsAndSuites compares with apt on several suites, marked as Debian
// marks its own; apt's pins for those are the ones given here.
func TestPinsAndSuites(t *testing.T) {
	pins := map[string]int{"trixie": 500, "backports": 100, "experimental": 1}
	lines := []string{
		"a 1; Depends: b", "b 1", "a 2; Depends: b (>= 2), e; Suite: backports", "b 2; Suite: backports", "e 1", "e 2; Suite: backports",
		"c 1; Suite: experimental", "c 2; Depends: b (>= 3) | f; Suite: experimental", "b 3; Suite: experimental", "f 1; Depends: b (>= 2)",
		"s 1", "s 1.1; Suite: security", "g; Recommends: b (>= 2)",
		"h 2; Depends: i (>= 2); Suite: backports", "i 2; Depends: j (>= 2); Suite: backports", "i 1", "j 1", "j 2; Suite: backports", "h 1",
		"k 2; Depends: l (>= 1), m (>= 1), n; Suite: backports", "l 1; Depends: b", "l 2; Depends: b; Suite: backports", "m 1", "m 2; Suite: backports", "n 1; Depends: b", "n 2; Suite: backports",
	}
	u, a := small(t, pins, lines...), newApt(t, parse(t, lines...))
	for _, c := range []struct{ request, want string }{
		{"a", "a=1 b=1"},
		{"a/backports", "a=2 b=2 e=1"},
		{"a=2", ""}, // b stays at its candidate
		{"a=2 b=2", "a=2 b=2 e=1"},
		{"c", ""}, // what it needs is not a candidate
		{"c=1", "c=1"},
		{"c/experimental", "b=3 c=2"},
		{"s", "s=1.1"},
		{"g +recommends", "g=1"},
		{"h/backports", "h=2 i=2 j=2"},
		{"b/trixie", "b=1"},
		{"k/backports", "b=1 k=2 l=2 m=1 n=1"},
		{"k/backports b", "b=1 k=2 l=1 m=1 n=1"},
		{"b/experimental a", "a=1 b=3"},
	} {
		req := caseRequest(c.request)
		sol, err := Resolve(context.Background(), u, req)
		got := ""
		if err == nil {
			got = names(sol)
		}
		if got != c.want {
			t.Errorf("%s: %q (%v), want %q", c.request, got, err, c.want)
		}
		if _, diff := compare(t, a, u, req); diff != "" {
			t.Errorf("%s: %s", c.request, diff)
		}
	}
	sol, err := Resolve(context.Background(), u, Request{Install: []Want{{Name: "a"}}, Prefer: map[string]string{"a:amd64": "2", "b:amd64": "2", "c:amd64": "9"}})
	if err != nil || names(sol) != "a=2 b=2 e=1" {
		t.Errorf("preferred versions: %v, %v", sol, err)
	}
}

// TestPinnedAway: a pin of zero keeps a package out unless it is named.
func TestPinnedAway(t *testing.T) {
	u := small(t, map[string]int{"never": 0}, "d 1; Suite: never", "d 2; Suite: never", "e; Depends: d")
	for _, c := range []struct{ request, want string }{{"d", ""}, {"d/never", "d=2"}, {"d=1", "d=1"}, {"e", ""}, {"e d=1", "d=1 e=1"}} {
		sol, err := Resolve(context.Background(), u, request(c.request))
		got := ""
		if err == nil {
			got = names(sol)
		}
		if got != c.want {
			t.Errorf("%s: %q (%v), want %q", c.request, got, err, c.want)
		}
	}
}

func TestWhy(t *testing.T) {
	u := small(t, nil, "base; Essential: yes; Pre-Depends: lib", "lib", "a; Depends: v | w; Recommends: r", "w; Depends: lib", "r")
	sol, err := Resolve(context.Background(), u, Request{Install: []Want{{Name: "a"}}, Essential: true, Recommends: true})
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]Choice{
		"base": {Why: Why{Kind: Essential}},
		"lib":  {Why: Why{Kind: PreDepends, By: "base", Relation: "lib"}, Auto: true},
		"a":    {Why: Why{Kind: Wanted, Relation: "a"}},
		"w":    {Why: Why{Kind: Depends, By: "a", Relation: "v | w"}, Auto: true},
		"r":    {Why: Why{Kind: Recommends, By: "a", Relation: "r"}, Auto: true},
	}
	for _, c := range sol.Choices {
		if w := want[c.Package.Name]; c.Why != w.Why || c.Auto != w.Auto {
			t.Errorf("%s: %+v auto %v, want %+v", c.Package.Name, c.Why, c.Auto, w)
		}
	}
	if len(sol.Choices) != len(want) {
		t.Errorf("%s", names(sol))
	}
}

func TestErrors(t *testing.T) {
	packages := []string{
		"a; Depends: b", "b; Depends: c (>= 2)", "c 1.0",
		"d; Depends: e", "e; Conflicts: f", "f", "g; Depends: f",
		"tinc", "h; Depends: i", "i; Depends: j", "j", "k; Depends: tink",
		"v1; Provides: v", "v2; Provides: v", "m; Architecture: i386", "o; Depends: m",
		"x1; Depends: x", "x2; Depends: x", "x3; Depends: x",
		"s 1; Multi-Arch: same", "s 2; Architecture: i386; Multi-Arch: same",
	}
	for _, c := range []struct {
		request string
		want    []string
		kinds   []ProblemKind
	}{
		{"a", []string{"b depends on c (>= 2), but trixie has 1.0; wanted -> a -> b"}, []ProblemKind{Unsatisfiable}},
		{"d g", []string{"f", "e conflicts with f", "wanted -> "}, []ProblemKind{Conflict}},
		{"tinkk", []string{"there is no package tinkk"}, []ProblemKind{NotFound}},
		{"tincc", []string{"there is no package tincc; did you mean tinc?"}, []ProblemKind{NotFound}},
		{"tincc vv a=3", []string{"tincc", "there is no package vv", "a=3 does not exist; there is 1 in trixie"}, []ProblemKind{NotFound, NotFound, NoVersion}},
		{"h j-", []string{"i depends on j, but j is dropped by the request; wanted -> h -> i"}, []ProblemKind{Dropped}},
		{"h h-", []string{"h is both wanted and dropped"}, []ProblemKind{Dropped}},
		{"v", []string{"v is a virtual package, name one of its providers: v1, v2"}, []ProblemKind{Virtual}},
		{"k", []string{"k depends on tink, but there is no package tink; wanted -> k"}, []ProblemKind{Unsatisfiable}},
		{"o", []string{"o depends on m, but m exists for i386 only"}, []ProblemKind{Unsatisfiable}},
		{"tinc:i386", []string{"there is no package tinc:i386; it exists for amd64"}, []ProblemKind{NotFound}},
		{"tinc:arm64", []string{"architecture arm64 is not enabled"}, []ProblemKind{NotFound}},
		{"tinc/sid", []string{"tinc/sid does not exist; there is 1 in trixie"}, []ProblemKind{NoVersion}},
		{"a k", []string{"b depends on c (>= 2)", "k depends on tink"}, []ProblemKind{Unsatisfiable, Unsatisfiable}},
		{"s s:i386", []string{"s and s:i386 2 cannot be installed together: they would have to be of one version"}, []ProblemKind{Conflict}},
		{"x1 x2 x3", []string{"depends on x, but there is no package x; wanted -> x1 (and 2 more need it)"}, []ProblemKind{Unsatisfiable}},
	} {
		_, err := Resolve(context.Background(), small(t, nil, packages...), request(c.request))
		var e *Error
		if !errors.As(err, &e) {
			t.Errorf("%s: %v is no *Error", c.request, err)
			continue
		}
		for _, w := range c.want {
			if !strings.Contains(err.Error(), w) {
				t.Errorf("%s: %q lacks %q", c.request, err, w)
			}
		}
		var kinds []ProblemKind
		for _, p := range e.Problems {
			kinds = append(kinds, p.Kind)
		}
		if len(kinds) != len(c.kinds) {
			t.Errorf("%s: kinds %v, want %v (%v)", c.request, kinds, c.kinds, err)
			continue
		}
		for i := range c.kinds {
			if kinds[i] != c.kinds[i] {
				t.Errorf("%s: kinds %v, want %v (%v)", c.request, kinds, c.kinds, err)
			}
		}
	}
}

// TestDropOfNothing: a dropped name that is misspelt would drop nothing without a word.
func TestDropOfNothing(t *testing.T) {
	for want, notes := range map[string][]string{
		"tinc nano-":   nil,
		"tinc nanoo-":  {"-nanoo drops nothing: there is no package nanoo for amd64; did you mean nano?"},
		"tinc zzzzzz-": {"-zzzzzz drops nothing: there is no package zzzzzz for amd64"},
	} {
		sol, err := Resolve(t.Context(), small(t, nil, "tinc", "nano"), request(want))
		if err != nil || !slices.Equal(sol.Notes, notes) {
			t.Errorf("%s: %q, %v", want, sol.Notes, err)
		}
	}
}

func TestCheck(t *testing.T) {
	if err := Check(parse(t, "a; Depends: b", "b; Conflicts: c"), "amd64"); err != nil {
		t.Error(err)
	}
	for want, lines := range map[string][]string{
		"a depends on b":             {"a; Depends: b"},
		"a conflicts with b":         {"a; Conflicts: b", "b"},
		"is there in versions 2 and": {"a 1", "a 2"},
		"cannot be used for amd64":   {"a; Architecture: arm64"},
	} {
		if err := Check(parse(t, lines...), "amd64"); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v: %v, want %q", lines, err, want)
		}
	}
}

func TestCancelled(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := Resolve(ctx, small(t, nil, "a"), request("a")); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

// FuzzResolve makes universes of eight packages with arbitrary relations:
// whatever comes out has to hold together.
func FuzzResolve(f *testing.F) {
	f.Add("b | c", "d, e", "a", "f (>= 2)", "g", "h", "", "a", "b", "", "v", "v, w (= 1)")
	f.Add("v", "w:any", "v (= 1)", "", "", "b", "a | v", "v", "v", "b (<< 2)", "w (= 1)", "v (= 1)")
	f.Fuzz(func(t *testing.T, d0, d1, d2, d3, d4, d5, d6, c0, c1, b2, p3, p4 string) {
		fields := [][]string{{d0, c0, "", ""}, {d1, c1, "", ""}, {d2, "", b2, ""}, {d3, "", "", p3}, {d4, "", "", p4}, {d5}, {d6}, {}}
		u := NewUniverse("amd64", "i386")
		for i, f := range fields {
			f = append(f, "", "", "", "")
			for _, arch := range []string{"amd64", "i386"} {
				if arch == "i386" && i%2 == 0 {
					continue
				}
				ma := []string{"", "same", "foreign", "allowed"}[i%4]
				u.Add(&deb.Package{
					Name: string(rune('a' + i)), Version: "1", Architecture: arch, MultiArch: ma, Essential: i == 7,
					Depends: f[0], Conflicts: f[1], Breaks: f[2], Provides: f[3], Recommends: d6,
				}, 500)
			}
		}
		for _, recommends := range []bool{false, true} {
			sol, err := Resolve(context.Background(), u, Request{Install: []Want{{Name: "a"}, {Name: "b"}}, Recommends: recommends, Essential: true})
			if err != nil {
				_ = err.Error()
				continue
			}
			if err := Check(sol.Packages(), "amd64", "i386"); err != nil {
				t.Fatal(err)
			}
			if _, err := Batches(sol.Packages(), nil); err != nil {
				t.Fatal(err)
			}
		}
	})
}
