package deb

import (
	"path"
	"strings"
	"testing"
)

func TestCleanPath(t *testing.T) {
	for in, want := range map[string]string{
		"./": ".", ".": ".", "./.": ".", "./usr/": "usr", "./usr/bin/x": "usr/bin/x", "usr//bin/./x": "usr/bin/x",
		"./a..b/..c": "a..b/..c", "...": "...", ".hidden": ".hidden", "./.hidden": ".hidden", "././a": "a",
	} {
		if got, err := CleanPath(in); err != nil || got != want {
			t.Errorf("CleanPath(%q) = %q, %v, want %q", in, got, err, want)
		}
	}
	for _, in := range []string{"", "/", "/etc", "..", "../x", "./..", "a/..", "a/../b", "./a/../../b", "a\x00b", "a\nb", ".//../x", "a/.."} {
		if got, err := CleanPath(in); err == nil {
			t.Errorf("CleanPath(%q) = %q", in, got)
		}
	}
}

func FuzzCleanPath(f *testing.F) {
	for _, s := range []string{"./usr/bin", "a/../b", "//", "./.", "../../etc/passwd"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, in string) {
		got, err := CleanPath(in)
		if err != nil {
			return
		}
		if got == "" || got[0] == '/' || path.Clean(got) != got || strings.ContainsAny(got, "\x00\n") {
			t.Fatalf("CleanPath(%q) = %q", in, got)
		}
		for part := range strings.SplitSeq(got, "/") {
			if part == ".." {
				t.Fatalf("CleanPath(%q) = %q", in, got)
			}
		}
	})
}
