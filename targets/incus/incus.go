// Package incus makes images of system containers for Incus and LXD
// (doc/reference/image_format.md in Incus): one tarball, metadata with a
// squashfs, and a folder for a web server in the simplestreams format.
package incus

import (
	"context"
	"fmt"
	"slices"

	"cloudy/builder/disk/squashfs"
	"cloudy/builder/fail"
	"cloudy/builder/progress"
	"cloudy/builder/tree"
	"cloudy/targets"
	"cloudy/targets/compress"
	"cloudy/targets/container"
)

// The formats.
const (
	Unified       = "unified"
	Split         = "split"
	SimpleStreams = "simplestreams"
)

// Options are the target's options in a recipe.
type Options struct {
	Formats     []string // empty is Unified
	Compress    string   // of the unified tarball: zstd, gzip, xz, none; empty is zstd
	Description string
}

// Target is the incus target.
type Target struct{}

var _ targets.Target = Target{}

// Name is "incus".
func (Target) Name() string { return "incus" }

func options(arch string, v any) (Options, compress.Format, error) {
	o, err := targets.OptionsOf[Options]("incus", v)
	if err != nil {
		return o, "", err
	}
	if o.Formats, err = targets.Formats("incus", o.Formats, []string{Unified, Split, SimpleStreams}, Unified); err != nil {
		return o, "", err
	}
	if _, err := container.Machine(arch); err != nil {
		return o, "", fail.Mark(fail.User, fmt.Errorf("incus: %w", err))
	}
	f, err := container.Compression("incus", o.Compress, compress.Zstd, compress.Formats()...)
	return o, f, err
}

// Validate implements targets.Target.
func (Target) Validate(arch string, v any) error {
	_, _, err := options(arch, v)
	return err
}

// build is one image on its way.
type build struct {
	*targets.Request
	o      Options
	format compress.Format
	set    *container.Set
	root   *tree.Tree
	meta   *tree.Tree
}

// Build implements targets.Target.
func (Target) Build(ctx context.Context, r targets.Request) ([]targets.Artefact, error) {
	o, f, err := options(r.Arch, r.Options)
	if err != nil {
		return nil, err
	}
	b := &build{Request: &r, o: o, format: f, set: container.NewSet(&r), root: root(&r)}
	defer b.set.Discard()
	if b.meta, err = b.metadata(); err == nil {
		err = b.write(ctx)
	}
	if err != nil {
		return nil, fmt.Errorf("incus image %s: %w", r.Image, err)
	}
	return b.set.Commit(ctx)
}

// root is the root filesystem. Incus writes /etc/hostname and /etc/hosts out
// of its templates.
func root(r *targets.Request) *tree.Tree {
	return container.New(r.Root, r.Epoch).Tree()
}

func (b *build) write(ctx context.Context) error {
	if slices.Contains(b.o.Formats, Unified) {
		all := &tree.Tree{Entries: slices.Concat(b.meta.Entries, container.Below("rootfs", b.root).Entries)}
		all.Sort()
		name := b.BaseName + ".tar" + b.format.Suffix()
		a := container.TarArtefact(b.format, fmt.Sprintf("incus image import %s --alias %s && incus launch %s NAME", name, b.Image, b.Image))
		if _, err := b.set.Tar(ctx, name, a, b.format, all, ""); err != nil {
			return err
		}
	}
	split, streams := slices.Contains(b.o.Formats, Split), slices.Contains(b.o.Formats, SimpleStreams)
	if !split && !streams {
		return nil
	}
	// The tree of the web server holds the pair, so both come from one making.
	pair := b.set
	if !split {
		pair = container.NewSet(b.Request)
		defer pair.Discard()
	}
	meta, rootfs, err := b.pair(ctx, pair)
	if err != nil || !streams {
		return err
	}
	return b.streams(ctx, meta, rootfs)
}

// pair makes the metadata and the squashfs.
func (b *build) pair(ctx context.Context, set *container.Set) (meta, rootfs *targets.Output, err error) {
	metaName, rootName := b.BaseName+"-metadata.tar.xz", b.BaseName+"-rootfs.squashfs"
	usage := fmt.Sprintf("incus image import %s %s --alias %s", metaName, rootName, b.Image)
	if meta, err = set.Tar(ctx, metaName, container.TarArtefact(compress.XZ, usage), compress.XZ, b.meta, ""); err != nil {
		return nil, nil, err
	}
	rootfs, err = set.Add(ctx, rootName, targets.Artefact{Format: "squashfs", MediaType: "application/vnd.squashfs", Usage: usage},
		func(ctx context.Context, out *targets.Output) error {
			step := progress.Begin(ctx, rootName, b.root.Size(), progress.Bytes)
			_, err := squashfs.Write(ctx, out, 0, b.root, squashfs.Options{Epoch: b.Epoch, Copied: step.Add})
			return step.End(err)
		})
	return meta, rootfs, err
}
