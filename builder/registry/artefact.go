package registry

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/partial"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"cloudy/builder/fail"
)

// The media types of what is pushed beside container images.
const (
	// ImageType is the type of artefacts that are files of images.
	ImageType = "application/vnd.cloudy.image.v1"
	// emptyType is a config with nothing in it (image-spec, manifest.md,
	// "Guidance for an Empty Descriptor").
	emptyType types.MediaType = "application/vnd.oci.empty.v1+json"
)

// The annotations of the image specification that are written here.
const (
	titleAnnotation   = "org.opencontainers.image.title"
	createdAnnotation = "org.opencontainers.image.created"
)

// blob is one piece of content on its way to a registry.
type blob struct {
	d    v1.Descriptor
	open func() (io.ReadCloser, error)
}

func dataBlob(media types.MediaType, data []byte) blob {
	return blob{describe(media, data), func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(data)), nil }}
}

// fileBlob is the blob of a file that has the checksum sum.
func fileBlob(path string, media types.MediaType, size int64, sum string) blob {
	return blob{
		v1.Descriptor{MediaType: media, Size: size, Digest: v1.Hash{Algorithm: "sha256", Hex: sum}},
		func() (io.ReadCloser, error) { return os.Open(path) },
	}
}

func describe(media types.MediaType, data []byte) v1.Descriptor {
	sum := sha256.Sum256(data)
	return v1.Descriptor{MediaType: media, Size: int64(len(data)), Digest: v1.Hash{Algorithm: "sha256", Hex: hex.EncodeToString(sum[:])}}
}

// annotated is the blob's descriptor with annotations.
func (b blob) annotated(a map[string]string) v1.Descriptor {
	d := b.d
	d.Annotations = a
	return d
}

// Digest, Size, MediaType and Compressed make a blob a partial.CompressedLayer.
func (b blob) Digest() (v1.Hash, error)            { return b.d.Digest, nil }
func (b blob) Size() (int64, error)                { return b.d.Size, nil }
func (b blob) MediaType() (types.MediaType, error) { return b.d.MediaType, nil }
func (b blob) Compressed() (io.ReadCloser, error)  { return b.open() }

// parcel is a manifest with what it names: a v1.Image by way of partial.
type parcel struct {
	media  types.MediaType
	raw    []byte
	config []byte
	blobs  map[v1.Hash]blob
}

// pack makes the manifest of an artefact. m has its annotations, subject and
// layers; config is empty unless one is given. The bytes depend on the
// content alone.
func pack(m v1.Manifest, artefactType string, config *blob, blobs ...blob) (*parcel, error) {
	m.SchemaVersion, m.MediaType, m.ArtifactType = 2, types.OCIManifestSchema1, artefactType
	if config == nil {
		b := dataBlob(emptyType, []byte("{}"))
		config = &b
	}
	m.Config = config.d
	p := &parcel{media: m.MediaType, blobs: map[v1.Hash]blob{}}
	if len(m.Layers) == 0 {
		// A manifest must have a layer; the specification says which.
		m.Layers = []v1.Descriptor{dataBlob(emptyType, []byte("{}")).d}
		blobs = append(blobs, dataBlob(emptyType, []byte("{}")))
	}
	r, err := config.open()
	if err == nil {
		defer r.Close()
		p.config, err = io.ReadAll(r)
	}
	if err != nil {
		return nil, err
	}
	for _, b := range blobs {
		p.blobs[b.d.Digest] = b
	}
	p.raw, err = json.Marshal(m)
	return p, err
}

// image is the parcel as the library takes it.
func (p *parcel) image() (v1.Image, error) { return partial.CompressedToImage(p) }

// descriptor is that of the manifest.
func (p *parcel) descriptor() v1.Descriptor { return describe(p.media, p.raw) }

// RawManifest, RawConfigFile, MediaType and LayerByDigest implement
// partial.CompressedImageCore.
func (p *parcel) RawManifest() ([]byte, error)        { return p.raw, nil }
func (p *parcel) RawConfigFile() ([]byte, error)      { return p.config, nil }
func (p *parcel) MediaType() (types.MediaType, error) { return p.media, nil }
func (p *parcel) LayerByDigest(h v1.Hash) (partial.CompressedLayer, error) {
	b, ok := p.blobs[h]
	if !ok {
		return nil, fmt.Errorf("the manifest names blob %s, which is not there", h)
	}
	return b, nil
}

// mediaTypes are those of files by what their names end with, the longest
// first where one ends with another.
var mediaTypes = []struct {
	suffix string
	media  types.MediaType
}{
	{".spdx.json", SPDXType}, {".cdx.json", CycloneDXType}, {".provenance.json", ProvenanceType},
	{".tar.gz", "application/x-tar+gzip"}, {".tar.xz", "application/x-tar+xz"}, {".tar.zst", "application/x-tar+zstd"},
	{".raw.zst", "application/vnd.cloudy.disk.raw+zstd"}, {".raw.gz", "application/vnd.cloudy.disk.raw+gzip"}, {".raw.xz", "application/vnd.cloudy.disk.raw+xz"},
	{".raw", "application/vnd.cloudy.disk.raw"}, {".img", "application/vnd.cloudy.disk.raw"}, {".qcow2", "application/vnd.cloudy.disk.qcow2"},
	{".vmdk", "application/vnd.cloudy.disk.vmdk"}, {".vhdx", "application/vnd.cloudy.disk.vhdx"}, {".ova", "application/vnd.cloudy.disk.ova"},
	{".iso", "application/vnd.cloudy.disk.iso"}, {".bmap", "application/vnd.cloudy.disk.bmap+xml"}, {".squashfs", "application/vnd.squashfs"},
	{".tar", "application/x-tar"}, {".json", "application/json"}, {".SHA256SUMS", "text/plain"}, {".minisig", "text/plain"},
}

func mediaTypeOf(file string) types.MediaType {
	for _, m := range mediaTypes {
		if strings.HasSuffix(file, m.suffix) {
			return m.media
		}
	}
	return "application/octet-stream"
}

// openFile opens what a user named to be pushed.
func openFile(path string) (*os.File, int64, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, 0, fail.Mark(fail.User, err)
	}
	st, err := f.Stat()
	if err == nil && !st.Mode().IsRegular() {
		err = errors.New("not a regular file")
	}
	if err != nil {
		f.Close()
		return nil, 0, fail.Mark(fail.User, fmt.Errorf("%s: %w", path, err))
	}
	return f, st.Size(), nil
}
