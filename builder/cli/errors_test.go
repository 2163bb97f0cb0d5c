package cli

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"cloudy/builder/fail"
	"cloudy/builder/recipe"
)

// TestLocatedError shows a failure that a build finds as mistakes of the
// recipe are shown: the place with its source, and no list of what was being
// done.
func TestLocatedError(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "a.hcl"), []byte("archive \"debian\" {\n  suites = [\"trixie\"]\n}\nimage \"x\" {\n  timezone = \"Europe/Berln\"\n}\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	t.Chdir(dir)
	src, err := recipe.OpenSource(".")
	if err != nil {
		t.Fatal(err)
	}
	m, diags := recipe.Load(t.Context(), src, recipe.Options{})
	if diags.HasErrors() {
		t.Fatal(diags)
	}
	img, diags := m.Image("x", "amd64")
	if diags.HasErrors() {
		t.Fatal(diags)
	}
	var out bytes.Buffer
	a := &App{Err: &out, module: m}
	a.Flags.NoColor = true
	at := img.Where("timezone")
	code := a.renderError(fmt.Errorf("names: %w", fail.WithHint(fail.User, recipe.At(at, errors.New("no such zone\n| one\n| two")), "look")))
	want := "error: no such zone\n  a.hcl:5:14\n      5 |   timezone = \"Europe/Berln\"\n        |              ^^^^^^^^^^^^^^\n  | one\n  | two\nhint: look\n"
	if code != 2 || out.String() != want {
		t.Errorf("%d\n%s", code, out.String())
	}
	if err := recipe.At(at, nil); err != nil {
		t.Errorf("nothing became %v", err)
	}
	plain := errors.New("x")
	if recipe.At(recipe.Range{}, plain) != plain {
		t.Error("an error got a place that is nowhere")
	}
}

// TestScriptLog: no file without output, and none of a build before is lost.
func TestScriptLog(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "out")
	quiet := &scriptLog{dir: dir}
	quiet.Close()
	if _, err := os.Stat(dir); err == nil || quiet.Path() != "" {
		t.Error("a log of nothing")
	}
	log := &scriptLog{dir: dir}
	fmt.Fprintln(log, "one")
	fmt.Fprintln(log, "two")
	log.Close()
	(&scriptLog{dir: dir}).Close()
	if data, err := os.ReadFile(log.Path()); string(data) != "one\ntwo\n" {
		t.Errorf("%q %v", data, err)
	}
	lost := &scriptLog{dir: filepath.Join(log.Path(), "below")}
	if n, err := lost.Write([]byte("x")); n != 1 || err != nil {
		t.Errorf("a log that cannot be made stops the build: %v", err)
	}
}
