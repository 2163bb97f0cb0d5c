package deb

import "strings"

// Package is a stanza of a Packages index (or of a control or status file)
// with the fields that a builder needs. Relations are the raw text of their
// fields: most packages of an index are never looked at, so parsing waits for
// ParseRelations.
type Package struct {
	Name, Version, Architecture string
	MultiArch                   string // "", "same", "foreign", "allowed" or "no"
	Source                      string // as in the file: empty when it equals Name and Version; see SourceName
	Section, Priority           string

	Essential bool // Essential: yes
	Protected bool // Protected: yes, or the older Important: yes

	PreDepends, Depends, Recommends, Suggests, Enhances string
	Conflicts, Breaks, Replaces, Provides               string

	Filename      string // path below the archive's root, unchecked
	SHA256        string // of the .deb file, 64 lower-case hexadecimal digits or empty
	Size          int64  // of the .deb file in bytes
	InstalledSize int64  // KiB, an estimate (deb-substvars(5))

	Maintainer, Homepage string

	// Where the stanza came from, set by whoever loaded the index.
	Archive, Suite, Component string
}

// SourceName returns the name of the source package.
func (p *Package) SourceName() string {
	if p.Source == "" {
		return p.Name
	}
	name, _, _ := strings.Cut(p.Source, " ")
	return name
}

// SourceVersion returns the version of the source package.
func (p *Package) SourceVersion() string {
	if _, v, ok := strings.Cut(p.Source, "("); ok {
		return strings.TrimSpace(strings.TrimSuffix(strings.TrimSpace(v), ")"))
	}
	return p.Version
}

// ID returns "name_version_arch", which names a package within an archive.
func (p *Package) ID() string { return p.Name + "_" + p.Version + "_" + p.Architecture }

// String returns "name:arch=version".
func (p *Package) String() string { return p.Name + ":" + p.Architecture + "=" + p.Version }
