// Package lxc makes the pair of archives that "lxc-create -t local" takes
// (lxc 5.0, templates/lxc-local.in): meta.tar.xz with the configuration, and
// rootfs.tar.xz. The template calls "tar -J", so both are xz.
package lxc

import (
	"context"
	"fmt"

	"cloudy/builder/fail"
	"cloudy/builder/tree"
	"cloudy/targets"
	"cloudy/targets/compress"
	"cloudy/targets/container"
)

// Options are the target's options in a recipe. There are none yet.
type Options struct{}

// Target is the lxc target.
type Target struct{}

var _ targets.Target = Target{}

// Name is "lxc".
func (Target) Name() string { return "lxc" }

// Validate implements targets.Target.
func (Target) Validate(arch string, options any) error {
	if _, err := targets.OptionsOf[Options]("lxc", options); err != nil {
		return err
	}
	_, err := container.Machine(arch)
	return fail.Mark(fail.User, err)
}

// Build implements targets.Target: BaseName-meta.tar.xz and
// BaseName-rootfs.tar.xz.
func (t Target) Build(ctx context.Context, r targets.Request) ([]targets.Artefact, error) {
	if err := t.Validate(r.Arch, r.Options); err != nil {
		return nil, err
	}
	machine, _ := container.Machine(r.Arch)
	set := container.NewSet(&r)
	defer set.Discard()
	meta, rootfs := r.BaseName+"-meta.tar.xz", r.BaseName+"-rootfs.tar.xz"
	usage := fmt.Sprintf("lxc-create -n NAME -t local -- --metadata $PWD/%s --fstree $PWD/%s", meta, rootfs)
	_, err := set.Tar(ctx, meta, container.TarArtefact(compress.XZ, usage), compress.XZ, container.Files(r.Epoch, metadata(r.Image, machine)), "")
	if err == nil {
		_, err = set.Tar(ctx, rootfs, container.TarArtefact(compress.XZ, usage), compress.XZ, root(&r), "./")
	}
	if err != nil {
		return nil, fmt.Errorf("lxc image %s: %w", r.Image, err)
	}
	return set.Commit(ctx)
}

// name is what lxc-local puts the container's name for, in the files that
// the list "templates" names.
const name = "LXC_NAME"

// root is the root filesystem. /etc/hostname holds the container's name,
// because systemd prefers the file to what LXC has set.
func root(r *targets.Request) *tree.Tree {
	c := container.New(r.Root, r.Epoch)
	c.Text("etc/hostname", name+"\n")
	if text, ok := c.Hosts(name); ok {
		c.Text("etc/hosts", text)
	}
	return c.Tree()
}

// metadata are the files of the meta archive. The configuration names
// common.conf and userns.conf alone, which are part of LXC itself; those with
// a distribution's name are in a package that not every host has. A mesh
// wants /dev/net/tun: the host's is mounted where there is one.
func metadata(image, machine string) map[string]string {
	tun := "lxc.mount.entry = /dev/net/tun dev/net/tun none bind,create=file,optional 0 0\n"
	return map[string]string{
		"config": "lxc.include = LXC_TEMPLATE_CONFIG/common.conf\n" +
			"lxc.arch = " + machine + "\n" +
			"lxc.cgroup.devices.allow = c 10:200 rwm\n" +
			"lxc.cgroup2.devices.allow = c 10:200 rwm\n" + tun,
		"config-user": "lxc.include = LXC_TEMPLATE_CONFIG/common.conf\n" +
			"lxc.include = LXC_TEMPLATE_CONFIG/userns.conf\n" +
			"lxc.arch = " + machine + "\n" + tun,
		"templates":      "etc/hostname\netc/hosts\n",
		"excludes-user":  "./dev/*\n",
		"create-message": "The container runs the image \"" + image + "\" made by Cloudy.\n",
	}
}
