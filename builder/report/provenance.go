package report

import (
	"encoding/json"
	"io"
	"time"
)

// Digest is a digest by the name of its algorithm, as in-toto writes it.
type Digest map[string]string

// Resource is an input or an output (in-toto attestation framework,
// ResourceDescriptor v1).
type Resource struct {
	Name        string         `json:"name,omitempty"`
	URI         string         `json:"uri,omitempty"`
	Digest      Digest         `json:"digest,omitempty"`
	Annotations map[string]any `json:"annotations,omitempty"`
}

// Provenance is what is known of how artefacts came about.
type Provenance struct {
	Artefacts      []File         // what was built
	Parameters     map[string]any // what the user asked for: image, target, architecture, variables
	Packages       []Package      // what went in, with the .deb's SHA256
	Codename       string         // of the release, for the packages' names
	Inputs         []Resource     // recipe, lock, overlays with their digests
	BuilderVersion string
	Reproducible   bool // the same inputs give the same bits

	// Started and Finished are left out when zero, as they have to be where
	// the provenance itself is to be the same each time.
	Started, Finished time.Time
}

const (
	statementType = "https://in-toto.io/Statement/v1"
	predicateType = "https://slsa.dev/provenance/v1"
	// builderID and buildType name the program and its way of building. They
	// have to be URIs, but nothing has to answer there.
	builderID = "urn:cloudy:builder"
	buildType = "urn:cloudy:build:v1"
)

type statement struct {
	Type          string     `json:"_type"`
	Subject       []Resource `json:"subject"`
	PredicateType string     `json:"predicateType"`
	Predicate     predicate  `json:"predicate"`
}

type predicate struct {
	Definition buildDefinition `json:"buildDefinition"`
	Run        runDetails      `json:"runDetails"`
}

type buildDefinition struct {
	Type         string         `json:"buildType"`
	Parameters   map[string]any `json:"externalParameters"`
	Internal     map[string]any `json:"internalParameters,omitempty"`
	Dependencies []Resource     `json:"resolvedDependencies"`
}

type runDetails struct {
	Builder  builderInfo  `json:"builder"`
	Metadata *runMetadata `json:"metadata,omitempty"`
}

type builderInfo struct {
	ID      string            `json:"id"`
	Version map[string]string `json:"version,omitempty"`
}

type runMetadata struct {
	Started  string `json:"startedOn,omitempty"`
	Finished string `json:"finishedOn,omitempty"`
}

// WriteProvenance writes an in-toto Statement (v1) with a SLSA provenance
// predicate (v1) as JSON. It says nothing of the machine that built.
func WriteProvenance(w io.Writer, p *Provenance) error {
	st := statement{Type: statementType, PredicateType: predicateType, Subject: []Resource{}}
	for _, f := range p.Artefacts {
		st.Subject = append(st.Subject, Resource{Name: f.Path, Digest: Digest{"sha256": f.SHA256}})
	}
	def := &st.Predicate.Definition
	def.Type, def.Parameters = buildType, p.Parameters
	if def.Parameters == nil {
		def.Parameters = map[string]any{}
	}
	def.Internal = map[string]any{"reproducible": p.Reproducible}
	def.Dependencies = append([]Resource{}, p.Inputs...)
	for i := range p.Packages {
		pkg := &p.Packages[i]
		r := Resource{Name: pkg.Name, URI: pkg.PURL(p.Codename)}
		if pkg.SHA256 != "" {
			r.Digest = Digest{"sha256": pkg.SHA256}
		}
		if pkg.Archive != "" {
			r.Annotations = map[string]any{"archive": pkg.Archive}
		}
		def.Dependencies = append(def.Dependencies, r)
	}
	run := &st.Predicate.Run
	run.Builder = builderInfo{ID: builderID, Version: map[string]string{"cloudy": orUnknown(p.BuilderVersion)}}
	if !p.Started.IsZero() || !p.Finished.IsZero() {
		run.Metadata = &runMetadata{Started: rfc3339(p.Started), Finished: rfc3339(p.Finished)}
	}
	return encode(w, st)
}

func rfc3339(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format(time.RFC3339)
}

// ParseStatement reads the subjects of an in-toto Statement.
func ParseStatement(r io.Reader) ([]Resource, error) {
	var st statement
	if err := json.NewDecoder(r).Decode(&st); err != nil {
		return nil, err
	}
	return st.Subject, nil
}
