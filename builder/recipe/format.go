package recipe

import (
	"bytes"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/hashicorp/hcl/v2/hclwrite"
	"github.com/rogpeppe/go-internal/diff"
)

// Format returns a recipe file in the canonical style of HCL. A file that
// cannot be parsed comes back as it was, with diagnostics.
func Format(name string, src []byte) ([]byte, Diagnostics) {
	if _, diags := hclsyntax.ParseConfig(src, name, hcl.InitialPos); diags.HasErrors() {
		return src, diags
	}
	out := bytes.ReplaceAll(src, []byte("\r\n"), []byte("\n"))
	out = hclwrite.Format(out)
	if len(out) > 0 {
		out = append(bytes.TrimRight(out, "\n"), '\n')
	}
	return out, nil
}

// Formatted is a file of the module and what Format makes of it.
type Formatted struct {
	Name     string // as diagnostics give it
	Path     string // in the recipe folder
	Old, New []byte
}

// Changed says whether the file is not in the canonical style.
func (f Formatted) Changed() bool { return !bytes.Equal(f.Old, f.New) }

// Diff returns the change as a unified diff, nil when there is none.
func (f Formatted) Diff() []byte {
	return diff.Diff("a/"+f.Path, f.Old, "b/"+f.Path, f.New)
}

// Format formats all files of the source, those of variables too. It needs
// no valid recipe, only readable HCL; files that are not get diagnostics.
func (s *Source) Format() ([]Formatted, *Module, Diagnostics) {
	m := &Module{source: s, sources: map[string][]byte{}}
	module, auto, err := s.list()
	if err != nil {
		return nil, m, Diagnostics{Errorf(Range{}, "", "Cannot read the recipe folder: %v", plainPathError(err))}
	}
	var out []Formatted
	var diags Diagnostics
	for _, name := range append(module, auto...) {
		src, err := s.read(name, KindRecipe)
		if err != nil {
			diags = append(diags, Errorf(Range{}, "", "Cannot read %s: %v", s.show(name), err))
			continue
		}
		m.sources[s.show(name)] = src
		formatted, d := Format(s.show(name), src)
		diags = append(diags, d...)
		if !d.HasErrors() {
			out = append(out, Formatted{Name: s.show(name), Path: name, Old: src, New: formatted})
		}
	}
	return out, m, Tidy(diags)
}
