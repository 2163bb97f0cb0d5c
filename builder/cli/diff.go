package cli

import (
	"maps"
	"path/filepath"
	"slices"

	"github.com/spf13/cobra"

	"cloudy/builder/fail"
	"cloudy/builder/lock"
	"cloudy/builder/report"
)

func (a *App) diffCommand() *cobra.Command {
	var asJSON, exitCode bool
	var limit int
	var opts report.DiffOptions
	c := &cobra.Command{
		Use:     "diff OLD NEW",
		GroupID: groupImage,
		Short:   "Compare two images, or two lock files",
		Long: `Compare two images, archives or folders: packages by version, and every file by
type, mode, owner, size, content, link and extended attributes. Two *.lock files
are compared by the packages of each image in them.`,
		Example: `  cloudy diff old.qcow2 out/node-amd64.qcow2
  cloudy diff --exit-code --ignore 'var/log' a.tar b.tar
  git show HEAD~1:cloudy.lock > /tmp/old.lock && cloudy diff /tmp/old.lock cloudy.lock`,
		Args: between(2, 2),
		RunE: func(c *cobra.Command, args []string) error {
			compare := a.diffImages
			if filepath.Ext(args[0]) == ".lock" && filepath.Ext(args[1]) == ".lock" {
				compare = a.diffLocks
			}
			same, err := compare(c, args[0], args[1], diffOptions{opts, limit, asJSON})
			if err == nil && !same && exitCode {
				return exitStatus(1)
			}
			return err
		},
	}
	c.Flags().BoolVar(&asJSON, "json", false, "as JSON")
	c.Flags().BoolVar(&exitCode, "exit-code", false, "exit with 1 when there is a difference")
	c.Flags().IntVar(&limit, "limit", 0, "`lines` of files of each kind; 0 for all")
	c.Flags().BoolVar(&opts.Times, "times", false, "compare times of modification as well")
	c.Flags().StringArrayVar(&opts.Ignore, "ignore", nil, "leave out what matches this `pattern`, and all below it; may be given several times")
	return c
}

type diffOptions struct {
	report.DiffOptions
	limit  int
	asJSON bool
}

func (a *App) diffImages(c *cobra.Command, from, to string, opts diffOptions) (same bool, err error) {
	oldImage, oldRoot, err := a.openRoot(c.Context(), from)
	if err != nil {
		return false, err
	}
	defer oldImage.Close()
	newImage, newRoot, err := a.openRoot(c.Context(), to)
	if err != nil {
		return false, err
	}
	defer newImage.Close()
	d, err := report.DiffRoots(c.Context(), oldRoot, newRoot, opts.DiffOptions)
	if err != nil {
		return false, fail.Mark(fail.User, err)
	}
	if opts.asJSON {
		return d.Empty(), writeJSON(a.Out, d)
	}
	return d.Empty(), report.WriteDiff(a.Out, d, opts.limit)
}

func (a *App) diffLocks(_ *cobra.Command, from, to string, opts diffOptions) (same bool, err error) {
	oldLock, err := lock.Load(from)
	if err != nil {
		return false, fail.Mark(fail.User, err)
	}
	newLock, err := lock.Load(to)
	if err != nil {
		return false, fail.Mark(fail.User, err)
	}
	keys := map[string]bool{}
	for _, f := range []*lock.File{oldLock, newLock} {
		for key := range f.Images {
			keys[key] = true
		}
	}
	all, same := map[string]report.PackageDiff{}, true
	for _, key := range slices.Sorted(maps.Keys(keys)) {
		d := report.DiffPackages(lockedPackages(oldLock.Images[key]), lockedPackages(newLock.Images[key]))
		if d.Empty() {
			continue
		}
		all[key], same = d, false
		if !opts.asJSON {
			printf(a.Out, "%s: %d added, %d removed, %d changed\n", key, len(d.Added), len(d.Removed), len(d.Changed))
			if err := report.WritePackageDiff(a.Out, &d); err != nil {
				return false, err
			}
		}
	}
	if opts.asJSON {
		return same, writeJSON(a.Out, all)
	}
	if same {
		printf(a.Out, "no difference\n")
	}
	return same, nil
}

// lockedPackages are the packages of an image in a lock; none for nil.
func lockedPackages(image *lock.Image) []report.Package {
	if image == nil {
		return nil
	}
	list := make([]report.Package, 0, len(image.Packages))
	for _, p := range image.Packages {
		list = append(list, report.Package{Name: p.Name, Version: p.Version, Architecture: p.Architecture, SHA256: p.SHA256, Archive: p.Archive})
	}
	return list
}
