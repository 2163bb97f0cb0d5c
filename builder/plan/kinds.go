package plan

import (
	"errors"
	"slices"

	"cloudy/builder/fail"
	"cloudy/builder/nodeagent"
	"cloudy/builder/recipe"
	"cloudy/targets"
	"cloudy/targets/incus"
	"cloudy/targets/lxc"
	"cloudy/targets/metal"
	"cloudy/targets/nspawn"
	"cloudy/targets/oci"
	"cloudy/targets/openvz"
	"cloudy/targets/proxmox"
	"cloudy/targets/sdcard"
	"cloudy/targets/tar"
	"cloudy/targets/vm"
)

// kind is one target as the recipe knows it.
type kind struct {
	target  targets.Target
	format  string // changes when the same options give other bits than before
	options func(*recipe.Image, recipe.Target) any
}

// kinds are the targets by their names in a recipe.
func kinds() map[string]kind {
	return map[string]kind{
		"tar":     {target: tar.Target{}, format: "2", options: tarOptions},
		"vm":      {target: vm.Target{}, format: "5", options: vmOptions},
		"metal":   {target: metal.Target{}, format: "5", options: metalOptions},
		"lxc":     {target: lxc.Target{}, format: "2", options: func(*recipe.Image, recipe.Target) any { return lxc.Options{} }},
		"proxmox": {target: proxmox.Target{}, format: "2", options: func(_ *recipe.Image, t recipe.Target) any { return proxmox.Options{Compress: t.String("compress")} }},
		"oci":     {target: oci.Target{}, format: "2", options: ociOptions},
		"incus": {target: incus.Target{}, format: "2", options: func(img *recipe.Image, t recipe.Target) any {
			return incus.Options{Formats: t.Strings("formats"), Compress: t.String("compress"), Description: img.Description}
		}},
		"sdcard": {target: sdcard.Target{}, format: "5", options: cardOptions},
		"nspawn": {target: nspawn.Target{}, format: "2", options: func(_ *recipe.Image, t recipe.Target) any { return nspawn.Options{Compress: t.String("compress")} }},
		"openvz": {target: openvz.Target{}, format: "2", options: func(_ *recipe.Image, t recipe.Target) any {
			return openvz.Options{Compress: t.String("compress"), Host: t.String("host")}
		}},
	}
}

func vmOptions(img *recipe.Image, t recipe.Target) any {
	return vm.Options{
		Formats: t.Strings("formats"), DiskSize: t.Bytes("disk_size"), Headroom: t.Bytes("headroom"),
		Boot: t.Strings("boot"), Grow: img.Grow.Enabled,
	}
}

func metalOptions(img *recipe.Image, t recipe.Target) any {
	o := metal.Options{
		Formats: t.Strings("formats"), DiskSize: t.Bytes("disk_size"), Headroom: t.Bytes("headroom"),
		Boot: t.Strings("boot"), Grow: img.Grow.Enabled, Arguments: t.Strings("arguments"),
	}
	// Without it the target says what is missing, when it is needed.
	if a, err := nodeagent.FindLive(img.Arch); err == nil && slices.Contains(o.Formats, metal.ISO) {
		o.Live = &metal.Program{SHA256: a.SHA256, Open: a.Open}
	}
	return o
}

func ociOptions(img *recipe.Image, t recipe.Target) any {
	o := oci.Options{
		Compress: t.String("compress"), Repository: t.String("repository"), Tags: t.Strings("tags"),
		Entrypoint: t.Strings("entrypoint"), Command: t.Strings("command"), Env: t.Map("env"), Labels: t.Map("labels"),
		User: t.String("user"), WorkDir: t.String("workdir"), Ports: t.Strings("ports"), Description: img.Description,
	}
	service := map[string]bool{}
	for _, s := range img.Services {
		for _, p := range s.Packages {
			service[p.Name] = true
		}
		for _, r := range s.Roles {
			for _, p := range r.Packages {
				service[p.Name] = true
			}
		}
	}
	for _, p := range img.Packages {
		if service[p.Name] {
			o.ServicePackages = append(o.ServicePackages, p.Name)
		} else {
			o.Packages = append(o.Packages, p.Name)
		}
	}
	return o
}

func tarOptions(_ *recipe.Image, t recipe.Target) any {
	return tar.Options{Compress: t.String("compress")}
}

// Check says what is wrong with targets of an image, as far as it can be told
// before anything is built. Of targets that this program does not make it says
// nothing.
func Check(img *recipe.Image, list []recipe.Target) recipe.Diagnostics {
	var diags recipe.Diagnostics
	for _, t := range list {
		k, ok := kinds()[t.Name]
		if !ok {
			continue
		}
		if err := k.target.Validate(img.Arch, k.options(img, t)); err != nil {
			for _, one := range parts(err) {
				diags = append(diags, recipe.Errorf(t.Range, fail.HintOf(one), "%v", one))
			}
		}
	}
	return diags
}

// parts are the errors that errors.Join has put together.
func parts(err error) []error {
	var joined interface{ Unwrap() []error }
	if !errors.As(err, &joined) {
		return []error{err}
	}
	var out []error
	for _, e := range joined.Unwrap() {
		out = append(out, parts(e)...)
	}
	return out
}

// CanMake lists the targets that this program makes.
func CanMake() []string { return sortedKeys(kinds()) }
