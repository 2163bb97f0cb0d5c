package recipe

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
)

// write makes files in a new folder.
func write(t *testing.T, files ...string) string {
	t.Helper()
	dir := t.TempDir()
	for i := 0; i+1 < len(files); i += 2 {
		name := filepath.Join(dir, files[i])
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte(files[i+1]), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// TestWriteTo writes the built-in recipes out and loads them from there:
// both must be the same recipe, whatever the umask.
func TestWriteTo(t *testing.T) {
	old := syscall.Umask(0o077)
	defer syscall.Umask(old)
	dir := filepath.Join(t.TempDir(), "new")
	files, err := Embedded().WriteTo(dir)
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Contains(files, "cloudy.hcl") || !slices.Contains(files, "overlays/common/usr/lib/cloudy/ready") || slices.Contains(files, "embed.go") {
		t.Errorf("wrote %v", files)
	}
	src, err := OpenSource(dir)
	if err != nil {
		t.Fatal(err)
	}
	out, diags := Load(t.Context(), src, Options{})
	if len(diags) > 0 {
		t.Fatal(out.Err(diags))
	}
	in, _ := Load(t.Context(), Embedded(), Options{})
	if changed := out.Digest().Changed(in.Digest()); len(changed) > 0 {
		t.Errorf("written out, the recipe differs: %v", changed)
	}
	for _, name := range in.Images() {
		a, _ := in.Image(name, "amd64")
		b, _ := out.Image(name, "amd64")
		da, _ := a.Digest()
		db, _ := b.Digest()
		if changed := db.Changed(da); len(changed) > 0 {
			t.Errorf("written out, image %s differs: %v", name, changed)
		}
	}
	before, err := os.ReadFile(filepath.Join(dir, "cloudy.hcl"))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(filepath.Join(dir, "archives.hcl")); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "cloudy.hcl"), append(before, '\n'), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := Embedded().WriteTo(dir); !errors.Is(err, ErrExists) {
		t.Errorf("writing again: %v", err)
	}
	if _, err := os.Stat(filepath.Join(dir, "archives.hcl")); err == nil {
		t.Error("something was written although a file was there")
	}
}

func TestOneFile(t *testing.T) {
	dir := write(t, "a.hcl", debian+"image \"a\" {}\n", "b.hcl", "nonsense {")
	src, err := OpenSource(filepath.Join(dir, "a.hcl"))
	if err != nil {
		t.Fatal(err)
	}
	m, diags := Load(t.Context(), src, Options{})
	if diags.HasErrors() || !slices.Equal(m.Images(), []string{"a"}) {
		t.Error(m.Err(diags), m.Images())
	}
}

// TestEscape tries to read outside of the recipe folder.
func TestEscape(t *testing.T) {
	secret := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(secret, []byte("hunter2"), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, expr := range []string{
		`file("link")`, `file("../secret")`, `file("` + secret + `")`, `file("dir/secret")`, `filebase64("link")`,
		`templatefile("link", {})`, `filesha256("dir/../../secret")`, `join(",", fileset("..", "*"))`,
	} {
		t.Run(expr, func(t *testing.T) {
			dir := write(t, "a.hcl", debian+"image \"a\" {\n  release = "+expr+"\n}\n")
			if err := os.Symlink(secret, filepath.Join(dir, "link")); err != nil {
				t.Fatal(err)
			}
			if err := os.Symlink(filepath.Dir(secret), filepath.Join(dir, "dir")); err != nil {
				t.Fatal(err)
			}
			src, err := OpenSource(dir)
			if err != nil {
				t.Fatal(err)
			}
			m, diags := Load(t.Context(), src, Options{})
			if !diags.HasErrors() {
				img, _ := m.Image("a", "amd64")
				t.Fatalf("read it: %q", img.Release)
			}
		})
	}
	dir := write(t, "a.hcl", debian+"image \"a\" {\n  overlay = [\"o\"]\n}\n", "overlays/o/x", "x")
	if err := os.Symlink(secret, filepath.Join(dir, "overlays/o/link")); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(filepath.Join(dir, "overlays/o/x"), 0o775); err != nil {
		t.Fatal(err)
	}
	src, err := OpenSource(dir)
	if err != nil {
		t.Fatal(err)
	}
	m, diags := Load(t.Context(), src, Options{})
	if diags.HasErrors() {
		t.Fatal(m.Err(diags))
	}
	img, _ := m.Image("a", "amd64")
	entries := img.Overlays[0].Entries
	if len(entries) != 2 || entries[0].Type != 'l' || entries[0].Link != secret || entries[1].Mode != 0o755 {
		t.Errorf("an overlay keeps a link as a link and the x bit, nothing else: %+v", entries)
	}
}

// TestChangedWhileBuilding reads a file that is no longer what was loaded.
func TestChangedWhileBuilding(t *testing.T) {
	dir := write(t, "a.hcl", debian+"image \"a\" {\n  file \"/x\" {\n    source = \"x\"\n  }\n}\n", "x", "before")
	src, err := OpenSource(dir)
	if err != nil {
		t.Fatal(err)
	}
	m, diags := Load(t.Context(), src, Options{})
	if diags.HasErrors() {
		t.Fatal(m.Err(diags))
	}
	img, _ := m.Image("a", "amd64")
	if err := os.WriteFile(filepath.Join(dir, "x"), []byte("after!"), 0o644); err != nil {
		t.Fatal(err)
	}
	r, err := img.Files[0].Open()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if _, err := io.ReadAll(r); !errors.Is(err, errChanged) {
		t.Errorf("reading gave %v", err)
	}
}

func TestFormat(t *testing.T) {
	dir := write(t, "a.hcl", "image \"a\" {\r\nhostname=\"x\"\nlocale    = \"C.UTF-8\" # why\n}\n\n\n", "b.hcl", "image {", "c.hcl", "locals {\n  a = 1\n}\n", "x.auto.vars.hcl", "a=1\n")
	src, err := OpenSource(dir)
	if err != nil {
		t.Fatal(err)
	}
	files, m, diags := src.Format()
	if len(files) != 3 || !diags.HasErrors() {
		t.Fatalf("%v %v", files, diags)
	}
	if want := "image \"a\" {\n  hostname = \"x\"\n  locale   = \"C.UTF-8\" # why\n}\n"; string(files[0].New) != want {
		t.Errorf("got %q", files[0].New)
	}
	if files[1].Changed() || files[1].Diff() != nil || !files[0].Changed() || !strings.Contains(string(files[0].Diff()), "+  hostname = \"x\"") {
		t.Errorf("%s", files[0].Diff())
	}
	if !strings.Contains(m.Err(diags).Error(), "b.hcl:1:7") {
		t.Error(m.Err(diags))
	}
	again, _ := Format("a.hcl", files[0].New)
	if string(again) != string(files[0].New) {
		t.Error("formatting twice changes the file again")
	}
}
