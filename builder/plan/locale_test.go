package plan

import (
	"bufio"
	"errors"
	"os"
	"strings"
	"testing"

	"cloudy/builder/fail"
	"cloudy/builder/lock"
	"cloudy/builder/recipe"
	"cloudy/builder/rootfs"
)

func TestLocaleEntry(t *testing.T) {
	want := map[string]string{
		"": "", "C": "", "POSIX": "", "C.UTF-8": "", "ca_ES.UTF-8": "ca_ES.UTF-8 UTF-8", "de_DE": "de_DE ISO-8859-1",
		"de_DE@euro": "de_DE@euro ISO-8859-15", "ca_ES@valencia": "ca_ES@valencia UTF-8", "ca_ES.UTF-8@valencia": "ca_ES@valencia UTF-8",
	}
	for name, w := range want {
		if got := localeEntry(name); got != w {
			t.Errorf("%s: %q, want %q", name, got, w)
		}
	}
	f, err := os.Open("/usr/share/i18n/SUPPORTED")
	if err != nil {
		if os.Getenv("CLOUDY_REQUIRE_ALL") != "" {
			t.Fatal(err)
		}
		t.Skip("the list of locales is in the package locales")
	}
	defer f.Close()
	known := map[string]bool{}
	for s := bufio.NewScanner(f); s.Scan(); {
		known[s.Text()] = true
	}
	for name, w := range want {
		if w != "" && !known[w] {
			t.Errorf("%s: the package locales knows no %q", name, w)
		}
	}
}

func TestDebconf(t *testing.T) {
	own := recipe.Debconf{Package: "locales", Question: "locales/locales_to_be_generated", Value: "All"}
	with := []lock.Package{{Name: "locales"}}
	for _, tc := range []struct {
		name string
		img  recipe.Image
		pkgs []lock.Package
		want string
	}{
		{"generated", recipe.Image{Locale: "ca_ES.UTF-8"}, with, "ca_ES.UTF-8 UTF-8|ca_ES.UTF-8"},
		{"in another batch", recipe.Image{Locale: "ca_ES.UTF-8"}, []lock.Package{{Name: "tinc"}}, ""},
		{"built in", recipe.Image{Locale: "C.UTF-8"}, with, ""},
		{"the recipe's own", recipe.Image{Locale: "ca_ES.UTF-8", Debconf: []recipe.Debconf{own}}, with, "ca_ES.UTF-8|All"},
	} {
		var got []string
		for _, d := range debconf(&tc.img, tc.pkgs) {
			got = append(got, d.Value)
		}
		if strings.Join(got, "|") != tc.want {
			t.Errorf("%s: %q, want %q", tc.name, got, tc.want)
		}
	}
}

// TestNoLocale: the words are update-locale's of Debian 13.
func TestNoLocale(t *testing.T) {
	failure := func(lines ...string) error {
		return fail.Mark(fail.Build, &rootfs.ScriptError{What: "configure locales", Output: lines, Err: errors.New("exit status 1")})
	}
	img := &recipe.Image{Locale: "xx_YY.UTF-8"}
	err := noLocale(img, failure("Generation complete.", "*** update-locale: Error: invalid locale settings:  LANG=xx_YY.UTF-8", "dpkg: too many errors"))
	if fail.KindOf(err) != fail.User || !strings.Contains(err.Error(), `no locale "xx_YY.UTF-8"`) || !strings.Contains(fail.HintOf(err), "SUPPORTED") {
		t.Errorf("%v, hint %q", err, fail.HintOf(err))
	}
	for _, other := range []error{nil, failure("no space left"), errors.New("update-locale: Error: invalid locale settings")} {
		if err := noLocale(img, other); err != other {
			t.Errorf("%v became %v", other, err)
		}
	}
}
