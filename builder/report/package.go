// Package report says what is in a finished root or image: packages, sizes,
// differences, licences, provenance. It reads trees and image files, and
// writes nothing but its reports.
package report

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/url"
	"slices"
	"strings"

	"cloudy/builder/deb"
	"cloudy/builder/tree"
)

// Package is an installed package.
type Package struct {
	Name          string `json:"name"`
	Version       string `json:"version"`
	Architecture  string `json:"architecture"`
	Source        string `json:"source,omitempty"` // name of the source package
	SourceVersion string `json:"source_version,omitempty"`
	Maintainer    string `json:"maintainer,omitempty"` // "Name <address>"
	Homepage      string `json:"homepage,omitempty"`
	Section       string `json:"section,omitempty"`
	Summary       string `json:"summary,omitempty"`        // first line of the description
	InstalledSize int64  `json:"installed_size,omitempty"` // bytes, the packager's estimate
	License       string `json:"license,omitempty"`        // SPDX expression; empty when not sure
	SHA256        string `json:"sha256,omitempty"`         // of the .deb, when known
	Archive       string `json:"archive,omitempty"`        // of the recipe, when known
}

// key names a package within a root: one name may be installed for several architectures.
func (p *Package) key() string { return p.Name + ":" + p.Architecture }

// PURL is the package's URL (package-url specification, type "deb").
// distro is a code name such as "trixie", or empty.
func (p *Package) PURL(distro string) string {
	u := "pkg:deb/debian/" + purlEscape(p.Name) + "@" + purlEscape(p.Version)
	query := []string{"arch=" + purlEscape(p.Architecture)}
	if distro != "" {
		query = append(query, "distro="+purlEscape(distro))
	}
	if p.Source != "" && p.Source != p.Name {
		query = append(query, "upstream="+purlEscape(p.Source))
	}
	return u + "?" + strings.Join(query, "&")
}

// purlEscape escapes all but what the specification leaves as it is.
func purlEscape(s string) string {
	return strings.NewReplacer("+", "%20", "%7E", "~", "%3A", ":").Replace(url.QueryEscape(s))
}

// status is where dpkg notes what is installed; status.d is where images
// without dpkg (distroless) do, a file a package.
const (
	statusFile   = "var/lib/dpkg/status"
	statusFolder = "var/lib/dpkg/status.d/"
)

// ErrNoPackages means that a root has no database of packages.
var ErrNoPackages = errors.New("no dpkg database")

// Packages reads the installed packages out of a root, sorted by name and
// architecture, with their licences where the copyright files tell them. A
// tree without dpkg's database gives ErrNoPackages.
func Packages(t *Root) ([]Package, error) {
	var list []Package
	var found bool
	for i := range t.Entries {
		e := &t.Entries[i]
		if e.Type != tree.File || e.Path != statusFile &&
			(!strings.HasPrefix(e.Path, statusFolder) || strings.HasSuffix(e.Path, ".md5sums")) {
			continue
		}
		found = true
		content, err := t.read(e)
		if err != nil {
			return nil, err
		}
		more, err := ParseStatus(bytes.NewReader(content))
		if err != nil {
			return nil, fmt.Errorf("%s: %w", e.Path, err)
		}
		list = append(list, more...)
	}
	if !found {
		return nil, ErrNoPackages
	}
	sortPackages(list)
	for i := range list {
		list[i].License = licenseOf(t, list[i].Name)
	}
	return list, nil
}

func sortPackages(list []Package) {
	slices.SortFunc(list, func(a, b Package) int { return strings.Compare(a.key(), b.key()) })
}

// ParseStatus reads the packages of a dpkg status file (dpkg(1)) that are
// installed, in whatever state of configuration; those removed with their
// configuration files left behind are not.
func ParseStatus(r io.Reader) ([]Package, error) {
	var list []Package
	pr := deb.NewParagraphReader(r)
	for {
		p, err := pr.Next()
		if err == io.EOF {
			return list, nil
		}
		if err != nil {
			return nil, err
		}
		// distroless has no Status field.
		if s := strings.Fields(p.Get("Status")); len(s) == 3 && (s[2] == "not-installed" || s[2] == "config-files") {
			continue
		}
		list = append(list, packageOf(p))
	}
}

func packageOf(p *deb.Paragraph) Package {
	pkg := Package{
		Name: p.Get("Package"), Version: p.Get("Version"), Architecture: p.Get("Architecture"),
		Maintainer: p.Get("Maintainer"), Homepage: p.Get("Homepage"), Section: p.Get("Section"),
	}
	pkg.Summary, _, _ = strings.Cut(p.Get("Description"), "\n")
	// "Source: name (version)", each part only where it differs from the binary package's.
	pkg.Source, pkg.SourceVersion = pkg.Name, pkg.Version
	if source := p.Get("Source"); source != "" {
		name, version, ok := strings.Cut(source, " (")
		if pkg.Source = name; ok {
			pkg.SourceVersion = strings.TrimSuffix(version, ")")
		}
	}
	var kib int64
	if _, err := fmt.Sscan(p.Get("Installed-Size"), &kib); err == nil {
		pkg.InstalledSize = kib << 10
	}
	return pkg
}

// Release is what a root says of itself (os-release(5)).
type Release struct {
	ID       string `json:"id,omitempty"`
	Version  string `json:"version,omitempty"` // VERSION_ID
	Codename string `json:"codename,omitempty"`
	Pretty   string `json:"name,omitempty"`
}

// ReleaseOf reads a root's os-release; without one all fields are empty.
func ReleaseOf(t *Root) Release {
	var r Release
	for _, path := range []string{"usr/lib/os-release", "etc/os-release"} {
		e := t.Find(path)
		if e == nil || e.Type != tree.File {
			continue
		}
		content, err := t.read(e)
		if err != nil {
			return r
		}
		scan := bufio.NewScanner(bytes.NewReader(content))
		for scan.Scan() {
			name, value, _ := strings.Cut(scan.Text(), "=")
			value = strings.Trim(value, `"'`)
			switch name {
			case "ID":
				r.ID = value
			case "VERSION_ID":
				r.Version = value
			case "VERSION_CODENAME":
				r.Codename = value
			case "PRETTY_NAME":
				r.Pretty = value
			}
		}
		return r
	}
	return r
}
