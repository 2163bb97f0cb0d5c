// Package tar makes a tarball of a root filesystem. The same tree always
// gives the same bytes: names sorted, numeric owners, PAX records only where
// the plain header has no room.
package tar

import (
	"context"
	"fmt"
	"path/filepath"

	"cloudy/builder/fail"
	"cloudy/builder/progress"
	"cloudy/builder/tree"
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
	o := Options{}
	switch v := v.(type) {
	case nil:
	case Options:
		o = v
	case *Options:
		o = *v
	default:
		return "", fmt.Errorf("tar: options of type %T", v)
	}
	f := compress.Format(o.Compress)
	if f == "" {
		f = compress.Zstd
	}
	if err := f.Check(); err != nil {
		return "", fail.Mark(fail.User, fmt.Errorf("tar: %w", err))
	}
	return f, nil
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
	a, err := build(ctx, &r, f)
	if err != nil {
		return nil, fmt.Errorf("tarball of %s: %w", r.Image, err)
	}
	return []targets.Artefact{a}, nil
}

func build(ctx context.Context, r *targets.Request, f compress.Format) (targets.Artefact, error) {
	name := r.BaseName + ".tar" + f.Suffix()
	a := targets.Artefact{
		Format: "tar" + f.Suffix(), MediaType: "application/x-tar" + f.MediaTypeSuffix(),
		Usage: "tar --numeric-owner --xattrs --xattrs-include='*' -xpf " + name + " -C DIRECTORY",
	}
	out, err := targets.Create(filepath.Join(r.OutDir, name))
	if err != nil {
		return a, err
	}
	defer out.Discard()
	step := progress.Begin(ctx, "tarball", r.Root.Size(), progress.Bytes)
	if err := step.End(container.WriteTar(ctx, out.Stream(), f, r.Root, tree.TarOptions{Prefix: "./", Copied: step.Add})); err != nil {
		return a, err
	}
	return out.Commit(ctx, a)
}
