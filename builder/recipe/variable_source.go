package recipe

import (
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/hashicorp/hcl/v2/json"
	"github.com/zclconf/go-cty/cty"
)

// VarInput is one --var or --var-file of the command line. One field is set.
type VarInput struct {
	Assign string // "name=value"
	File   string // on the host; HCL, or JSON when it ends in .json
}

// varSuffix ends the names of files of variables' values, which are no part
// of the module; autoSuffix those that are read without being asked for.
const (
	varSuffix  = ".vars.hcl"
	autoSuffix = ".auto.vars.hcl"
	envPrefix  = "CLOUDY_VAR_"
)

// assignVariables reads the values from outside, weakest first.
func (m *Module) assignVariables(opts Options, auto []string) Diagnostics {
	var diags Diagnostics
	for _, kv := range slices.Sorted(slices.Values(opts.Env)) {
		name, val, _ := strings.Cut(kv, "=")
		name, ok := strings.CutPrefix(name, envPrefix)
		if !ok {
			continue
		}
		if m.variables[name] == nil {
			diags = append(diags, Warnf(Range{}, m.suggestVariable(name), "%s%s is set, but there is no variable %q", envPrefix, name, name))
			continue
		}
		diags = append(diags, m.assign(name, val, envPrefix+name)...)
	}
	for _, name := range auto {
		src, err := m.source.read(name, KindVariables)
		if err != nil {
			diags = append(diags, Errorf(Range{}, "", "Cannot read %s: %v", m.source.show(name), err))
			continue
		}
		diags = append(diags, m.assignFile(m.source.show(name), src)...)
	}
	for _, in := range opts.Vars {
		if in.File != "" {
			src, err := os.ReadFile(in.File)
			if err != nil {
				diags = append(diags, Errorf(Range{}, "", "Cannot read the file of variables: %v", err))
				continue
			}
			diags = append(diags, m.assignFile(in.File, src)...)
			continue
		}
		name, val, ok := strings.Cut(in.Assign, "=")
		name = strings.TrimSpace(name)
		switch {
		case !ok:
			diags = append(diags, Errorf(Range{}, "Write --var name=value.", "--var %s sets nothing", in.Assign))
		case m.variables[name] == nil:
			diags = append(diags, Errorf(Range{}, m.suggestVariable(name), "--var sets %q, but there is no such variable", name))
		default:
			diags = append(diags, m.assign(name, val, "--var "+name)...)
		}
	}
	return diags
}

func (m *Module) suggestVariable(name string) string {
	return didYouMean(name, slices.Collect(maps.Keys(m.variables)))
}

// assign reads a value given as text: as it stands for a variable that wants
// text, as an HCL expression for any other.
func (m *Module) assign(name, val, from string) Diagnostics {
	v := m.variables[name]
	if v.constrain == cty.String {
		return v.set(cty.StringVal(val), from, Range{})
	}
	if v.constrain == cty.DynamicPseudoType && !strings.ContainsAny(val, `"[{`) {
		// Any: a number, true, false and null are what they look like, other words are text.
		if _, isWord := literal(val); !isWord {
			return v.set(cty.StringVal(val), from, Range{})
		}
	}
	expr, diags := hclsyntax.ParseExpression([]byte(val), from, hcl.InitialPos)
	if !diags.HasErrors() {
		if !v.Sensitive {
			m.sources[from] = []byte(val)
		}
		var got cty.Value
		got, diags = expr.Value(nil)
		if !diags.HasErrors() {
			return v.set(got, from, expr.Range())
		}
	}
	v.From = from
	hint := fmt.Sprintf("It has the type %s, so its value is an HCL expression; text stands in quotes.", v.Type)
	return Diagnostics{Errorf(Range{}, hint, "%s cannot be read as a value", from)}
}

func literal(val string) (cty.Value, bool) {
	expr, diags := hclsyntax.ParseExpression([]byte(val), "", hcl.InitialPos)
	if diags.HasErrors() {
		return cty.NilVal, false
	}
	got, diags := expr.Value(nil)
	return got, !diags.HasErrors()
}

func (m *Module) assignFile(name string, src []byte) Diagnostics {
	// The lines are not shown with a mistake: values may be secret.
	var f *hcl.File
	var diags Diagnostics
	if strings.HasSuffix(name, ".json") {
		f, diags = json.Parse(src, name)
	} else {
		f, diags = hclsyntax.ParseConfig(src, name, hcl.InitialPos)
	}
	if diags.HasErrors() {
		return diags
	}
	attrs, diags := f.Body.JustAttributes()
	for _, key := range slices.Sorted(maps.Keys(attrs)) {
		a := attrs[key]
		v := m.variables[key]
		if v == nil {
			diags = append(diags, Errorf(a.NameRange, m.suggestVariable(key), "There is no variable %q", key))
			continue
		}
		val, d := a.Expr.Value(nil)
		if d.HasErrors() {
			v.From = name
			diags = append(diags, Errorf(a.Expr.Range(), "", "A value in a file of variables must be a constant"))
			continue
		}
		diags = append(diags, v.set(val, name, a.Expr.Range())...)
	}
	return diags
}
