package recipe

import (
	"bytes"
	"encoding/json"
	"os"
	"slices"
	"strings"
	"testing"
)

const showRecipe = debian + `
variable "secret" {
  type      = string
  sensitive = true
}
variable "list" {
  type      = list(string)
  sensitive = true
  default   = ["a@b"]
}
variable "invitation" {
  sensitive = true
  default   = "` + exampleInvitation + `"
}
variable "port" {
  type    = number
  default = 22
}
image "base" {
  packages = ["tinc", "nano"]
}
image "node" {
  from       = image.base
  archives   = [archive.debian]
  packages   = ["-nano", "aa", "bb", "cc", "dd"]
  grow       = "16GiB"
  recommends = false
  file "/etc/motd" {
    content = "Port ${var.port}\n$${x}\n"
    mode    = 0600
  }
  file "/etc/secret" {
    content = "password=${var.secret}"
  }
  user "root" {
    ssh_authorized_keys = [for x in var.list : "ssh-ed25519 AAAA ${x}"]
  }
  run "x" {
    command = ["a"]
    env     = { TOKEN = var.secret, "a.b" = "c" }
  }
  target "vm" {
    formats   = ["raw"]
    disk_size = "8GiB"
  }
  mesh {
    network    = "guifi"
    invitation = var.invitation
  }
}
`

func showImage(t *testing.T) *Image {
	t.Helper()
	dir := write(t, "main.hcl", showRecipe)
	src, err := OpenSource(dir)
	if err != nil {
		t.Fatal(err)
	}
	m, diags := Load(t.Context(), src, Options{Env: []string{"CLOUDY_VAR_secret=hunter22"}})
	if diags.HasErrors() {
		t.Fatal(m.Err(diags))
	}
	img, _ := m.Image("node", "amd64")
	return img
}

// TestShow compares with golden files, and reads the HCL back: it must be
// the same image but for what is masked.
func TestShow(t *testing.T) {
	img := showImage(t)
	asJSON, err := img.ShowJSON()
	if err != nil {
		t.Fatal(err)
	}
	for name, got := range map[string][]byte{"testdata/show.hcl": img.ShowHCL(), "testdata/show.json": append(asJSON, '\n')} {
		if *update {
			if err := os.WriteFile(name, got, 0o644); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(got, want) {
			t.Errorf("%s: got\n%s", name, got)
		}
		if bytes.Contains(got, []byte("hunter22")) || bytes.Contains(got, []byte("a@b")) || bytes.Contains(got, []byte("cloudy1.")) {
			t.Errorf("%s shows a secret", name)
		}
	}
	again := image(t, "node", "amd64", strings.NewReplacer(`["(sensitive)"]`, `["ssh-ed25519 AAAA x"]`, `invitation = "(sensitive)"`, `invitation = "`+exampleInvitation+`"`).
		Replace(debian+string(img.ShowHCL())))
	if spell(again.Packages) != spell(img.Packages) || again.Grow != img.Grow || read(t, again.Files[0].Blob) != "Port 22\n${x}\n" {
		t.Errorf("what is shown is another image:\n%s", img.ShowHCL())
	}
	if got := img.Secrets(); !slices.Contains(got, "hunter22") || !slices.Contains(got, "password=hunter22") {
		t.Errorf("secrets: %q", got)
	}
}

func TestDigest(t *testing.T) {
	digest := func(vars Options, files ...string) (Digest, Digest) {
		dir := write(t, files...)
		src, err := OpenSource(dir)
		if err != nil {
			t.Fatal(err)
		}
		m, diags := Load(t.Context(), src, vars)
		if diags.HasErrors() {
			t.Fatal(m.Err(diags))
		}
		img, _ := m.Image("a", "amd64")
		d, err := img.Digest()
		if err != nil {
			t.Fatal(err)
		}
		return m.Digest(), d
	}
	recipe := debian + `
variable "v" {
  default   = "x"
  sensitive = true
}
image "a" {
  overlay  = ["o"]
  hostname = "${var.v}"
  file "/x" {
    content = file("inc")
  }
}
`
	files := []string{"a.hcl", recipe, "inc", "one", "overlays/o/etc/x", "one", "overlays/unused/x", "one"}
	module, img := digest(Options{}, files...)
	if again, _ := digest(Options{}, files...); again.Sum != module.Sum {
		t.Error("the same recipe in another folder has another digest")
	}
	with := func(i int, s string) []string {
		c := slices.Clone(files)
		c[i] = s
		return c
	}
	for _, c := range []struct {
		what          string
		vars          Options
		files         []string
		module, image string
	}{
		{"a comment", Options{}, with(1, "# why\n"+recipe), "recipe:a.hcl", ""},
		{"a package", Options{}, with(1, strings.Replace(recipe, "overlay ", "packages = [\"tinc\"]\noverlay ", 1)), "recipe:a.hcl", "packages"},
		{"an include", Options{}, with(3, "two"), "include:inc", "files"},
		{"an overlay", Options{}, with(5, "two"), "overlay:o/etc/x", "overlays"},
		{"an overlay that nothing uses", Options{}, with(7, "two"), "", ""},
		{"a variable", Options{Vars: []VarInput{{Assign: "v=y"}}}, files, "variable:v", "hostname"},
		{"another file", Options{}, append(slices.Clone(files), "b.hcl", "image \"b\" {}\n"), "+recipe:b.hcl", ""},
	} {
		m, i := digest(c.vars, c.files...)
		if got := strings.Join(m.Changed(module), " "); got != c.module {
			t.Errorf("%s: changed in the module: %q, want %q", c.what, got, c.module)
		}
		if got := strings.Join(i.Changed(img), " "); got != c.image {
			t.Errorf("%s: changed in the image: %q, want %q", c.what, got, c.image)
		}
		if (m.Sum != module.Sum) != (c.module != "") || (i.Sum != img.Sum) != (c.image != "") {
			t.Errorf("%s: the sums do not go with the parts", c.what)
		}
	}
	text, _ := json.Marshal(module)
	if strings.Contains(string(text), `"x"`) {
		t.Errorf("the digest holds a value: %s", text)
	}
}

func TestVariablePrecedence(t *testing.T) {
	dir := write(t, "a.hcl", debian+`
variable "v" {
  type    = string
  default = "default"
}
variable "o" {
  type    = object({ name = string, port = optional(number, 22) })
  default = { name = "x" }
}
variable "any" {
  default = null
}
image "a" {
  release  = var.v
  hostname = "${var.o.name}-${var.o.port}"
}
`)
	more := write(t, "one.vars.hcl", "v = \"file one\"\n", "two.json", `{"v": "file two", "o": {"name": "j", "port": 1}}`)
	env := []string{"CLOUDY_VAR_v=env", "HOME=/root"}
	one, two := VarInput{File: more + "/one.vars.hcl"}, VarInput{File: more + "/two.json"}
	assign := VarInput{Assign: "v=a=b"}
	check := func(what, want, host string, auto string, opts Options) {
		t.Helper()
		if auto != "" {
			if err := os.WriteFile(dir+"/z.auto.vars.hcl", []byte(auto), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		src, err := OpenSource(dir)
		if err != nil {
			t.Fatal(err)
		}
		m, diags := Load(t.Context(), src, opts)
		if len(diags) > 0 {
			t.Fatal(m.Err(diags))
		}
		img, _ := m.Image("a", "amd64")
		if img.Release != want || img.Hostname != host {
			t.Errorf("%s: %s %s, want %s %s", what, img.Release, img.Hostname, want, host)
		}
	}
	check("default", "default", "x-22", "", Options{})
	check("environment", "env", "x-22", "", Options{Env: env})
	check("auto", "auto", "x-22", "v = \"auto\"\n", Options{Env: env})
	check("file", "file one", "x-22", "", Options{Env: env, Vars: []VarInput{one}})
	check("order", "a=b", "j-1", "", Options{Env: env, Vars: []VarInput{one, two, assign}})
	check("order", "file two", "j-1", "", Options{Env: env, Vars: []VarInput{assign, two}})
	check("object", "auto", "y-22", "", Options{Vars: []VarInput{{Assign: `o={name="y"}`}}})
}

func TestRenderColor(t *testing.T) {
	m, diags := load(t, debian+"image \"a\" {\n\thostnam = \"x\"\n}\n")
	var b strings.Builder
	m.Render(&b, diags, true)
	want := "\x1b[1;31merror\x1b[0m: \x1b[1mUnknown attribute \"hostnam\" in image \"a\"\x1b[0m\n  \x1b[36mmain.hcl:5:2\x1b[0m\n" +
		"      5 | \thostnam = \"x\"\n        | \t\x1b[1;31m^^^^^^^\x1b[0m\n  Did you mean \"hostname\"?\n"
	if b.String() != want {
		t.Errorf("got %q", b.String())
	}
}
