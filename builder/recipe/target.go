package recipe

import (
	"encoding/json"
	"slices"
	"time"
)

// Target is one kind of image that an Image is packed into, with the options
// of its block. An option that is not given reads as the zero value; what
// that stands for is the target's own to know and is in the reference.
type Target struct {
	Name  string
	Range Range

	node *node
}

// Has says whether the recipe gives the option.
func (t Target) Has(option string) bool { return t.node != nil && t.node.attrs[option] != nil }

// String returns a text option.
func (t Target) String(option string) string { return get(t.node, option, "") }

// Strings returns a list option.
func (t Target) Strings(option string) []string { return t.node.strings(option) }

// Map returns a map option.
func (t Target) Map(option string) map[string]string { return t.node.stringMap(option) }

// Bool returns a switch, or otherwise when it is not given.
func (t Target) Bool(option string, otherwise bool) bool { return get(t.node, option, otherwise) }

// Bytes returns a size option in bytes, 0 when it is not given.
func (t Target) Bytes(option string) int64 { return get(t.node, option, int64(0)) }

// Int returns a number option.
func (t Target) Int(option string) int64 { return get(t.node, option, int64(0)) }

// Duration returns a time option.
func (t Target) Duration(option string) time.Duration { return get(t.node, option, time.Duration(0)) }

// Where returns the place of an option, or of the block when it is not given.
func (t Target) Where(option string) Range { return t.node.where(option) }

// MarshalJSON writes the name and the options that are given.
func (t Target) MarshalJSON() ([]byte, error) {
	out := map[string]any{}
	for name, v := range t.node.attrs {
		switch {
		case v.bad:
		case v.def.Type.shape == mapping:
			out[name] = t.node.stringMap(name)
		case v.def.Type.shape == list:
			out[name] = t.node.strings(name)
		case len(v.items) > 0:
			out[name] = v.items[0].goval
		}
	}
	return json.Marshal(struct {
		Name    string
		Options map[string]any `json:",omitempty"`
	}{t.Name, out})
}

// architectures returns those of the image that the target is packed for.
func targetArchitectures(t *node, image []string) []string {
	want := image
	if t.attrs["architectures"] != nil {
		want = t.strings("architectures")
	}
	can := t.def.Architectures
	return slices.DeleteFunc(slices.Clone(want), func(a string) bool {
		return !slices.Contains(image, a) || len(can) > 0 && !slices.Contains(can, a)
	})
}
