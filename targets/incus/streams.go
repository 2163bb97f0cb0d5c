package incus

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"

	"cloudy/targets"
	"cloudy/targets/compress"
	"cloudy/targets/container"
)

// The parts of simplestreams that Incus and LXD read
// (shared/simplestreams/index.go and products.go).
type (
	streamsIndex struct {
		Format  string                        `json:"format"`
		Updated string                        `json:"updated"`
		Index   map[string]streamsIndexStream `json:"index"`
	}
	streamsIndexStream struct {
		DataType string   `json:"datatype"`
		Path     string   `json:"path"`
		Format   string   `json:"format"`
		Updated  string   `json:"updated"`
		Products []string `json:"products"`
	}
	products struct {
		ContentID string             `json:"content_id"`
		DataType  string             `json:"datatype"`
		Format    string             `json:"format"`
		Updated   string             `json:"updated"`
		Products  map[string]product `json:"products"`
	}
	product struct {
		Aliases      string             `json:"aliases"`
		Architecture string             `json:"arch"` // Debian's name
		OS           string             `json:"os"`
		Release      string             `json:"release"`
		ReleaseTitle string             `json:"release_title"`
		Variant      string             `json:"variant"`
		Versions     map[string]version `json:"versions"`
	}
	version struct {
		Items map[string]item `json:"items"`
	}
	item struct {
		FileType string `json:"ftype"`
		Path     string `json:"path"`
		Size     int64  `json:"size"`
		SHA256   string `json:"sha256"`
		// Of both files, one after the other: the image's fingerprint.
		Combined string `json:"combined_squashfs_sha256,omitempty"`
	}
)

// streams makes the folder for a web server, as a tarball: the indexes and
// the pair. The metadata stands there twice, as "incus.tar.xz" for Incus and
// "lxd.tar.xz" for LXD; both name the same file.
func (b *build) streams(ctx context.Context, meta, rootfs *targets.Output) error {
	dir := fmt.Sprintf("images/%s/%s/%s/", b.Image, b.Arch, b.serial())
	metaItem, err := itemOf(ctx, meta, "", dir+"metadata.tar.xz")
	if err != nil {
		return err
	}
	rootItem, err := itemOf(ctx, rootfs, "squashfs", dir+"rootfs.squashfs")
	if err != nil {
		return err
	}
	if metaItem.Combined, err = combined(meta, rootfs); err != nil {
		return err
	}
	items := map[string]item{"root.squashfs": rootItem}
	for _, kind := range []string{"incus.tar.xz", "lxd.tar.xz"} {
		metaItem.FileType = kind
		items[kind] = metaItem
	}
	release := container.ReleaseOf(b.root)
	name := strings.Join([]string{"cloudy", b.Image, release.Codename, b.Arch}, ":")
	updated := b.Epoch.UTC().Format("Mon, 02 Jan 2006 15:04:05 +0000")
	docs := map[string]any{
		"streams/v1/index.json": streamsIndex{Format: "index:1.0", Updated: updated, Index: map[string]streamsIndexStream{
			"images": {DataType: "image-downloads", Path: "streams/v1/images.json", Format: "products:1.0", Updated: updated, Products: []string{name}},
		}},
		"streams/v1/images.json": products{ContentID: "images", DataType: "image-downloads", Format: "products:1.0", Updated: updated, Products: map[string]product{
			name: {
				Aliases: b.Image, Architecture: b.Arch, OS: release.ID, Release: release.Codename, ReleaseTitle: release.Version, Variant: b.Image,
				Versions: map[string]version{b.serial(): {Items: items}},
			},
		}},
	}
	files := map[string]string{}
	for p, doc := range docs {
		data, err := json.MarshalIndent(doc, "", " ")
		if err != nil {
			return err
		}
		files[p] = string(data) + "\n"
	}
	files[metaItem.Path], files[rootItem.Path] = "", ""
	t := container.Files(b.Epoch, files)
	for p, out := range map[string]*targets.Output{metaItem.Path: meta, rootItem.Path: rootfs} {
		e := t.Find(p)
		e.Source = out.Name()
		if e.Size = metaItem.Size; p == rootItem.Path {
			e.Size = rootItem.Size
		}
	}
	archive := b.BaseName + "-simplestreams.tar"
	a := container.TarArtefact(compress.None, fmt.Sprintf("tar -C /var/www/html -xf %s && incus remote add NAME https://HOST --protocol simplestreams && incus launch NAME:%s", archive, b.Image))
	_, err = b.set.Tar(ctx, archive, a, compress.None, t, "")
	return err
}

func itemOf(ctx context.Context, out *targets.Output, kind, path string) (item, error) {
	st, err := out.Stat()
	if err != nil {
		return item{}, err
	}
	sum, err := out.Hash(ctx)
	return item{FileType: kind, Path: path, Size: st.Size(), SHA256: sum}, err
}

// combined is the hash of files one after the other.
func combined(list ...*targets.Output) (string, error) {
	h := sha256.New()
	for _, out := range list {
		f, err := os.Open(out.Name())
		if err != nil {
			return "", err
		}
		_, err = io.Copy(h, f)
		f.Close()
		if err != nil {
			return "", err
		}
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}
