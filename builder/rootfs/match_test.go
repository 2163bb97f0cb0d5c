package rootfs

import (
	"bytes"
	"os/exec"
	"strings"
	"testing"
)

// shMatches asks the shell, whose patterns are fnmatch(3)'s without flags, as
// dpkg's are: "*" matches a slash, "\" takes a character's meaning away.
func shMatches(t testing.TB, pairs [][2]string) []bool {
	t.Helper()
	bash, err := exec.LookPath("bash")
	if err != nil {
		skip(t, "no bash")
	}
	var in bytes.Buffer
	for _, p := range pairs {
		in.WriteString(p[0] + "\x00" + p[1] + "\x00")
	}
	cmd := exec.Command(bash, "-c", `while IFS= read -r -d '' p && IFS= read -r -d '' s; do case $s in ($p) echo y;; (*) echo n;; esac; done`)
	cmd.Env = []string{"LC_ALL=C"}
	cmd.Stdin = &in
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	var got []bool
	for _, line := range strings.Fields(string(out)) {
		got = append(got, line == "y")
	}
	if len(got) != len(pairs) {
		t.Fatalf("%d answers for %d questions", len(got), len(pairs))
	}
	return got
}

func TestMatchPath(t *testing.T) {
	patterns := []string{
		"/usr/share/doc/*", "/usr/share/doc/*/copyright", "/usr/share/man/*", "/usr/share/locale/[a-d]*", "/usr/share/locale/[!a-d]*",
		"/usr/share/locale/??/*", "*", "", "?", "/", "/*", "**", "a*b*c", "[]a]", "[!]a]", "[^a]", "[", "[]", "[a", "a]", `\*`, `\[a]`, `a\`, `[\]]`,
		`[a\-c]`, "[-a]", "[a-]", "[z-a]", "*[0-9]", "/a[/]b", "*.gz", "*?", "?*?", "x[a]", "[[]", "[a-c-e]",
	}
	paths := []string{
		"/usr/share/doc/bash/copyright", "/usr/share/doc/bash/changelog.gz", "/usr/share/doc", "/usr/share/docs/x", "/usr/share/locale/de/LC_MESSAGES/x.mo",
		"/usr/share/locale/zh/x", "", "/", "a", "b", "]", "[", "-", "*", "\\", "[a]", "abc", "aXXbYYc", "a/b/c", "/a/b", "x[a]", "xa", "a]", "[a-", "d", "a\\", "5", "\xff",
	}
	var pairs [][2]string
	for _, p := range patterns {
		for _, s := range paths {
			pairs = append(pairs, [2]string{p, s})
		}
	}
	for i, want := range shMatches(t, pairs) {
		if got := MatchPath(pairs[i][0], pairs[i][1]); got != want {
			t.Errorf("MatchPath(%q, %q) = %t, fnmatch says %t", pairs[i][0], pairs[i][1], got, want)
		}
	}
}

// FuzzMatchPath: it always ends, and a pattern without special characters is itself.
func FuzzMatchPath(f *testing.F) {
	f.Add("/usr/*[a-z]?", "/usr/share")
	f.Add("***********a", "aaaaaaaaaaaaaaaaaaaaaaaaab")
	f.Fuzz(func(t *testing.T, pattern, path string) {
		got := MatchPath(pattern, path)
		if !strings.ContainsAny(pattern, `*?[\`) && got != (pattern == path) {
			t.Errorf("MatchPath(%q, %q) = %t", pattern, path, got)
		}
		if !MatchPath("*"+path, path) && !strings.ContainsAny(path, `[\`) {
			t.Errorf("*%q does not match", path)
		}
	})
}
