// Package lock is the lock file: every input of a build pinned by hash, in a
// form that a person can review line by line.
package lock

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"cloudy/builder/fail"
)

// FileName is the lock's name beside the recipe.
const FileName = "cloudy.lock"

// formatVersion is written to the file; a file with a newer one is refused.
const formatVersion = 1

// File is a lock file: one Image per image and architecture.
type File struct {
	Images map[string]*Image // by Key
}

// Key is the name of an image's entry.
func Key(image, arch string) string { return image + "/" + arch }

// Image pins one image for one architecture.
type Image struct {
	Inputs   map[string]string `json:"inputs"` // part of the recipe -> digest: what drift is told from
	Epoch    int64             `json:"epoch"`  // SOURCE_DATE_EPOCH, seconds
	Archives []Archive         `json:"archives"`
	Packages []Package         `json:"packages"` // in the order of configuring
}

// Archive is one suite as it was when the lock was made.
type Archive struct {
	Name   string `json:"name"`
	Suite  string `json:"suite"`
	Date   string `json:"date"`   // of its Release file, RFC 3339, UTC
	SHA256 string `json:"sha256"` // of its InRelease file
}

// Package is one pinned .deb.
type Package struct {
	Name         string `json:"name"`
	Version      string `json:"version"`
	Architecture string `json:"architecture"`
	Size         int64  `json:"size"` // bytes of the .deb
	SHA256       string `json:"sha256"`
	Archive      string `json:"archive"`
	File         string `json:"file"`           // path below the archive's root
	Why          string `json:"why"`            // "essential", "wanted", "depends of squid", "recommends of squid"
	Base         bool   `json:"base,omitempty"` // configured before everything else
	Auto         bool   `json:"auto,omitempty"` // apt's Auto-Installed mark
	// Batch numbers the layers of packages: 0 is the first, packages that a
	// later lock added have higher numbers and are configured on top.
	Batch int `json:"batch,omitempty"`
}

// ID is the package's name, version and architecture as dpkg writes them.
func (p *Package) ID() string { return p.Name + "_" + p.Version + "_" + p.Architecture }

// Batches returns the packages of each layer in order.
func (im *Image) Batches() [][]Package {
	var out [][]Package
	for _, p := range im.Packages {
		for len(out) <= p.Batch {
			out = append(out, nil)
		}
		out[p.Batch] = append(out[p.Batch], p)
	}
	return out
}

// Find returns the package of that name, or nil.
func (im *Image) Find(name string) *Package {
	for i := range im.Packages {
		if im.Packages[i].Name == name {
			return &im.Packages[i]
		}
	}
	return nil
}

// Digest is the hash of all that the image pins but the recipe's own inputs.
func (im *Image) Digest() string {
	h := sha256.New()
	fmt.Fprintln(h, im.Epoch)
	for i := range im.Packages {
		p := &im.Packages[i]
		fmt.Fprintln(h, p.ID(), p.SHA256, p.Base, p.Auto, p.Batch)
	}
	return hex.EncodeToString(h.Sum(nil))
}

// Load reads a lock file. A missing file is an empty lock and fs.ErrNotExist.
func Load(path string) (*File, error) {
	data, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return &File{Images: map[string]*Image{}}, err
	}
	if err != nil {
		return nil, err
	}
	f, err := Parse(data)
	if err != nil {
		return nil, fail.WithHint(fail.User, fmt.Errorf("lock file %s: %w", path, err),
			"restore it from version control, or remove it and run 'cloudy lock'")
	}
	return f, nil
}

// Parse reads the content of a lock file.
func Parse(data []byte) (*File, error) {
	var doc struct {
		Version int               `json:"version"`
		Images  map[string]*Image `json:"images"`
	}
	// The version first: a newer format may have fields that are unknown here.
	var format struct {
		Version int `json:"version"`
	}
	if err := json.Unmarshal(data, &format); err != nil {
		return nil, err
	}
	switch {
	case format.Version > formatVersion:
		return nil, fmt.Errorf("format %d is newer than this program understands (%d)", format.Version, formatVersion)
	case format.Version < 1:
		return nil, errors.New("it does not say its format: \"version\" is missing")
	}
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&doc); err != nil {
		return nil, err
	}
	f := &File{Images: map[string]*Image{}}
	for key, im := range doc.Images {
		if im == nil {
			return nil, fmt.Errorf("image %q is empty", key)
		}
		if err := im.validate(); err != nil {
			return nil, fmt.Errorf("image %q: %w", key, err)
		}
		f.Images[key] = im
	}
	return f, nil
}

func (im *Image) validate() error {
	seen := map[string]bool{}
	batch := 0
	for i := range im.Packages {
		p := &im.Packages[i]
		if sum, err := hex.DecodeString(p.SHA256); err != nil || hex.EncodeToString(sum) != p.SHA256 || len(sum) != sha256.Size {
			return fmt.Errorf("package %q: sha256 %q is not a SHA256", p.Name, p.SHA256)
		}
		if p.Name == "" || p.Version == "" || p.Architecture == "" {
			return fmt.Errorf("package %q: name, version and architecture must all be there", p.ID())
		}
		if p.Size < 0 {
			return fmt.Errorf("package %q: size %d is negative", p.Name, p.Size)
		}
		if p.File == "" || filepath.IsAbs(p.File) || slices.Contains(strings.Split(p.File, "/"), "..") {
			return fmt.Errorf("package %q: file %q is not a path below an archive", p.Name, p.File)
		}
		id := p.Name + ":" + p.Architecture
		if seen[id] {
			return fmt.Errorf("package %q stands there twice", id)
		}
		seen[id] = true
		if p.Batch != batch && p.Batch != batch+1 || i == 0 && p.Batch != 0 {
			return fmt.Errorf("package %q: batch %d comes after batch %d", p.Name, p.Batch, batch)
		}
		if p.Base && p.Batch > 0 {
			return fmt.Errorf("package %q: base is batch 0, not batch %d", p.Name, p.Batch)
		}
		batch = p.Batch
	}
	return nil
}

// Marshal writes the file with one package a line.
func (f *File) Marshal() ([]byte, error) {
	var b bytes.Buffer
	fmt.Fprintf(&b, "{\n  \"version\": %d,\n  \"images\": {", formatVersion)
	keys := make([]string, 0, len(f.Images))
	for k := range f.Images {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	for i, k := range keys {
		if i > 0 {
			b.WriteByte(',')
		}
		if err := f.Images[k].marshal(&b, k); err != nil {
			return nil, err
		}
	}
	b.WriteString("\n  }\n}\n")
	return b.Bytes(), nil
}

func (im *Image) marshal(b *bytes.Buffer, key string) error {
	inputs := im.Inputs
	if inputs == nil {
		inputs = map[string]string{}
	}
	in, err := json.MarshalIndent(inputs, "      ", "  ")
	if err != nil {
		return err
	}
	fmt.Fprintf(b, "\n    %s: {\n      \"inputs\": %s,\n      \"epoch\": %d,\n", quote(key), in, im.Epoch)
	b.WriteString("      \"archives\": [")
	if err := lines(b, im.Archives); err != nil {
		return err
	}
	b.WriteString("],\n      \"packages\": [")
	if err := lines(b, im.Packages); err != nil {
		return err
	}
	b.WriteString("]\n    }")
	return nil
}

func lines[T any](b *bytes.Buffer, items []T) error {
	for i := range items {
		if i > 0 {
			b.WriteByte(',')
		}
		line, err := marshalPlain(items[i])
		if err != nil {
			return err
		}
		b.WriteString("\n        ")
		b.Write(line)
	}
	if len(items) > 0 {
		b.WriteString("\n      ")
	}
	return nil
}

// marshalPlain is json.Marshal without escapes for <, > and &, which stand in
// the reasons and would make them hard to read.
func marshalPlain(v any) ([]byte, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return nil, err
	}
	return bytes.TrimRight(b.Bytes(), "\n"), nil
}

func quote(s string) string {
	q, err := marshalPlain(s)
	if err != nil {
		return `""`
	}
	return string(q)
}

// Save writes the file beside its place and renames it there.
func (f *File) Save(path string) error {
	data, err := f.Marshal()
	if err != nil {
		return err
	}
	if old, err := os.ReadFile(path); err == nil && bytes.Equal(old, data) {
		return nil
	}
	tmp, err := os.CreateTemp(filepath.Dir(path), ".cloudy-lock-*")
	if err != nil {
		return err
	}
	defer os.Remove(tmp.Name())
	if _, err = tmp.Write(data); err == nil {
		err = tmp.Sync()
	}
	if cerr := tmp.Close(); err == nil {
		err = cerr
	}
	if err != nil {
		return err
	}
	if err := os.Chmod(tmp.Name(), 0o644); err != nil {
		return err
	}
	return os.Rename(tmp.Name(), path)
}

// Drift lists the parts of the recipe whose digests differ from the lock's.
func (im *Image) Drift(inputs map[string]string) []string {
	var out []string
	for part, digest := range inputs {
		switch old, ok := im.Inputs[part]; {
		case !ok:
			out = append(out, part+" is new")
		case old != digest:
			out = append(out, part+" has changed")
		}
	}
	for part := range im.Inputs {
		if _, ok := inputs[part]; !ok {
			out = append(out, part+" is gone")
		}
	}
	slices.Sort(out)
	return out
}
