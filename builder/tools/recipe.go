package tools

import (
	"context"
	"embed"
	"encoding/json"
	"fmt"

	"cloudy/builder/lock"
	"cloudy/builder/plan"
	"cloudy/builder/recipe"
)

//go:embed tools.hcl
var files embed.FS

// Set names a set of tools.
type Set string

// The sets.
const (
	QEMUx86 Set = "qemu-x86" // qemu-system-x86, SeaBIOS and OVMF
	QEMUarm Set = "qemu-arm" // qemu-system-arm and its UEFI
	Disk    Set = "disk"     // mksquashfs, xorriso, mke2fs, mtools, mkfs.vfat
	User    Set = "user"     // qemu-user
)

// Sets lists all sets.
func Sets() []Set { return []Set{QEMUx86, QEMUarm, Disk, User} }

// Image is the name of the set's image, which a lock file may pin as it pins
// those of a recipe.
func (s Set) Image() string { return "tools-" + string(s) }

// Image is a set as an image of the internal recipe; arch is the
// architecture that the tools run on.
func Image(ctx context.Context, set Set, arch string) (*recipe.Image, error) {
	m, diags := recipe.Load(ctx, recipe.NewSource(files, "tools"), recipe.Options{})
	if diags.HasErrors() {
		return nil, m.Err(diags)
	}
	img, diags := m.Image(set.Image(), arch)
	if diags.HasErrors() {
		return nil, m.Err(diags)
	}
	return img, nil
}

// Lock pins a set to what the archives have now.
func Lock(ctx context.Context, e *plan.Engine, set Set, arch string) (*lock.Image, error) {
	img, inputs, err := load(ctx, set, arch)
	if err != nil {
		return nil, err
	}
	return e.Pin(ctx, img, inputs, plan.PinOptions{})
}

func load(ctx context.Context, set Set, arch string) (*recipe.Image, map[string]string, error) {
	img, err := Image(ctx, set, arch)
	if err != nil {
		return nil, nil, err
	}
	d, err := img.Digest()
	return img, d.Parts, err
}

// refName is where the store keeps the lock that a set was last made by.
func refName(img *recipe.Image) string { return "tools/" + img.Name + "/" + img.Arch }

// kept returns the lock that the store keeps of a set, or nil when there is
// none that fits.
func kept(e *plan.Engine, img *recipe.Image, inputs map[string]string) *lock.Image {
	data, err := e.Store.Ref(refName(img))
	if err != nil {
		return nil
	}
	var l lock.Image
	if json.Unmarshal(data, &l) != nil || len(l.Packages) == 0 || len(plan.Drift(&l, inputs)) > 0 {
		return nil
	}
	return &l
}

func keep(e *plan.Engine, img *recipe.Image, l *lock.Image) error {
	data, err := json.Marshal(l)
	if err != nil {
		return err
	}
	if err := e.Store.PutRef(refName(img), data); err != nil {
		return fmt.Errorf("keep the lock of %s: %w", img.Name, err)
	}
	return nil
}
