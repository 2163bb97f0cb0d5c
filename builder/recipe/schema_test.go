package recipe

import (
	"bytes"
	"fmt"
	"os"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
)

// TestReferenceIsCurrent compares the references with the schemas.
func TestReferenceIsCurrent(t *testing.T) {
	for name, want := range map[string][]byte{"recipe.md": Reference(), "lab.md": LabReference()} {
		path := "../../docs/reference/" + name
		if *update {
			if err := os.MkdirAll("../../docs/reference", 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(path, want, 0o644); err != nil {
				t.Fatal(err)
			}
		}
		got, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(got, want) {
			t.Errorf("docs/reference/%s is not what the schema gives; run go generate ./builder/recipe", name)
		}
	}
}

// surroundings has what examples refer to.
func surroundings() fstest.MapFS {
	return fstest.MapFS{
		"surroundings.hcl": {Data: []byte(`
variable "network" { default = "guifi" }
variable "name" { default = "x" }
variable "invitation" { default = null }
archive "debian" { suites = ["trixie"] }
image "minimal" {}
service "etcd" {}
`)},
		"motd.tpl": {Data: []byte("${network}")}, "motd.txt": {Data: []byte("x")}, "keys/example.asc": {Data: []byte("x")},
		"overlays/common/etc/sudoers.d/x":      {Data: []byte("x")},
		"overlays/common/var/lib/tahoe-lafs/x": {Data: []byte("x")},
	}
}

// TestSchemaIsDocumented fails when a block or an attribute has no
// description, or its example is not accepted where it stands.
func TestSchemaIsDocumented(t *testing.T) {
	var walk func(path string, b *Block, wrap func(string) string)
	walk = func(path string, b *Block, wrap func(string) string) {
		if b.Doc == "" || !strings.HasSuffix(b.Doc, ".") {
			t.Errorf("%s: no description", path)
		}
		if len(b.Kinds) == 0 || b.Name != "target" {
			example(t, path, b.Example, wrap(b.Example))
		}
		for i := range b.Attrs {
			a := &b.Attrs[i]
			where := path + "." + a.Name
			if a.Doc == "" || !strings.HasSuffix(a.Doc, ".") && !strings.HasSuffix(a.Doc, ")") {
				t.Errorf("%s: no description", where)
			}
			if a.Example == "" {
				t.Errorf("%s: no example", where)
				continue
			}
			attributeExample(t, where, a)
		}
		for _, c := range b.Blocks {
			walk(path+"/"+c.Name, c, func(inner string) string { return wrap(inside(b, inner)) })
		}
		for _, k := range b.Kinds {
			walk(path+"/"+k.Name, k, wrap)
		}
	}
	for _, b := range Schema().Blocks {
		walk(b.Name, b, func(s string) string { return s })
	}
}

// inside puts text into a block of a kind, with what the block requires.
func inside(b *Block, inner string) string {
	label := map[string]string{"image": ` "outer"`, "service": ` "outer"`, "variable": ` "outer"`, "overlay": ` "common"`, "board": ` "outer"`, "role": ` "outer"`, "target": ""}[b.Name]
	if b.Name == "target" {
		return inner
	}
	extra := ""
	switch b.Name {
	case "variable":
		extra = "default = \"x\"\n"
	case "board":
		extra = "architectures = [\"arm64\"]\n"
	case "image":
		extra = "architectures = [\"amd64\", \"arm64\", \"armhf\", \"i386\"]\n"
	}
	return fmt.Sprintf("%s%s {\n%s%s}\n", b.Name, label, extra, inner)
}

func example(t *testing.T, where, bare, src string) {
	t.Helper()
	if strings.TrimSpace(bare) == "" {
		t.Errorf("%s: no example", where)
		return
	}
	fsys := surroundings()
	around := string(fsys["surroundings.hcl"].Data)
	// What the example declares itself must not be declared twice.
	var kept []string
	for line := range strings.Lines(around) {
		head, _, _ := strings.Cut(line, "{")
		if !strings.Contains(src, strings.TrimSpace(head)) || strings.TrimSpace(head) == "" {
			kept = append(kept, line)
		}
	}
	fsys["surroundings.hcl"] = &fstest.MapFile{Data: []byte(strings.Join(kept, ""))}
	fsys["example.hcl"] = &fstest.MapFile{Data: []byte(src)}
	m, diags := Load(t.Context(), NewSource(fsys, ""), Options{})
	if len(diags) > 0 {
		var b strings.Builder
		m.Render(&b, diags, false)
		t.Errorf("%s: the example\n%s\ngives\n%s", where, src, b.String())
	}
	if formatted, _ := Format("", []byte(bare)); string(formatted) != bare {
		t.Errorf("%s: the example is not formatted:\n%s", where, bare)
	}
}

// attributeExample evaluates the example and reads it by the type.
func attributeExample(t *testing.T, where string, a *Attr) {
	t.Helper()
	expr, diags := hclsyntax.ParseExpression([]byte(a.Example), "example", hcl.InitialPos)
	if diags.HasErrors() {
		t.Errorf("%s: %v", where, diags)
		return
	}
	if a.Type.expr {
		return
	}
	m, diags := Load(t.Context(), NewSource(surroundings(), ""), Options{})
	if diags.HasErrors() {
		t.Fatal(m.Err(diags))
	}
	s := m.newScope("amd64")
	v := s.attribute(a, &hclsyntax.Attribute{Name: a.Name, Expr: expr}, 0)
	if v == nil || v.bad || len(s.diags) > 0 {
		t.Errorf("%s: %s gives %v", where, a.Example, s.diags)
	}
}
