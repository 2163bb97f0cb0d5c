package recipe

import (
	"io"
	"os"
	"path/filepath"
	"testing"
	"testing/fstest"

	"golang.org/x/tools/txtar"
)

// FuzzLoad loads arbitrary text as a recipe, and does with it all that the
// commands do. Nothing may panic, whatever is in it.
func FuzzLoad(f *testing.F) {
	cases, err := filepath.Glob("testdata/diagnostics/*.txtar")
	if err != nil {
		f.Fatal(err)
	}
	for _, name := range cases {
		a, err := txtar.ParseFile(name)
		if err != nil {
			f.Fatal(err)
		}
		for _, file := range a.Files {
			f.Add(file.Data)
		}
	}
	for _, name := range []string{"../../recipes/cloudy.hcl", "../../recipes/bench.hcl"} {
		data, err := os.ReadFile(name)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	f.Add([]byte(showRecipe))
	f.Fuzz(func(t *testing.T, data []byte) {
		fsys := fstest.MapFS{"a.hcl": {Data: data}, "x.auto.vars.hcl": {Data: data}, "motd.tpl": {Data: data}, "overlays/common/x": {Data: data}}
		m, diags := Load(t.Context(), NewSource(fsys, ""), Options{Env: []string{"CLOUDY_VAR_v=" + string(data)}, Vars: []VarInput{{Assign: string(data)}}})
		m.Render(io.Discard, diags, true)
		m.Digest()
		for _, v := range m.Variables() {
			_ = v.Text()
		}
		if diags.HasErrors() {
			return
		}
		for _, name := range m.Images() {
			for _, arch := range m.Architectures(name) {
				img, diags := m.Image(name, arch)
				if diags.HasErrors() {
					t.Fatal("Load found no mistake, Image did", diags)
				}
				if _, diags := Format("", img.ShowHCL()); diags.HasErrors() {
					t.Fatalf("what is shown is not HCL: %v\n%s", diags, img.ShowHCL())
				}
				if _, err := img.ShowJSON(); err != nil {
					t.Fatal(err)
				}
				if _, err := img.Digest(); err != nil {
					t.Fatal(err)
				}
			}
		}
	})
}

// FuzzPackage reads packages: what is accepted is written back the same.
func FuzzPackage(f *testing.F) {
	for _, s := range []string{"tinc", "-tinc", "vim:armhf=1:2-3", "a/b", "=", ":"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if p, err := parsePackage(s); err == nil && p.String() != s {
			t.Errorf("%q became %q", s, p)
		}
	})
}
