package recipe

import (
	"fmt"
	"slices"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
)

// checker looks at the shape of the recipe before anything is evaluated:
// blocks, attributes, labels, names that are referred to. Everything it finds
// is found in one pass over all files.
type checker struct {
	declared map[string][]string // kind of block -> names
	files    bool                // all files could be read, so that a missing name is a mistake
	diags    Diagnostics
	board    bool // in a board, which may use boot.NAME
	// broken are expressions with a mistake, which are not evaluated.
	broken map[hclsyntax.Expression]bool
}

func (c *checker) errorf(at Range, detail, format string, args ...any) {
	c.diags = append(c.diags, Errorf(at, detail, format, args...))
}

// body checks one body against its description. where names the block.
func (c *checker) body(body *hclsyntax.Body, def *Block, where string) {
	attrs := make([]*hclsyntax.Attribute, 0, len(body.Attributes))
	for _, a := range body.Attributes {
		attrs = append(attrs, a)
	}
	slices.SortFunc(attrs, func(a, b *hclsyntax.Attribute) int { return a.NameRange.Start.Byte - b.NameRange.Start.Byte })
	for _, a := range attrs {
		known := def.attr(a.Name)
		switch {
		case def.Free:
			if err := identifier(a.Name); err != nil {
				c.errorf(a.NameRange, "", "Bad name: %v", err)
			}
		case known == nil && def.block(a.Name) != nil:
			c.errorf(a.NameRange, fmt.Sprintf("Write it without the equals sign: %s {", header(def.block(a.Name))), "%q is a block, not an attribute", a.Name)
		case known == nil:
			c.errorf(a.NameRange, suggestPart(a.Name, def), "Unknown attribute %q%s", a.Name, where)
		}
		if known != nil && known.Type.expr && known.Type != anyType {
			continue // types and conditions have rules of their own
		}
		c.expression(a.Expr)
	}
	type placed struct{ first Range }
	seen := map[string]placed{}
	for _, b := range body.Blocks {
		child := def.block(b.Type)
		if child == nil {
			switch {
			case def.attr(b.Type) != nil:
				c.errorf(b.TypeRange, fmt.Sprintf("Write it with an equals sign: %s = …", b.Type), "%q is an attribute, not a block", b.Type)
			default:
				hint := suggestPart(b.Type, def)
				if foreign := foreignBlocks()[b.Type]; foreign != "" {
					hint = foreign
				}
				c.errorf(b.TypeRange, hint, "Unknown block %q%s", b.Type, where)
			}
			continue
		}
		c.labels(b, child)
		key := b.Type + "\x00" + strings.Join(b.Labels, "\x00")
		if repeatable := child.Free || child.Name == "validation" || child.Name == "rule"; !repeatable {
			if before, ok := seen[key]; ok {
				c.errorf(b.DefRange(), "The first one is at "+place(before.first)+".", "%s stands twice", title(b.Type, b.Labels))
			}
			seen[key] = placed{b.DefRange()}
		}
		if len(child.Kinds) > 0 {
			kind := (*Block)(nil)
			if len(b.Labels) > 0 {
				kind = child.kind(b.Labels[0])
			}
			if kind == nil {
				continue
			}
			child = kind
		}
		before := c.board
		c.board = c.board || child.Name == "board"
		c.body(b.Body, child, fmt.Sprintf(" in %s", title(b.Type, b.Labels)))
		c.board = before
	}
}

// foreignBlocks says what stands here for blocks of Terraform and Packer.
func foreignBlocks() map[string]string {
	return map[string]string{
		"dynamic": "Blocks cannot be repeated by an expression; lists can, with [for …].",
		"source":  "What is built is an image block, what it is packed into its target blocks.",
		"build":   "What is built is an image block, what it is packed into its target blocks.",
		"output":  "cloudy show prints the resolved image.",
		"lab":     "This is a lab file: end its name in .lab.hcl, or put it into a folder of its own.",
		"site":    "It belongs into a lab file, whose name ends in .lab.hcl.",
		"link":    "It belongs into a lab file, whose name ends in .lab.hcl.",
	}
}

func suggestPart(name string, def *Block) string {
	candidates := append(attrNames(def.Attrs), names(def.Blocks)...)
	if best := Nearest(name, candidates); best != "" {
		return fmt.Sprintf("Did you mean %q?", best)
	}
	if len(candidates) == 0 {
		return ""
	}
	slices.Sort(candidates)
	return "There is " + strings.Join(candidates, ", ") + "."
}

// header is how the block begins.
func header(b *Block) string {
	if b.Label != "" {
		return b.Name + ` "…"`
	}
	return b.Name
}

// title names a block in a message.
func title(kind string, labels []string) string {
	for _, l := range labels {
		kind += fmt.Sprintf(" %q", l)
	}
	return kind
}

func (c *checker) labels(b *hclsyntax.Block, def *Block) {
	want := 0
	if def.Label != "" {
		want = 1
	}
	switch {
	case len(b.Labels) < want:
		c.errorf(b.TypeRange, fmt.Sprintf("Write %s \"…\" { with the %s.", b.Type, strings.ReplaceAll(def.Label, "`", "")), "%s needs a name", b.Type)
		return
	case len(b.Labels) > want:
		c.errorf(b.LabelRanges[want], "", "%s has %d label too many", b.Type, len(b.Labels)-want)
		return
	}
	if want == 0 {
		return
	}
	if len(def.Kinds) > 0 && def.kind(b.Labels[0]) == nil {
		c.errorf(b.LabelRanges[0], didYouMean(b.Labels[0], names(def.Kinds)), "Unknown %s %q", b.Type, b.Labels[0])
	}
	if def.checkLabel != nil {
		if err := def.checkLabel(b.Labels[0]); err != nil {
			c.errorf(b.LabelRanges[0], "", "Bad name of %s: %v", article(b.Type), err)
		}
	}
}

// expression checks the names and functions that an expression uses.
func (c *checker) expression(expr hclsyntax.Expression) {
	before := len(c.diags)
	_ = hclsyntax.VisitAll(expr, func(n hclsyntax.Node) hcl.Diagnostics {
		if call, ok := n.(*hclsyntax.FunctionCallExpr); ok {
			c.call(call)
		}
		return nil
	})
	for _, t := range expr.Variables() {
		c.traversal(t)
	}
	if len(c.diags) > before {
		c.broken[expr] = true
	}
}

// missing says why functions that users of Terraform know are not there.
func missing() map[string]string {
	return map[string]string{
		"timestamp":     "A build from the same inputs gives the same bits, so there is no clock. Use a variable, or release in the image.",
		"plantimestamp": "A build from the same inputs gives the same bits, so there is no clock. Use a variable, or release in the image.",
		"uuid":          "It would be another one in every build. uuidv5() makes one from a name.",
		"bcrypt":        "It would be another one in every build. Write the hash itself, from a variable.",
		"env":           "The environment does not get into a recipe unseen. Declare a variable and set it by CLOUDY_VAR_NAME.",
		"getenv":        "The environment does not get into a recipe unseen. Declare a variable and set it by CLOUDY_VAR_NAME.",
		"pathexpand":    "A recipe does not depend on whose home folder it is in.",
		"abspath":       "A recipe does not depend on the folder it is in. All files are named relative to the recipe folder.",
		"vault":         "Take secrets from a sensitive variable.",
		"consul_key":    "Take it from a variable.",
	}
}

func (c *checker) call(call *hclsyntax.FunctionCallExpr) {
	table := functionNames()
	if slices.Contains(table, call.Name) {
		return
	}
	if why, ok := missing()[call.Name]; ok {
		c.errorf(call.NameRange, why, "There is no function %q", call.Name)
		return
	}
	hint := ""
	if best := Nearest(call.Name, table); best != "" {
		hint = fmt.Sprintf("Did you mean %q?", best)
	}
	c.errorf(call.NameRange, hint, "There is no function %q", call.Name)
}

// roots are the first parts of all references.
func roots() []string {
	return []string{"var", "local", "image", "archive", "service", "board", "boot", "arch"}
}

func (c *checker) traversal(t hcl.Traversal) {
	root := t.RootName()
	kind := map[string]string{"var": "variable", "local": "local"}[root]
	switch root {
	case "arch":
		if len(t) > 1 {
			c.errorf(t.SourceRange(), "It is the name of the architecture being built.", "arch is text and has no parts")
		}
		return
	case "boot":
		if !c.board {
			c.errorf(t.SourceRange(), "What it stands for is known only to the card's writer.", "boot is for board blocks")
			return
		}
		if name, ok := "", false; len(t) > 1 {
			if name, ok = stepName(t[1]); ok && !slices.Contains(BootValues(), name) {
				c.errorf(t.SourceRange(), didYouMean(name, BootValues()), "There is no boot.%s", name)
			}
		}
		return
	case "image", "archive", "service", "board":
		kind = root
	case "var", "local":
	default:
		c.unknownRoot(t)
		return
	}
	if len(t) < 2 {
		c.errorf(t.SourceRange(), fmt.Sprintf("Write %s.NAME.", root), "%q alone is nothing", root)
		return
	}
	name, ok := stepName(t[1])
	if !ok {
		if root == "var" || root == "local" {
			return // var[…]: looked up when evaluated
		}
		c.errorf(t.SourceRange(), fmt.Sprintf("Write %s.NAME.", root), "Bad reference to %s", article(kind))
		return
	}
	if !slices.Contains(c.declared[kind], name) {
		if !c.files {
			return
		}
		hint := ""
		if best := Nearest(name, c.declared[kind]); best != "" {
			hint = fmt.Sprintf("Did you mean %s.%s?", root, best)
		} else if root == "var" {
			hint = fmt.Sprintf("Declare it: variable %q {}", name)
		} else {
			hint = known(c.declared[kind])
		}
		c.errorf(t.SourceRange(), hint, "There is no %s %q", kind, name)
		return
	}
	if kind == root && len(t) > 2 {
		c.errorf(t.SourceRange(), fmt.Sprintf("Write %s.%s alone.", root, name), "A reference to %s has no parts", article(kind))
	}
}

func stepName(step hcl.Traverser) (string, bool) {
	switch s := step.(type) {
	case hcl.TraverseAttr:
		return s.Name, true
	case hcl.TraverseIndex:
		if s.Key.Type().FriendlyName() == "string" && s.Key.IsKnown() && !s.Key.IsNull() {
			return s.Key.AsString(), true
		}
	}
	return "", false
}

func (c *checker) unknownRoot(t hcl.Traversal) {
	root := t.RootName()
	hint := ""
	switch root {
	case "path":
		hint = "All files are named relative to the recipe folder; there is nothing to add before them."
	case "env":
		hint = missing()["env"]
	case "locals":
		hint = "Write local.NAME."
	case "variable", "vars":
		hint = "Write var.NAME."
	case "target":
		hint = "The architecture being built is arch."
	default:
		switch best := Nearest(root, roots()); {
		case best != "":
			hint = fmt.Sprintf("Did you mean %q?", best)
		case len(t) == 1:
			hint = fmt.Sprintf("For text write it in quotes: %q.", root)
		default:
			hint = known(roots())
		}
	}
	c.errorf(t.SourceRange(), hint, "Unknown name %q", root)
}
