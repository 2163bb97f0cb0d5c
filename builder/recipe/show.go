package recipe

import (
	"encoding/json"
	"maps"
	"slices"

	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/hashicorp/hcl/v2/hclwrite"
	"github.com/zclconf/go-cty/cty"
	ctyjson "github.com/zclconf/go-cty/cty/json"
)

// masked stands for what must not be shown.
const masked = "(sensitive)"

// hclText writes a value as an HCL expression.
func hclText(v cty.Value) string {
	v, _ = v.UnmarkDeep()
	if !v.IsWhollyKnown() {
		return "(unknown)"
	}
	return string(hclwrite.TokensForValue(v).Bytes())
}

// ShowHCL writes the image with all that it inherits as one image block for
// its architecture, without variables. Sensitive values are masked.
func (i *Image) ShowHCL() []byte {
	f := hclwrite.NewEmptyFile()
	b := f.Body().AppendNewBlock("image", []string{i.Name})
	n := *i.node
	n.attrs = maps.Clone(n.attrs)
	delete(n.attrs, "from")
	n.attrs["architectures"] = &value{def: n.def.attr("architectures"), items: []item{{cty: cty.StringVal(i.Arch)}}}
	n.attrs["packages"] = i.packageValue()
	writeNode(b.Body(), &n)
	return f.Bytes()
}

// packageValue is the settled list of packages as an attribute.
func (i *Image) packageValue() *value {
	v := &value{def: i.node.def.attr("packages")}
	for _, p := range i.Packages {
		v.items = append(v.items, item{cty: cty.StringVal(p.String())})
	}
	for _, p := range i.Unwanted {
		v.items = append(v.items, item{cty: cty.StringVal(p.String())})
	}
	return v
}

// writeNode writes attributes in the order of the schema, then blocks.
func writeNode(body *hclwrite.Body, n *node) {
	wrote := false
	for i := range n.def.Attrs {
		a := &n.def.Attrs[i]
		v := n.attrs[a.Name]
		if v == nil || v.bad || a.Type.shape == list && len(v.items) == 0 && a.Merge == Append {
			continue
		}
		body.SetAttributeRaw(a.Name, v.tokens())
		wrote = true
	}
	for _, c := range n.blocks {
		if wrote {
			body.AppendNewline()
		}
		var labels []string
		if c.def.Label != "" {
			labels = []string{c.label}
		}
		writeNode(body.AppendNewBlock(c.def.Name, labels).Body(), c)
		wrote = true
	}
}

// tokens writes an attribute's value. Long lists have a line an element.
func (v *value) tokens() hclwrite.Tokens {
	one := func(it item) hclwrite.Tokens {
		switch {
		case it.sensitive:
			return hclwrite.TokensForValue(cty.StringVal(masked))
		case v.def.Type.ref != "":
			name, _ := it.goval.(string)
			return hclwrite.TokensForIdentifier(v.def.Type.ref + "." + name)
		}
		return hclwrite.TokensForValue(it.cty)
	}
	switch v.def.Type.shape {
	case list:
		var parts []hclwrite.Tokens
		for _, it := range v.items {
			parts = append(parts, one(it))
		}
		if len(parts) <= 4 {
			return hclwrite.TokensForTuple(parts)
		}
		token := func(t hclsyntax.TokenType, s string) *hclwrite.Token {
			return &hclwrite.Token{Type: t, Bytes: []byte(s)}
		}
		out := hclwrite.Tokens{token(hclsyntax.TokenOBrack, "["), token(hclsyntax.TokenNewline, "\n")}
		for _, p := range parts {
			out = append(out, p...)
			out = append(out, token(hclsyntax.TokenComma, ","), token(hclsyntax.TokenNewline, "\n"))
		}
		return append(out, token(hclsyntax.TokenCBrack, "]"))
	case mapping:
		var attrs []hclwrite.ObjectAttrTokens
		for _, it := range v.items {
			key := hclwrite.TokensForValue(cty.StringVal(it.key))
			if hclsyntax.ValidIdentifier(it.key) {
				key = hclwrite.TokensForIdentifier(it.key)
			}
			attrs = append(attrs, hclwrite.ObjectAttrTokens{Name: key, Value: one(it)})
		}
		return hclwrite.TokensForObject(attrs)
	}
	return one(v.items[0])
}

// ShowJSON writes what ShowHCL writes as JSON: attributes by name, blocks as
// a list under their kind, each with its label as "name".
func (i *Image) ShowJSON() ([]byte, error) {
	n := *i.node
	n.attrs = maps.Clone(n.attrs)
	n.attrs["architectures"] = &value{def: n.def.attr("architectures"), items: []item{{cty: cty.StringVal(i.Arch)}}}
	n.attrs["packages"] = i.packageValue()
	return json.MarshalIndent(plainNode(&n), "", "  ")
}

func plainNode(n *node) map[string]any {
	out := map[string]any{}
	if n.def.Label != "" {
		out["name"] = n.label
	}
	for name, v := range n.attrs {
		if v.bad {
			continue
		}
		switch v.def.Type.shape {
		case list:
			all := []any{}
			for _, it := range v.items {
				all = append(all, plainItem(it))
			}
			out[name] = all
		case mapping:
			all := map[string]any{}
			for _, it := range v.items {
				all[it.key] = plainItem(it)
			}
			out[name] = all
		default:
			out[name] = plainItem(v.items[0])
		}
	}
	for _, b := range n.blocks {
		if b.def.Label == "" {
			out[b.def.Name] = plainNode(b)
			continue
		}
		all, _ := out[b.def.Name].([]any)
		out[b.def.Name] = append(all, plainNode(b))
	}
	return out
}

func plainItem(it item) any {
	switch {
	case it.sensitive:
		return masked
	case it.cty.Type().IsCapsuleType():
		return it.goval
	}
	raw, err := ctyjson.Marshal(it.cty, it.cty.Type())
	if err != nil {
		return it.goval
	}
	return json.RawMessage(raw)
}

// Secrets returns the texts in the image that came from sensitive values,
// longest first, so that output of the build can be cleaned of them.
func (i *Image) Secrets() []string {
	seen := map[string]bool{}
	var walk func(*node)
	walk = func(n *node) {
		for _, v := range n.attrs {
			for _, it := range v.items {
				if s, ok := it.goval.(string); ok && it.sensitive && len(s) > 3 {
					seen[s] = true
				}
			}
		}
		for _, b := range n.blocks {
			walk(b)
		}
	}
	walk(i.node)
	out := slices.Collect(maps.Keys(seen))
	slices.SortFunc(out, func(a, b string) int {
		if len(a) != len(b) {
			return len(b) - len(a)
		}
		return compareStrings(a, b)
	})
	return out
}
