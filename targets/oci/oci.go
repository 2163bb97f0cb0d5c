// Package oci makes an image of the OCI image format 1.1 as one tar file,
// which is an OCI layout and at the same time what "docker load" takes.
package oci

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"path"
	"regexp"
	"slices"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"cloudy/builder/fail"
	"cloudy/builder/tree"
	"cloudy/targets"
	"cloudy/targets/compress"
	"cloudy/targets/container"
)

// Options are the target's options in a recipe.
type Options struct {
	Compress   string   // of the layers: gzip, zstd; empty is gzip
	Repository string   // "registry.example.org/cloudy/node"
	Tags       []string // empty is "latest"

	Entrypoint []string
	Command    []string // empty, with no entrypoint either, is init where the root has one, else a shell
	Env        map[string]string
	Labels     map[string]string
	User       string
	WorkDir    string
	Ports      []string // "7000/tcp"

	Description string

	// ServicePackages are those that the image's services ask for, Packages
	// those that the image itself asks for. They part the layers.
	ServicePackages, Packages []string
}

// Target is the oci target.
type Target struct{}

var _ targets.Target = Target{}

// Name is "oci".
func (Target) Name() string { return "oci" }

var (
	// The grammar of references (distribution/reference, reference.go).
	tag        = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9._-]{0,127}$`)
	repository = regexp.MustCompile(`^([A-Za-z0-9.-]+(:[0-9]+)?/)?[a-z0-9]+([._-]+[a-z0-9]+)*(/[a-z0-9]+([._-]+[a-z0-9]+)*)*$`)
	port       = regexp.MustCompile(`^[0-9]{1,5}(/(tcp|udp|sctp))?$`)
)

// options fills in the defaults and checks.
func options(arch string, v any) (Options, compress.Format, *v1.Platform, error) {
	o, err := targets.OptionsOf[Options]("oci", v)
	if err != nil {
		return o, "", nil, err
	}
	if len(o.Tags) == 0 {
		o.Tags = []string{"latest"}
	}
	var errs []error
	wrong := func(hint, format string, args ...any) {
		errs = append(errs, fail.WithHint(fail.User, fmt.Errorf("oci: "+format, args...), hint))
	}
	for _, t := range o.Tags {
		if !tag.MatchString(t) {
			wrong("a tag has letters, digits, dots, underscores and hyphens, at most 128", "%q is not a tag", t)
		}
	}
	if o.Repository != "" && !repository.MatchString(o.Repository) {
		wrong(`write it as "registry.example.org/cloudy/node", in small letters and without a tag`, "%q is not a repository", o.Repository)
	}
	for _, p := range o.Ports {
		if !port.MatchString(p) {
			wrong(`write it as "7000/tcp"`, "%q is not a port", p)
		}
	}
	p, err := platform(arch)
	errs = append(errs, err)
	f, err := container.Compression("oci", o.Compress, compress.Gzip, compress.Gzip, compress.Zstd)
	return o, f, p, errors.Join(append(errs, err)...)
}

// platform is Go's name of a Debian architecture (image-spec, image-index.md).
func platform(arch string) (*v1.Platform, error) {
	names := map[string]v1.Platform{
		"amd64": {Architecture: "amd64"}, "arm64": {Architecture: "arm64", Variant: "v8"}, "i386": {Architecture: "386"},
		"armhf": {Architecture: "arm", Variant: "v7"}, "armel": {Architecture: "arm", Variant: "v5"},
		"riscv64": {Architecture: "riscv64"}, "ppc64el": {Architecture: "ppc64le"}, "s390x": {Architecture: "s390x"},
	}
	p, ok := names[arch]
	if !ok {
		return nil, fail.Mark(fail.User, fmt.Errorf("oci: no images for architecture %q", arch))
	}
	p.OS = "linux"
	return &p, nil
}

// Validate implements targets.Target.
func (Target) Validate(arch string, v any) error {
	_, _, _, err := options(arch, v)
	return err
}

// Build implements targets.Target: BaseName.tar.
func (Target) Build(ctx context.Context, r targets.Request) ([]targets.Artefact, error) {
	o, f, p, err := options(r.Arch, r.Options)
	if err != nil {
		return nil, err
	}
	b := &build{Request: &r, o: o, format: f, platform: p, root: root(&r)}
	a, err := b.write(ctx)
	if err != nil {
		return nil, fmt.Errorf("oci image %s: %w", r.Image, err)
	}
	return a, nil
}

// root is the root filesystem. Runtimes write name and resolver themselves,
// and do not follow a link into /run for it.
func root(r *targets.Request) *tree.Tree {
	c := container.New(r.Root, r.Epoch)
	c.Remove("etc/hostname")
	if e := r.Root.Find("etc/resolv.conf"); e != nil && e.Type == tree.Symlink {
		c.Text("etc/resolv.conf", "")
	}
	return c.Tree()
}

// config is the image's configuration but for its layers.
func (b *build) config() *v1.ConfigFile {
	c := v1.Config{
		Entrypoint: b.o.Entrypoint, Cmd: b.o.Command, User: b.o.User, WorkingDir: b.o.WorkDir, Labels: b.labels(),
	}
	env := map[string]string{"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"}
	if len(c.Entrypoint)+len(c.Cmd) == 0 {
		c.Cmd = []string{"/bin/sh"}
		if b.has("sbin/init") {
			// systemd ends well by this signal alone (systemd(1)), and learns
			// from the variable that it is in a container.
			c.Cmd, c.StopSignal = []string{"/sbin/init"}, "SIGRTMIN+3"
			env["container"] = "docker"
		}
	}
	maps.Copy(env, b.o.Env)
	for _, k := range slices.Sorted(maps.Keys(env)) {
		c.Env = append(c.Env, k+"="+env[k])
	}
	for _, p := range b.o.Ports {
		if !strings.Contains(p, "/") {
			p += "/tcp"
		}
		if c.ExposedPorts == nil {
			c.ExposedPorts = map[string]struct{}{}
		}
		c.ExposedPorts[p] = struct{}{}
	}
	return &v1.ConfigFile{
		Architecture: b.platform.Architecture, OS: b.platform.OS, Variant: b.platform.Variant,
		Created: v1.Time{Time: b.Epoch.UTC()}, Config: c, RootFS: v1.RootFS{Type: "layers"},
	}
}

// labels are those of the recipe over what is known (annotations.md).
func (b *build) labels() map[string]string {
	out := map[string]string{
		"org.opencontainers.image.title":   b.Image,
		"org.opencontainers.image.created": b.Epoch.UTC().Format("2006-01-02T15:04:05Z"),
	}
	if b.o.Description != "" {
		out["org.opencontainers.image.description"] = b.o.Description
	}
	maps.Copy(out, b.o.Labels)
	return out
}

// has tells whether the root has a path, wherever /sbin is.
func (b *build) has(p string) bool {
	return b.root.Find(p) != nil || b.root.Find(path.Join("usr", p)) != nil
}
