// Package nspawn makes a tarball for "machinectl import-tar" with the
// settings file that systemd-nspawn reads beside it (systemd.nspawn(5)).
package nspawn

import (
	"context"
	"fmt"

	"cloudy/builder/tree"
	"cloudy/targets"
	"cloudy/targets/compress"
	"cloudy/targets/container"
)

// Options are the target's options in a recipe.
type Options struct {
	// Compress is gzip, xz, zstd or none; empty is gzip, which every
	// systemd-importd reads.
	Compress string
}

// Target is the nspawn target.
type Target struct{}

var _ targets.Target = Target{}

// Name is "nspawn".
func (Target) Name() string { return "nspawn" }

func format(v any) (compress.Format, error) {
	o, err := targets.OptionsOf[Options]("nspawn", v)
	if err != nil {
		return "", err
	}
	return container.Compression("nspawn", o.Compress, compress.Gzip, compress.Formats()...)
}

// Validate implements targets.Target.
func (Target) Validate(_ string, options any) error {
	_, err := format(options)
	return err
}

// settings boots the container's own init with a network of its own. What
// needs more than this (a bridge, a port) is the host's choice.
const settings = `# Settings for systemd-nspawn, see systemd.nspawn(5). The name of this file is
# the machine's name with .nspawn; it belongs to /etc/systemd/nspawn/.
[Exec]
Boot=yes
# The container makes its own identity at its first boot.
LinkJournal=no

[Network]
VirtualEthernet=yes
`

// Build implements targets.Target: the tarball and BaseName.nspawn.
func (Target) Build(ctx context.Context, r targets.Request) ([]targets.Artefact, error) {
	f, err := format(r.Options)
	if err != nil {
		return nil, err
	}
	set := container.NewSet(&r)
	defer set.Discard()
	archive, unit := r.BaseName+".tar"+f.Suffix(), r.BaseName+".nspawn"
	_, err = set.Tar(ctx, archive, container.TarArtefact(f, fmt.Sprintf("machinectl import-tar %s NAME && machinectl start NAME", archive)), f, root(&r), "./")
	if err == nil {
		_, err = set.Text(ctx, unit, targets.Artefact{
			Format: "nspawn", MediaType: "text/plain", Usage: "cp " + unit + " /etc/systemd/nspawn/NAME.nspawn",
		}, settings)
	}
	if err != nil {
		return nil, fmt.Errorf("nspawn image %s: %w", r.Image, err)
	}
	return set.Commit(ctx)
}

// root is the root filesystem. Without /etc/hostname the machine has the name
// that it is started with.
func root(r *targets.Request) *tree.Tree {
	c := container.New(r.Root, r.Epoch)
	c.Remove("etc/hostname")
	return c.Tree()
}
