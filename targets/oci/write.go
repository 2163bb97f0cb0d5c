package oci

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"hash"
	"io"
	"os"
	"path/filepath"
	"slices"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"cloudy/builder/progress"
	"cloudy/builder/tree"
	"cloudy/targets"
	"cloudy/targets/compress"
	"cloudy/targets/container"
)

type build struct {
	*targets.Request
	o        Options
	format   compress.Format
	platform *v1.Platform
	root     *tree.Tree
	blobs    map[string]tree.Entry // by their path in the layout
}

// write makes the layers beside the artefact and then the layout of them.
func (b *build) write(ctx context.Context) ([]targets.Artefact, error) {
	parts, err := split(b.root, b.Epoch, &b.o)
	if err != nil {
		return nil, err
	}
	scratch, err := os.MkdirTemp(b.OutDir, ".cloudy-"+b.BaseName+".*")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(scratch)
	b.blobs = map[string]tree.Entry{}
	config := b.config()
	manifest := v1.Manifest{SchemaVersion: 2, MediaType: types.OCIManifestSchema1, Annotations: b.labels()}
	for l, t := range parts {
		if len(t.Entries) == 0 {
			continue
		}
		diff, d, err := b.layer(ctx, scratch, layerNames[l], t)
		if err != nil {
			return nil, err
		}
		manifest.Layers = append(manifest.Layers, d)
		config.RootFS.DiffIDs = append(config.RootFS.DiffIDs, diff)
		config.History = append(config.History, v1.History{Created: v1.Time{Time: b.Epoch.UTC()}, CreatedBy: "cloudy", Comment: layerNames[l]})
	}
	if manifest.Config, err = b.json(types.OCIConfigJSON, config); err != nil {
		return nil, err
	}
	d, err := b.json(types.OCIManifestSchema1, manifest)
	if err != nil {
		return nil, err
	}
	layout, err := b.layout(d, &manifest)
	if err != nil {
		return nil, err
	}
	set := container.NewSet(b.Request)
	defer set.Discard()
	name := b.BaseName + ".tar"
	a := targets.Artefact{
		Format: "oci", MediaType: "application/vnd.oci.image.layout.v1+tar",
		Usage: fmt.Sprintf("podman load -i %s; docker load -i %s; skopeo copy oci-archive:%s docker://%s", name, name, name, b.reference(b.o.Tags[0])),
	}
	if _, err := set.Tar(ctx, name, a, compress.None, layout, ""); err != nil {
		return nil, err
	}
	return set.Commit(ctx)
}

// reference is the image's whole name with a tag.
func (b *build) reference(tag string) string {
	repo := b.o.Repository
	if repo == "" {
		repo = "localhost/" + b.Image
	}
	return repo + ":" + tag
}

// digester hashes and counts what goes through.
type digester struct {
	w io.Writer
	h hash.Hash
	n int64
}

func newDigester(w io.Writer) *digester { return &digester{w: w, h: sha256.New()} }

func (d *digester) Write(p []byte) (int, error) {
	n, err := d.w.Write(p)
	d.h.Write(p[:n])
	d.n += int64(n)
	return n, err
}

func (d *digester) sum() v1.Hash {
	return v1.Hash{Algorithm: "sha256", Hex: hex.EncodeToString(d.h.Sum(nil))}
}

// layer packs a tree into a blob, and returns the digest of the tar inside
// and the blob's descriptor.
func (b *build) layer(ctx context.Context, scratch, name string, t *tree.Tree) (diff v1.Hash, d v1.Descriptor, err error) {
	step := progress.Begin(ctx, "layer "+name, t.Size(), progress.Bytes)
	defer func() { err = step.End(err) }()
	file := filepath.Join(scratch, name)
	f, err := os.Create(file)
	if err != nil {
		return diff, d, err
	}
	defer f.Close()
	packed := newDigester(f)
	z, err := compress.NewWriter(packed, b.format)
	if err != nil {
		return diff, d, err
	}
	plain := newDigester(z)
	err = container.WriteTar(ctx, plain, compress.None, t, tree.TarOptions{Copied: step.Add})
	if cerr := z.Close(); err == nil {
		err = cerr
	}
	if err == nil {
		err = f.Close()
	}
	if err != nil {
		return diff, d, err
	}
	d = v1.Descriptor{MediaType: types.OCILayer, Size: packed.n, Digest: packed.sum(), Annotations: map[string]string{"io.cloudy.layer": name}}
	if b.format == compress.Zstd {
		d.MediaType = types.OCILayerZStd
	}
	b.blobs[blobPath(d.Digest)] = tree.Entry{Type: tree.File, Source: file, Size: packed.n}
	return plain.sum(), d, nil
}

func blobPath(h v1.Hash) string { return "blobs/" + h.Algorithm + "/" + h.Hex }

// json adds a blob that is a document.
func (b *build) json(media types.MediaType, v any) (v1.Descriptor, error) {
	data, err := json.Marshal(v)
	if err != nil {
		return v1.Descriptor{}, err
	}
	sum := sha256.Sum256(data)
	d := v1.Descriptor{MediaType: media, Size: int64(len(data)), Digest: v1.Hash{Algorithm: "sha256", Hex: hex.EncodeToString(sum[:])}}
	b.blobs[blobPath(d.Digest)] = tree.Entry{Type: tree.File, Data: data, Size: d.Size}
	return d, nil
}

// dockerManifest is manifest.json of "docker save" (image/spec/v1.2.md in
// moby), which older Docker reads in place of the index.
type dockerManifest struct {
	Config   string
	RepoTags []string
	Layers   []string
}

// layout is the tree of the artefact (image-layout.md).
func (b *build) layout(image v1.Descriptor, m *v1.Manifest) (*tree.Tree, error) {
	image.Platform = b.platform
	index := v1.IndexManifest{SchemaVersion: 2, MediaType: types.OCIImageIndex}
	docker := dockerManifest{Config: blobPath(m.Config.Digest)}
	for _, tag := range slices.Compact(slices.Sorted(slices.Values(b.o.Tags))) {
		d := image
		d.Annotations = map[string]string{
			"org.opencontainers.image.ref.name": tag,
			// What containerd and Docker name the image after.
			"io.containerd.image.name": b.reference(tag),
		}
		index.Manifests = append(index.Manifests, d)
		docker.RepoTags = append(docker.RepoTags, b.reference(tag))
	}
	for _, l := range m.Layers {
		docker.Layers = append(docker.Layers, blobPath(l.Digest))
	}
	t := &tree.Tree{Entries: []tree.Entry{{Path: "blobs", Type: tree.Dir}, {Path: "blobs/sha256", Type: tree.Dir}}}
	for name, v := range map[string]any{
		"oci-layout": map[string]string{"imageLayoutVersion": "1.0.0"}, "index.json": index, "manifest.json": []dockerManifest{docker},
	} {
		data, err := json.Marshal(v)
		if err != nil {
			return nil, err
		}
		b.blobs[name] = tree.Entry{Type: tree.File, Data: data, Size: int64(len(data))}
	}
	for p, e := range b.blobs {
		e.Path = p
		t.Entries = append(t.Entries, e)
	}
	for i := range t.Entries {
		e := &t.Entries[i]
		if e.MTime, e.Mode = b.Epoch.Truncate(time.Second), 0o644; e.Type == tree.Dir {
			e.Mode = 0o755
		}
	}
	t.Sort()
	return t, nil
}
