package cli

import (
	"cmp"
	"errors"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"cloudy/builder/fail"
	"cloudy/builder/report"
)

func (a *App) sbomCommand() *cobra.Command {
	var format, name string
	var now bool
	c := &cobra.Command{
		Use:     "sbom IMAGE",
		GroupID: groupImage,
		Short:   "Write the bill of materials of an image",
		Long: `Write the packages of an image as a software bill of materials: SPDX 2.3 or
CycloneDX 1.6, in JSON. Licences are told where the packages' copyright files say
them in a form that leaves no doubt. The same image always gives the same
document, so its time is 1970-01-01 unless --now is given.`,
		Example: `  cloudy sbom out/node-amd64.qcow2 > node.spdx.json
  cloudy sbom --format cyclonedx rootfs.tar > rootfs.cdx.json`,
		Args: between(1, 1),
		RunE: func(c *cobra.Command, args []string) error {
			if err := oneOf("format", format, sbomFormats()); err != nil {
				return err
			}
			img, root, err := a.openRoot(c.Context(), args[0])
			if err != nil {
				return err
			}
			defer img.Close()
			packages, err := report.Packages(root)
			if errors.Is(err, report.ErrNoPackages) {
				a.Warn("%s has no dpkg database: the bill is empty", args[0])
			} else if err != nil {
				return fail.Mark(fail.User, err)
			}
			file := filepath.Base(args[0])
			stem, _, _ := strings.Cut(file, ".")
			subject := &report.Subject{
				Name: cmp.Or(name, stem, file), Release: report.ReleaseOf(root), Tool: Version().Version, Packages: packages,
			}
			if now {
				subject.Time = time.Now()
			}
			if format == "cyclonedx" {
				return report.WriteCycloneDX(a.Out, subject)
			}
			return report.WriteSPDX(a.Out, subject)
		},
	}
	c.Flags().StringVar(&format, "format", "spdx", "`format` of the bill: spdx or cyclonedx")
	c.Flags().StringVar(&name, "name", "", "`name` of the image in the bill (default: that of the file)")
	c.Flags().BoolVar(&now, "now", false, "give the document the time of the clock")
	mustComplete(c, "format", sbomFormats())
	return c
}

func sbomFormats() []string { return []string{"spdx", "cyclonedx"} }
