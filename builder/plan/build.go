package plan

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"

	"cloudy/builder/fail"
	"cloudy/builder/progress"
	"cloudy/builder/recipe"
	"cloudy/builder/sign"
	"cloudy/builder/tree"
	"cloudy/targets"
)

// Run carries the build out: what is in the store or in the output folder
// already is not made again.
func (b *Build) Run(ctx context.Context) ([]targets.Artefact, error) {
	made, err := b.make(ctx)
	if err != nil || b.engine.Signer == nil {
		return made, err
	}
	step := progress.Begin(ctx, "sign", 0, progress.Files)
	return made, step.End(b.sign())
}

// sign signs the checksums of the artefacts, and with them all that was made.
func (b *Build) sign() error {
	sums := b.reportBase() + "." + sign.SumsSuffix
	if _, err := sign.VerifyFile(sums, b.engine.Signer.Public()); err == nil {
		return nil
	}
	return b.engine.Signer.File(sums, b.epoch())
}

func (b *Build) make(ctx context.Context) ([]targets.Artefact, error) {
	if done, ok := b.finished(); ok {
		for _, s := range b.Steps {
			progress.Begin(ctx, s.Name, 0, progress.Items).Cached("nothing changed")
		}
		b.share(ctx)
		b.engine.Cache.Wait()
		return done, nil
	}
	if err := os.MkdirAll(b.engine.OutDir, 0o755); err != nil {
		return nil, fail.Mark(fail.Host, err)
	}
	unlock, err := b.engine.Store.Lock(ctx, "out-"+b.Image.Name+"-"+b.Image.Arch)
	if err != nil {
		return nil, err
	}
	defer unlock()
	for _, s := range b.packages {
		if s.Cached {
			progress.Begin(ctx, s.Name, 0, progress.Items).Cached("in the store")
		}
	}
	root, err := b.Root(ctx)
	if err != nil {
		return nil, err
	}
	b.share(ctx)
	defer b.engine.Cache.Wait()
	var all []targets.Artefact
	var bills *bills
	g, gctx := errgroup.WithContext(ctx)
	g.Go(func() (err error) { all, err = b.makeTargets(gctx, root); return err })
	g.Go(func() (err error) { bills, err = b.describe(root); return err })
	if err := g.Wait(); err != nil {
		return nil, b.noRoom(err)
	}
	step := progress.Begin(ctx, "reports", 0, progress.Files)
	if err := step.End(b.reports(bills, slices.Concat(all, b.others()))); err != nil {
		return nil, b.noRoom(err)
	}
	return all, saveRecord(b.engine.Store, b.Image.Name, b.Image.Arch, b.Steps)
}

// noRoom tells what to do where the output folder's disk is full.
func (b *Build) noRoom(err error) error {
	if errors.Is(err, unix.ENOSPC) || errors.Is(err, unix.EDQUOT) {
		return fail.WithHint(fail.Host, err, fmt.Sprintf("free some space where %s is, or name a folder elsewhere with --out", b.engine.OutDir))
	}
	return err
}

// others are the artefacts that earlier builds have made of the same root for
// targets that this one was not asked for: checksums and provenance are of
// all that lies there together.
func (b *Build) others() []targets.Artefact {
	var out []targets.Artefact
	for _, t := range b.Image.Targets {
		kind, ok := kinds()[t.Name]
		if !ok || slices.ContainsFunc(b.Targets, func(w recipe.Target) bool { return w.Name == t.Name }) {
			continue
		}
		if made, ok := b.engine.artefacts(b.base(t), b.targetStep(kind, t).Key); ok {
			out = append(out, made...)
		}
	}
	return out
}

// share offers all layers of the build to the shared cache, which takes them
// while the targets are made.
func (b *Build) share(ctx context.Context) {
	if !b.engine.Cache.Sends() {
		return
	}
	for _, s := range b.Steps {
		if l, ok := b.engine.Store.Layer(s.Key); ok {
			b.engine.Cache.Offer(ctx, b.engine.Store, s.Name, l)
		}
	}
}

// finished returns the artefacts of all targets when every one is there and
// made of the same.
func (b *Build) finished() ([]targets.Artefact, bool) {
	var all []targets.Artefact
	for i, s := range b.targets {
		made, ok := b.engine.artefacts(b.base(b.Targets[i]), s.Key)
		if !ok {
			return nil, false
		}
		all = append(all, made...)
	}
	return all, len(all) > 0
}

func (b *Build) makeTargets(ctx context.Context, root *tree.Tree) ([]targets.Artefact, error) {
	seed, err := hex.DecodeString(b.root.Key)
	if err != nil {
		return nil, err
	}
	made := make([][]targets.Artefact, len(b.Targets))
	g, gctx := errgroup.WithContext(ctx)
	// Each target packs on all cores already; a second one fills the gaps in
	// which the first reads or writes on one. More would cost memory alone.
	g.SetLimit(2)
	for i, t := range b.Targets {
		g.Go(func() error {
			base, key := b.base(t), b.targets[i].Key
			if have, ok := b.engine.artefacts(base, key); ok {
				made[i] = have
				progress.Begin(gctx, "target "+t.Name, 0, progress.Bytes).Cached("in the output folder")
				return nil
			}
			k := kinds()[t.Name]
			req := targets.Request{
				Image: b.Image.Name, Arch: b.Image.Arch, Root: root, Epoch: b.epoch(), Seed: [32]byte(seed),
				OutDir: b.engine.OutDir, BaseName: base, Options: k.options(b.Image, t),
			}
			for _, a := range b.Image.Kernel.Arguments {
				req.KernelArgs = append(req.KernelArgs, a.Value)
			}
			var err error
			if made[i], err = k.target.Build(gctx, req); err != nil {
				return fmt.Errorf("target %s: %w", t.Name, err)
			}
			return b.engine.noteArtefacts(base, key, made[i])
		})
	}
	if err := g.Wait(); err != nil {
		return nil, err
	}
	var all []targets.Artefact
	for _, m := range made {
		all = append(all, m...)
	}
	return all, nil
}

// madeNote is kept beside artefacts, so that a build that changes nothing is
// known as such without reading them.
type madeNote struct {
	Key       string             `json:"key"`
	Artefacts []targets.Artefact `json:"artefacts"`
	Changed   []int64            `json:"changed"` // modification times, nanoseconds
}

func (e *Engine) notePath(base string) string {
	return filepath.Join(e.OutDir, ".cloudy-"+base+".json")
}

func (e *Engine) haveArtefacts(base, key string) bool {
	_, ok := e.artefacts(base, key)
	return ok
}

func (e *Engine) artefacts(base, key string) ([]targets.Artefact, bool) {
	data, err := os.ReadFile(e.notePath(base))
	if err != nil {
		return nil, false
	}
	var n madeNote
	if json.Unmarshal(data, &n) != nil || n.Key != key || len(n.Artefacts) != len(n.Changed) {
		return nil, false
	}
	for i, a := range n.Artefacts {
		n.Artefacts[i].Path = filepath.Join(e.OutDir, filepath.Base(a.Path))
		st, err := os.Stat(n.Artefacts[i].Path)
		if err != nil || st.Size() != a.Size || st.ModTime().UnixNano() != n.Changed[i] {
			return nil, false
		}
	}
	return n.Artefacts, true
}

func (e *Engine) noteArtefacts(base, key string, list []targets.Artefact) error {
	n := madeNote{Key: key, Artefacts: list}
	for _, a := range list {
		st, err := os.Stat(a.Path)
		if err != nil {
			return err
		}
		n.Changed = append(n.Changed, st.ModTime().UnixNano())
	}
	data, err := json.Marshal(n)
	if err != nil {
		return err
	}
	return writeFile(e.notePath(base), data)
}

// writeFile writes aside and renames.
func writeFile(path string, data []byte) error {
	tmp := fmt.Sprintf("%s.%d", path, time.Now().UnixNano())
	err := os.WriteFile(tmp, data, fs.FileMode(0o644))
	if err == nil {
		err = os.Rename(tmp, path)
	}
	if err != nil {
		_ = os.Remove(tmp) // it may not be there
		return fail.Mark(fail.Host, err)
	}
	return nil
}
