package container

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"

	"cloudy/builder/fail"
	"cloudy/builder/progress"
	"cloudy/builder/tree"
	"cloudy/targets"
	"cloudy/targets/compress"
)

// Set collects the files of one target, which get their names together.
type Set struct {
	request *targets.Request
	files   []pending
}

type pending struct {
	out *targets.Output
	a   targets.Artefact
}

// NewSet begins a target's files. Discard must be called in the end.
func NewSet(r *targets.Request) *Set { return &Set{request: r} }

// Add makes a file and returns it, which the set keeps. Its content is what
// write writes; name is the whole name and a says the rest.
func (s *Set) Add(ctx context.Context, name string, a targets.Artefact, write func(context.Context, *targets.Output) error) (*targets.Output, error) {
	out, err := targets.Create(filepath.Join(s.request.OutDir, name))
	if err != nil {
		return nil, err
	}
	s.files = append(s.files, pending{out, a})
	if err := write(ctx, out); err != nil {
		return nil, fmt.Errorf("write %s: %w", name, err)
	}
	return out, nil
}

// Tar makes an archive of a tree. Names in it begin with prefix, which can
// be empty or "./".
func (s *Set) Tar(ctx context.Context, name string, a targets.Artefact, f compress.Format, t *tree.Tree, prefix string) (*targets.Output, error) {
	return s.Add(ctx, name, a, func(ctx context.Context, out *targets.Output) error {
		step := progress.Begin(ctx, name, t.Size(), progress.Bytes)
		return step.End(WriteTar(ctx, out.Stream(), f, t, tree.TarOptions{Prefix: prefix, Copied: step.Add}))
	})
}

// Text makes a small file.
func (s *Set) Text(ctx context.Context, name string, a targets.Artefact, content string) (*targets.Output, error) {
	return s.Add(ctx, name, a, func(_ context.Context, out *targets.Output) error {
		_, err := io.WriteString(out, content)
		return err
	})
}

// Commit gives all files their names.
func (s *Set) Commit(ctx context.Context) ([]targets.Artefact, error) {
	var done []targets.Artefact
	for _, p := range s.files {
		a, err := p.out.Commit(ctx, p.a)
		if err != nil {
			return nil, errors.Join(err, targets.Remove(done))
		}
		done = append(done, a)
	}
	return done, nil
}

// Discard removes what was not committed.
func (s *Set) Discard() {
	for _, p := range s.files {
		p.out.Discard()
	}
}

// WriteTar packs a tree into w.
func WriteTar(ctx context.Context, w io.Writer, f compress.Format, t *tree.Tree, opts tree.TarOptions) error {
	z, err := compress.NewWriter(w, f)
	if err != nil {
		return err
	}
	if f != compress.None { // which collects by itself
		return errors.Join(t.WriteTar(ctx, z, opts), z.Close())
	}
	// Headers come in pieces of 512 bytes.
	buf := bufio.NewWriterSize(z, 1<<20)
	err = t.WriteTar(ctx, buf, opts)
	if err == nil {
		err = buf.Flush()
	}
	return errors.Join(err, z.Close())
}

// TarArtefact describes an archive.
func TarArtefact(f compress.Format, usage string) targets.Artefact {
	return targets.Artefact{Format: "tar" + f.Suffix(), MediaType: "application/x-tar" + f.MediaTypeSuffix(), Usage: usage}
}

// Compression returns the format of a recipe, or def for none, when it is one
// of those allowed. Its error is the user's and names the target.
func Compression(target, name string, def compress.Format, allowed ...compress.Format) (compress.Format, error) {
	f := compress.Format(name)
	if f == "" {
		return def, nil
	}
	for _, a := range allowed {
		if f == a {
			return f, nil
		}
	}
	return "", fail.Mark(fail.User, fmt.Errorf("%s: compression %q is none of %v", target, name, allowed))
}
