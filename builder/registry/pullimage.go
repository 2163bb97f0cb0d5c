package registry

import (
	"archive/tar"
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"cloudy/builder/fail"
	"cloudy/builder/progress"
)

// image pulls a container image into an OCI layout in a tar file, which
// "podman load" and "docker load" take, and Push. The same image gives the
// same bytes.
func (p *pull) image(ctx context.Context, d v1.Descriptor, raw []byte, m *v1.Manifest) ([]Pulled, error) {
	config, err := p.source.small(ctx, m.Config, maxDocument)
	if err != nil {
		return nil, err
	}
	title := p.Titled
	if title == "" {
		title = path.Base(p.ref.Context().RepositoryStr())
		if arch := debianArch(config); arch != "" {
			title += "-" + arch
		}
		title += "-oci"
	}
	out := filepath.Join(p.Dir, title+".tar")
	f, err := os.CreateTemp(p.Dir, ".cloudy-pull-*")
	if err != nil {
		return nil, fail.Mark(fail.Host, err)
	}
	defer os.Remove(f.Name())
	defer f.Close()
	total := int64(0)
	for _, l := range m.Layers {
		total += l.Size
	}
	step := progress.Begin(ctx, "pull "+filepath.Base(out), total, progress.Bytes)
	w := &layoutWriter{tar.NewWriter(f), created(config)}
	err = p.layout(ctx, w, d, raw, m, config, step)
	if err == nil {
		err = w.tar.Close()
	}
	if err == nil {
		err = fail.Mark(fail.Host, errors.Join(f.Chmod(0o644), f.Sync()))
	}
	st, serr := f.Stat()
	if err = errors.Join(err, serr); err == nil {
		err = fail.Mark(fail.Host, errors.Join(f.Close(), os.Rename(f.Name(), out)))
	}
	if step.End(err) != nil {
		return nil, err
	}
	return []Pulled{{Path: out, Size: st.Size(), Digest: d.Digest.String(), Image: true}}, nil
}

// layout writes the archive in the order that the oci target has: sorted.
func (p *pull) layout(ctx context.Context, w *layoutWriter, d v1.Descriptor, raw []byte, m *v1.Manifest, config []byte, step *progress.Step) error {
	for _, dir := range []string{"blobs/", "blobs/sha256/"} {
		if err := w.tar.WriteHeader(&tar.Header{Typeflag: tar.TypeDir, Name: dir, Mode: 0o755, ModTime: w.at, Format: tar.FormatPAX}); err != nil {
			return err
		}
	}
	small := map[v1.Hash][]byte{d.Digest: raw, m.Config.Digest: config}
	all := append(slices.Clone(m.Layers), m.Config, v1.Descriptor{Digest: d.Digest, Size: int64(len(raw))})
	slices.SortFunc(all, func(a, b v1.Descriptor) int { return strings.Compare(a.Digest.Hex, b.Digest.Hex) })
	all = slices.CompactFunc(all, func(a, b v1.Descriptor) bool { return a.Digest == b.Digest })
	for _, b := range all {
		if b.Digest.Algorithm != "sha256" {
			return fail.Mark(fail.Network, fmt.Errorf("a digest that is not SHA-256: %s", b.Digest))
		}
		if err := w.header(blobPath(b), b.Size); err != nil {
			return err
		}
		var err error
		if data, ok := small[b.Digest]; ok {
			_, err = w.tar.Write(data)
		} else {
			err = p.copy(ctx, w.tar, b, 0, nil, step)
		}
		if err != nil {
			return err
		}
	}
	c, err := v1.ParseConfigFile(strings.NewReader(string(config)))
	if err != nil {
		return err
	}
	entry := v1.Descriptor{MediaType: d.MediaType, Size: int64(len(raw)), Digest: d.Digest, Platform: c.Platform()}
	docker := map[string]any{"Config": blobPath(m.Config), "Layers": []string{}}
	var layers []string
	for _, l := range m.Layers {
		layers = append(layers, blobPath(l))
	}
	docker["Layers"] = layers
	if tag := p.ref.Identifier(); !strings.Contains(tag, ":") {
		entry.Annotations = map[string]string{"org.opencontainers.image.ref.name": tag, "io.containerd.image.name": p.ref.Name()}
		docker["RepoTags"] = []string{p.ref.Name()}
	}
	for _, doc := range []struct {
		name string
		v    any
	}{
		{"index.json", v1.IndexManifest{SchemaVersion: 2, MediaType: types.OCIImageIndex, Manifests: []v1.Descriptor{entry}}},
		{"manifest.json", []any{docker}},
		{"oci-layout", map[string]string{"imageLayoutVersion": "1.0.0"}},
	} {
		data, err := json.Marshal(doc.v)
		if err == nil {
			err = w.header(doc.name, int64(len(data)))
		}
		if err == nil {
			_, err = w.tar.Write(data)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

type layoutWriter struct {
	tar *tar.Writer
	at  time.Time
}

func (w *layoutWriter) header(name string, size int64) error {
	return w.tar.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: name, Size: size, Mode: 0o644, ModTime: w.at, Format: tar.FormatPAX})
}

func blobPath(d v1.Descriptor) string { return "blobs/" + d.Digest.Algorithm + "/" + d.Digest.Hex }

// created is the time of an image.
func created(config []byte) time.Time {
	var c struct{ Created time.Time }
	if json.Unmarshal(config, &c) != nil || c.Created.IsZero() {
		return time.Unix(0, 0).UTC()
	}
	return c.Created.Truncate(time.Second)
}
