package integration

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"cloudy/builder/archive"
	"cloudy/builder/fail"
	"cloudy/builder/lock"
	"cloudy/builder/plan"
	"cloudy/builder/recipe"
	"cloudy/builder/sandbox"
	"cloudy/builder/store"
	"cloudy/builder/tree"
)

// play is the test binary as another program: it works with the engine where
// no verb of the program does what a test wants.
//
//	root IMAGE TAR      build the root of an image and write it as a tar file
//	download IMAGE...   bring the packages of images into the store
//	streams DIR CERT    serve a folder by HTTPS
func play(ctx context.Context, role string, args []string) int {
	err := fmt.Errorf("unknown role %q", role)
	switch role {
	case "root":
		err = playRoot(ctx, args[0], args[1])
	case "download":
		err = playDownload(ctx, args)
	case "streams":
		err = playStreams(args[0], args[1])
	}
	if err != nil {
		fmt.Fprintf(os.Stderr, "error: %v\nhint: %s\n", err, fail.HintOf(err))
		return fail.KindOf(err).ExitCode()
	}
	return 0
}

func playRoot(ctx context.Context, image, tar string) error {
	sb, err := sandbox.Enter(ctx, sandbox.EnterOptions{})
	if err != nil {
		return err
	}
	b, done, err := openBuild(ctx, sb, image)
	if err != nil {
		return err
	}
	defer done()
	t, err := b.Root(ctx)
	if err != nil {
		return err
	}
	f, err := os.Create(tar)
	if err != nil {
		return err
	}
	if err := t.WriteTar(ctx, f, tree.TarOptions{}); err != nil {
		return err
	}
	if err := f.Close(); err != nil {
		return err
	}
	return json.NewEncoder(os.Stdout).Encode(b.Steps)
}

func playDownload(ctx context.Context, images []string) error {
	for _, image := range images {
		b, done, err := openBuild(ctx, nil, image)
		if err != nil {
			return err
		}
		err = b.Download(ctx)
		done()
		if err != nil {
			return err
		}
	}
	return nil
}

// openBuild is a build without targets of the recipe and the lock in this
// folder.
func openBuild(ctx context.Context, sb *sandbox.Sandbox, image string) (*plan.Build, func(), error) {
	img, l, err := openImage(ctx, ".", image)
	if err != nil {
		return nil, nil, err
	}
	st, err := store.Open(os.Getenv("CLOUDY_CACHE"))
	if err != nil {
		return nil, nil, err
	}
	mirrors, err := archive.HostMirrors(nil)
	if err != nil {
		return nil, nil, err
	}
	e := &plan.Engine{Store: st, Mirrors: mirrors, Sandbox: sb}
	b, err := e.New(img, l, nil)
	return b, func() { st.Close() }, err
}

// openImage reads an image of the recipe in a folder, or of the built-in one,
// and its lock.
func openImage(ctx context.Context, dir, image string) (*recipe.Image, *lock.Image, error) {
	src := recipe.Embedded()
	if found, _ := filepath.Glob(filepath.Join(dir, "*.hcl")); len(found) > 0 {
		var err error
		if src, err = recipe.OpenSource(dir); err != nil {
			return nil, nil, err
		}
	}
	m, diags := recipe.Load(ctx, src, recipe.Options{})
	if diags.HasErrors() {
		return nil, nil, diags
	}
	img, diags := m.Image(image, "amd64")
	if diags.HasErrors() {
		return nil, nil, diags
	}
	f, err := lock.Load(filepath.Join(dir, lock.FileName))
	if err != nil {
		return nil, nil, err
	}
	l := f.Images[lock.Key(image, "amd64")]
	if l == nil {
		return nil, nil, fmt.Errorf("no lock of %s", image)
	}
	return img, l, nil
}

// role runs this test binary in a place as the program that play describes.
func (p *place) role(name string, args ...string) result {
	p.t.Helper()
	c := p.command(args...)
	self, err := os.Executable()
	if err != nil {
		p.t.Fatal(err)
	}
	c.Args[len(p.wrap)] = self
	if len(p.wrap) == 0 {
		c.Path = self
	}
	c.Env = append(c.Env, roleVar+"="+name)
	return p.finish(c)
}

// image reads an image and its lock in the place.
func (p *place) image(name string) (*recipe.Image, *lock.Image) {
	p.t.Helper()
	img, l, err := openImage(p.t.Context(), p.dir, name)
	if err != nil {
		p.t.Fatal(err)
	}
	return img, l
}

// needArchive skips a test on a machine that cannot build from the real
// archive.
func needArchive(t testing.TB) {
	t.Helper()
	if hostArch() != "amd64" {
		skip(t, "the images of these tests are for amd64")
	}
	needRoot(t)
}
