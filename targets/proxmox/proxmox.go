// Package proxmox makes a container template for Proxmox VE. pct unpacks it,
// finds out by /etc/debian_version that it is Debian, and writes hostname,
// network, resolver and console settings itself (pve-container,
// src/PVE/LXC/Setup/Debian.pm and Base.pm).
package proxmox

import (
	"context"
	"errors"
	"fmt"

	"cloudy/builder/fail"
	"cloudy/builder/tree"
	"cloudy/targets"
	"cloudy/targets/compress"
	"cloudy/targets/container"
)

// Options are the target's options in a recipe.
type Options struct {
	Compress string // zstd, gzip, xz; empty is zstd
}

// Target is the proxmox target.
type Target struct{}

var _ targets.Target = Target{}

// ErrNotDebian is a root that Proxmox VE would not recognise.
var ErrNotDebian = errors.New("no /etc/debian_version in the root")

// Name is "proxmox".
func (Target) Name() string { return "proxmox" }

func format(arch string, v any) (compress.Format, error) {
	o, err := targets.OptionsOf[Options]("proxmox", v)
	if err != nil {
		return "", err
	}
	if arch != "amd64" && arch != "arm64" && arch != "i386" && arch != "armhf" && arch != "riscv64" {
		return "", fail.Mark(fail.User, fmt.Errorf("proxmox: no containers for architecture %q", arch))
	}
	return container.Compression("proxmox", o.Compress, compress.Zstd, compress.Zstd, compress.Gzip, compress.XZ)
}

// Validate implements targets.Target.
func (Target) Validate(arch string, options any) error {
	_, err := format(arch, options)
	return err
}

// Build implements targets.Target: one archive for the folder of templates.
func (Target) Build(ctx context.Context, r targets.Request) ([]targets.Artefact, error) {
	f, err := format(r.Arch, r.Options)
	if err != nil {
		return nil, err
	}
	if _, ok := container.Read(r.Root, "etc/debian_version"); !ok {
		return nil, fail.WithHint(fail.User, fmt.Errorf("proxmox template %s: %w", r.Image, ErrNotDebian), "Proxmox VE recognises Debian by this file; the package base-files brings it")
	}
	set := container.NewSet(&r)
	defer set.Discard()
	name := r.BaseName + ".tar" + f.Suffix()
	usage := fmt.Sprintf("cp %s /var/lib/vz/template/cache/ && pct create ID local:vztmpl/%s --unprivileged 1 --features nesting=1 --net0 name=eth0,bridge=vmbr0,ip=dhcp", name, name)
	// pct leaves out "./dev/*", so names begin with "./".
	if _, err := set.Tar(ctx, name, container.TarArtefact(f, usage), f, root(&r), "./"); err != nil {
		return nil, fmt.Errorf("proxmox template %s: %w", r.Image, err)
	}
	return set.Commit(ctx)
}

// root is the root filesystem. pct writes /etc/resolv.conf, which must not be
// a link into /run; where it does not, systemd-tmpfiles brings the link back.
//
// pct writes addresses for ifupdown alone. A root that has networkd instead
// gets a generator (systemd.generator(7)) that reads them.
func root(r *targets.Request) *tree.Tree {
	c := container.New(r.Root, r.Epoch)
	if e := r.Root.Find("etc/resolv.conf"); e != nil && e.Type == tree.Symlink {
		c.Remove("etc/resolv.conf")
	}
	networkd := r.Root.Find("usr/lib/systemd/systemd-networkd") != nil
	if networkd && !c.Has("sbin/ifup") {
		c.Script("etc/systemd/system-generators/cloudy-interfaces", generator)
		if _, ok := c.Read("etc/network/interfaces"); !ok {
			c.Text("etc/network/interfaces", "# Proxmox VE writes here what it knows of the network; systemd-networkd gets it by\n# /etc/systemd/system-generators/cloudy-interfaces.\nauto lo\niface lo inet loopback\n")
		}
	}
	return c.Tree()
}
