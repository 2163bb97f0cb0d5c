package recipe

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"io/fs"
	"maps"
	"path"
	"strings"
	"unicode/utf8"

	"github.com/bmatcuk/doublestar/v4"
	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"
	"github.com/zclconf/go-cty/cty/function"
)

// fileFunctions returns the functions that read the recipe folder. What they
// read becomes an input of the module.
func (m *Module) fileFunctions(ctx *hcl.EvalContext, pure map[string]function.Function) map[string]function.Function {
	content := func(f func([]byte) (string, error)) function.Function {
		return ofNamed("path", func(name string) (string, error) {
			data, err := m.source.read(name, KindInclude)
			if err != nil {
				return "", err
			}
			return f(data)
		})
	}
	fns := map[string]function.Function{
		"file": content(func(data []byte) (string, error) {
			if !utf8.Valid(data) {
				return "", fmt.Errorf("not text in UTF-8; use source in a file block, or filebase64()")
			}
			return string(data), nil
		}),
		"filebase64": content(func(data []byte) (string, error) { return base64.StdEncoding.EncodeToString(data), nil }),
		"filesha256": content(func(data []byte) (string, error) {
			sum := sha256.Sum256(data)
			return hex.EncodeToString(sum[:]), nil
		}),
		"basename": ofText(func(s string) (string, error) { return path.Base(s), nil }),
		"dirname":  ofText(func(s string) (string, error) { return path.Dir(s), nil }),
		"fileexists": function.New(&function.Spec{
			Params: []function.Parameter{{Name: "path", Type: cty.String}},
			Type:   function.StaticReturnType(cty.Bool),
			Impl: func(args []cty.Value, _ cty.Type) (cty.Value, error) {
				name := args[0].AsString()
				if err := relativePath(name); err != nil {
					return cty.UnknownVal(cty.Bool), function.NewArgError(0, err)
				}
				info, err := fs.Stat(m.source.fsys, path.Clean(name))
				return cty.BoolVal(err == nil && info.Mode().IsRegular()), nil
			},
		}),
		"fileset": function.New(&function.Spec{
			Params: []function.Parameter{{Name: "path", Type: cty.String}, {Name: "pattern", Type: cty.String}},
			Type:   function.StaticReturnType(cty.Set(cty.String)),
			Impl: func(args []cty.Value, _ cty.Type) (cty.Value, error) {
				return m.fileset(args[0].AsString(), args[1].AsString())
			},
		}),
	}
	inTemplates := maps.Clone(pure)
	maps.Copy(inTemplates, fns)
	fns["templatefile"] = m.templateFunc(inTemplates)
	return fns
}

func (m *Module) fileset(dir, pattern string) (cty.Value, error) {
	none := cty.UnknownVal(cty.Set(cty.String))
	if !validName(dir) {
		return none, function.NewArgErrorf(0, "%s is outside of the recipe folder", dir)
	}
	if !doublestar.ValidatePattern(pattern) {
		return none, function.NewArgErrorf(1, "%q is no valid glob", pattern)
	}
	sub, err := fs.Sub(m.source.fsys, path.Clean(dir))
	if err != nil {
		return none, function.NewArgError(0, err)
	}
	found, err := doublestar.Glob(sub, pattern, doublestar.WithFilesOnly(), doublestar.WithNoFollow())
	if err != nil {
		return none, function.NewArgError(1, plainPathError(err))
	}
	if len(found) == 0 {
		return cty.SetValEmpty(cty.String), nil
	}
	var out []cty.Value
	for _, f := range found {
		out = append(out, cty.StringVal(f))
	}
	return cty.SetVal(out), nil
}

// templateFunc renders a template of the recipe folder. It sees its own
// variables and no others, and cannot include further templates.
func (m *Module) templateFunc(fns map[string]function.Function) function.Function {
	return function.New(&function.Spec{
		Params: []function.Parameter{
			{Name: "path", Type: cty.String},
			{Name: "vars", Type: cty.DynamicPseudoType, AllowMarked: true},
		},
		Type: function.StaticReturnType(cty.String),
		Impl: func(args []cty.Value, _ cty.Type) (cty.Value, error) {
			none := cty.UnknownVal(cty.String)
			name := args[0].AsString()
			vars, marks := args[1].Unmark()
			if !vars.Type().IsObjectType() && !vars.Type().IsMapType() {
				return none, function.NewArgErrorf(1, "need a map of variables, not %s", describe(vars))
			}
			if !vars.IsWhollyKnown() {
				return none, nil
			}
			src, err := m.source.read(name, KindInclude)
			if err != nil {
				return none, function.NewArgError(0, err)
			}
			shown := m.source.show(path.Clean(name))
			expr, diags := hclsyntax.ParseTemplate(src, shown, hcl.InitialPos)
			if diags.HasErrors() {
				return none, templateError(diags)
			}
			ctx := &hcl.EvalContext{Variables: vars.AsValueMap(), Functions: fns}
			if ctx.Variables == nil {
				ctx.Variables = map[string]cty.Value{}
			}
			for _, t := range expr.Variables() {
				if _, ok := ctx.Variables[t.RootName()]; !ok {
					return none, function.NewArgErrorf(1, "%s uses %q, which is not among the variables given to it", place(t.SourceRange()), t.RootName())
				}
			}
			out, diags := expr.Value(ctx)
			if diags.HasErrors() {
				return none, templateError(diags)
			}
			out, inner := out.Unmark()
			if out.Type() != cty.String {
				// A template that is one interpolation gives its value as it is.
				s, err := text(out)
				if err != nil {
					return none, fmt.Errorf("%s gives no text: %w", shown, err)
				}
				out = cty.StringVal(s)
			}
			return out.WithMarks(marks, inner), nil
		},
	})
}

// templateError folds the first diagnostic of a template into an error.
func templateError(diags Diagnostics) error {
	d := diags[0]
	at := ""
	if d.Subject != nil {
		at = place(*d.Subject) + ": "
	}
	return fmt.Errorf("%s%s; %s", at, d.Summary, strings.TrimSuffix(d.Detail, "."))
}
