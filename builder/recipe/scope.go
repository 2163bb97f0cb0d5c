package recipe

import (
	"reflect"
	"slices"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"
)

// reference is the value of image.X, archive.X and service.X: a name that
// cannot be mistaken for text.
type reference struct{ name string }

// refTypes are constant: the types of references by the kind of block.
var refTypes = map[string]cty.Type{
	"image":   cty.Capsule("image", reflect.TypeFor[reference]()),
	"archive": cty.Capsule("archive", reflect.TypeFor[reference]()),
	"service": cty.Capsule("service", reflect.TypeFor[reference]()),
	"board":   cty.Capsule("board", reflect.TypeFor[reference]()),
}

// sensitiveMark marks values that must not be printed.
type sensitiveMark struct{}

func marksSensitive(marks cty.ValueMarks) bool {
	_, ok := marks[sensitiveMark{}]
	return ok
}

// scope evaluates expressions for one architecture. Locals are evaluated
// when first needed, in the order of their dependencies.
type scope struct {
	module *Module
	arch   string
	broken map[hclsyntax.Expression]bool
	diags  Diagnostics
	ctx    *hcl.EvalContext
}

func (s *scope) errorf(at Range, detail, format string, args ...any) {
	s.diags = append(s.diags, Errorf(at, detail, format, args...))
}

func (m *Module) newScope(arch string) *scope {
	s := &scope{module: m, arch: arch, broken: m.broken}
	refs := func(kind string) cty.Value {
		out := map[string]cty.Value{}
		for name := range m.blocks[kind] {
			out[name] = cty.CapsuleVal(refTypes[kind], &reference{name})
		}
		return cty.ObjectVal(out)
	}
	s.ctx = &hcl.EvalContext{
		Variables: map[string]cty.Value{
			"var": cty.ObjectVal(m.variableValues()), "local": cty.EmptyObjectVal,
			"image": refs("image"), "archive": refs("archive"), "service": refs("service"), "board": refs("board"),
			"arch": cty.StringVal(arch), "boot": bootObject(),
		},
	}
	s.ctx.Functions = m.functions(s.ctx)
	s.evaluateLocals()
	return s
}

func (s *scope) context() *hcl.EvalContext { return s.ctx }

// evaluateLocals fills local.*, each after those it uses. A cycle is named
// once; its members are unknown, so that nothing else is said about them.
func (s *scope) evaluateLocals() {
	const (
		untouched = iota
		busy
		done
	)
	state := map[string]int{}
	values := map[string]cty.Value{}
	var stack []string
	var visit func(name string)
	visit = func(name string) {
		attr := s.module.locals[name]
		if attr == nil || state[name] == done {
			return
		}
		if state[name] == busy {
			cycle := append(slices.Clone(stack[slices.Index(stack, name):]), name)
			s.errorf(attr.NameRange, "", "Locals go in a circle: local.%s", strings.Join(cycle, " -> local."))
			return
		}
		state[name] = busy
		stack = append(stack, name)
		errors := len(s.diags)
		for _, t := range attr.Expr.Variables() {
			if t.RootName() != "local" {
				continue
			}
			if len(t) < 2 {
				continue
			}
			if dep, ok := stepName(t[1]); ok {
				visit(dep)
			}
		}
		stack = stack[:len(stack)-1]
		state[name] = done
		values[name] = cty.DynamicVal
		if len(s.diags) == errors && !s.broken[attr.Expr] {
			s.ctx.Variables["local"] = cty.ObjectVal(values)
			v, diags := attr.Expr.Value(s.ctx)
			s.diags = append(s.diags, diags...)
			if !diags.HasErrors() {
				values[name] = v
			}
		}
	}
	for _, name := range s.module.localNames() {
		visit(name)
	}
	s.ctx.Variables["local"] = cty.ObjectVal(values)
}
