package recipe

// Merge says what becomes of an inherited value when a child image (or a
// block with the same label in it) gives the attribute too.
type Merge int

// The ways of merging.
const (
	Replace Merge = iota // the child's value stands instead
	Append               // the child's elements come after the inherited ones
	Keys                 // the child's keys are added to the inherited ones or replace them
)

// String returns the words used in the reference.
func (m Merge) String() string {
	return [...]string{"replaced", "appended", "merged by key"}[m]
}

// Attr describes one attribute.
type Attr struct {
	Name     string
	Type     *Type
	Required bool
	Default  string // as a person would write it; empty when there is none
	Doc      string
	Example  string // an HCL expression
	Merge    Merge
}

// Block describes one kind of block.
type Block struct {
	Name    string
	Label   string // what the label names; empty when the block has none
	Doc     string
	Example string // top level: a module; else what stands inside the enclosing block
	Attrs   []Attr
	Blocks  []*Block

	// Free blocks take attributes of any name (locals).
	Free bool
	// Exclusive names groups of attributes of which one at most may stand.
	Exclusive [][]string
	// OneOf names groups of attributes of which exactly one must stand.
	OneOf [][]string
	// Kinds, when given, are the only labels the block may have, each with
	// attributes of its own (target "vm", target "lxc").
	Kinds []*Block
	// Architectures that a kind can be built for; empty for all.
	Architectures []string

	checkLabel func(string) error
}

func (b *Block) attr(name string) *Attr {
	for i := range b.Attrs {
		if b.Attrs[i].Name == name {
			return &b.Attrs[i]
		}
	}
	return nil
}

func (b *Block) block(name string) *Block {
	for _, c := range b.Blocks {
		if c.Name == name {
			return c
		}
	}
	return nil
}

func (b *Block) kind(label string) *Block {
	for _, k := range b.Kinds {
		if k.Name == label {
			return k
		}
	}
	return nil
}

func names(blocks []*Block) []string {
	var out []string
	for _, b := range blocks {
		out = append(out, b.Name)
	}
	return out
}

func attrNames(attrs []Attr) []string {
	var out []string
	for i := range attrs {
		out = append(out, attrs[i].Name)
	}
	return out
}

// Schema returns the description of the whole language: a block without a
// name whose Blocks are the top-level blocks.
func Schema() *Block {
	return &Block{
		Doc:    "All `*.hcl` files of the recipe folder, read as one.",
		Blocks: []*Block{variableBlock(), localsBlock(), archiveBlock(), imageBlock(), serviceBlock(), overlayBlock(), boardBlock()},
	}
}

// Targets returns the names of the targets that the language knows.
func Targets() []string { return names(targetKinds()) }

// TargetArchitectures returns the architectures a target can be built for,
// nil for all of them or for an unknown target.
func TargetArchitectures(target string) []string {
	for _, k := range targetKinds() {
		if k.Name == target {
			return k.Architectures
		}
	}
	return nil
}
