package registry

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"cloudy/builder/fail"
)

// Artefact is one file with a description, under a tag: what programs keep in
// a registry for themselves.
type Artefact struct {
	Type        string // artifactType of the manifest
	ConfigType  string // media type of the description
	Config      []byte // the description
	FileType    string // media type of the file
	Annotations map[string]string
}

// PutArtefact pushes a file that has the SHA-256 sum (hexadecimal).
func (c *Client) PutArtefact(ctx context.Context, tag name.Tag, a Artefact, path, sum string) error {
	st, err := os.Stat(path)
	if err != nil {
		return fail.Mark(fail.Host, err)
	}
	file := fileBlob(path, types.MediaType(a.FileType), st.Size(), sum)
	config := dataBlob(types.MediaType(a.ConfigType), a.Config)
	p, err := pack(v1.Manifest{Annotations: a.Annotations, Layers: []v1.Descriptor{file.d}}, a.Type, &config, file)
	if err != nil {
		return err
	}
	img, err := p.image()
	if err != nil {
		return err
	}
	return c.explain("push to", tag, remote.Write(tag, img, c.remote(ctx)...))
}

// Kept is an artefact in a registry.
type Kept struct {
	Artefact
	File v1.Descriptor

	client *Client
	source *source
	tag    name.Tag
}

// GetArtefact reads manifest and description of an artefact. What is not
// there is an ErrNotFound; one that is of another type, or has other than one
// file, is an ErrOther.
func (c *Client) GetArtefact(ctx context.Context, tag name.Tag, artefactType string) (*Kept, error) {
	got, err := remote.Get(tag, c.remote(ctx)...)
	if err != nil {
		return nil, c.explain("look for", tag, err)
	}
	bad := func(why string) error { return fail.Mark(fail.Network, fmt.Errorf("%s: %w: %s", tag, ErrOther, why)) }
	m, err := v1.ParseManifest(bytes.NewReader(got.Manifest))
	if err != nil {
		return nil, bad("it has no manifest that can be read")
	}
	if m.ArtifactType != artefactType || len(m.Layers) != 1 {
		return nil, bad("it is of type " + fmt.Sprintf("%q", m.ArtifactType))
	}
	src, err := c.source(ctx, tag.Context())
	if err != nil {
		return nil, c.explain("look for", tag, err)
	}
	k := &Kept{
		Artefact: Artefact{Type: m.ArtifactType, ConfigType: string(m.Config.MediaType), FileType: string(m.Layers[0].MediaType), Annotations: m.Annotations},
		File:     m.Layers[0], client: c, source: src, tag: tag,
	}
	k.Config, err = src.small(ctx, m.Config, maxDocument)
	return k, c.explain("read", tag, err)
}

// Open reads the artefact's file; a broken connection is made anew. The last
// Read returns an ErrDigest when the bytes are other ones.
func (k *Kept) Open(ctx context.Context) io.ReadCloser { return k.source.open(ctx, k.File, 0, nil) }

// Explain says of an error of reading the file what its user can do.
func (k *Kept) Explain(err error) error { return k.client.explain("read", k.tag, err) }
