package recipe

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"cloudy/overlays"
	"cloudy/recipes"
)

// Embedded returns the recipes and overlays that are in the program, laid
// out as a recipe folder: *.hcl at the top, overlays/NAME below.
func Embedded() *Source {
	return NewSource(&mounted{base: recipes.FS, at: "overlays", sub: overlays.FS}, "embedded")
}

// mounted shows the file system sub in the folder at of base.
type mounted struct {
	base fs.FS
	at   string
	sub  fs.FS
}

// Open implements fs.FS.
func (m *mounted) Open(name string) (fs.File, error) {
	if name == m.at {
		return m.sub.Open(".")
	}
	if rest, ok := strings.CutPrefix(name, m.at+"/"); ok {
		return m.sub.Open(rest)
	}
	return m.base.Open(name)
}

// ErrExists says that WriteTo would have overwritten a file.
var ErrExists = errors.New("exists already")

// WriteTo writes the source's files to a folder of the host, which it makes
// when it is not there. It writes nothing at all when one of the files is
// there already. It returns the names written, relative to dir.
func (s *Source) WriteTo(dir string) ([]string, error) {
	modes := map[string]fs.FileMode{}
	collect := func(top string) error {
		return fs.WalkDir(s.fsys, top, func(name string, d fs.DirEntry, err error) error {
			if err != nil {
				return err
			}
			if d.Type().IsRegular() && !strings.HasSuffix(name, ".go") {
				modes[name] = 0o644
				if isScript(s.fsys, name) {
					modes[name] = 0o755
				}
			}
			return nil
		})
	}
	if err := errors.Join(collect("."), collect("overlays")); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("list the built-in recipes: %w", err)
	}
	var files []string
	for name := range modes {
		files = append(files, name)
	}
	slices.Sort(files)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, fmt.Errorf("make recipe folder: %w", err)
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, fmt.Errorf("open recipe folder: %w", err)
	}
	defer root.Close()
	for _, name := range files {
		if _, err := root.Lstat(name); err == nil {
			return nil, fmt.Errorf("write %s: %w", filepath.Join(dir, name), ErrExists)
		}
	}
	for _, name := range files {
		data, err := fs.ReadFile(s.fsys, name)
		if err != nil {
			return nil, fmt.Errorf("read built-in %s: %w", name, err)
		}
		if err := root.MkdirAll(path.Dir(name), 0o755); err != nil {
			return nil, fmt.Errorf("make folder for %s: %w", name, err)
		}
		f, err := root.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, modes[name])
		if err != nil {
			return nil, fmt.Errorf("write recipe: %w", err)
		}
		_, err = f.Write(data)
		if err = errors.Join(err, f.Close()); err != nil {
			return nil, fmt.Errorf("write %s: %w", name, err)
		}
	}
	return files, nil
}

// EmbeddedLab returns the built-in lab file of that name, or nil, and the
// names of all.
func EmbeddedLab(name string) (*Source, []string) {
	sub, err := fs.Sub(recipes.FS, "labs")
	if err != nil {
		return nil, nil
	}
	files, _ := fs.Glob(sub, "*.hcl")
	var found *Source
	var names []string
	for _, f := range files {
		names = append(names, strings.TrimSuffix(f, ".hcl"))
		if f == name+".hcl" {
			found = NewSource(sub, "embedded/labs")
			found.only = f
		}
	}
	return found, names
}
