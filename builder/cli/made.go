package cli

import (
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"cloudy/builder/progress"
	"cloudy/targets"
)

// printMade tells what was built: paths on stdout, sizes and how to use it on
// stderr, once for files that are used together.
func (a *App) printMade(made []targets.Artefact) {
	paths := map[string]string{}
	for _, f := range made {
		paths[filepath.Base(f.Path)] = filepath.ToSlash(f.Path)
	}
	for i, f := range made {
		printf(a.Out, "%s\n", filepath.ToSlash(f.Path))
		printf(a.Err, "  %s\n", progress.FormatBytes(f.Size))
		if i+1 == len(made) || made[i+1].Usage != f.Usage {
			printf(a.Err, "  %s\n", usageAt(f.Usage, paths))
		}
	}
	a.adviseIndex(made)
}

var fileName = regexp.MustCompile(`(\$PWD/)?[A-Za-z0-9._+-]+`)

// usageAt puts the paths of files into a line that a target wrote for
// somebody who is in their folder.
func usageAt(usage string, paths map[string]string) string {
	return fileName.ReplaceAllStringFunc(usage, func(word string) string {
		name, here := strings.CutPrefix(word, "$PWD/")
		path, ok := paths[name]
		switch {
		case !ok:
			return word
		case here && !filepath.IsAbs(path):
			return "$PWD/" + path
		}
		return path
	})
}

// adviseIndex tells how container images of several architectures come under
// one tag.
func (a *App) adviseIndex(made []targets.Artefact) {
	var files []string
	for _, f := range made {
		if f.Format == "oci" && !slices.Contains(files, f.Path) {
			files = append(files, filepath.ToSlash(f.Path))
		}
	}
	if len(a.Flags.Archs) > 1 && len(files) == len(a.Flags.Archs) {
		printf(a.Err, "all architectures under one tag: cloudy push %s REGISTRY/REPOSITORY:TAG\n", strings.Join(files, " "))
	}
}
