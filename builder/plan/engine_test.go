package plan

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"cloudy/builder/archive"
	"cloudy/builder/archive/archivetest"
	"cloudy/builder/lock"
	"cloudy/builder/recipe"
	"cloudy/builder/store"
	"cloudy/targets"
)

type pkg = archivetest.Package

// debian is a very small archive.
func debian() []pkg {
	return []pkg{
		{Name: "base-files", Fields: "Essential: yes\nPriority: required\nPre-Depends: awk"},
		{Name: "mawk", Fields: "Provides: awk\nPriority: required\nDepends: libc6"},
		{Name: "libc6", Architecture: "amd64", Version: "2.41-12", Fields: "Priority: optional"},
		{Name: "apt", Fields: "Priority: important\nDepends: libapt"},
		{Name: "libapt"},
		{Name: "tzdata", Fields: "Priority: required"},
		{Name: "squid", Version: "6.13-2", Fields: "Depends: squid-common (>= 6)\nRecommends: ca-certs"},
		{Name: "squid-common", Version: "6.13-2"},
		{Name: "ca-certs"},
		{Name: "tinc", Fields: "Depends: libc6"},
	}
}

// world is a recipe folder, an archive and an engine on a store.
type world struct {
	t   *testing.T
	dir string // of the recipe
	srv *archivetest.Server
	e   *Engine
}

func newWorld(t *testing.T, pkgs []pkg) *world {
	t.Helper()
	w := &world{t: t, dir: t.TempDir()}
	w.srv = archivetest.Serve(t, archivetest.Archive{Suites: []archivetest.Suite{{Name: "trixie", Packages: pkgs}}})
	st, err := store.Open(t.TempDir(), store.WithoutSync())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { st.Close() })
	mirrors, err := archive.FindMirrors(archive.MirrorConfig{})
	if err != nil {
		t.Fatal(err)
	}
	w.e = &Engine{Store: st, Mirrors: mirrors, OutDir: t.TempDir()}
	w.write("keys/test.asc", string(w.srv.Keyring))
	return w
}

func (w *world) write(name, text string) {
	w.t.Helper()
	full := filepath.Join(w.dir, name)
	if err := os.MkdirAll(filepath.Dir(full), 0o755); err != nil {
		w.t.Fatal(err)
	}
	if err := os.WriteFile(full, []byte(text), 0o644); err != nil {
		w.t.Fatal(err)
	}
}

// image evaluates the recipe with lines of an image block.
func (w *world) image(lines string) (*recipe.Image, map[string]string) {
	w.t.Helper()
	w.write("main.hcl", fmt.Sprintf(`
archive "test" {
  url        = %q
  suites     = ["trixie"]
  components = ["main"]
  keyring    = "keys/test.asc"
}
image "node" {
  archives = [archive.test]
  %s
  target "tar" {}
  target "vm" { disk_size = "1GiB" }
}
`, w.srv.URL, lines))
	src, err := recipe.OpenSource(w.dir)
	if err != nil {
		w.t.Fatal(err)
	}
	m, diags := recipe.Load(context.Background(), src, recipe.Options{})
	if diags.HasErrors() {
		w.t.Fatal(m.Err(diags))
	}
	img, diags := m.Image("node", "amd64")
	if diags.HasErrors() {
		w.t.Fatal(m.Err(diags))
	}
	d, err := img.Digest()
	if err != nil {
		w.t.Fatal(err)
	}
	return img, d.Parts
}

func (w *world) build(img *recipe.Image, l *lock.Image) *Build {
	w.t.Helper()
	b, err := w.e.New(img, l, img.Targets)
	if err != nil {
		w.t.Fatal(err)
	}
	return b
}

// pretend puts empty results of all steps where a build would.
func (w *world) pretend(b *Build) {
	w.t.Helper()
	for _, s := range b.Steps {
		stored := strings.HasPrefix(s.Name, "packages") || strings.HasPrefix(s.Name, "run ") || s.Name == "customise" && len(b.runs) > 0
		if !stored || w.e.hasLayer(s.Key) {
			continue
		}
		p, err := w.e.Store.NewLayer(s.Key)
		if err != nil {
			w.t.Fatal(err)
		}
		manifest, err := store.Manifest(context.Background(), p.Dir(), false)
		if err != nil {
			w.t.Fatal(err)
		}
		if _, err := p.Commit(store.Meta{Description: s.Name}, manifest); err != nil {
			w.t.Fatal(err)
		}
	}
	for i, t := range b.Targets {
		file := filepath.Join(w.e.OutDir, b.base(t)+".bin")
		if err := os.WriteFile(file, []byte(t.Name), 0o644); err != nil {
			w.t.Fatal(err)
		}
		if err := w.e.noteArtefacts(b.base(t), b.targets[i].Key, []targets.Artefact{{Path: file, Size: int64(len(t.Name))}}); err != nil {
			w.t.Fatal(err)
		}
	}
	if err := saveRecord(w.e.Store, b.Image.Name, b.Image.Arch, b.Steps); err != nil {
		w.t.Fatal(err)
	}
}

func names(l *lock.Image) string {
	var out []string
	for _, p := range l.Packages {
		n := p.Name
		if p.Base {
			n = "+" + n
		}
		if p.Batch > 0 {
			n += fmt.Sprintf("#%d", p.Batch)
		}
		out = append(out, n)
	}
	return strings.Join(out, " ")
}

func reasons(b *Build) string {
	var out []string
	for _, s := range b.Steps {
		r := s.Reason
		if s.Cached {
			r = "cached"
		}
		out = append(out, s.Name+": "+r)
	}
	return strings.Join(out, "\n")
}
