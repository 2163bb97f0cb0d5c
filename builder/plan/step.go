// Package plan is the graph of a build: which steps there are, what each one
// is made of, whether its result is in the store already and, when it is
// not, why; and carrying them out.
package plan

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"cloudy/builder/store"
)

// buildVersion is part of every key. It changes when the same inputs give
// other bits than before.
const buildVersion = "2"

// Step is one step of a build, named by the hash of all that goes in.
type Step struct {
	Image  string            `json:"image"`            // and its architecture: "node/amd64"
	Name   string            `json:"name"`             // "packages", "run locale", "target vm"
	Key    string            `json:"key"`              // hex SHA-256 over Parts and the keys of After
	After  []string          `json:"after,omitempty"`  // names of the steps whose result it needs
	Parts  map[string]string `json:"parts"`            // what it is made of: name -> digest or value
	Cached bool              `json:"cached"`           // its result is there
	Shared string            `json:"shared,omitempty"` // the repository of the shared cache that has its result
	Reason string            `json:"reason,omitempty"` // why it is not there
}

// newStep computes the key of a step.
func newStep(name string, parts map[string]string, after ...*Step) *Step {
	s := &Step{Name: name, Parts: parts}
	h := sha256.New()
	fmt.Fprintf(h, "cloudy step %s\n%s\n", buildVersion, name)
	for _, k := range slices.Sorted(maps.Keys(parts)) {
		fmt.Fprintf(h, "%q %q\n", k, parts[k])
	}
	for _, a := range after {
		s.After = append(s.After, a.Name)
		fmt.Fprintf(h, "after %s\n", a.Key)
	}
	s.Key = hex.EncodeToString(h.Sum(nil))
	return s
}

// digest is the hash of v's JSON.
func digest(v any) string {
	data, err := json.Marshal(v)
	if err != nil {
		return "unhashable: " + err.Error()
	}
	return string(store.DigestOf(data))
}

// record is what the store remembers of the last build of an image, so that
// the next one can say why a step is not cached.
type record map[string]map[string]string // step -> parts, and its key as keyPart

const keyPart = "(key)"

func recordName(image, arch string) string { return "plan/" + image + "/" + arch }

func loadRecord(st *store.Store, image, arch string) record {
	r := record{}
	if data, err := st.Ref(recordName(image, arch)); err == nil {
		if json.Unmarshal(data, &r) != nil {
			return record{}
		}
	}
	return r
}

func saveRecord(st *store.Store, image, arch string, steps []*Step) error {
	r := loadRecord(st, image, arch) // other targets' steps stay
	for _, s := range steps {
		r[s.Name] = maps.Clone(s.Parts)
		r[s.Name][keyPart] = s.Key
	}
	data, err := json.Marshal(r)
	if err != nil {
		return err
	}
	return st.PutRef(recordName(image, arch), data)
}

// maxReasons bounds how many differences a reason names.
const maxReasons = 5

// had says that the step's result need not be made.
func (s *Step) had() bool { return s.Cached || s.Shared != "" }

// explain fills in why a step that is not cached has to run.
func (s *Step) explain(r record, after []*Step) {
	if s.had() {
		s.Reason = ""
		return
	}
	for _, a := range after {
		if !a.had() && a.Reason != "" {
			s.Reason = "step " + a.Name + " runs again"
			return
		}
	}
	old, ok := r[s.Name]
	if !ok {
		s.Reason = "never built here"
		return
	}
	var diff []string
	for _, k := range slices.Sorted(maps.Keys(s.Parts)) {
		v, had := old[k]
		switch {
		case !had:
			diff = append(diff, k+" is new")
		case v != s.Parts[k]:
			diff = append(diff, changed(k, v, s.Parts[k]))
		}
	}
	for _, k := range slices.Sorted(maps.Keys(old)) {
		if _, has := s.Parts[k]; !has && k != keyPart {
			diff = append(diff, k+" is gone")
		}
	}
	for _, a := range after {
		if was := r[a.Name][keyPart]; was != a.Key {
			diff = append(diff, "step "+a.Name+" is another one")
		}
	}
	if len(diff) == 0 {
		s.Reason = "its result is no longer in the store"
		if strings.HasPrefix(s.Name, "target ") {
			s.Reason = "its files are not in the output folder any more"
		}
		return
	}
	if len(diff) > maxReasons {
		diff = append(diff[:maxReasons], fmt.Sprintf("and %d more", len(diff)-maxReasons))
	}
	s.Reason = strings.Join(diff, "; ")
}

func changed(k, from, to string) string {
	if len(from) > 32 || len(to) > 32 || strings.ContainsAny(from+to, "{[\n") {
		return k + " has changed"
	}
	return k + " was " + from + ", is " + to
}

// WriteDot writes the graph in Graphviz's language, each image in a box of its own.
func WriteDot(w io.Writer, steps []*Step) error {
	var b strings.Builder
	b.WriteString("digraph build {\n  rankdir=LR;\n  node [shape=box, fontname=\"sans-serif\"];\n")
	box := ""
	for _, s := range steps {
		if s.Image != box {
			if box != "" {
				b.WriteString("  }\n")
			}
			box = s.Image
			fmt.Fprintf(&b, "  subgraph %q {\n    label=%q;\n    fontname=\"sans-serif\";\n", "cluster "+box, box)
		}
		style, note := "solid", s.Reason
		switch {
		case s.Cached:
			style, note = "dashed", "cached"
		case s.Shared != "":
			style, note = "dashed", "in "+s.Shared
		}
		id := func(name string) string { return s.Image + " " + name }
		fmt.Fprintf(&b, "    %q [style=%s, label=%q];\n", id(s.Name), style, s.Name+"\n"+s.Key[:12]+"\n"+note)
		for _, a := range s.After {
			fmt.Fprintf(&b, "    %q -> %q;\n", id(a), id(s.Name))
		}
	}
	if box != "" {
		b.WriteString("  }\n")
	}
	b.WriteString("}\n")
	_, err := io.WriteString(w, b.String())
	return err
}
