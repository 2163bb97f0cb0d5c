package recipe

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// Digest is the identity of a recipe, in named parts, so that a lock can say
// what changed since it was made.
type Digest struct {
	// Sum is over all parts: "sha256:…".
	Sum string `json:"sum"`
	// Parts maps names of parts to "sha256:…". In a module's digest they are
	// "recipe:cloudy.hcl", "include:motd.tpl", "keyring:…", "overlay:common/etc/…",
	// "variable:network"; in an image's they are its attributes.
	Parts map[string]string `json:"parts"`
}

func newDigest(parts map[string]string) Digest {
	h := sha256.New()
	for _, name := range slices.Sorted(maps.Keys(parts)) {
		fmt.Fprintf(h, "%d:%s%s\n", len(name), name, parts[name])
	}
	return Digest{Sum: "sha256:" + hex.EncodeToString(h.Sum(nil)), Parts: parts}
}

// Digest covers every file the module is made of, all overlays that images
// use, and the values of all variables (of sensitive ones as a hash, like
// the others: values themselves are never in it).
func (m *Module) Digest() Digest {
	parts := map[string]string{}
	for _, in := range m.Inputs() {
		parts[in.Kind+":"+strings.TrimPrefix(in.Name, "overlays/")] = "sha256:" + in.SHA256
	}
	for _, v := range m.Variables() {
		// The name goes in, so that equal secrets do not show as equal.
		parts["variable:"+v.Name] = sum([]byte(v.Name + "\x00" + hclText(v.value)))
	}
	return newDigest(parts)
}

// Inputs returns all files that went into the module, by kind and name.
func (m *Module) Inputs() []Input { return m.source.inputs() }

// Digest covers what the image is, and nothing else of the module: moving
// lines about or changing another image leaves it as it is.
func (i *Image) Digest() (Digest, error) {
	all, err := json.Marshal(i)
	if err != nil {
		return Digest{}, fmt.Errorf("digest image %s: %w", i.Name, err)
	}
	fields := map[string]json.RawMessage{}
	if err := json.Unmarshal(all, &fields); err != nil {
		return Digest{}, fmt.Errorf("digest image %s: %w", i.Name, err)
	}
	parts := map[string]string{}
	for name, raw := range fields {
		if name == "Description" {
			continue // only people read it
		}
		parts[strings.ToLower(name)] = sum(raw)
	}
	return newDigest(parts), nil
}

func sum(data []byte) string {
	s := sha256.Sum256(data)
	return "sha256:" + hex.EncodeToString(s[:])
}

// Changed names the parts that differ, sorted: "+name" is new in d, "-name"
// is gone, "name" has changed.
func (d Digest) Changed(since Digest) []string {
	var out []string
	for name, s := range d.Parts {
		switch old, ok := since.Parts[name]; {
		case !ok:
			out = append(out, "+"+name)
		case old != s:
			out = append(out, name)
		}
	}
	for name := range since.Parts {
		if _, ok := d.Parts[name]; !ok {
			out = append(out, "-"+name)
		}
	}
	slices.Sort(out)
	return out
}
