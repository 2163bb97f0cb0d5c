package cli

import (
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"cloudy/builder/fail"
	"cloudy/builder/lock"
	"cloudy/builder/plan"
	"cloudy/builder/recipe"
	"cloudy/builder/report"
	"cloudy/builder/tools"
)

func (a *App) lockCommand() *cobra.Command {
	var upgrade, check, withTools bool
	var only []string
	c := &cobra.Command{
		Use:     "lock [IMAGE...]",
		GroupID: groupRecipe,
		Short:   "Pin every input of a build by hash",
		Long: `Resolve the images (all of the recipe when none is named) and write the lock file
beside the recipe: name, version, architecture, size and SHA-256 of each package,
where it comes from, why it is in, and digests of the recipe's parts. Commit it;
builds with it need no archive index, and give the same bits everywhere.

Versions that are pinned stay unless the recipe rules them out. --upgrade takes the
newest of everything, --upgrade-package of single packages. --arch names the
architectures; what is pinned for others stays. --check writes nothing
and fails when the lock does not fit the recipe: for CI. --tools pins the builder's
own tools as well: the QEMU that boots images, mksquashfs and the like.`,
		Example:           "  cloudy lock\n  cloudy lock node --upgrade\n  cloudy lock --upgrade-package openssh-server\n  cloudy lock --arch amd64,arm64\n  cloudy lock --check",
		ValidArgsFunction: a.CompleteTargets,
		Args:              cobra.ArbitraryArgs,
		Annotations:       map[string]string{severalArchs: "yes"},
		RunE: func(c *cobra.Command, args []string) error {
			m, err := a.Module(c.Context())
			if err != nil {
				return err
			}
			images, err := a.lockImages(m, args)
			if err != nil {
				return err
			}
			if withTools {
				for _, set := range tools.Sets() {
					img, err := tools.Image(c.Context(), set, HostArch())
					if err != nil {
						return err
					}
					images = append(images, img)
				}
			}
			file, err := lock.Load(a.lockPath())
			if err != nil && (check || !errors.Is(err, fs.ErrNotExist)) {
				if errors.Is(err, fs.ErrNotExist) {
					err = fail.WithHint(fail.User, fmt.Errorf("there is no %s", a.lockPath()), "'cloudy lock' makes it")
				}
				return err
			}
			if check {
				return a.checkLock(file, images)
			}
			e, done, err := a.engine(c.Context(), nil, "")
			if err != nil {
				return err
			}
			defer done()
			ctx, end := a.Progress(c.Context())
			type change struct {
				key      string
				old, new *lock.Image
			}
			var changes []change
			for _, img := range images {
				in, ierr := inputs(img)
				if err = ierr; err != nil {
					break
				}
				key := lock.Key(img.Name, img.Arch)
				old := file.Images[key]
				var fresh *lock.Image
				fresh, err = e.Pin(ctx, img, in, plan.PinOptions{Old: old, Upgrade: upgrade, Only: only, Epoch: e.Epoch})
				if err != nil {
					break
				}
				file.Images[key] = fresh
				changes = append(changes, change{key, old, fresh})
			}
			if err == nil {
				err = upgradable(file, images, only)
			}
			end(err, "")
			if err != nil {
				return err
			}
			for _, ch := range changes {
				printf(a.Out, "%s: %d packages\n", ch.key, len(ch.new.Packages))
				if ch.old != nil {
					d := report.DiffPackages(lockedPackages(ch.old), lockedPackages(ch.new))
					if err := report.WritePackageDiff(a.Out, &d); err != nil {
						return err
					}
				}
			}
			return fail.Mark(fail.Host, file.Save(a.lockPath()))
		},
	}
	c.Flags().BoolVar(&upgrade, "upgrade", false, "take the newest version of everything")
	c.Flags().StringSliceVar(&only, "upgrade-package", nil, "take the newest version of these `packages`")
	c.Flags().BoolVar(&check, "check", false, "write nothing; fail when the lock does not fit the recipe")
	c.Flags().BoolVar(&withTools, "tools", false, "the builder's own tools, too")
	return c
}

// upgradable is the mistake of asking for the newest of a package that none of
// the images has.
func upgradable(file *lock.File, images []*recipe.Image, names []string) error {
	for _, name := range names {
		if !slices.ContainsFunc(images, func(img *recipe.Image) bool {
			return slices.ContainsFunc(file.Images[lock.Key(img.Name, img.Arch)].Packages, func(p lock.Package) bool { return p.Name == name })
		}) {
			return fail.Mark(fail.User, fmt.Errorf("--upgrade-package=%s: no image that is locked has it", name))
		}
	}
	return nil
}

// lockImages are the images to lock: those named, or all that the recipe has
// for the architectures.
func (a *App) lockImages(m *recipe.Module, args []string) ([]*recipe.Image, error) {
	var out []*recipe.Image
	for _, arch := range a.Flags.Archs {
		names := args
		if len(args) == 0 {
			names = slices.DeleteFunc(m.Images(), func(name string) bool { return !slices.Contains(m.Architectures(name), arch) })
		}
		for _, name := range names {
			name, _, _ = strings.Cut(name, ":")
			img, err := a.Image(m, name, arch)
			if err != nil {
				return nil, err
			}
			out = append(out, img)
		}
	}
	return out, nil
}

// checkLock fails when an image's lock is missing or of another recipe.
func (a *App) checkLock(file *lock.File, images []*recipe.Image) error {
	var wrong []string
	for _, img := range images {
		key := lock.Key(img.Name, img.Arch)
		l := file.Images[key]
		if l == nil {
			wrong = append(wrong, key+": not in the lock")
			continue
		}
		in, err := inputs(img)
		if err != nil {
			return err
		}
		for _, d := range plan.Drift(l, in) {
			wrong = append(wrong, key+": "+d)
		}
	}
	if len(wrong) > 0 {
		return fail.WithHint(fail.User, fmt.Errorf("%s does not fit the recipe:\n  %s", a.lockPath(), strings.Join(wrong, "\n  ")),
			"'cloudy lock' brings it up to date")
	}
	printf(a.Out, "%s fits the recipe\n", a.lockPath())
	return nil
}
