package flash

import (
	"context"
	"crypto/sha256"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"cloudy/builder/fail"
	"cloudy/builder/registry"
)

// refScheme marks a source that is in a registry.
const refScheme = "oci://"

// IsRef says whether a source is in a registry: oci://HOST/REPOSITORY:TAG, with
// #FILE behind it where an artefact has several.
func IsRef(source string) bool { return strings.HasPrefix(source, refScheme) }

// Pull brings an image, and its block map if there is one, out of a registry
// into a folder of its own below dir, and goes on where an earlier pull broke
// off. done removes the files.
func Pull(ctx context.Context, c *registry.Client, source, arch, dir string) (image, mapPath string, done func(), err error) {
	ref, file, _ := strings.Cut(strings.TrimPrefix(source, refScheme), "#")
	sum := sha256.Sum256([]byte(source + "\n" + arch))
	into := filepath.Join(dir, fmt.Sprintf("%x", sum[:8]))
	req := registry.PullRequest{Ref: ref, Dir: into, Arch: arch}
	if file != "" {
		req.Only = []string{file}
	}
	list, err := c.Pull(ctx, req)
	if err != nil {
		return "", "", nil, err
	}
	if file != "" { // and its map, where there is one
		for _, m := range mapNames(file) {
			req.Only = []string{m}
			if more, err := c.Pull(ctx, req); err == nil {
				list = append(list, more...)
				break
			}
		}
	}
	done = func() { _ = os.RemoveAll(into) }
	maps := map[string]bool{}
	var images []string
	for _, f := range list {
		name := filepath.Base(f.Path)
		switch {
		case strings.HasSuffix(name, ".bmap"):
			maps[name] = true
		case name == file, file == "" && !f.Image && flashable(name):
			images = append(images, name)
		}
	}
	if len(images) != 1 {
		done()
		hint := "a disk image in a registry is an artefact with one, pushed by \"cloudy push\""
		if len(images) > 1 {
			hint = fmt.Sprintf("%s%s#%s names one", refScheme, ref, images[0])
		}
		return "", "", nil, fail.WithHint(fail.User, fmt.Errorf("%s has %d disk images: %s", ref, len(images), strings.Join(images, ", ")), hint)
	}
	mapPath = "none"
	for _, m := range mapNames(images[0]) {
		if maps[m] {
			mapPath = filepath.Join(into, m)
			break
		}
	}
	return filepath.Join(into, images[0]), mapPath, done, nil
}

// flashable tells disk images by their names.
func flashable(name string) bool {
	for _, suffix := range []string{".zst", ".xz", ".gz", ".bz2", ".lz4"} {
		name = strings.TrimSuffix(name, suffix)
	}
	for _, suffix := range []string{".raw", ".img", ".qcow2", ".iso"} {
		if strings.HasSuffix(name, suffix) {
			return true
		}
	}
	return false
}
