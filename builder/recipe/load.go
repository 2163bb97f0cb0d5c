package recipe

import (
	"context"
	"errors"
	"io/fs"
	"maps"
	"slices"
	"strings"
	"sync"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
)

// Options are what comes from outside the recipe.
type Options struct {
	// Vars are the --var and --var-file of the command line, in their order.
	Vars []VarInput
	// Env is the environment as os.Environ gives it; CLOUDY_VAR_* count.
	Env []string
}

// Module is a loaded recipe. It is safe for use by several goroutines.
type Module struct {
	schema    *Block
	source    *Source
	sources   map[string][]byte // by the name that diagnostics give
	variables map[string]*Variable
	locals    map[string]*hclsyntax.Attribute
	blocks    map[string]map[string]*hclsyntax.Block // kind -> name -> block
	order     map[string][]string                    // kind -> names as they stand
	broken    map[hclsyntax.Expression]bool
	overlays  map[string]bool // folders of overlays/
	// incomplete: a file cannot be read, or is no HCL.
	incomplete bool

	mu     sync.Mutex
	images map[imageKey]*evaluated
	scopes map[string]*scope
}

type imageKey struct{ name, arch string }

// Load reads and checks a module: every file, every image, every
// architecture. The module is returned with mistakes, too, for rendering
// them; its images can be used only when diags has no errors.
func Load(ctx context.Context, src *Source, opts Options) (*Module, Diagnostics) {
	m := newModule(src, Schema())
	diags := m.load(ctx, opts)
	if m.incomplete {
		return m, Tidy(diags)
	}
	diags = append(diags, m.findOverlays()...)
	diags = append(diags, m.evaluateAll(ctx)...)
	return m, Tidy(diags)
}

func newModule(src *Source, schema *Block) *Module {
	m := &Module{
		schema: schema, source: src, sources: map[string][]byte{}, variables: map[string]*Variable{},
		locals: map[string]*hclsyntax.Attribute{}, blocks: map[string]map[string]*hclsyntax.Block{}, order: map[string][]string{},
		broken: map[hclsyntax.Expression]bool{}, overlays: map[string]bool{},
		images: map[imageKey]*evaluated{}, scopes: map[string]*scope{},
	}
	for _, b := range m.schema.Blocks {
		m.blocks[b.Name] = map[string]*hclsyntax.Block{}
	}
	return m
}

// load reads all files, checks their shape and sets the variables. Nothing
// can be evaluated when the module is incomplete after it.
func (m *Module) load(_ context.Context, opts Options) Diagnostics {
	m.incomplete = true
	files, auto, err := m.source.list()
	if err != nil {
		return Diagnostics{Errorf(Range{}, "", "Cannot read the recipe folder: %v", plainPathError(err))}
	}
	if len(files) == 0 {
		return Diagnostics{Errorf(Range{}, "`cloudy init` writes the built-in recipes to a folder.", "There is no recipe here: no file ends in .hcl")}
	}
	bodies, syntax := m.parse(files)
	diags := m.check(bodies, !syntax.HasErrors())
	diags = append(syntax, diags...)
	if syntax.HasErrors() {
		return diags
	}
	m.incomplete = false
	diags = append(diags, m.declareVariables(m.listed(bodies, "variable"))...)
	diags = append(diags, m.assignVariables(opts, auto)...)
	return append(diags, m.validateVariables()...)
}

func (m *Module) parse(files []string) ([]*hclsyntax.Body, Diagnostics) {
	var bodies []*hclsyntax.Body
	var diags Diagnostics
	for _, name := range files {
		shown := m.source.show(name)
		src, err := m.source.read(name, KindRecipe)
		if err != nil {
			diags = append(diags, Errorf(Range{}, "", "Cannot read %s: %v", shown, err))
			continue
		}
		m.sources[shown] = src
		f, d := hclsyntax.ParseConfig(src, shown, hcl.InitialPos)
		diags = append(diags, d...)
		if d.HasErrors() || f == nil {
			continue
		}
		if body, ok := f.Body.(*hclsyntax.Body); ok {
			bodies = append(bodies, body)
		}
	}
	return bodies, diags
}

// check looks at the shape of all files and takes down what they declare.
func (m *Module) check(bodies []*hclsyntax.Body, complete bool) Diagnostics {
	c := &checker{declared: map[string][]string{}, files: complete, broken: m.broken}
	for _, body := range bodies {
		for _, b := range body.Blocks {
			if b.Type == "locals" {
				for _, name := range slices.Sorted(maps.Keys(b.Body.Attributes)) {
					a := b.Body.Attributes[name]
					if first := m.locals[name]; first != nil {
						c.errorf(a.NameRange, "The first one is at "+place(first.NameRange)+".", "Local %q is defined twice", name)
						continue
					}
					m.locals[name] = a
					c.declared["local"] = append(c.declared["local"], name)
				}
				continue
			}
			if len(b.Labels) == 0 || m.blocks[b.Type] == nil {
				continue
			}
			name := b.Labels[0]
			if first := m.blocks[b.Type][name]; first != nil {
				c.errorf(b.DefRange(), "The first one is at "+place(first.DefRange())+".", "%s stands twice", title(b.Type, b.Labels[:1]))
				continue
			}
			m.blocks[b.Type][name] = b
			m.order[b.Type] = append(m.order[b.Type], name)
			c.declared[b.Type] = append(c.declared[b.Type], name)
		}
	}
	for _, body := range append(m.builtinBoards(c), bodies...) {
		c.body(body, m.schema, "")
	}
	return c.diags
}

func (m *Module) listed(bodies []*hclsyntax.Body, kind string) []*hclsyntax.Block {
	var out []*hclsyntax.Block
	for _, body := range bodies {
		for _, b := range body.Blocks {
			if b.Type == kind {
				out = append(out, b)
			}
		}
	}
	return out
}

// findOverlays lists the folders of overlays/, and reports overlay blocks
// without one.
func (m *Module) findOverlays() Diagnostics {
	entries, err := fs.ReadDir(m.source.fsys, "overlays")
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return Diagnostics{Errorf(Range{}, "", "Cannot read the folder of overlays: %v", plainPathError(err))}
	}
	for _, e := range entries {
		if e.IsDir() && overlayLabel(e.Name()) == nil {
			m.overlays[e.Name()] = true
		}
	}
	var diags Diagnostics
	for _, name := range m.order["overlay"] {
		if !m.overlays[name] {
			b := m.blocks["overlay"][name]
			diags = append(diags, Errorf(b.LabelRanges[0], m.suggestOverlay(name), "There is no folder overlays/%s", name))
		}
	}
	return diags
}

func (m *Module) suggestOverlay(name string) string {
	return didYouMean(name, slices.Collect(maps.Keys(m.overlays)))
}

// evaluateAll evaluates every image for each of its architectures.
func (m *Module) evaluateAll(ctx context.Context) Diagnostics {
	var diags Diagnostics
	for _, name := range m.order["image"] {
		for _, arch := range m.architecturesOf(name) {
			if err := ctx.Err(); err != nil {
				return append(diags, Errorf(Range{}, "", "Stopped: %v", err))
			}
			diags = append(diags, m.evaluate(name, arch).diags...)
		}
	}
	// What no image uses is checked for the first architecture alone.
	s := m.scope(architectures()[0])
	diags = append(diags, s.diags...)
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, kind := range []string{"archive", "service", "overlay", "board"} {
		for _, name := range m.order[kind] {
			diags = append(diags, s.declared(kind, name).diags...)
		}
	}
	return diags
}

func (m *Module) scope(arch string) *scope {
	m.mu.Lock()
	defer m.mu.Unlock()
	s := m.scopes[arch]
	if s == nil {
		s = m.newScope(arch)
		m.scopes[arch] = s
	}
	return s
}

// Images returns the names of all images in the order of the recipe.
func (m *Module) Images() []string { return slices.Clone(m.order["image"]) }

// Variables returns the declared variables by name.
func (m *Module) Variables() []*Variable {
	out := slices.Collect(maps.Values(m.variables))
	slices.SortFunc(out, func(a, b *Variable) int { return strings.Compare(a.Name, b.Name) })
	return out
}

// Architectures returns what an image can be built for, nil for an image
// that does not exist.
func (m *Module) Architectures(image string) []string {
	if m.blocks["image"][image] == nil {
		return nil
	}
	return m.architecturesOf(image)
}

// Image returns an image evaluated for one architecture.
func (m *Module) Image(name, arch string) (*Image, Diagnostics) {
	b := m.blocks["image"][name]
	if b == nil {
		return nil, Diagnostics{Errorf(Range{}, didYouMean(name, m.order["image"]), "There is no image %q", name)}
	}
	if can := m.architecturesOf(name); !slices.Contains(can, arch) {
		return nil, Diagnostics{Errorf(b.DefRange(), "It can be built for "+strings.Join(can, ", ")+"; add to its architectures.", "Image %q is not for %s", name, arch)}
	}
	e := m.evaluate(name, arch)
	if e.diags.HasErrors() {
		return nil, Tidy(e.diags)
	}
	return e.image, Tidy(e.diags)
}

// Target returns one of the image's targets, or a diagnostic that says what
// there is instead.
func (i *Image) Target(name string) (Target, Diagnostics) {
	var have []string
	for _, t := range i.Targets {
		if t.Name == name {
			return t, nil
		}
		have = append(have, t.Name)
	}
	if i.node != nil && i.node.child("target", name) != nil {
		hint := "Its list of architectures is empty."
		if archs := i.module.targetArches(i.Name, name); len(archs) > 0 {
			hint = "It is for " + strings.Join(archs, ", ") + "."
		}
		return Target{}, Diagnostics{Errorf(i.node.child("target", name).at, hint, "Target %q of image %q is not for %s", name, i.Name, i.Arch)}
	}
	hint := didYouMean(name, have)
	if slices.Contains(Targets(), name) {
		hint = "Add target \"" + name + "\" {} to the image."
	}
	return Target{}, Diagnostics{Errorf(i.Range, hint, "Image %q has no target %q", i.Name, name)}
}

// text returns the source of a range.
func (m *Module) text(r Range) string {
	src := m.sources[r.Filename]
	if r.End.Byte > len(src) || r.Start.Byte > r.End.Byte {
		return ""
	}
	return string(src[r.Start.Byte:r.End.Byte])
}

func (m *Module) localNames() []string { return slices.Sorted(maps.Keys(m.locals)) }
