package report

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strings"
	"time"
)

// Subject is what a bill of materials is about.
type Subject struct {
	Name     string    // of the image
	Version  string    // of the image, or empty
	Release  Release   // of the root
	Tool     string    // version of the builder
	Time     time.Time // that the document bears; the zero time becomes 1970-01-01
	Packages []Package
	Files    []File // of the root or of the artefacts; may be empty
}

// File is a file with its digest.
type File struct {
	Path   string `json:"path"`
	Size   int64  `json:"size"` // bytes
	SHA256 string `json:"sha256"`
}

func (s *Subject) time() string {
	t := s.Time
	if t.IsZero() {
		t = time.Unix(0, 0)
	}
	return t.UTC().Format("2006-01-02T15:04:05Z")
}

// id is a digest of all that the document says, for the names that standards
// want to be unique: the same content gets the same name.
func (s *Subject) id() [sha256.Size]byte {
	b, err := json.Marshal(s)
	if err != nil {
		panic(err) // strings and numbers alone
	}
	return sha256.Sum256(b)
}

func encode(w io.Writer, v any) error {
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	return enc.Encode(v)
}

type spdxDocument struct {
	SPDXID            string             `json:"SPDXID"`
	Version           string             `json:"spdxVersion"`
	DataLicense       string             `json:"dataLicense"`
	Name              string             `json:"name"`
	DocumentNamespace string             `json:"documentNamespace"`
	CreationInfo      spdxCreation       `json:"creationInfo"`
	Packages          []spdxPackage      `json:"packages"`
	Files             []spdxFile         `json:"files,omitempty"`
	Relationships     []spdxRelationship `json:"relationships"`
}

type spdxCreation struct {
	Created  string   `json:"created"`
	Creators []string `json:"creators"`
}

type spdxPackage struct {
	SPDXID           string            `json:"SPDXID"`
	Name             string            `json:"name"`
	Version          string            `json:"versionInfo,omitempty"`
	Supplier         string            `json:"supplier,omitempty"`
	DownloadLocation string            `json:"downloadLocation"`
	FilesAnalyzed    bool              `json:"filesAnalyzed"`
	Homepage         string            `json:"homepage,omitempty"`
	SourceInfo       string            `json:"sourceInfo,omitempty"`
	Concluded        string            `json:"licenseConcluded"`
	Declared         string            `json:"licenseDeclared"`
	Copyright        string            `json:"copyrightText"`
	Summary          string            `json:"summary,omitempty"`
	Purpose          string            `json:"primaryPackagePurpose,omitempty"`
	Checksums        []spdxChecksum    `json:"checksums,omitempty"`
	Refs             []spdxExternalRef `json:"externalRefs,omitempty"`
}

type spdxChecksum struct {
	Algorithm string `json:"algorithm"`
	Value     string `json:"checksumValue"`
}

type spdxExternalRef struct {
	Category string `json:"referenceCategory"`
	Type     string `json:"referenceType"`
	Locator  string `json:"referenceLocator"`
}

type spdxFile struct {
	SPDXID    string         `json:"SPDXID"`
	Name      string         `json:"fileName"`
	Checksums []spdxChecksum `json:"checksums"`
	Concluded string         `json:"licenseConcluded"`
	Copyright string         `json:"copyrightText"`
}

type spdxRelationship struct {
	Element string `json:"spdxElementId"`
	Type    string `json:"relationshipType"`
	Related string `json:"relatedSpdxElement"`
}

const noAssertion = "NOASSERTION"

// WriteSPDX writes the subject as SPDX 2.3 in JSON (ISO/IEC 5962, SPDX
// specification 2.3). The same subject always gives the same bytes.
func WriteSPDX(w io.Writer, s *Subject) error {
	id := s.id()
	const image = "SPDXRef-Image"
	doc := spdxDocument{
		SPDXID: "SPDXRef-DOCUMENT", Version: "SPDX-2.3", DataLicense: "CC0-1.0", Name: s.Name,
		DocumentNamespace: "https://spdx.org/spdxdocs/" + purlEscape(s.Name) + "-" + hex.EncodeToString(id[:16]),
		CreationInfo:      spdxCreation{Created: s.time(), Creators: []string{"Tool: cloudy-" + orUnknown(s.Tool)}},
		Packages: []spdxPackage{{
			SPDXID: image, Name: s.Name, Version: s.Version, DownloadLocation: noAssertion,
			Concluded: noAssertion, Declared: noAssertion, Copyright: noAssertion, Purpose: "OPERATING_SYSTEM",
		}},
		Relationships: []spdxRelationship{{"SPDXRef-DOCUMENT", "DESCRIBES", image}},
	}
	for i := range s.Packages {
		p := spdxPackageOf(&s.Packages[i], s.Release.Codename)
		doc.Packages = append(doc.Packages, p)
		doc.Relationships = append(doc.Relationships, spdxRelationship{image, "CONTAINS", p.SPDXID})
	}
	for _, f := range s.Files {
		file := spdxFile{
			SPDXID: "SPDXRef-File-" + shortHash(f.Path), Name: "./" + f.Path,
			// SPDX wants a SHA-1 of each file, which nobody should compute any more; validators take SHA-256.
			Checksums: []spdxChecksum{{"SHA256", f.SHA256}}, Concluded: noAssertion, Copyright: noAssertion,
		}
		doc.Files = append(doc.Files, file)
		doc.Relationships = append(doc.Relationships, spdxRelationship{image, "CONTAINS", file.SPDXID})
	}
	return encode(w, doc)
}

func spdxPackageOf(p *Package, codename string) spdxPackage {
	out := spdxPackage{
		SPDXID: "SPDXRef-Package-" + spdxID(p.Name) + "-" + spdxID(p.Architecture) + "-" + shortHash(p.key()),
		Name:   p.Name, Version: p.Version, Supplier: spdxSupplier(p.Maintainer), DownloadLocation: noAssertion,
		Homepage: webAddress(p.Homepage), Concluded: noAssertion, Declared: noAssertion, Copyright: noAssertion, Summary: p.Summary,
		Refs: []spdxExternalRef{{"PACKAGE-MANAGER", "purl", p.PURL(codename)}},
	}
	if p.Source != "" {
		out.SourceInfo = "built from source package " + strings.TrimSpace(p.Source+" "+p.SourceVersion)
	}
	if p.License != "" {
		out.Declared = p.License
	}
	if p.SHA256 != "" {
		out.Checksums = []spdxChecksum{{"SHA256", p.SHA256}}
	}
	return out
}

// spdxID leaves of s what an SPDX identifier may have: letters, digits, "." and "-".
func spdxID(s string) string {
	return regexp.MustCompile(`[^A-Za-z0-9.-]`).ReplaceAllString(s, "-")
}

func shortHash(s string) string {
	sum := sha256.Sum256([]byte(s))
	return hex.EncodeToString(sum[:6])
}

// webAddress returns s when it is an address that validators take, else "".
func webAddress(s string) string {
	if strings.HasPrefix(s, "http://") || strings.HasPrefix(s, "https://") {
		return s
	}
	return ""
}

// spdxSupplier turns "Name <address>" into SPDX's "Person: Name (address)".
// Debian does not say which maintainers are teams; their addresses mostly do.
func spdxSupplier(maintainer string) string {
	name, address := splitMaintainer(maintainer)
	if name == "" {
		return noAssertion
	}
	kind := "Person"
	lower := strings.ToLower(maintainer)
	if slices.ContainsFunc([]string{"team", "lists.", "maintainers", "group", "@packages.", "developers", "tracker.debian.org"},
		func(s string) bool { return strings.Contains(lower, s) }) {
		kind = "Organization"
	}
	if address == "" {
		return kind + ": " + name
	}
	return fmt.Sprintf("%s: %s (%s)", kind, name, address)
}

func splitMaintainer(s string) (name, address string) {
	name, address, _ = strings.Cut(s, "<")
	return strings.Trim(strings.TrimSpace(name), `"`), strings.TrimSuffix(strings.TrimSpace(address), ">")
}

func orUnknown(s string) string {
	if s == "" {
		return "unknown"
	}
	return s
}
