package recipe

import (
	"fmt"
	"strings"
)

// Package is one package that the recipe asks for.
type Package struct {
	Name    string
	Arch    string `json:",omitempty"` // after ":"; empty for the image's own or all
	Version string `json:",omitempty"` // after "=": exactly this one
	Suite   string `json:",omitempty"` // after "/": from this suite
	Range   Range  `json:"-"`

	drop bool
}

// String returns the package as the recipe writes it.
func (p Package) String() string {
	s := p.Name
	if p.drop {
		s = "-" + s
	}
	if p.Arch != "" {
		s += ":" + p.Arch
	}
	if p.Version != "" {
		s += "=" + p.Version
	}
	if p.Suite != "" {
		s += "/" + p.Suite
	}
	return s
}

// key is what makes two requests the same package.
func (p Package) key() string { return p.Name + ":" + p.Arch }

// parsePackage reads "[-]name[:arch][=version|/suite]".
func parsePackage(s string) (Package, error) {
	var p Package
	rest, hasVersion := s, false
	if after, ok := strings.CutPrefix(rest, "-"); ok {
		p.drop, rest = true, after
	}
	hasSuite := false
	// The version comes first: it may hold colons, and slashes it cannot.
	rest, p.Version, hasVersion = strings.Cut(rest, "=")
	if hasVersion {
		if strings.Contains(p.Version, "/") {
			return p, fmt.Errorf("%q: give a version or a suite, not both", s)
		}
	} else {
		rest, p.Suite, hasSuite = strings.Cut(rest, "/")
	}
	hasArch := false
	p.Name, p.Arch, hasArch = strings.Cut(rest, ":")
	if err := packageName(p.Name); err != nil {
		return p, err
	}
	if hasVersion {
		if err := version(p.Version); err != nil {
			return p, err
		}
	}
	if hasSuite {
		if err := suite(p.Suite); err != nil {
			return p, err
		}
	}
	if hasArch {
		if err := architecture(p.Arch); err != nil {
			return p, err
		}
	}
	if p.drop && (hasVersion || hasSuite) {
		return p, fmt.Errorf("%q: to drop a package give its name alone", s)
	}
	return p, nil
}
