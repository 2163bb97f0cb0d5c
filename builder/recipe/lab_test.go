package recipe

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"golang.org/x/tools/txtar"
)

// loadLab reads a lab file's text.
func loadLab(t *testing.T, name, text string) (*Lab, *Module, Diagnostics) {
	t.Helper()
	src := NewSource(fstest.MapFS{name: {Data: []byte(text)}}, "")
	src.only = name
	return LoadLab(t.Context(), src, Options{})
}

// TestLabDiagnostics compares what is said about each bad lab file with the
// golden text at the end of its archive.
func TestLabDiagnostics(t *testing.T) {
	files, err := filepath.Glob("testdata/labs/*.txtar")
	if err != nil || len(files) == 0 {
		t.Fatal("no cases", err)
	}
	for _, name := range files {
		t.Run(strings.TrimSuffix(filepath.Base(name), ".txtar"), func(t *testing.T) {
			a, err := txtar.ParseFile(name)
			if err != nil || len(a.Files) != 2 || a.Files[1].Name != "want" {
				t.Fatal("a case is a lab file and what is wanted", err)
			}
			lab, m, diags := loadLab(t, a.Files[0].Name, string(a.Files[0].Data))
			if lab != nil {
				t.Error("there is a lab in spite of mistakes")
			}
			var got strings.Builder
			m.Render(&got, diags, false)
			if *update {
				a.Files[1].Data = []byte(got.String())
				if err := os.WriteFile(name, txtar.Format(a), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			if got.String() != string(a.Files[1].Data) {
				t.Errorf("got:\n%s\nwant:\n%s", got.String(), a.Files[1].Data)
			}
		})
	}
}

func TestLab(t *testing.T) {
	lab, m, diags := loadLab(t, "x.hcl", `
lab "x" { network = "guifi" }
locals { n = 2 }
service "web" {
  type = "_http._tcp"
  port = 80
  txt  = { path = "/" }
}
site "a" {
  nodes    = local.n
  services = [service.web]
  memory   = "64MiB"
}
site "b" {
  title = "Bee"
  rate  = "512kbit"
}
link "ab" {
  between = ["a", "b"]
  delay   = "15ms"
  loss    = "0.5%"
  rate    = "1.5mbit"
}
`)
	if len(diags) > 0 {
		t.Fatal(m.Err(diags))
	}
	if lab.Founder != "a-1" || lab.Image.Value != "lab" || strings.Join(lab.Nodes(), " ") != "a-1 a-2 b-1" {
		t.Errorf("%+v", lab)
	}
	if p := lab.Links[0].Path; p != (Path{15 * time.Millisecond, 0.005, 1500000}) {
		t.Errorf("link: %+v", p)
	}
	if a := lab.Sites[0]; a.Memory != 64<<20 || a.Title != "a" || len(lab.LabServices(&a)) != 1 || lab.LabServices(&lab.Sites[1]) == nil || len(lab.LabServices(&lab.Sites[1])) != 0 {
		t.Errorf("sites: %+v", lab.Sites)
	}
	if lab.Sites[1].Access.Rate != 512000 {
		t.Errorf("access: %+v", lab.Sites[1].Access)
	}
}

// TestEmbeddedLabs proves that the built-in labs have no mistake, and that
// the test bed is the one it says it is.
func TestEmbeddedLabs(t *testing.T) {
	_, names := EmbeddedLab("")
	for _, name := range names {
		src, _ := EmbeddedLab(name)
		lab, m, diags := LoadLab(t.Context(), src, Options{})
		if len(diags) > 0 {
			t.Fatal(m.Err(diags))
		}
		if lab.Name != name {
			t.Errorf("labs/%s.hcl is lab %q", name, lab.Name)
		}
		if name == "testbed" && (len(lab.Nodes()) != 43 || len(lab.Sites) != 8) {
			t.Errorf("the test bed has %d nodes at %d sites", len(lab.Nodes()), len(lab.Sites))
		}
	}
	if len(names) == 0 {
		t.Error("no lab is built in")
	}
}

// TestLabSchemaIsDocumented fails when a block or an attribute of lab files
// has no description, or its example is not accepted.
func TestLabSchemaIsDocumented(t *testing.T) {
	around := map[string]string{
		"lab":     "lab \"x\" {}\n",
		"site":    "site \"school\" {}\n",
		"service": "service \"web\" {\n  type = \"_http._tcp\"\n  port = 80\n}\n",
	}
	for _, b := range LabSchema().Blocks {
		if b.Name == "variable" || b.Name == "locals" {
			continue // of recipes, and shown there
		}
		text := b.Example
		for kind, more := range around {
			if kind != b.Name {
				text += more
			}
		}
		if b.Name == "link" {
			text += "site \"hill\" {}\n"
		}
		if _, m, diags := loadLab(t, "x.hcl", text); len(diags) > 0 {
			var out strings.Builder
			m.Render(&out, diags, false)
			t.Errorf("%s: the example gives\n%s", b.Name, out.String())
		}
		if formatted, _ := Format("", []byte(b.Example)); string(formatted) != b.Example {
			t.Errorf("%s: the example is not formatted:\n%s", b.Name, b.Example)
		}
		for i := range b.Attrs {
			a := &b.Attrs[i]
			if a.Doc == "" || !strings.HasSuffix(a.Doc, ".") || a.Example == "" {
				t.Errorf("%s.%s: no description, or no example", b.Name, a.Name)
				continue
			}
			if a.Type.ref != "" {
				continue // the block's example has it
			}
			attributeExample(t, b.Name+"."+a.Name, a)
		}
	}
}
