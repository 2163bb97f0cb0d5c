package report

import (
	"bytes"
	"io"
	"path"
	"slices"
	"strings"

	"cloudy/builder/deb"
	"cloudy/builder/tree"
)

// copyrightLimit is the size up to which a copyright file is read.
const copyrightLimit = 1 << 20

// licenseOf returns the SPDX expression of all licences in a package's
// machine-readable copyright file (DEP 5), or "" when there is none or one of
// its licences has no certain name in SPDX: a wrong licence is worse than none.
func licenseOf(t *Root, name string) string {
	e := t.Find("usr/share/doc/" + name + "/copyright")
	if e == nil {
		// The folder may be a link to that of another package (Policy 12.3).
		if dir := t.Find("usr/share/doc/" + name); dir != nil && dir.Type == tree.Symlink && !path.IsAbs(dir.Link) {
			e = t.Find(path.Join("usr/share/doc", dir.Link, "copyright"))
		}
	}
	for hops := 0; e != nil && e.Type != tree.File && hops < 3; hops++ {
		switch {
		case e.Type == tree.Hardlink:
			e = t.Find(e.Link)
		case e.Type == tree.Symlink && path.IsAbs(e.Link):
			e = t.Find(strings.TrimPrefix(path.Clean(e.Link), "/"))
		case e.Type == tree.Symlink:
			e = t.Find(path.Join(path.Dir(e.Path), e.Link))
		default:
			return ""
		}
	}
	if e == nil || e.Type != tree.File || e.Size > copyrightLimit {
		return ""
	}
	content, err := t.read(e)
	if err != nil {
		return ""
	}
	return ParseCopyright(bytes.NewReader(content))
}

// ParseCopyright returns the SPDX expression for the licences of all files
// that a machine-readable copyright file names, or "" when that is not certain.
func ParseCopyright(r io.Reader) string {
	pr := deb.NewParagraphReader(r)
	head, err := pr.Next()
	if err != nil || !strings.Contains(head.Get("Format"), "copyright-format/1.0") {
		return ""
	}
	var all []string
	for {
		p, err := pr.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			return ""
		}
		if !p.Has("Files") {
			continue // the text of a licence named elsewhere
		}
		// The packaging is not part of what is installed.
		if strings.TrimSpace(p.Get("Files")) == "debian/*" {
			continue
		}
		short, _, _ := strings.Cut(p.Get("License"), "\n")
		expr := spdxExpression(short)
		if expr == "" {
			return ""
		}
		if !slices.Contains(all, expr) {
			all = append(all, expr)
		}
	}
	if len(all) == 0 {
		return ""
	}
	slices.Sort(all)
	for i, expr := range all {
		if len(all) > 1 && strings.Contains(expr, " OR ") {
			all[i] = "(" + expr + ")"
		}
	}
	return strings.Join(all, " AND ")
}

// spdxExpression translates a DEP 5 synopsis ("GPL-2+ or Artistic, and
// Expat") into an SPDX expression; "" when a name has no certain counterpart.
// In DEP 5 "and" binds tighter than "or", unless a comma stands before "and".
func spdxExpression(s string) string {
	s = strings.ToLower(strings.Join(strings.Fields(s), " "))
	if s == "" {
		return ""
	}
	return spdxJoin(s, ", and ", " AND ", func(s string) string {
		return spdxJoin(strings.ReplaceAll(s, ", or ", " or "), " or ", " OR ", func(s string) string {
			return spdxJoin(s, " and ", " AND ", spdxName)
		})
	})
}

func spdxJoin(s, separator, operator string, each func(string) string) string {
	parts := strings.Split(s, separator)
	for i, part := range parts {
		expr := each(strings.TrimSpace(part))
		if expr == "" {
			return ""
		}
		if len(parts) > 1 && operator == " AND " && strings.Contains(expr, " OR ") {
			expr = "(" + expr + ")"
		}
		parts[i] = expr
	}
	return strings.Join(parts, operator)
}

// spdxName translates one short name. The names are those of the copyright
// format's section 7.1, which differ from SPDX in spelling, and those that
// mean the same in both. "MIT" and "BSD" are missing on purpose: Debian uses
// them for several texts.
func spdxName(s string) string {
	if name, ok := strings.CutPrefix(s, "gpl-"); ok {
		return gnuName("GPL-", name, "1", "2", "3")
	}
	if name, ok := strings.CutPrefix(s, "lgpl-"); ok {
		return gnuName("LGPL-", name, "2", "2.1", "3")
	}
	if name, ok := strings.CutPrefix(s, "agpl-"); ok {
		return gnuName("AGPL-", name, "3")
	}
	if name, ok := strings.CutPrefix(s, "gfdl-niv-"); ok {
		if expr := gnuName("GFDL-", name, "1.1", "1.2", "1.3"); expr != "" {
			version, end, _ := strings.Cut(strings.TrimPrefix(expr, "GFDL-"), "-")
			return "GFDL-" + version + "-no-invariants-" + end
		}
		return ""
	}
	return map[string]string{
		"apache-1.0": "Apache-1.0", "apache-1.1": "Apache-1.1", "apache-2.0": "Apache-2.0",
		"artistic-1.0": "Artistic-1.0", "artistic-2.0": "Artistic-2.0",
		"bsd-2-clause": "BSD-2-Clause", "bsd-3-clause": "BSD-3-Clause", "bsd-4-clause": "BSD-4-Clause",
		"bsl-1.0": "BSL-1.0", "cc0-1.0": "CC0-1.0", "cc0": "CC0-1.0",
		"cc-by-3.0": "CC-BY-3.0", "cc-by-4.0": "CC-BY-4.0", "cc-by-sa-3.0": "CC-BY-SA-3.0", "cc-by-sa-4.0": "CC-BY-SA-4.0",
		"cddl-1.0": "CDDL-1.0", "cpl-1.0": "CPL-1.0", "epl-1.0": "EPL-1.0", "efl-2": "EFL-2.0",
		"expat": "MIT", "isc": "ISC", "lppl-1.3c": "LPPL-1.3c",
		"mpl-1.1": "MPL-1.1", "mpl-2.0": "MPL-2.0", "ofl-1.1": "OFL-1.1",
		"openssl": "OpenSSL", "psf-2": "PSF-2.0", "python-2.0": "Python-2.0", "qpl-1.0": "QPL-1.0",
		"w3c": "W3C", "zlib": "Zlib", "zope-2.1": "ZPL-2.1", "unlicense": "Unlicense", "0bsd": "0BSD",
	}[s]
}

// gnuName turns "2+" into "GPL-2.0-or-later" and "2" into "GPL-2.0-only".
func gnuName(family, s string, versions ...string) string {
	version, later := strings.CutSuffix(s, "+")
	version = strings.TrimSuffix(version, ".0")
	if !slices.Contains(versions, version) {
		return ""
	}
	if !strings.Contains(version, ".") {
		version += ".0"
	}
	if later {
		return family + version + "-or-later"
	}
	return family + version + "-only"
}
