// Package openvz makes a template tarball for OpenVZ and Virtuozzo (vzctl
// 4.11, src/lib/create.c and dist.c): named after the distribution, with
// plain ownership, and prepared for the scripts that vzctl runs in it.
package openvz

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"cloudy/builder/fail"
	"cloudy/builder/tree"
	"cloudy/targets"
	"cloudy/targets/compress"
	"cloudy/targets/container"
)

// Kernels that a template can be for.
const (
	Old = "openvz7" // 3.10: sysvinit
	New = "openvz9" // 5.14: sysvinit or systemd
)

// Options are the target's options in a recipe.
type Options struct {
	Compress string // gzip, xz, none; empty is gzip
	Host     string // Old or New; empty is Old, which runs on both
}

// Target is the openvz target.
type Target struct{}

var _ targets.Target = Target{}

// ErrUnfit is a root that vzctl could start nowhere.
var ErrUnfit = errors.New("the root does not fit OpenVZ")

// Name is "openvz".
func (Target) Name() string { return "openvz" }

func options(arch string, v any) (Options, compress.Format, error) {
	o, err := targets.OptionsOf[Options]("openvz", v)
	if err != nil {
		return o, "", err
	}
	if o.Host == "" {
		o.Host = Old
	}
	if o.Host != Old && o.Host != New {
		return o, "", fail.Mark(fail.User, fmt.Errorf("openvz: host %q is neither %s nor %s", o.Host, Old, New))
	}
	if machine(arch) == "" {
		return o, "", fail.WithHint(fail.User, fmt.Errorf("openvz: no containers for architecture %q", arch), "OpenVZ runs on amd64 and i386 alone")
	}
	// vzctl looks for .tar, .tar.gz, .tar.bz2 and .tar.xz.
	f, err := container.Compression("openvz", o.Compress, compress.Gzip, compress.Gzip, compress.XZ, compress.None)
	return o, f, err
}

// machine is the architecture in a template's name.
func machine(arch string) string {
	return map[string]string{"amd64": "x86_64", "i386": "x86"}[arch]
}

// Validate implements targets.Target.
func (Target) Validate(arch string, v any) error {
	_, _, err := options(arch, v)
	return err
}

// Build implements targets.Target: one archive whose name begins with
// "debian-13-x86_64-", by which vzctl chooses Debian's scripts.
func (Target) Build(ctx context.Context, r targets.Request) ([]targets.Artefact, error) {
	o, f, err := options(r.Arch, r.Options)
	if err != nil {
		return nil, err
	}
	if err := fits(r.Root, o.Host); err != nil {
		return nil, fmt.Errorf("openvz template %s: %w", r.Image, err)
	}
	release := container.ReleaseOf(r.Root)
	template := strings.Join([]string{release.ID, release.Version, machine(r.Arch), r.Image}, "-")
	if release.Version == "" {
		template = strings.Join([]string{release.ID, machine(r.Arch), r.Image}, "-")
	}
	set := container.NewSet(&r)
	defer set.Discard()
	name := template + ".tar" + f.Suffix()
	usage := fmt.Sprintf("cp %s /vz/template/cache/ && vzctl create CTID --ostemplate %s", name, template)
	if _, err := set.Tar(ctx, name, container.TarArtefact(f, usage), f, root(&r), "./"); err != nil {
		return nil, fmt.Errorf("openvz template %s: %w", r.Image, err)
	}
	return set.Commit(ctx)
}

// hint are the packages of a root that was seen to work.
const hint = `packages of a root that fits: sysvinit-core, sysv-rc, initscripts, ifupdown, net-tools, iproute2, procps, netbase, openssh-server, systemd-standalone-sysusers, systemd-standalone-tmpfiles, "-systemd"`

// fits tells whether vzctl's scripts find what they call, and whether init
// runs on the host's kernel: systemd 257 refuses 3.10.
func fits(t *tree.Tree, host string) error {
	var missing []string
	for _, need := range []struct{ path, pkg string }{
		{"usr/sbin/ifup", "ifupdown"}, {"usr/sbin/ifconfig", "net-tools"}, {"usr/sbin/init", "sysvinit-core"}, {"usr/sbin/chpasswd", "passwd"},
	} {
		if t.Find(need.path) == nil && t.Find(strings.TrimPrefix(need.path, "usr/")) == nil {
			missing = append(missing, fmt.Sprintf("/%s (package %s)", need.path, need.pkg))
		}
	}
	if len(missing) > 0 {
		return fail.WithHint(fail.User, fmt.Errorf("%w: it lacks %s", ErrUnfit, strings.Join(missing, ", ")), hint)
	}
	if host == Old && t.Find("usr/lib/systemd/systemd") != nil {
		return fail.WithHint(fail.User, fmt.Errorf("%w: systemd does not run on the kernel 3.10 of OpenVZ 7", ErrUnfit), hint+`; or host = "`+New+`" for the kernel 5.14`)
	}
	return nil
}
