package cache

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/klauspost/compress/zstd"

	"cloudy/builder/fail"
	"cloudy/builder/progress"
	"cloudy/builder/registry"
	"cloudy/builder/sign"
	"cloudy/builder/store"
	"cloudy/builder/tree"
	"cloudy/targets/compress"
)

// The types of an entry.
const (
	artefactType = "application/vnd.cloudy.layer.v1"
	configType   = "application/vnd.cloudy.layer.config.v1+json"
	fileType     = "application/vnd.cloudy.layer.v1.tar+zstd"
	// signatureNote is the annotation with the signature of the description.
	signatureNote = "io.cloudy.layer.signature"
)

// errEntry is an entry that is not what it should be.
var errEntry = errors.New("bad entry")

// description is the config of an entry. The signature is of its bytes, and
// vouches by the digests for all the rest.
type description struct {
	Key         string            `json:"key"`
	Description string            `json:"description"`
	Inputs      map[string]string `json:"inputs"`   // what the key was made of
	Digest      string            `json:"digest"`   // of the packed archive, sha256:…
	Manifest    string            `json:"manifest"` // SHA-256 of the layer's store.Manifest
	Content     int64             `json:"content"`  // bytes in files
}

func (c *Cache) fetch(ctx context.Context, st *store.Store, repo name.Repository, stepName string, want store.Meta) (*store.Layer, error) {
	k, err := c.client.GetArtefact(ctx, tagOf(repo, want.Key), artefactType)
	if err != nil {
		return nil, err
	}
	d, err := c.check(k, want)
	if err != nil {
		return nil, err
	}
	p, err := st.NewLayer(want.Key)
	if err != nil {
		return nil, err
	}
	defer p.Abort()
	step := progress.Begin(ctx, "cached "+stepName, k.File.Size, progress.Bytes)
	l, err := c.unpack(ctx, k, d, p, want, step)
	if step.End(err) != nil {
		return nil, err
	}
	return l, nil
}

// check says whether an entry is the one that is wanted, and signed by
// somebody who is trusted.
func (c *Cache) check(k *registry.Kept, want store.Meta) (*description, error) {
	bad := func(format string, args ...any) error {
		return fail.Mark(fail.Network, fmt.Errorf("%w: %w", errEntry, fmt.Errorf(format, args...)))
	}
	if len(c.o.Trusted) > 0 {
		if k.Annotations[signatureNote] == "" {
			return nil, bad("it is not signed")
		}
		if _, err := sign.Verify(bytes.NewReader(k.Config), []byte(k.Annotations[signatureNote]), c.o.Trusted...); err != nil {
			return nil, bad("%w", err)
		}
	}
	var d description
	if err := json.Unmarshal(k.Config, &d); err != nil {
		return nil, bad("its description: %w", err)
	}
	switch {
	case d.Key != want.Key || !maps.Equal(d.Inputs, want.Inputs):
		return nil, bad("it is another layer")
	case d.Digest != k.File.Digest.String():
		return nil, bad("its content is not what its description says")
	}
	return &d, nil
}

// unpack fills a layer and compares it with what its maker saw. Only then it
// is committed.
func (c *Cache) unpack(ctx context.Context, k *registry.Kept, d *description, p *store.Pending, want store.Meta, step *progress.Step) (*store.Layer, error) {
	r := k.Open(ctx)
	defer r.Close()
	counted := io.TeeReader(r, counter{step})
	z, err := zstd.NewReader(counted, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true), zstd.WithDecoderMaxMemory(1<<30))
	if err != nil {
		return nil, err
	}
	defer z.Close()
	err = tree.Extract(ctx, z, p.Dir(), nil)
	if err == nil {
		// To the end, where the digest is judged.
		_, err = io.Copy(io.Discard, z)
	}
	if err == nil {
		_, err = io.Copy(io.Discard, counted)
	}
	if err != nil {
		if errors.Is(err, tree.ErrBadArchive) {
			err = fail.Mark(fail.Network, fmt.Errorf("%w: %w", errEntry, err))
		}
		return nil, k.Explain(err)
	}
	manifest, err := store.Manifest(ctx, p.Dir(), false)
	if err != nil {
		return nil, err
	}
	if sumOf(manifest) != d.Manifest {
		return nil, fail.Mark(fail.Network, fmt.Errorf("%w: what comes out is not what went in", errEntry))
	}
	l, err := p.Commit(want, manifest)
	if errors.Is(err, store.ErrExists) {
		err = nil
	}
	return l, err
}

func sumOf(data []byte) string {
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:])
}

type counter struct{ step *progress.Step }

func (c counter) Write(p []byte) (int, error) {
	c.step.Add(int64(len(p)))
	return len(p), nil
}

// send packs a layer and pushes it to the repositories that do not have it.
func (c *Cache) send(ctx context.Context, st *store.Store, stepName string, l *store.Layer) error {
	var missing []name.Repository
	for _, repo := range c.to {
		if c.given(repo) {
			continue
		}
		has, err := c.has(ctx, repo, l.Meta)
		if err != nil {
			c.warn(ctx, repo, fmt.Errorf("cache %s: %s is not shared: %w", repo, stepName, err))
		} else if !has {
			missing = append(missing, repo)
		}
	}
	if len(missing) == 0 {
		return nil
	}
	step := progress.Begin(ctx, "share "+stepName, 0, progress.Bytes)
	return step.End(c.pack(ctx, st, stepName, l, missing, step))
}

// has says whether a repository has the layer, signed by us where we sign.
func (c *Cache) has(ctx context.Context, repo name.Repository, meta store.Meta) (bool, error) {
	k, err := c.client.GetArtefact(ctx, tagOf(repo, meta.Key), artefactType)
	if errors.Is(err, registry.ErrNotFound) || errors.Is(err, registry.ErrOther) || errors.Is(err, registry.ErrDigest) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	own := &Cache{}
	if c.o.Signer != nil {
		own.o.Trusted = []sign.Public{c.o.Signer.Public()}
	}
	_, err = own.check(k, meta)
	return err == nil, nil // a bad one is written over
}

func (c *Cache) pack(ctx context.Context, st *store.Store, stepName string, l *store.Layer, to []name.Repository, step *progress.Step) error {
	manifest, err := store.Manifest(ctx, l.Dir(), false)
	if err != nil {
		return err
	}
	t, err := tree.ScanLayer(l.Dir())
	if err != nil {
		return err
	}
	step.Grow(t.Size())
	// On the store's disk, where the next program removes what we leave if we die.
	p, err := st.NewLayer(l.Key)
	if err != nil {
		return err
	}
	defer p.Abort()
	scratch, err := p.Scratch()
	if err != nil {
		return err
	}
	f, err := os.Create(filepath.Join(scratch, "layer.tar.zst"))
	if err != nil {
		return err
	}
	defer f.Close()
	sum, err := packTree(ctx, f, t, step)
	if err != nil {
		return err
	}
	d := description{
		Key: l.Key, Description: l.Description, Inputs: l.Inputs, Digest: "sha256:" + sum, Manifest: sumOf(manifest), Content: t.Size(),
	}
	a := registry.Artefact{Type: artefactType, ConfigType: configType, FileType: fileType}
	if a.Config, err = json.Marshal(d); err != nil {
		return err
	}
	if c.o.Signer != nil {
		sig, err := c.o.Signer.Sign(bytes.NewReader(a.Config), "layer "+l.Key)
		if err != nil {
			return err
		}
		a.Annotations = map[string]string{signatureNote: string(sig)}
	}
	for _, repo := range to {
		if err := c.client.PutArtefact(ctx, tagOf(repo, l.Key), a, f.Name(), sum); err != nil {
			c.warn(ctx, repo, fmt.Errorf("cache %s: %s is not shared: %w", repo, stepName, err))
		}
	}
	return nil
}

// packTree writes the archive of a layer and returns its SHA-256.
func packTree(ctx context.Context, f *os.File, t *tree.Tree, step *progress.Step) (string, error) {
	h := sha256.New()
	z, err := compress.NewWriter(io.MultiWriter(f, h), compress.Zstd)
	if err != nil {
		return "", err
	}
	err = t.WriteTar(ctx, z, tree.TarOptions{Copied: step.Add})
	if err := errors.Join(err, z.Close()); err != nil {
		return "", err
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}
