package registry

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"cloudy/builder/fail"
	"cloudy/builder/progress"
)

// PushRequest is what goes to a registry under one reference.
type PushRequest struct {
	// Files are either all container images (the tar files of the oci target),
	// one for each architecture, or any files, which become one artefact. A
	// file of checksums stands for all that it names, too.
	Files []string
	// Ref is where to; empty is where the images themselves say.
	Ref string
	// Annotations are added to the artefact's manifest, or to the index; the
	// manifest of an image stays as it was built.
	Annotations map[string]string
	// Attach are more files to attach to an image as referrers.
	Attach []string
	// Bare attaches nothing by itself. Else bills of materials and provenance
	// that the build's checksums name are attached to an image.
	Bare bool
}

// Pushed is one thing in a registry.
type Pushed struct {
	Ref    string // with tag
	Digest string // sha256:…
	What   string // "image for linux/amd64", "index", "artefact", "attached application/spdx+json"
}

// Push puts files into a registry. What is there already is not sent again.
// The tag appears when all below it is there.
func (c *Client) Push(ctx context.Context, r PushRequest) ([]Pushed, error) {
	sets, err := checked(ctx, r.Files)
	if err != nil {
		return nil, err
	}
	var images, files []checkedFile
	for _, f := range sets {
		if isLayout(f.path) {
			images = append(images, f)
		} else {
			files = append(files, f)
		}
	}
	sums := slices.ContainsFunc(r.Files, isSums)
	switch {
	case len(files) == 0 && !sums:
		return c.pushImages(ctx, r, images)
	case len(images) > 0 && !sums:
		return nil, fail.WithHint(fail.User, errors.New("container images and other files do not go under one reference"), "push them one after the other, under two tags")
	case r.Ref == "":
		return nil, fail.WithHint(fail.User, errors.New("no reference to push to"), "name it at the end: registry.example.org/cloudy/node:1.0")
	}
	return c.pushFiles(ctx, r, append(files, images...))
}

// pushFiles makes one artefact of files, each a layer with its name as title,
// as ORAS does.
func (c *Client) pushFiles(ctx context.Context, r PushRequest, files []checkedFile) ([]Pushed, error) {
	ref, err := c.Parse(r.Ref)
	if err != nil {
		return nil, err
	}
	m := v1.Manifest{Annotations: r.Annotations}
	var blobs []blob
	seen := map[string]bool{}
	slices.SortFunc(files, func(a, b checkedFile) int { return strings.Compare(a.path, b.path) })
	for _, f := range files {
		name := filepath.Base(f.path)
		if seen[name] {
			return nil, fail.Mark(fail.User, fmt.Errorf("there are two files with the name %s", name))
		}
		seen[name] = true
		b := fileBlob(f.path, mediaTypeOf(name), f.Size, f.SHA256)
		blobs = append(blobs, b)
		m.Layers = append(m.Layers, b.annotated(map[string]string{titleAnnotation: name}))
	}
	p, err := pack(m, ImageType, nil, blobs...)
	if err != nil {
		return nil, err
	}
	img, err := p.image()
	if err != nil {
		return nil, err
	}
	if err := c.send(ctx, ref, img); err != nil {
		return nil, err
	}
	return []Pushed{{ref.Name(), p.descriptor().Digest.String(), "artefact"}}, nil
}

// pushImages pushes one image as it is, several as an index.
func (c *Client) pushImages(ctx context.Context, r PushRequest, files []checkedFile) ([]Pushed, error) {
	var pictures []*picture
	attach := map[*picture][]checkedFile{}
	for _, f := range files {
		l, err := openLayout(f.path)
		if err != nil {
			return nil, err
		}
		defer l.Close()
		list, err := l.images()
		if err != nil {
			return nil, err
		}
		pictures = append(pictures, list...)
		if !r.Bare {
			for _, p := range list {
				attach[p] = f.reports
			}
		}
	}
	for _, path := range r.Attach {
		f, err := checkFile(ctx, path)
		if err != nil {
			return nil, err
		}
		for _, p := range pictures {
			attach[p] = append(attach[p], f)
		}
	}
	refs, err := c.targets(r.Ref, pictures)
	if err != nil {
		return nil, err
	}
	var out []Pushed
	for _, ref := range refs {
		top, err := c.pushTop(ctx, ref, r.Annotations, pictures)
		if err != nil {
			return nil, err
		}
		out = append(out, top)
	}
	for _, p := range pictures {
		subject := refs[0].Context().Digest(p.descriptor().Digest.String())
		if len(pictures) > 1 {
			out = append(out, Pushed{subject.Name(), subject.DigestStr(), "image for " + p.platform.String()})
		}
		more, err := c.attach(ctx, subject, p.descriptor(), attach[p])
		if err != nil {
			return nil, err
		}
		out = append(out, more...)
	}
	return out, nil
}

// pushTop pushes what the tag is to name.
func (c *Client) pushTop(ctx context.Context, ref name.Reference, annotations map[string]string, pictures []*picture) (Pushed, error) {
	if len(pictures) == 1 && len(annotations) == 0 {
		img, err := pictures[0].image()
		if err == nil {
			err = c.send(ctx, ref, img)
		}
		return Pushed{ref.Name(), pictures[0].descriptor().Digest.String(), "image for " + pictures[0].platform.String()}, err
	}
	var list []member
	for _, p := range pictures {
		img, err := p.image()
		if err != nil {
			return Pushed{}, err
		}
		list = append(list, member{img, p.platform})
	}
	return c.pushIndex(ctx, ref, annotations, list)
}

// member is one image of an index.
type member struct {
	image    v1.Image
	platform *v1.Platform
}

// pushIndex pushes images of different architectures under one reference.
func (c *Client) pushIndex(ctx context.Context, ref name.Reference, annotations map[string]string, list []member) (Pushed, error) {
	slices.SortStableFunc(list, func(a, b member) int { return strings.Compare(a.platform.String(), b.platform.String()) })
	index := mutate.IndexMediaType(empty.Index, types.OCIImageIndex)
	for i, m := range list {
		if i > 0 && m.platform.String() == list[i-1].platform.String() {
			return Pushed{}, fail.WithHint(fail.User, fmt.Errorf("two images are for %s", m.platform), "an index has one image for each architecture")
		}
		index = mutate.AppendManifests(index, mutate.IndexAddendum{Add: m.image, Descriptor: v1.Descriptor{Platform: m.platform}})
	}
	if len(annotations) > 0 {
		index = mutate.Annotations(index, annotations).(v1.ImageIndex)
	}
	digest, err := index.Digest()
	if err != nil {
		return Pushed{}, err
	}
	return Pushed{ref.Name(), digest.String(), fmt.Sprintf("index of %d images", len(list))}, c.send(ctx, ref, index)
}

// targets are the references to push images to: the one given, or those that
// all of the images say.
func (c *Client) targets(given string, pictures []*picture) ([]name.Reference, error) {
	names := []string{given}
	if given == "" {
		names = slices.Clone(pictures[0].names)
		names = slices.DeleteFunc(names, func(n string) bool {
			return strings.HasPrefix(n, "localhost/") || slices.ContainsFunc(pictures, func(p *picture) bool { return !slices.Contains(p.names, n) })
		})
		if len(names) == 0 {
			return nil, fail.WithHint(fail.User, errors.New("the image does not say where it is to go"),
				`name a reference, registry.example.org/cloudy/node:1.0, or give the recipe's target "oci" a repository`)
		}
	}
	var out []name.Reference
	for _, n := range names {
		ref, err := c.Parse(n)
		if err != nil {
			return nil, err
		}
		out = append(out, ref)
	}
	return out, nil
}

// send pushes a manifest with all that it names, with a step of progress.
func (c *Client) send(ctx context.Context, ref name.Reference, what remote.Taggable) error {
	updates := make(chan v1.Update, 64)
	step := progress.Begin(ctx, "push "+ref.Identifier(), 0, progress.Bytes)
	counted := make(chan struct{})
	go func() {
		defer close(counted)
		var done, total int64
		for u := range updates {
			if u.Error != nil {
				continue
			}
			step.Grow(u.Total - total)
			step.Add(u.Complete - done)
			done, total = u.Complete, u.Total
		}
	}()
	var err error
	switch t := what.(type) {
	case v1.ImageIndex:
		err = remote.WriteIndex(ref, t, c.remote(ctx, remote.WithProgress(updates))...)
	case v1.Image:
		err = remote.Write(ref, t, c.remote(ctx, remote.WithProgress(updates))...)
	default:
		close(updates)
		err = fmt.Errorf("cannot be pushed: %T", what)
	}
	<-counted
	return step.End(c.explain("push to", ref, err))
}
