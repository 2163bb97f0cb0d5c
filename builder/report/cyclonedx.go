package report

import (
	"fmt"
	"io"
)

type cdxDocument struct {
	Schema       string         `json:"$schema"`
	Format       string         `json:"bomFormat"`
	SpecVersion  string         `json:"specVersion"`
	SerialNumber string         `json:"serialNumber"`
	Version      int            `json:"version"`
	Metadata     cdxMetadata    `json:"metadata"`
	Components   []cdxComponent `json:"components"`
}

type cdxMetadata struct {
	Timestamp string       `json:"timestamp"`
	Tools     cdxTools     `json:"tools"`
	Component cdxComponent `json:"component"`
}

type cdxTools struct {
	Components []cdxComponent `json:"components"`
}

type cdxComponent struct {
	Type        string         `json:"type"`
	Ref         string         `json:"bom-ref,omitempty"`
	Supplier    *cdxSupplier   `json:"supplier,omitempty"`
	Name        string         `json:"name"`
	Version     string         `json:"version,omitempty"`
	Description string         `json:"description,omitempty"`
	Hashes      []cdxHash      `json:"hashes,omitempty"`
	Licenses    []cdxLicense   `json:"licenses,omitempty"`
	PURL        string         `json:"purl,omitempty"`
	References  []cdxReference `json:"externalReferences,omitempty"`
	Properties  []cdxProperty  `json:"properties,omitempty"`
}

type cdxSupplier struct {
	Name    string       `json:"name"`
	Contact []cdxContact `json:"contact,omitempty"`
}

type cdxContact struct {
	Email string `json:"email"`
}

type cdxHash struct {
	Algorithm string `json:"alg"`
	Content   string `json:"content"`
}

type cdxLicense struct {
	Expression string `json:"expression"`
}

type cdxReference struct {
	Type string `json:"type"`
	URL  string `json:"url"`
}

type cdxProperty struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

// WriteCycloneDX writes the subject as CycloneDX 1.6 in JSON (ECMA-424). The
// same subject always gives the same bytes.
func WriteCycloneDX(w io.Writer, s *Subject) error {
	id := s.id()
	// A UUID of our own making (RFC 9562, version 8) out of the content's digest.
	id[6] = id[6]&0x0f | 0x80
	id[8] = id[8]&0x3f | 0x80
	doc := cdxDocument{
		Schema: "http://cyclonedx.org/schema/bom-1.6.schema.json",
		Format: "CycloneDX", SpecVersion: "1.6", Version: 1,
		SerialNumber: fmt.Sprintf("urn:uuid:%x-%x-%x-%x-%x", id[0:4], id[4:6], id[6:8], id[8:10], id[10:16]),
		Metadata: cdxMetadata{
			Timestamp: s.time(),
			Tools:     cdxTools{[]cdxComponent{{Type: "application", Name: "cloudy", Version: s.Tool}}},
			Component: cdxComponent{Type: "operating-system", Ref: "image", Name: s.Name, Version: s.Version, Description: s.Release.Pretty},
		},
		Components: []cdxComponent{},
	}
	for i := range s.Packages {
		doc.Components = append(doc.Components, cdxComponentOf(&s.Packages[i], s.Release.Codename))
	}
	for _, f := range s.Files {
		doc.Components = append(doc.Components, cdxComponent{
			Type: "file", Ref: "file:" + f.Path, Name: f.Path, Hashes: []cdxHash{{"SHA-256", f.SHA256}},
		})
	}
	return encode(w, doc)
}

func cdxComponentOf(p *Package, codename string) cdxComponent {
	purl := p.PURL(codename)
	c := cdxComponent{Type: "library", Ref: purl, Name: p.Name, Version: p.Version, Description: p.Summary, PURL: purl}
	if name, address := splitMaintainer(p.Maintainer); name != "" {
		c.Supplier = &cdxSupplier{Name: name}
		if address != "" {
			c.Supplier.Contact = []cdxContact{{Email: address}}
		}
	}
	if p.SHA256 != "" {
		c.Hashes = []cdxHash{{"SHA-256", p.SHA256}}
	}
	if p.License != "" {
		c.Licenses = []cdxLicense{{Expression: p.License}}
	}
	if u := webAddress(p.Homepage); u != "" {
		c.References = []cdxReference{{Type: "website", URL: u}}
	}
	for _, property := range []cdxProperty{
		{"cloudy:source", p.Source}, {"cloudy:source-version", p.SourceVersion}, {"cloudy:archive", p.Archive},
	} {
		if property.Value != "" {
			c.Properties = append(c.Properties, property)
		}
	}
	return c
}
