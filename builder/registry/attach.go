package registry

import (
	"context"
	"encoding/json"
	"fmt"
	"os"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"cloudy/builder/fail"
)

// The types of what is attached to images.
const (
	SPDXType       types.MediaType = "application/spdx+json"
	CycloneDXType  types.MediaType = "application/vnd.cyclonedx+json"
	ProvenanceType types.MediaType = "application/vnd.in-toto+json"
)

// attach pushes files as referrers of an image: each a manifest whose subject
// is the image. A registry without the referrers API gets the list under a
// tag of the image's digest (distribution-spec, "Referrers Tag Schema").
func (c *Client) attach(ctx context.Context, subject name.Digest, d v1.Descriptor, files []checkedFile) ([]Pushed, error) {
	var out []Pushed
	for _, f := range files {
		media := mediaTypeOf(f.Path)
		data, err := os.ReadFile(f.path)
		if err != nil {
			return nil, fail.Mark(fail.Host, err)
		}
		if media == ProvenanceType {
			if data, err = aboutImage(data, subject); err != nil {
				return nil, fail.Mark(fail.User, fmt.Errorf("%s: %w", f.path, err))
			}
		}
		b := dataBlob(media, data)
		about := v1.Descriptor{MediaType: d.MediaType, Size: d.Size, Digest: d.Digest}
		p, err := pack(v1.Manifest{Subject: &about, Layers: []v1.Descriptor{b.annotated(map[string]string{titleAnnotation: f.Path})}}, string(media), nil, b)
		if err != nil {
			return nil, err
		}
		img, err := p.image()
		if err != nil {
			return nil, err
		}
		// Not side by side: the list under the tag is read, changed and written.
		ref := subject.Context().Digest(p.descriptor().Digest.String())
		if err := c.explain("attach to", subject, remote.Write(ref, img, c.remote(ctx)...)); err != nil {
			return nil, err
		}
		out = append(out, Pushed{ref.Name(), ref.DigestStr(), "attached " + string(media)})
	}
	return out, nil
}

// aboutImage adds the image to the subjects of an in-toto statement, which
// names the file of the build alone.
func aboutImage(statement []byte, subject name.Digest) ([]byte, error) {
	var doc map[string]json.RawMessage
	if err := json.Unmarshal(statement, &doc); err != nil {
		return nil, fmt.Errorf("not a statement: %w", err)
	}
	var list []json.RawMessage
	if err := json.Unmarshal(doc["subject"], &list); err != nil {
		return nil, fmt.Errorf("the statement's subject: %w", err)
	}
	h, err := v1.NewHash(subject.DigestStr())
	if err != nil {
		return nil, err
	}
	more, err := json.Marshal(map[string]any{"name": subject.Context().Name(), "digest": map[string]string{h.Algorithm: h.Hex}})
	if err != nil {
		return nil, err
	}
	if doc["subject"], err = json.Marshal(append(list, more)); err != nil {
		return nil, err
	}
	return json.Marshal(doc)
}

// Attached lists what is attached to an image.
func (c *Client) Attached(ctx context.Context, subject name.Digest) ([]v1.Descriptor, error) {
	index, err := remote.Referrers(subject, c.remote(ctx)...)
	if err != nil {
		return nil, c.explain("ask for what is attached to", subject, err)
	}
	m, err := index.IndexManifest()
	if err != nil {
		return nil, err
	}
	return m.Manifests, nil
}
