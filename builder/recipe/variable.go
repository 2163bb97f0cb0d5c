package recipe

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/ext/typeexpr"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"
	"github.com/zclconf/go-cty/cty/convert"
)

// Variable is a declared variable with its value.
type Variable struct {
	Name        string
	Type        string // as it is written
	Description string
	Sensitive   bool
	Required    bool   // it has no default
	From        string // where the value comes from: "default", "-var", a file's name, "CLOUDY_VAR_NAME"
	Range       Range

	block     *hclsyntax.Block
	constrain cty.Type
	defaults  *typeexpr.Defaults
	nullable  bool
	value     cty.Value // cty.DynamicVal when there is none or a bad one
}

// declareVariables reads the variable blocks and their defaults.
func (m *Module) declareVariables(blocks []*hclsyntax.Block) Diagnostics {
	var diags Diagnostics
	for _, b := range blocks {
		if len(b.Labels) != 1 || m.variables[b.Labels[0]] != nil {
			continue // reported by the checker
		}
		v := &Variable{
			Name: b.Labels[0], Type: "any", Required: true, Range: b.DefRange(), block: b,
			constrain: cty.DynamicPseudoType, nullable: true, value: cty.DynamicVal,
		}
		m.variables[v.Name] = v
		constant := func(name string, want cty.Type) (cty.Value, bool) {
			a := b.Body.Attributes[name]
			if a == nil || m.broken[a.Expr] {
				return cty.NilVal, false
			}
			if vars := a.Expr.Variables(); len(vars) > 0 {
				diags = append(diags, Errorf(vars[0].SourceRange(), "A variable is known before everything else; use locals for what is made of others.", "%s of a variable must be a constant", name))
				return cty.NilVal, false
			}
			val, d := a.Expr.Value(&hcl.EvalContext{Functions: m.functions(nil)})
			diags = append(diags, d...)
			if d.HasErrors() {
				return cty.NilVal, false
			}
			if val.IsNull() {
				return cty.NullVal(want), want == cty.DynamicPseudoType
			}
			if want != cty.DynamicPseudoType && val.Type() != want {
				diags = append(diags, Errorf(a.Expr.Range(), "", "Wrong type for %s: need %s, not %s", name, map[cty.Type]string{cty.String: "text", cty.Bool: "true or false"}[want], describe(val)))
				return cty.NilVal, false
			}
			return val, true
		}
		if s, ok := constant("description", cty.String); ok {
			v.Description = s.AsString()
		}
		if s, ok := constant("sensitive", cty.Bool); ok {
			v.Sensitive = s.True()
		}
		if s, ok := constant("nullable", cty.Bool); ok {
			v.nullable = s.True()
		}
		if a := b.Body.Attributes["type"]; a != nil {
			ty, defaults, d := typeexpr.TypeConstraintWithDefaults(a.Expr)
			for _, x := range d {
				if best := Nearest(strings.TrimSpace(m.text(*x.Subject)), typeNames()); best != "" {
					x.Detail += fmt.Sprintf("\nDid you mean %q?", best)
				}
			}
			diags = append(diags, d...)
			if d.HasErrors() {
				v.Required = false // nothing more is said about it
				continue
			}
			v.constrain, v.defaults, v.Type = ty, defaults, m.text(a.Expr.Range())
		}
		if a := b.Body.Attributes["default"]; a != nil {
			v.Required = false
			if val, ok := constant("default", cty.DynamicPseudoType); ok {
				diags = append(diags, v.set(val, "default", a.Expr.Range())...)
			}
		}
	}
	return diags
}

func typeNames() []string {
	return []string{"string", "number", "bool", "any", "list", "set", "map", "object", "tuple", "optional"}
}

// set converts and stores a value.
func (v *Variable) set(val cty.Value, from string, at Range) Diagnostics {
	v.From = from
	v.value = cty.DynamicVal
	if val.IsNull() && !v.nullable {
		return Diagnostics{Errorf(at, "", "Variable %q must not be null", v.Name)}
	}
	if v.defaults != nil && !val.IsNull() {
		val = v.defaults.Apply(val)
	}
	out, err := convert.Convert(val, v.constrain)
	if err != nil {
		return Diagnostics{Errorf(at, "", "Wrong type for variable %q: %v", v.Name, err)}
	}
	v.value = out
	return nil
}

// Text returns the value as HCL, or "(sensitive)".
func (v *Variable) Text() string {
	if v.Sensitive {
		return masked
	}
	return hclText(v.value)
}

// variableValues returns var.*, sensitive ones marked.
func (m *Module) variableValues() map[string]cty.Value {
	out := map[string]cty.Value{}
	for name, v := range m.variables {
		val := v.value
		if v.Sensitive {
			val = val.Mark(sensitiveMark{})
		}
		out[name] = val
	}
	return out
}

// validateVariables reports missing values and failed validations.
func (m *Module) validateVariables() Diagnostics {
	var diags Diagnostics
	ctx := &hcl.EvalContext{Variables: map[string]cty.Value{"var": cty.ObjectVal(m.variableValues())}}
	ctx.Functions = m.functions(ctx)
	for _, name := range slices.Sorted(maps.Keys(m.variables)) {
		v := m.variables[name]
		if v.Required && v.From == "" {
			diags = append(diags, Errorf(v.Range, fmt.Sprintf("Set it by --var %s=…, in a file given by --var-file, or by CLOUDY_VAR_%s.", name, name), "Variable %q has no value", name))
			continue
		}
		for _, b := range v.block.Body.Blocks {
			if b.Type == "validation" {
				diags = append(diags, m.validate(v, b, ctx)...)
			}
		}
	}
	return diags
}

func (m *Module) validate(v *Variable, b *hclsyntax.Block, ctx *hcl.EvalContext) Diagnostics {
	cond, message := b.Body.Attributes["condition"], b.Body.Attributes["error_message"]
	var diags Diagnostics
	for i, a := range []*hclsyntax.Attribute{cond, message} {
		name := [...]string{"condition", "error_message"}[i]
		if a == nil {
			diags = append(diags, Errorf(b.DefRange(), "", "validation needs %s", name))
			continue
		}
		for _, t := range a.Expr.Variables() {
			if t.RootName() != "var" {
				diags = append(diags, Errorf(t.SourceRange(), "", "A validation may use var.NAME and functions alone"))
			}
		}
	}
	if diags.HasErrors() || m.broken[cond.Expr] || m.broken[message.Expr] || !v.value.IsWhollyKnown() {
		return diags
	}
	ok, d := cond.Expr.Value(ctx)
	diags = append(diags, d...)
	ok, _ = ok.Unmark()
	if d.HasErrors() || !ok.IsKnown() {
		return diags
	}
	if ok.IsNull() || ok.Type() != cty.Bool {
		return append(diags, Errorf(cond.Expr.Range(), "", "A condition must be true or false"))
	}
	if ok.True() {
		return diags
	}
	say, d := message.Expr.Value(ctx)
	diags = append(diags, d...)
	if d.HasErrors() {
		return diags
	}
	say, marks := say.Unmark()
	words := "The message comes from a sensitive value and is not shown."
	if !marksSensitive(marks) && say.IsKnown() && !say.IsNull() && say.Type() == cty.String {
		words = say.AsString()
	}
	return append(diags, Errorf(v.Range, strings.TrimSpace(words)+"\nThe value comes from: "+v.From+".", "Bad value for variable %q", v.Name))
}
