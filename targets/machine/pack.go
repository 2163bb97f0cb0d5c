package machine

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"golang.org/x/sync/errgroup"

	"cloudy/builder/disk/sparse"
	"cloudy/builder/fail"
	"cloudy/builder/progress"
	"cloudy/targets"
)

// Format is one kind of file that is made of the disk.
type Format struct {
	Name      string // in a recipe: "qcow2"
	Suffix    string // of the file's name, with the dot
	MediaType string
	Usage     string // one line that says how to use it

	// Make writes the file out of the raw disk, which it must not change, and
	// reports how far it is. Without it the file is the raw disk itself.
	Make func(ctx context.Context, out *targets.Output, raw *Raw, done func(n, total int64)) error
}

// Raw is the disk as a sparse file, for one format to read.
type Raw struct {
	*os.File
	Zeros []sparse.Extent // what Write returns
}

// Image is a disk that knows how to be written.
type Image struct {
	Base string // path of its files without a suffix
	Size int64  // bytes

	// Write writes it into a new sparse file, and returns the parts whose zeros
	// count for who writes it to a medium that has been used.
	Write func(ctx context.Context, f Medium) (zeros []sparse.Extent, err error)
}

// Build makes all the formats of the disk.
func (b *Disk) Build(ctx context.Context, formats []Format) ([]targets.Artefact, error) {
	return Image{b.Path(""), b.Size(), b.Write}.Build(ctx, formats)
}

// Build writes the disk once, as a sparse file, and all the formats of it side
// by side. Files get their names in the end, all or none of them.
func (im Image) Build(ctx context.Context, formats []Format) (_ []targets.Artefact, err error) {
	raw, err := targets.Create(im.Base + ".raw")
	if err != nil {
		return nil, err
	}
	defer raw.Discard()
	step := progress.Begin(ctx, "disk image", 0, progress.Bytes)
	var medium Medium = raw.File
	if slices.ContainsFunc(formats, func(f Format) bool { return f.Make == nil }) {
		medium = raw // hashed while it is written
	}
	zeros, err := im.file(ctx, raw, medium)
	if err := step.End(err); err != nil {
		return nil, err
	}
	files := make([]*targets.Output, len(formats))
	g, gctx := errgroup.WithContext(ctx)
	for i, f := range formats {
		if f.Make == nil {
			if files[i] = raw; len(formats) > 1 { // else Commit has nothing to wait for
				g.Go(func() error { _, err := raw.Hash(gctx); return err })
			}
			continue
		}
		out, err := targets.Create(im.Base + f.Suffix)
		if err != nil {
			return nil, errors.Join(err, g.Wait())
		}
		defer out.Discard()
		files[i] = out
		g.Go(func() error { return f.make(gctx, out, raw.Name(), zeros) })
	}
	if err := g.Wait(); err != nil {
		return nil, err
	}
	var made []targets.Artefact
	for i, f := range formats {
		a, err := files[i].Commit(ctx, targets.Artefact{Format: f.Name, MediaType: f.MediaType, Usage: f.Usage})
		if err != nil {
			return nil, errors.Join(err, targets.Remove(made))
		}
		made = append(made, a)
	}
	return made, nil
}

// make writes one file. It has the raw disk open for itself: looking for holes
// moves a file's offset.
func (f *Format) make(ctx context.Context, out *targets.Output, raw string, zeros []sparse.Extent) error {
	src, err := os.Open(raw)
	if err != nil {
		return err
	}
	defer src.Close()
	step := progress.Begin(ctx, f.Name, 0, progress.Bytes)
	known := false
	err = f.Make(ctx, out, &Raw{src, zeros}, func(n, total int64) {
		if !known {
			step.Grow(total)
			known = true
		}
		step.Add(n)
	})
	if err == nil {
		_, err = out.Hash(ctx)
	}
	return step.End(err)
}

// file writes the disk into a new file, which is to be seen as m.
func (im Image) file(ctx context.Context, f *targets.Output, m Medium) ([]sparse.Extent, error) {
	if err := f.Truncate(im.Size); err != nil {
		return nil, fail.Mark(fail.Host, fmt.Errorf("make a disk image of %d bytes: %w", im.Size, err))
	}
	return im.Write(ctx, m)
}

// Path is where an artefact of the disk goes.
func (b *Disk) Path(suffix string) string { return filepath.Join(b.OutDir, b.BaseName+suffix) }
