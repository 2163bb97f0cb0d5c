package recipe

import (
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"
)

// places returns where each element of a list stands, following literal
// lists, concat(), conditionals and locals, or nil where it cannot be told.
// A message about one package of fifty then points at that package.
func (s *scope) places(expr hclsyntax.Expression, depth int) []Range {
	if depth > 8 {
		return nil
	}
	switch e := expr.(type) {
	case *hclsyntax.ParenthesesExpr:
		return s.places(e.Expression, depth+1)
	case *hclsyntax.TupleConsExpr:
		out := make([]Range, 0, len(e.Exprs))
		for _, x := range e.Exprs {
			out = append(out, x.Range())
		}
		return out
	case *hclsyntax.FunctionCallExpr:
		if e.Name != "concat" || e.ExpandFinal {
			return s.spread(expr)
		}
		var out []Range
		for _, arg := range e.Args {
			part := s.places(arg, depth+1)
			if part == nil {
				part = s.spread(arg)
			}
			out = append(out, part...)
		}
		return out
	case *hclsyntax.ConditionalExpr:
		cond, diags := e.Condition.Value(s.context())
		cond, _ = cond.Unmark()
		if diags.HasErrors() || !cond.IsKnown() || cond.IsNull() || cond.Type() != cty.Bool {
			return nil
		}
		if cond.True() {
			return s.places(e.TrueResult, depth+1)
		}
		return s.places(e.FalseResult, depth+1)
	case *hclsyntax.ScopeTraversalExpr:
		if len(e.Traversal) == 2 && e.Traversal.RootName() == "local" {
			if name, ok := stepName(e.Traversal[1]); ok && s.module.locals[name] != nil {
				return s.places(s.module.locals[name].Expr, depth+1)
			}
		}
	}
	return s.spread(expr)
}

// spread gives every element the place of the whole expression.
func (s *scope) spread(expr hclsyntax.Expression) []Range {
	v, diags := expr.Value(s.context())
	v, _ = v.Unmark()
	if diags.HasErrors() || !v.IsKnown() || v.IsNull() || !v.CanIterateElements() {
		return nil
	}
	out := make([]Range, v.LengthInt())
	for i := range out {
		out[i] = expr.Range()
	}
	return out
}

// keyPlaces returns where the values of a literal map stand.
func keyPlaces(expr hclsyntax.Expression, s *scope) map[string]Range {
	out := map[string]Range{}
	obj, ok := expr.(*hclsyntax.ObjectConsExpr)
	if !ok {
		return out
	}
	for _, i := range obj.Items {
		k, diags := i.KeyExpr.Value(s.context())
		k, _ = k.Unmark()
		if !diags.HasErrors() && k.IsKnown() && !k.IsNull() && k.Type() == cty.String {
			out[k.AsString()] = i.ValueExpr.Range()
		}
	}
	return out
}
