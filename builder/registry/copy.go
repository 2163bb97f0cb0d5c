package registry

import (
	"context"
	"errors"
	"fmt"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote"

	"cloudy/builder/fail"
)

// Copy copies what the references from name to the reference to, in the same
// or another registry, with what is attached to it. Several images become one
// index: so the architectures that different machines have built come under
// one tag. Blobs that are there already are not sent again, and within one
// registry none goes through this machine.
func (c *Client) Copy(ctx context.Context, from []string, to string, attached bool) ([]Pushed, error) {
	dst, err := c.Parse(to)
	if err != nil {
		return nil, err
	}
	var list []member
	var out []Pushed
	type manifest struct {
		ref    name.Reference
		digest v1.Hash
	}
	var subjects []manifest
	for _, text := range from {
		src, err := c.Parse(text)
		if err != nil {
			return nil, err
		}
		d, err := remote.Get(src, c.remote(ctx)...)
		if err != nil {
			return nil, c.explain("copy", src, err)
		}
		subjects = append(subjects, manifest{src, d.Digest})
		if d.MediaType.IsIndex() {
			index, err := d.ImageIndex()
			if err != nil {
				return nil, c.explain("copy", src, err)
			}
			m, err := index.IndexManifest()
			if err != nil {
				return nil, c.explain("copy", src, err)
			}
			for _, child := range m.Manifests {
				subjects = append(subjects, manifest{src, child.Digest})
			}
			if len(from) == 1 {
				out = append(out, Pushed{dst.Name(), d.Digest.String(), fmt.Sprintf("index of %d images", len(m.Manifests))})
				if err := c.send(ctx, dst, index); err != nil {
					return nil, err
				}
				continue
			}
			members, err := membersOf(index, m)
			if err != nil {
				return nil, c.explain("copy", src, err)
			}
			list = append(list, members...)
			continue
		}
		img, err := d.Image()
		if err != nil {
			return nil, c.explain("copy", src, err)
		}
		if len(from) == 1 {
			out = append(out, Pushed{dst.Name(), d.Digest.String(), "manifest"})
			if err := c.send(ctx, dst, img); err != nil {
				return nil, err
			}
			continue
		}
		config, err := img.ConfigFile()
		if err != nil {
			return nil, c.explain("copy", src, err)
		}
		if config.Architecture == "" {
			return nil, fail.WithHint(fail.User, fmt.Errorf("%s is no container image, and has no place in an index", src), "copy it alone")
		}
		list = append(list, member{img, config.Platform()})
	}
	if len(list) > 0 {
		p, err := c.pushIndex(ctx, dst, nil, list)
		if err != nil {
			return nil, err
		}
		out = append(out, p)
	}
	if !attached {
		return out, nil
	}
	for _, s := range subjects {
		more, err := c.copyAttached(ctx, s.ref.Context().Digest(s.digest.String()), dst.Context())
		if err != nil {
			return nil, err
		}
		out = append(out, more...)
	}
	return out, nil
}

// membersOf are the images of an index.
func membersOf(index v1.ImageIndex, m *v1.IndexManifest) ([]member, error) {
	var out []member
	for _, d := range m.Manifests {
		if d.Platform == nil {
			return nil, errors.New("an entry of the index has no platform")
		}
		img, err := index.Image(d.Digest)
		if err != nil {
			return nil, err
		}
		out = append(out, member{img, d.Platform})
	}
	return out, nil
}

// copyAttached copies the referrers of a manifest.
func (c *Client) copyAttached(ctx context.Context, subject name.Digest, to name.Repository) ([]Pushed, error) {
	list, err := c.Attached(ctx, subject)
	if err != nil {
		return nil, err
	}
	var out []Pushed
	for _, d := range list {
		src := subject.Context().Digest(d.Digest.String())
		img, err := remote.Image(src, c.remote(ctx)...)
		if err != nil {
			return nil, c.explain("copy", src, err)
		}
		dst := to.Digest(d.Digest.String())
		if err := c.explain("copy to", dst, remote.Write(dst, img, c.remote(ctx)...)); err != nil {
			return nil, err
		}
		out = append(out, Pushed{dst.Name(), d.Digest.String(), "attached " + d.ArtifactType})
	}
	return out, nil
}
