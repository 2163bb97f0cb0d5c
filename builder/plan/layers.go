package plan

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"cloudy/builder/archive"
	"cloudy/builder/fail"
	"cloudy/builder/fetch"
	"cloudy/builder/lock"
	"cloudy/builder/recipe"
	"cloudy/builder/rootfs"
	"cloudy/builder/sandbox"
	"cloudy/builder/store"
	"cloudy/builder/tree"

	"golang.org/x/sys/unix"
)

// scriptTimeout ends a maintainer script or dpkg run that hangs.
const scriptTimeout = 30 * time.Minute

// packageLayers makes sure that the layer of each batch of packages is in
// the store and returns their directories, the lowest first.
func (b *Build) packageLayers(ctx context.Context) ([]string, error) {
	// Modes in a layer must not depend on who makes it. Artefacts do not
	// follow the umask either.
	unix.Umask(0o022)
	var dirs []string
	for i, batch := range b.Lock.Batches() {
		dir, err := b.layer(ctx, b.packages[i], dirs, func(ctx context.Context, p *store.Pending) error {
			return b.install(ctx, p, dirs, batch)
		})
		if err != nil {
			return nil, err
		}
		dirs = append(dirs, dir)
	}
	return dirs, nil
}

// layer returns the directory of a step's layer, making it if it is not
// there. Of two builds that need it at once one makes it and both use it.
func (b *Build) layer(ctx context.Context, s *Step, below []string, fill func(context.Context, *store.Pending) error) (string, error) {
	st := b.engine.Store
	if l, ok := st.Layer(s.Key); ok {
		return l.Dir(), nil
	}
	unlock, err := st.Lock(ctx, "layer-"+s.Key)
	if err != nil {
		return "", err
	}
	defer unlock()
	if l, ok := st.Layer(s.Key); ok {
		return l.Dir(), nil
	}
	meta := b.meta(s)
	if l, err := b.engine.Cache.Fetch(ctx, st, s.Name, meta); err != nil || l != nil {
		if err != nil {
			return "", err
		}
		return l.Dir(), nil
	}
	p, err := st.NewLayer(s.Key)
	if err != nil {
		return "", err
	}
	defer p.Abort()
	if err := fill(ctx, p); err != nil {
		return "", err
	}
	manifest, err := store.Manifest(ctx, p.Dir(), false)
	if err != nil {
		return "", err
	}
	l, err := p.Commit(meta, manifest)
	if err != nil && !errors.Is(err, store.ErrExists) {
		return "", err
	}
	return l.Dir(), nil
}

// meta is what a step's layer is kept with.
func (b *Build) meta(s *Step) store.Meta {
	return store.Meta{Key: s.Key, Description: b.Image.Name + "/" + b.Image.Arch + ": " + s.Name, Inputs: s.Parts}
}

// install fills a layer with a batch of packages on top of the layers below.
func (b *Build) install(ctx context.Context, p *store.Pending, below []string, batch []lock.Package) error {
	scratch, err := p.Scratch()
	if err != nil {
		return err
	}
	root, stage := p.Dir(), filepath.Join(scratch, "stage")
	if len(below) > 0 {
		view, err := b.engine.view(ctx, below, p.Dir(), scratch)
		if err != nil {
			return err
		}
		defer view.Close()
		// Renames work within the view alone, so the staging folder is in it.
		root, stage = view.Dir, filepath.Join(view.Dir, ".cloudy-stage")
	}
	files, err := b.engine.files(b.Image)
	if err != nil {
		return err
	}
	interpreters, err := b.engine.Interpreters(ctx, b.Image.Arch)
	if err != nil {
		return err
	}
	req := rootfs.Request{
		Root: root, Stage: stage, Architecture: b.Image.Arch, Sandbox: b.engine.Sandbox, Interpreters: interpreters,
		Epoch: time.Unix(b.Lock.Epoch, 0).UTC(), Timeout: scriptTimeout,
		Exclude: exclude(b.Image.Exclude), Seeds: seeds(b.Image),
	}
	if b.engine.Scripts != nil {
		req.Log = func(line string) { fmt.Fprintln(b.engine.Scripts, line) }
	}
	for _, d := range debconf(b.Image, batch) {
		req.Debconf = append(req.Debconf, rootfs.Debconf{Package: d.Package, Question: d.Question, Type: d.Type, Value: d.Value})
	}
	for i := range batch {
		pkg := rootfs.Package{Name: batch[i].Name, Version: batch[i].Version, Architecture: batch[i].Architecture, Auto: batch[i].Auto}
		pkg.File = files.wait(&batch[i])
		if batch[i].Base {
			req.Base = append(req.Base, pkg)
		} else {
			req.Rest = append(req.Rest, pkg)
		}
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	fetched := make(chan error, 1)
	go func() {
		err := files.fetch(ctx, batch)
		if err != nil {
			cancel(err)
		}
		fetched <- err
	}()
	err = noLocale(b.Image, rootfs.Install(ctx, req))
	if err != nil && context.Cause(ctx) != nil && !errors.Is(context.Cause(ctx), context.Canceled) {
		err = context.Cause(ctx)
	}
	cancel(nil)
	if ferr := <-fetched; err == nil && ferr != nil {
		err = ferr
	}
	return err
}

// seeds are files that must be there before packages are configured, because
// their scripts read them.
func seeds(img *recipe.Image) map[string]string {
	out := map[string]string{}
	if img.Initramfs.Modules != "" || img.Initramfs.Compress != "" || len(img.Initramfs.Include) > 0 {
		var b strings.Builder
		b.WriteString("# Made from the recipe's initramfs block.\n")
		if img.Initramfs.Modules != "" {
			b.WriteString("MODULES=" + img.Initramfs.Modules + "\n")
		}
		if img.Initramfs.Compress != "" {
			b.WriteString("COMPRESS=" + img.Initramfs.Compress + "\n")
		}
		out["etc/initramfs-tools/conf.d/cloudy"] = b.String()
		if len(img.Initramfs.Include) > 0 {
			out["usr/share/initramfs-tools/modules.d/cloudy"] = strings.Join(img.Initramfs.Include, "\n") + "\n"
		}
	}
	return out
}

// exclude is dpkg's path-exclude and path-include: the last match counts.
func exclude(rules []recipe.PathRule) func(string) bool {
	if len(rules) == 0 {
		return nil
	}
	return func(path string) bool {
		out := false
		for _, r := range rules {
			if rootfs.MatchPath(r.Pattern, "/"+path) {
				out = !r.Include
			}
		}
		return out
	}
}

// view is a writable union of layers, mounted in this program's namespace or
// copied where the kernel cannot.
type view struct {
	Dir   string
	close func() error
}

// Close unmounts the view.
func (v *view) Close() error { return v.close() }

func (e *Engine) view(ctx context.Context, below []string, upper, scratch string) (*view, error) {
	at, work := filepath.Join(scratch, "view"), filepath.Join(scratch, "work")
	for _, d := range []string{at, work} {
		if err := os.MkdirAll(d, 0o755); err != nil {
			return nil, err
		}
	}
	lower := slices.Clone(below)
	slices.Reverse(lower)
	unmount, err := e.Sandbox.Overlay(lower, upper, work, at)
	if errors.Is(err, sandbox.ErrNoOverlay) {
		return &view{Dir: upper, close: func() error { return nil }}, copyLayers(ctx, below, upper)
	}
	if err != nil {
		return nil, fail.Mark(fail.Host, fmt.Errorf("see layers as one: %w", err))
	}
	return &view{Dir: at, close: unmount}, nil
}

// copyLayers fills upper with all of the layers below, and marks it as
// complete in itself.
func copyLayers(ctx context.Context, below []string, upper string) error {
	t, err := scan(below)
	if err != nil {
		return err
	}
	if err := t.WriteDir(ctx, upper); err != nil {
		return fail.Mark(fail.Host, fmt.Errorf("copy the layers below: %w", err))
	}
	if err := unix.Setxattr(upper, tree.OpaqueName, []byte(tree.OpaqueValue), 0); err != nil {
		return fail.Mark(fail.Host, fmt.Errorf("mark a copied layer: %w", err))
	}
	return nil
}

// debs hands out the files of packages as they arrive.
type debs struct {
	client  *fetch.Client
	mirrors map[string][]archive.Mirror
	ready   map[string]chan string // SHA256 -> path, once
}

func (e *Engine) files(img *recipe.Image) (*debs, error) {
	m, err := e.mirrorsOf(img)
	if err != nil {
		return nil, err
	}
	return &debs{client: e.client(), mirrors: m, ready: map[string]chan string{}}, nil
}

// wait returns the function that waits for one package.
func (d *debs) wait(p *lock.Package) func(context.Context) (string, error) {
	ch := make(chan string, 1)
	d.ready[p.SHA256] = ch
	return func(ctx context.Context) (string, error) {
		select {
		case path := <-ch:
			ch <- path
			return path, nil
		case <-ctx.Done():
			return "", context.Cause(ctx)
		}
	}
}

func (d *debs) items(pkgs []lock.Package) []fetch.Item {
	var out []fetch.Item
	for i := range pkgs {
		p := &pkgs[i]
		out = append(out, fetch.Item{
			Name: filepath.Base(p.File), URLs: archive.PoolURLs(d.mirrors[p.Archive], p.File),
			SHA256: store.Digest(p.SHA256), Size: p.Size,
		})
	}
	return out
}

func (d *debs) fetch(ctx context.Context, pkgs []lock.Package) error {
	defer d.client.CloseIdle()
	return d.client.Fetch(ctx, d.items(pkgs), func(it fetch.Item, path string) {
		if ch := d.ready[string(it.SHA256)]; ch != nil {
			select {
			case ch <- path:
			default:
			}
		}
	})
}

// Download brings all packages of the lock into the store and makes nothing.
func (b *Build) Download(ctx context.Context) error {
	files, err := b.engine.files(b.Image)
	if err != nil {
		return err
	}
	return files.fetch(ctx, b.Lock.Packages)
}

// shellRoot is the root of a session that sees the layers, changes going to upper.
func shellRoot(layers []string, upper, work string) sandbox.Root {
	lower := slices.Clone(layers)
	slices.Reverse(lower)
	return sandbox.Root{Layers: lower, Upper: upper, Work: work}
}
