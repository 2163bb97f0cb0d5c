package report

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"strconv"
	"strings"

	"cloudy/builder/tree"
)

// The parts of the OCI image format 1.1 that are read here.
type (
	ociIndex struct {
		Manifests []ociDescriptor `json:"manifests"`
	}
	ociDescriptor struct {
		MediaType string `json:"mediaType"`
		Digest    string `json:"digest"`
		Size      int64  `json:"size"`
		Platform  *struct {
			OS           string `json:"os"`
			Architecture string `json:"architecture"`
			Variant      string `json:"variant"`
		} `json:"platform"`
	}
	ociManifest struct {
		Config ociDescriptor   `json:"config"`
		Layers []ociDescriptor `json:"layers"`
	}
	ociConfig struct {
		OS           string `json:"os"`
		Architecture string `json:"architecture"`
		Variant      string `json:"variant"`
	}
)

// opener opens a file of an OCI layout by its path.
type opener func(name string) (io.ReadCloser, error)

// ociLimit bounds an index, manifest or config; registries take 4 MiB.
const ociLimit = 4 << 20

func (open opener) json(name string, v any) error {
	r, err := open(name)
	if err != nil {
		return err
	}
	defer r.Close()
	if err := json.NewDecoder(io.LimitReader(r, ociLimit)).Decode(v); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	return nil
}

// blobPath is where a layout keeps a blob.
func blobPath(digest string) (string, error) {
	algorithm, hex, ok := strings.Cut(digest, ":")
	if !ok || strings.ContainsAny(digest, "/\\.") || algorithm == "" || hex == "" {
		return "", fmt.Errorf("the digest %q", digest)
	}
	return path.Join("blobs", algorithm, hex), nil
}

// openOCI reads an OCI image layout: all platforms by their manifests, and the
// files of one of them.
func (o *Opened) openOCI(ctx context.Context, open opener, opts OpenOptions) error {
	o.Format = "oci"
	var index ociIndex
	if err := open.json("index.json", &index); err != nil {
		return err
	}
	manifests, err := open.flatten(index.Manifests, 0)
	if err != nil {
		return err
	}
	chosen := -1
	var layers []ociDescriptor
	for _, d := range manifests {
		p, m, err := open.platform(d)
		if err != nil {
			return err
		}
		o.Platforms = append(o.Platforms, p)
		if wanted := ociArch(opts.Arch); chosen < 0 && (wanted == "" || len(manifests) == 1 || strings.HasPrefix(p.Name+"/", "linux/"+wanted+"/")) {
			chosen, layers = len(o.Platforms)-1, m.Layers
		}
	}
	if chosen < 0 {
		return nil
	}
	root, err := o.layers(ctx, open, layers)
	if err != nil {
		return err
	}
	o.Platforms[chosen].Contents, err = o.add(root)
	return err
}

// flatten replaces indexes within indexes by what is in them.
func (open opener) flatten(list []ociDescriptor, depth int) ([]ociDescriptor, error) {
	if depth > 3 {
		return nil, errors.New("indexes within indexes within indexes")
	}
	var out []ociDescriptor
	for _, d := range list {
		if !strings.Contains(d.MediaType, "index") && !strings.Contains(d.MediaType, "manifest.list") {
			out = append(out, d)
			continue
		}
		name, err := blobPath(d.Digest)
		if err != nil {
			return nil, err
		}
		var index ociIndex
		if err := open.json(name, &index); err != nil {
			return nil, err
		}
		inner, err := open.flatten(index.Manifests, depth+1)
		if err != nil {
			return nil, err
		}
		out = append(out, inner...)
	}
	return out, nil
}

func (open opener) platform(d ociDescriptor) (Platform, *ociManifest, error) {
	name, err := blobPath(d.Digest)
	if err != nil {
		return Platform{}, nil, err
	}
	var m ociManifest
	if err := open.json(name, &m); err != nil {
		return Platform{}, nil, err
	}
	var c ociConfig
	if d.Platform != nil {
		c = ociConfig(*d.Platform)
	} else if name, err := blobPath(m.Config.Digest); err == nil {
		// Artifacts have configs of other kinds; their platform is empty then.
		if err := open.json(name, &c); err != nil && !errors.Is(err, os.ErrNotExist) {
			c = ociConfig{}
		}
	}
	p := Platform{Name: strings.Trim(path.Join(c.OS, c.Architecture, c.Variant), "/"), Digest: d.Digest, Layers: len(m.Layers)}
	for _, l := range m.Layers {
		p.Size += l.Size
	}
	return p, &m, nil
}

// ociArch is the OCI (that is Go's) name of a Debian architecture.
func ociArch(debian string) string {
	switch debian {
	case "armhf", "armel":
		return "arm"
	case "i386":
		return "386"
	}
	return debian
}

// layers reads layers, the lowest first, into one root.
func (o *Opened) layers(ctx context.Context, open opener, list []ociDescriptor) (*Root, error) {
	m := merge{}
	for i, d := range list {
		name, err := blobPath(d.Digest)
		if err != nil {
			return nil, err
		}
		t, err := o.layer(ctx, open, name, filepath.Join(o.spool, "layer-"+strconv.Itoa(i)))
		if err != nil {
			return nil, fmt.Errorf("layer %s: %w", d.Digest, err)
		}
		m.apply(t)
	}
	return m.root(), nil
}

func (o *Opened) layer(ctx context.Context, open opener, name, spool string) (*tree.Tree, error) {
	f, err := open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if err := os.Mkdir(spool, 0o700); err != nil {
		return nil, err
	}
	in := bufio.NewReaderSize(&ctxReader{ctx, f}, 64<<10)
	head, err := in.Peek(6)
	if err != nil && err != io.EOF {
		return nil, err
	}
	var r io.Reader = in
	if kind := detectHead(head); Compressed(kind) {
		z, free, err := Decompress(in, kind)
		if err != nil {
			return nil, err
		}
		defer free()
		r = z
	}
	return tree.ReadTar(r, spool)
}

// merge is the union of layers so far. A hard link keeps the file that it
// named in its layer, for the case that a later layer replaces that name.
type merge map[string]merged

type merged struct {
	entry tree.Entry
	file  *tree.Entry // of a Hardlink
}

// The names that hide what lower layers have (OCI image-spec, layer.md, Whiteouts).
const (
	whiteout = ".wh."
	opaque   = ".wh..wh..opq"
)

func (m merge) apply(t *tree.Tree) {
	for _, e := range t.Entries {
		dir, base := path.Split(e.Path)
		if base == opaque {
			m.hide(path.Clean(dir), false)
		} else if name, ok := strings.CutPrefix(base, whiteout); ok {
			m.hide(path.Join(dir, name), true)
		}
	}
	for _, e := range t.Entries {
		if strings.HasPrefix(path.Base(e.Path), whiteout) {
			continue
		}
		if old, ok := m[e.Path]; ok && (old.entry.Type == tree.Dir) != (e.Type == tree.Dir) {
			m.hide(e.Path, true)
		}
		item := merged{entry: e}
		if e.Type == tree.Hardlink {
			item.file = t.Find(e.Link)
		}
		m[e.Path] = item
	}
}

// hide removes all below name, and name itself.
func (m merge) hide(name string, itself bool) {
	for p := range m {
		if itself && p == name || p != name && (name == "." || strings.HasPrefix(p, name+"/")) {
			delete(m, p)
		}
	}
}

func (m merge) root() *Root {
	t := &tree.Tree{Entries: make([]tree.Entry, 0, len(m))}
	for p, item := range m {
		e := item.entry
		if e.Type == tree.Hardlink && item.file != nil {
			target, ok := m[e.Link]
			same := ok && target.entry.Type == tree.File && target.entry.Source == item.file.Source && target.entry.Size == item.file.Size
			if !same {
				e = *item.file
				e.Path = p
			}
		}
		t.Entries = append(t.Entries, e)
	}
	t.Sort()
	return RootOf(t)
}
