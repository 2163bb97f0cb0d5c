package report

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/santhosh-tekuri/jsonschema/v6"
)

// schema compiles an official JSON schema; testdata/schema says where they are from.
func schema(t *testing.T, name string) *jsonschema.Schema {
	t.Helper()
	c := jsonschema.NewCompiler()
	files, err := filepath.Glob("testdata/schema/*.json.gz")
	if err != nil {
		t.Fatal(err)
	}
	var url string
	for _, file := range files {
		f, err := os.Open(file)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		z, err := gzip.NewReader(f)
		if err != nil {
			t.Fatal(err)
		}
		doc, err := jsonschema.UnmarshalJSON(z)
		if err != nil {
			t.Fatal(err)
		}
		id := doc.(map[string]any)["$id"].(string)
		if err := c.AddResource(id, doc); err != nil {
			t.Fatal(err)
		}
		if filepath.Base(file) == name+".json.gz" {
			url = id
		}
	}
	s, err := c.Compile(url)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func sampleSubject() *Subject {
	return &Subject{
		Name: "node", Version: "1.2", Tool: "v0.1", Release: Release{Codename: "trixie", Pretty: "Debian GNU/Linux 13 (trixie)"},
		Packages: []Package{
			{Name: "g++-12", Version: "1:12.2.0-14+deb12u1~x", Architecture: "amd64", Source: "gcc-12", SourceVersion: "12.2.0-14",
				Maintainer: "Debian GCC Maintainers <debian-gcc@lists.debian.org>", Homepage: "http://gcc.gnu.org/", Summary: "GNU C++ compiler",
				SHA256: strings.Repeat("ab", 32), Archive: "debian"},
			{Name: "libc6", Version: "2.41-1", Architecture: "amd64", Source: "glibc", SourceVersion: "2.41-1", License: "LGPL-2.1-or-later AND (GPL-2.0-only OR MIT)"},
			{Name: "libc6", Version: "2.41-1", Architecture: "i386", Maintainer: "Ada Lovelace <ada@example.org>", Homepage: "git://no.web"},
			{Name: "bare", Version: "1", Architecture: "all"},
		},
		Files: []File{{Path: "etc/motd", Size: 3, SHA256: strings.Repeat("cd", 32)}, {Path: "etc/grüße & co", SHA256: strings.Repeat("ef", 32)}},
	}
}

func TestBillsOfMaterialsMeetTheirSchemas(t *testing.T) {
	for _, tt := range []struct {
		schema string
		write  func(*Subject) []byte
	}{
		{"spdx-schema-2.3", func(s *Subject) []byte { return written(t, func(b *bytes.Buffer) error { return WriteSPDX(b, s) }) }},
		{"bom-1.6.schema", func(s *Subject) []byte {
			return written(t, func(b *bytes.Buffer) error { return WriteCycloneDX(b, s) })
		}},
	} {
		t.Run(tt.schema, func(t *testing.T) {
			judge := schema(t, tt.schema)
			for name, s := range map[string]*Subject{"full": sampleSubject(), "empty": {Name: "x"}} {
				out := tt.write(s)
				doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(out))
				if err != nil {
					t.Fatal(err)
				}
				if err := judge.Validate(doc); err != nil {
					t.Errorf("%s: %v", name, err)
				}
				if !bytes.Equal(out, tt.write(s)) {
					t.Errorf("%s: two documents of one subject differ", name)
				}
				if !bytes.Contains(out, []byte("1970-01-01T00:00:00Z")) {
					t.Errorf("%s: the time is not the epoch", name)
				}
			}
			other := sampleSubject()
			other.Packages[0].Version += "1"
			if bytes.Equal(identity(t, tt.write(sampleSubject())), identity(t, tt.write(other))) {
				t.Error("different subjects have one identity")
			}
			dated := sampleSubject()
			dated.Time = time.Date(2026, 1, 2, 3, 4, 5, 0, time.FixedZone("", 3600))
			if !bytes.Contains(tt.write(dated), []byte("2026-01-02T02:04:05Z")) {
				t.Error("the time that was asked for is missing")
			}
		})
	}
}

func TestSchemasCanFail(t *testing.T) {
	for _, name := range []string{"spdx-schema-2.3", "bom-1.6.schema"} {
		if err := schema(t, name).Validate(map[string]any{"specVersion": 1}); err == nil {
			t.Errorf("%s takes anything", name)
		}
	}
}

func written(t *testing.T, write func(*bytes.Buffer) error) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := write(&b); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func identity(t *testing.T, document []byte) []byte {
	t.Helper()
	var ids struct{ DocumentNamespace, SerialNumber string }
	if err := json.Unmarshal(document, &ids); err != nil {
		t.Fatal(err)
	}
	return []byte(ids.DocumentNamespace + ids.SerialNumber)
}

func TestSPDXIdentifiersAreUnique(t *testing.T) {
	s := sampleSubject()
	s.Packages = append(s.Packages, Package{Name: "g---12", Architecture: "amd64", Version: "1"})
	var doc spdxDocument
	if err := json.Unmarshal(written(t, func(b *bytes.Buffer) error { return WriteSPDX(b, s) }), &doc); err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	for _, p := range doc.Packages {
		if seen[p.SPDXID] {
			t.Errorf("%s twice", p.SPDXID)
		}
		seen[p.SPDXID] = true
	}
	for _, r := range doc.Relationships[1:] {
		if r.Element != "SPDXRef-Image" {
			t.Errorf("%+v", r)
		}
	}
	if got, want := doc.Packages[1].Supplier, "Organization: Debian GCC Maintainers (debian-gcc@lists.debian.org)"; got != want {
		t.Errorf("supplier %q, want %q", got, want)
	}
	if got, want := doc.Packages[3].Supplier, "Person: Ada Lovelace (ada@example.org)"; got != want {
		t.Errorf("supplier %q, want %q", got, want)
	}
}

func TestPURL(t *testing.T) {
	for want, p := range map[string]Package{
		"pkg:deb/debian/g%2B%2B-12@1:12.2.0-14%2Bdeb12u1~x?arch=amd64&distro=trixie&upstream=gcc-12": sampleSubject().Packages[0],
		"pkg:deb/debian/bare@1?arch=all&distro=trixie":                                               sampleSubject().Packages[3],
	} {
		if got := p.PURL("trixie"); got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
}

func TestProvenance(t *testing.T) {
	p := &Provenance{
		Artefacts:  []File{{Path: "node.qcow2", Size: 9, SHA256: strings.Repeat("01", 32)}},
		Parameters: map[string]any{"image": "node"}, Packages: sampleSubject().Packages, Codename: "trixie",
		Inputs:         []Resource{{Name: "recipe", Digest: Digest{"sha256": strings.Repeat("02", 32)}}},
		BuilderVersion: "v0.1", Reproducible: true,
	}
	out := written(t, func(b *bytes.Buffer) error { return WriteProvenance(b, p) })
	if !bytes.Equal(out, written(t, func(b *bytes.Buffer) error { return WriteProvenance(b, p) })) {
		t.Error("two statements of one build differ")
	}
	var st statement
	dec := json.NewDecoder(bytes.NewReader(out))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&st); err != nil {
		t.Fatal(err)
	}
	if st.Type != "https://in-toto.io/Statement/v1" || st.PredicateType != "https://slsa.dev/provenance/v1" {
		t.Errorf("types %s, %s", st.Type, st.PredicateType)
	}
	if len(st.Subject) != 1 || st.Subject[0].Digest["sha256"] != p.Artefacts[0].SHA256 {
		t.Errorf("subject %+v", st.Subject)
	}
	if n := len(st.Predicate.Definition.Dependencies); n != 5 {
		t.Errorf("%d dependencies", n)
	}
	if st.Predicate.Run.Metadata != nil {
		t.Error("clock times that nobody asked for")
	}
	if host, err := os.Hostname(); err == nil && len(host) > 3 && bytes.Contains(out, []byte(host)) {
		t.Error("the host's name is in the statement")
	}
	p.Started = time.Unix(1700000000, 0)
	if out := written(t, func(b *bytes.Buffer) error { return WriteProvenance(b, p) }); !bytes.Contains(out, []byte(`"startedOn": "2023-11-14T22:13:20Z"`)) {
		t.Error("no start time")
	}
	subjects, err := ParseStatement(bytes.NewReader(out))
	if err != nil || len(subjects) != 1 || subjects[0].Name != "node.qcow2" {
		t.Errorf("%+v, %v", subjects, err)
	}
}
