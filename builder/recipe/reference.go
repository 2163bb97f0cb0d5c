package recipe

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// Reference writes the reference of the language in Markdown, out of the
// schema.
func Reference() []byte {
	var b strings.Builder
	b.WriteString(`# The recipe language

<!-- Made from the schema by "go generate ./builder/recipe"; do not edit. -->

A recipe says what is in an image. It is written in [HCL 2](https://github.com/hashicorp/hcl): all ` + "`*.hcl`" + ` files of
the recipe folder are one module, and blocks can refer to each other wherever they stand. What is unknown, misspelt or of the
wrong type is a mistake and never ignored; ` + "`cloudy validate`" + ` finds all mistakes at once, without the network.

`)
	schema := Schema()
	b.WriteString("## Contents\n\n")
	for _, c := range schema.Blocks {
		fmt.Fprintf(&b, "- [%s](#%s)\n", c.Name, c.Name)
		if c.Name == "image" {
			for _, in := range c.Blocks {
				fmt.Fprintf(&b, "  - [%s](#%s)\n", in.Name, anchor("image", in.Name))
			}
		}
	}
	b.WriteString("- [Inheritance](#inheritance)\n- [References](#references)\n- [Values](#values)\n- [Functions](#functions)\n")
	for _, c := range schema.Blocks {
		writeBlock(&b, c, nil)
	}
	b.WriteString(referenceTail())
	writeFunctions(&b)
	return []byte(b.String())
}

// LabReference writes the reference of lab files in Markdown, out of their
// schema.
func LabReference() []byte {
	var b strings.Builder
	b.WriteString(`# Lab files

<!-- Made from the schema by "go generate ./builder/recipe"; do not edit. -->

A lab file says what ` + "`cloudy lab up FILE`" + ` starts: nodes at sites, and links between the sites. It is written as recipes
are ([the recipe language](recipe.md)), with the same values, functions, ` + "`variable`" + ` and ` + "`locals`" + `; variables are set by the environment
(` + "`CLOUDY_VAR_NAME`" + `). One file is one lab. Names of sites, links and nodes are all different, so that a command knows what is meant.
[Labs](../lab.md) says how they run.
`)
	for _, c := range LabSchema().Blocks {
		if c.Name != "variable" && c.Name != "locals" {
			writeBlock(&b, c, nil)
		}
	}
	return []byte(b.String())
}

// anchor is what a Markdown renderer makes of the heading of a block.
func anchor(path ...string) string { return strings.ToLower(strings.Join(path, "--")) }

func writeBlock(b *strings.Builder, c *Block, path []string) {
	path = append(slices.Clone(path), c.Name)
	fmt.Fprintf(b, "\n%s %s\n\n", strings.Repeat("#", min(6, len(path)+1)), strings.Join(path, " / "))
	head := c.Name
	if c.Label != "" {
		head += ` "LABEL"`
	}
	fmt.Fprintf(b, "`%s { … }`", head)
	if c.Label != "" {
		fmt.Fprintf(b, ": the label is the %s.", c.Label)
	}
	fmt.Fprintf(b, "\n\n%s\n", c.Doc)
	if len(c.Kinds) == 0 {
		writeExample(b, c.Example)
		writeAttrs(b, c)
	}
	for _, k := range c.Kinds {
		fmt.Fprintf(b, "\n%s %s \"%s\"\n\n%s\n", strings.Repeat("#", min(6, len(path)+2)), c.Name, k.Name, k.Doc)
		if len(k.Architectures) > 0 {
			fmt.Fprintf(b, "\nFor %s.\n", strings.Join(k.Architectures, ", "))
		}
		writeExample(b, k.Example)
		writeAttrs(b, k)
	}
	for _, in := range c.Blocks {
		writeBlock(b, in, path)
	}
}

func writeExample(b *strings.Builder, example string) {
	fmt.Fprintf(b, "\n```hcl\n%s```\n", example)
}

func writeAttrs(b *strings.Builder, c *Block) {
	for _, g := range c.OneOf {
		fmt.Fprintf(b, "\nExactly one of `%s` must stand.\n", strings.Join(g, "`, `"))
	}
	for _, g := range c.Exclusive {
		fmt.Fprintf(b, "\nAt most one of `%s` can stand.\n", strings.Join(g, "`, `"))
	}
	if len(c.Attrs) == 0 {
		return
	}
	b.WriteString("\n| attribute | type | default | what |\n| --- | --- | --- | --- |\n")
	cell := func(s string) string { return strings.ReplaceAll(s, "|", "\\|") }
	for i := range c.Attrs {
		a := &c.Attrs[i]
		def := a.Default
		switch {
		case a.Required:
			def = "required"
		case def == "":
			def = "none"
		case !strings.Contains(def, " ") || strings.HasPrefix(def, "["):
			def = "`" + def + "`"
		}
		doc := a.Doc
		if a.Merge != Replace {
			doc += " Inherited: " + a.Merge.String() + "."
		}
		fmt.Fprintf(b, "| `%s` | %s | %s | %s For example `%s`. |\n", a.Name, cell(a.Type.Name), cell(def), cell(doc), cell(strings.ReplaceAll(a.Example, "\n", "\\n")))
	}
}

func referenceTail() string {
	return `
## Inheritance

An image with ` + "`from = image.NAME`" + ` begins with all that the other image has:

- lists whose description says "Inherited: appended" get its elements after the inherited ones; in ` + "`packages`" + `, ` + "`\"-name\"`" + ` drops an inherited package;
- blocks with the same label are merged attribute by attribute, as are blocks without a label; other blocks are added;
- where only one attribute of a group can stand (` + "`content`, `source`, `link`, `absent`" + ` of a file), the child's stands instead of the inherited one;
- everything else is replaced.

## References

| written | is |
| --- | --- |
| ` + "`var.NAME`" + ` | the value of a variable |
| ` + "`local.NAME`" + ` | the value of a local |
| ` + "`image.NAME`, `archive.NAME`, `service.NAME`" + ` | the block, for attributes that want one |
| ` + "`arch`" + ` | Debian's name of the architecture being built, such as ` + "`amd64`" + ` |

## Values

| type | written |
| --- | --- |
| size | ` + "`\"8GiB\"`, `\"512MiB\"`" + `; ` + "`K`, `M`, `G`, `T`" + ` are powers of 1024, ` + "`KB`, `MB`, `GB`, `TB`" + ` powers of 1000 |
| duration | ` + "`\"90s\"`, `\"10m\"`, `\"1h30m\"`" + ` |
| octal mode | ` + "`\"0644\"`" + ` |
| package | ` + "`\"name\"`, `\"name=version\"`, `\"name/suite\"`, `\"name:arch\"`, `\"-name\"`" + ` |

An attribute that is ` + "`null`" + ` is as if it did not stand there.

## Functions

They have Terraform's names and meanings. Files are named relative to the recipe folder and cannot be outside of it; whatever
is read becomes part of the recipe's digest.

`
}

func writeFunctions(b *strings.Builder) {
	fns := (&Module{}).functions(nil)
	for _, name := range slices.Sorted(maps.Keys(fns)) {
		var params []string
		for _, p := range fns[name].Params() {
			params = append(params, p.Name)
		}
		if v := fns[name].VarParam(); v != nil {
			params = append(params, v.Name+"…")
		}
		fmt.Fprintf(b, "- `%s(%s)`\n", name, strings.Join(params, ", "))
	}
	b.WriteString("\nThese are missing on purpose:\n\n")
	for _, name := range slices.Sorted(maps.Keys(missing())) {
		fmt.Fprintf(b, "- `%s`: %s\n", name, missing()[name])
	}
}
