package registry

import (
	"archive/tar"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"cloudy/builder/fail"
)

// maxDocument bounds manifests and configurations, in bytes.
const maxDocument = 8 << 20

// layout is an OCI layout in a tar file (image-spec, image-layout.md), as the
// oci target and "skopeo copy … oci-archive:" write it.
type layout struct {
	path  string
	file  *os.File
	files map[string]*io.SectionReader // by their names in the archive
}

// picture is one image of a layout.
type picture struct {
	*parcel
	platform *v1.Platform
	names    []string // what the image wants to be called: whole references
}

// isLayout says whether a file is a tar file with an OCI layout.
func isLayout(path string) bool {
	f, err := os.Open(path)
	if err != nil {
		return false
	}
	defer f.Close()
	tr := tar.NewReader(f)
	blobs := false
	for {
		h, err := tr.Next()
		if err != nil {
			return blobs && err != io.EOF // one that was cut short
		}
		blobs = blobs || strings.Contains(h.Name, "blobs/sha256")
		switch name := strings.TrimPrefix(h.Name, "./"); {
		case name == "oci-layout":
			return true
		case name != "" && name != "index.json" && name != "manifest.json" && name != "repositories" && name != "blobs/" && !strings.HasPrefix(name, "blobs/"):
			return false // some other archive, maybe of gigabytes
		}
	}
}

// openLayout finds the files of a layout in its archive.
func openLayout(path string) (*layout, error) {
	f, _, err := openFile(path)
	if err != nil {
		return nil, err
	}
	l := &layout{path: path, file: f, files: map[string]*io.SectionReader{}}
	tr := tar.NewReader(f)
	for {
		h, err := tr.Next()
		if err == io.EOF {
			return l, nil
		}
		var at int64
		if err == nil && h.Typeflag == tar.TypeReg {
			// The reader of archives does not read ahead.
			at, err = f.Seek(0, io.SeekCurrent)
			l.files[strings.TrimPrefix(h.Name, "./")] = io.NewSectionReader(f, at, h.Size)
		}
		if err != nil {
			f.Close()
			return nil, fail.Mark(fail.User, fmt.Errorf("read %s: %w", path, err))
		}
	}
}

func (l *layout) Close() error { return l.file.Close() }

func (l *layout) read(name string, into any) error {
	r := l.files[name]
	if r == nil {
		return fmt.Errorf("there is no %s in it", name)
	}
	data, err := io.ReadAll(io.LimitReader(io.NewSectionReader(r, 0, r.Size()), maxDocument))
	if err != nil {
		return err
	}
	return json.Unmarshal(data, into)
}

// blob is one of the layout's; small ones are read and verified.
func (l *layout) blob(d v1.Descriptor) (blob, error) {
	r := l.files["blobs/"+d.Digest.Algorithm+"/"+d.Digest.Hex]
	if r == nil {
		return blob{}, fmt.Errorf("blob %s is not there", d.Digest)
	}
	if r.Size() != d.Size {
		return blob{}, fmt.Errorf("blob %s has %d bytes in place of %d", d.Digest, r.Size(), d.Size)
	}
	return blob{d, func() (io.ReadCloser, error) { return io.NopCloser(io.NewSectionReader(r, 0, r.Size())), nil }}, nil
}

func (l *layout) document(d v1.Descriptor) ([]byte, error) {
	b, err := l.blob(d)
	if err != nil {
		return nil, err
	}
	if d.Size > maxDocument {
		return nil, fmt.Errorf("blob %s is no document, it has %d bytes", d.Digest, d.Size)
	}
	r, err := b.open()
	if err != nil {
		return nil, err
	}
	defer r.Close()
	data, err := io.ReadAll(r)
	if err == nil && describe(d.MediaType, data).Digest != d.Digest {
		err = fmt.Errorf("%w: blob %s", ErrDigest, d.Digest)
	}
	return data, err
}

// images are those of the layout, each once however many names it has.
func (l *layout) images() ([]*picture, error) {
	out, err := l.list()
	if err == nil && len(out) == 0 {
		err = errors.New("there is no image in it")
	}
	return out, fail.Mark(fail.User, wrap(l.path, err))
}

func wrap(path string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s: %w", path, err)
}

func (l *layout) list() ([]*picture, error) {
	var index v1.IndexManifest
	if err := l.read("index.json", &index); err != nil {
		return nil, err
	}
	var out []*picture
	for i := 0; i < len(index.Manifests); i++ {
		d := index.Manifests[i]
		if d.MediaType.IsIndex() {
			var below v1.IndexManifest
			data, err := l.document(d)
			if err == nil {
				err = json.Unmarshal(data, &below)
			}
			if err != nil {
				return nil, err
			}
			index.Manifests = append(index.Manifests, below.Manifests...)
			continue
		}
		name := d.Annotations["io.containerd.image.name"]
		at := slices.IndexFunc(out, func(p *picture) bool { return p.descriptor().Digest == d.Digest })
		if at < 0 {
			p, err := l.picture(d)
			if err != nil {
				return nil, err
			}
			at, out = len(out), append(out, p)
		}
		if name != "" {
			out[at].names = append(out[at].names, name)
		}
	}
	return out, nil
}

func (l *layout) picture(d v1.Descriptor) (*picture, error) {
	raw, err := l.document(d)
	if err != nil {
		return nil, err
	}
	m, err := v1.ParseManifest(bytes.NewReader(raw))
	if err != nil {
		return nil, err
	}
	p := &picture{parcel: &parcel{media: d.MediaType, raw: raw, blobs: map[v1.Hash]blob{}}, platform: d.Platform}
	if p.config, err = l.document(m.Config); err != nil {
		return nil, err
	}
	if p.platform == nil {
		c, err := v1.ParseConfigFile(bytes.NewReader(p.config))
		if err != nil {
			return nil, err
		}
		p.platform = c.Platform()
	}
	for _, d := range m.Layers {
		if p.blobs[d.Digest], err = l.blob(d); err != nil {
			return nil, err
		}
	}
	return p, nil
}
