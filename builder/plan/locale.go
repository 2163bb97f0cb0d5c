package plan

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"cloudy/builder/fail"
	"cloudy/builder/lock"
	"cloudy/builder/recipe"
	"cloudy/builder/rootfs"
)

// debconf are the answers that packages get when they are configured: the
// recipe's, and the locale that the package locales is to generate. The order
// of a recipe's own stays; they have the last word.
func debconf(img *recipe.Image, pkgs []lock.Package) []recipe.Debconf {
	entry := localeEntry(img.Locale)
	if entry == "" || !slices.ContainsFunc(pkgs, func(p lock.Package) bool { return p.Name == "locales" }) {
		return img.Debconf
	}
	var out []recipe.Debconf
	for _, d := range []recipe.Debconf{
		{Package: "locales", Question: "locales/locales_to_be_generated", Type: "multiselect", Value: entry},
		{Package: "locales", Question: "locales/default_environment_locale", Type: "select", Value: img.Locale},
	} {
		if !slices.ContainsFunc(img.Debconf, func(own recipe.Debconf) bool { return own.Question == d.Question }) {
			out = append(out, d)
		}
	}
	return append(out, img.Debconf...)
}

// localeEntry is a locale as /etc/locale.gen has it (locale.gen(5)), name and
// character set; empty for one that libc has built in.
func localeEntry(name string) string {
	if name == "" || name == "C" || name == "POSIX" || strings.HasPrefix(name, "C.") {
		return ""
	}
	base, modifier, _ := strings.Cut(name, "@")
	language, charset, hasCharset := strings.Cut(base, ".")
	switch {
	case hasCharset && charset == "UTF-8" && modifier != "":
		// /usr/share/i18n/SUPPORTED has "ca_ES@valencia UTF-8".
		return language + "@" + modifier + " UTF-8"
	case hasCharset:
		return name + " " + charset
	case modifier == "euro":
		return name + " ISO-8859-15"
	case modifier != "":
		return name + " UTF-8"
	}
	return name + " ISO-8859-1"
}

// noLocale makes a failure of the package locales the recipe's mistake when
// there is no such locale, which nothing but its script knows.
func noLocale(img *recipe.Image, err error) error {
	var se *rootfs.ScriptError
	if !errors.As(err, &se) || !slices.ContainsFunc(se.Output, func(line string) bool {
		return strings.Contains(line, "update-locale: Error: invalid locale settings")
	}) {
		return err
	}
	return fail.WithHint(fail.User, recipe.At(img.Where("locale"), fmt.Errorf("no locale %q in Debian", img.Locale)),
		"/usr/share/i18n/SUPPORTED of the package locales lists those that there are")
}
