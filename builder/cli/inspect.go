package cli

import (
	"errors"

	"github.com/spf13/cobra"

	"cloudy/builder/fail"
	"cloudy/builder/report"
)

func (a *App) inspectCommand() *cobra.Command {
	var asJSON, packages bool
	c := &cobra.Command{
		Use:     "inspect IMAGE...",
		GroupID: groupImage,
		Short:   "Say what is in an image file",
		Long: `Say what an image is, by its content: raw disks and qcow2 with their partition
tables and filesystems, filesystem images, tar archives, OCI layouts, initrds, ISOs,
folders, each of them compressed or not. Where the files inside can be read, it
tells the release and the number of packages. It mounts nothing and needs no root.`,
		Example: `  cloudy inspect out/node-amd64.qcow2
  cloudy inspect --packages rootfs.tar.zst
  cloudy inspect --json disk.img | jq .table`,
		Args: between(1, -1),
		RunE: func(c *cobra.Command, args []string) error {
			for _, path := range args {
				if err := a.inspect(c, path, asJSON, packages); err != nil {
					return err
				}
			}
			return nil
		},
	}
	c.Flags().BoolVar(&asJSON, "json", false, "as JSON")
	c.Flags().BoolVar(&packages, "packages", false, "list the packages as well")
	return c
}

func (a *App) inspect(c *cobra.Command, path string, asJSON, packages bool) error {
	img, err := a.openImage(c.Context(), path)
	if err != nil {
		return err
	}
	defer img.Close()
	var list []report.Package
	if packages {
		root, err := img.Root()
		if err != nil {
			return fail.Mark(fail.User, err)
		}
		if list, err = report.Packages(root); err != nil && !errors.Is(err, report.ErrNoPackages) {
			return fail.Mark(fail.User, err)
		}
	}
	if asJSON {
		return writeJSON(a.Out, struct {
			*report.Image
			Packages []report.Package `json:"packages,omitempty"`
		}{&img.Image, list})
	}
	if err := report.WriteImage(a.Out, &img.Image); err != nil {
		return err
	}
	for _, p := range list {
		printf(a.Out, "  %s:%s %s\n", p.Name, p.Architecture, p.Version)
	}
	return nil
}
