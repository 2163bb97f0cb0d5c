package registry

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote"

	"cloudy/builder/fail"
	"cloudy/builder/progress"
)

// PullRequest is what is wanted from a registry.
type PullRequest struct {
	Ref    string
	Dir    string   // where files go; it is made
	Arch   string   // Debian's name; which image of an index
	Only   []string // names of an artefact's files; empty is all
	Titled string   // name of the image's file without a suffix; empty is repository and architecture
}

// Pulled is a file from a registry.
type Pulled struct {
	Path   string
	Size   int64
	Digest string // of the manifest that names it
	Image  bool   // it is a container image in an OCI layout
}

// Pull brings what a reference names into files: those of an artefact under
// their own names, or a container image as an OCI layout in a tar file. A
// file that is there already stays; one that was begun is gone on with.
func (c *Client) Pull(ctx context.Context, r PullRequest) ([]Pulled, error) {
	ref, err := c.Parse(r.Ref)
	if err != nil {
		return nil, err
	}
	got, err := remote.Get(ref, c.remote(ctx)...)
	if err != nil {
		return nil, c.explain("pull", ref, err)
	}
	if err := os.MkdirAll(r.Dir, 0o755); err != nil {
		return nil, fail.Mark(fail.Host, err)
	}
	src, err := c.source(ctx, ref.Context())
	if err != nil {
		return nil, c.explain("pull", ref, err)
	}
	p := &pull{client: c, source: src, ref: ref, PullRequest: r}
	out, err := p.manifest(ctx, got.Descriptor, got.Manifest)
	return out, c.explain("pull", ref, err)
}

type pull struct {
	PullRequest
	client *Client
	source *source
	ref    name.Reference
}

func (p *pull) manifest(ctx context.Context, d v1.Descriptor, raw []byte) ([]Pulled, error) {
	if d.MediaType.IsIndex() {
		return p.index(ctx, raw)
	}
	m, err := v1.ParseManifest(bytes.NewReader(raw))
	if err != nil {
		return nil, fail.Mark(fail.Network, fmt.Errorf("%s: manifest: %w", p.ref, err))
	}
	if m.Config.MediaType.IsConfig() {
		return p.image(ctx, d, raw, m)
	}
	return p.files(ctx, d, m)
}

// index pulls the one image of an index that is for the architecture.
func (p *pull) index(ctx context.Context, raw []byte) ([]Pulled, error) {
	index, err := v1.ParseIndexManifest(bytes.NewReader(raw))
	if err != nil {
		return nil, fail.Mark(fail.Network, fmt.Errorf("%s: index: %w", p.ref, err))
	}
	want, ok := Platform(p.Arch)
	if !ok {
		return nil, fail.Mark(fail.User, fmt.Errorf("registries have no name for architecture %q", p.Arch))
	}
	var has []string
	for _, d := range index.Manifests {
		if d.Platform == nil {
			continue
		}
		if d.Platform.OS == want.OS && d.Platform.Architecture == want.Architecture && (want.Variant == "" || d.Platform.Variant == "" || d.Platform.Variant == want.Variant) {
			ref := p.ref.Context().Digest(d.Digest.String())
			got, err := remote.Get(ref, p.client.remote(ctx)...)
			if err != nil {
				return nil, err
			}
			return p.manifest(ctx, got.Descriptor, got.Manifest)
		}
		has = append(has, d.Platform.String())
	}
	return nil, fail.WithHint(fail.User, fmt.Errorf("%s has no image for %s", p.ref, p.Arch), "it has "+strings.Join(has, ", ")+"; --arch chooses")
}

// files pulls the files of an artefact.
func (p *pull) files(ctx context.Context, d v1.Descriptor, m *v1.Manifest) ([]Pulled, error) {
	var out []Pulled
	var names []string
	for _, l := range m.Layers {
		title := l.Annotations[titleAnnotation]
		if title == "" {
			continue
		}
		names = append(names, title)
		if len(p.Only) > 0 && !slices.Contains(p.Only, title) {
			continue
		}
		if title != filepath.Base(title) || !filepath.IsLocal(title) || strings.HasPrefix(title, ".") || strings.ContainsAny(title, "/\\\x00") {
			return nil, fail.Mark(fail.Network, fmt.Errorf("%s: a file of it wants to be called %q, which is refused", p.ref, title))
		}
		path := filepath.Join(p.Dir, title)
		if err := p.file(ctx, l, path); err != nil {
			return nil, err
		}
		out = append(out, Pulled{Path: path, Size: l.Size, Digest: d.Digest.String()})
	}
	for _, o := range p.Only {
		if !slices.Contains(names, o) {
			return nil, fail.WithHint(fail.User, fmt.Errorf("%s has no file %q", p.ref, o), "it has "+strings.Join(names, ", "))
		}
	}
	if len(out) == 0 {
		return nil, fail.Mark(fail.User, fmt.Errorf("%s has no files, it is of type %s", p.ref, m.ArtifactType))
	}
	return out, nil
}

// file brings one blob into a file. What an earlier try has left of it is
// read and gone on with.
func (p *pull) file(ctx context.Context, d v1.Descriptor, path string) error {
	if sum, size, err := hashFile(path); err == nil && size == d.Size && sum == d.Digest.Hex {
		progress.Begin(ctx, "pull "+filepath.Base(path), 0, progress.Bytes).Cached("it is there already")
		return nil
	}
	part := filepath.Join(filepath.Dir(path), ".cloudy-"+d.Digest.Hex[:min(16, len(d.Digest.Hex))]+".part")
	f, err := os.OpenFile(part, os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		return fail.Mark(fail.Host, err)
	}
	defer f.Close()
	step := progress.Begin(ctx, "pull "+filepath.Base(path), d.Size, progress.Bytes)
	err = p.fill(ctx, d, f, step)
	if errors.Is(err, ErrDigest) {
		os.Remove(part) // it would be as wrong the next time
	}
	if err == nil {
		err = fail.Mark(fail.Host, errors.Join(f.Sync(), f.Close(), os.Rename(part, path)))
	}
	return step.End(err)
}

func (p *pull) fill(ctx context.Context, d v1.Descriptor, f *os.File, step *progress.Step) error {
	h := sha256.New()
	have, err := io.Copy(h, f)
	if err != nil {
		return err
	}
	if have > d.Size {
		have, h = 0, sha256.New()
	}
	if err := f.Truncate(have); err != nil {
		return err
	}
	if _, err := f.Seek(have, io.SeekStart); err != nil {
		return err
	}
	step.Add(have)
	return p.copy(ctx, f, d, have, h, step)
}

func (p *pull) copy(ctx context.Context, w io.Writer, d v1.Descriptor, at int64, h hash.Hash, step *progress.Step) error {
	r := p.source.open(ctx, d, at, h)
	defer r.Close()
	_, err := io.CopyBuffer(struct{ io.Writer }{w}, struct{ io.Reader }{io.TeeReader(r, adder{step})}, make([]byte, 256<<10))
	return err
}

type adder struct{ step *progress.Step }

func (a adder) Write(p []byte) (int, error) {
	a.step.Add(int64(len(p)))
	return len(p), nil
}

func hashFile(path string) (string, int64, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", 0, err
	}
	defer f.Close()
	h := sha256.New()
	n, err := io.Copy(h, f)
	return hex.EncodeToString(h.Sum(nil)), n, err
}

// debianArch is Debian's name of an image's architecture.
func debianArch(config []byte) string {
	var c struct{ Architecture, Variant string }
	if json.Unmarshal(config, &c) != nil {
		return ""
	}
	for _, a := range []string{"amd64", "arm64", "i386", "armhf", "armel", "riscv64", "ppc64el", "s390x"} {
		if p, _ := Platform(a); p.Architecture == c.Architecture && (p.Variant == c.Variant || c.Variant == "") {
			return a
		}
	}
	return c.Architecture
}
