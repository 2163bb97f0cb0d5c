// Package tar makes a tarball of a root filesystem. The same tree always
// gives the same bytes: names sorted, numeric owners, PAX records only where
// the plain header has no room.
package tar

import (
	"context"
	"fmt"

	"cloudy/targets"
	"cloudy/targets/compress"
	"cloudy/targets/container"
)

// Options are the target's options in a recipe. The zero value means zstd.
type Options struct {
	Compress string // zstd, gzip, xz, none
}

// Target is the tar target.
type Target struct{}

var _ targets.Target = Target{}

// Name is "tar".
func (Target) Name() string { return "tar" }

func format(v any) (compress.Format, error) {
	o, err := targets.OptionsOf[Options]("tar", v)
	if err != nil {
		return "", err
	}
	return container.Compression("tar", o.Compress, compress.Zstd, compress.Formats()...)
}

// Validate implements targets.Target. A tarball can be of any architecture.
func (Target) Validate(_ string, options any) error {
	_, err := format(options)
	return err
}

// Build implements targets.Target: one file, BaseName.tar with the suffix of
// its compression.
func (Target) Build(ctx context.Context, r targets.Request) ([]targets.Artefact, error) {
	f, err := format(r.Options)
	if err != nil {
		return nil, err
	}
	set := container.NewSet(&r)
	defer set.Discard()
	name := r.BaseName + ".tar" + f.Suffix()
	a := container.TarArtefact(f, "tar --numeric-owner --xattrs --xattrs-include='*' -xpf "+name+" -C DIRECTORY")
	if _, err := set.Tar(ctx, name, a, f, r.Root, "./"); err != nil {
		return nil, fmt.Errorf("tarball of %s: %w", r.Image, err)
	}
	return set.Commit(ctx)
}
