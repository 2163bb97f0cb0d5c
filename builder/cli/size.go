package cli

import (
	"fmt"

	"github.com/spf13/cobra"

	"cloudy/builder/fail"
	"cloudy/builder/report"
)

func (a *App) sizeCommand() *cobra.Command {
	var format string
	var limit int
	c := &cobra.Command{
		Use:     "size IMAGE",
		GroupID: groupImage,
		Short:   "Say what takes the space in an image",
		Long: `Add up the files of an image by the package that owns them and by folder, largest
first, with what no package owns as groups of their own. As a treemap it is a
picture (svg, or svg-folders for folders instead of packages) or a page with both
(html); either is one file that needs nothing else.`,
		Example: `  cloudy size out/node-amd64.qcow2
  cloudy size --limit 0 --format json rootfs.tar
  cloudy size --format html out/node-amd64.qcow2 > size.html`,
		Args: between(1, 1),
		RunE: func(c *cobra.Command, args []string) error {
			if limit < 0 {
				return fail.Mark(fail.User, fmt.Errorf("--limit=%d: want 0 or more", limit))
			}
			if err := oneOf("format", format, sizeFormats()); err != nil {
				return err
			}
			img, root, err := a.openRoot(c.Context(), args[0])
			if err != nil {
				return err
			}
			defer img.Close()
			sizes, err := report.Measure(c.Context(), root)
			if err != nil {
				return fail.Mark(fail.User, err)
			}
			switch format {
			case "json":
				return writeJSON(a.Out, sizes)
			case "svg", "svg-folders":
				return report.WriteTreemap(a.Out, sizes, format == "svg-folders")
			case "html":
				return report.WriteSizePage(a.Out, args[0], sizes)
			default:
				return report.WriteSizes(a.Out, sizes, limit)
			}
		},
	}
	c.Flags().StringVar(&format, "format", "text", "`format` of the report: text, json, svg, svg-folders or html")
	c.Flags().IntVar(&limit, "limit", 20, "`lines` of each table of text; 0 for all")
	mustComplete(c, "format", sizeFormats())
	return c
}

func sizeFormats() []string { return []string{"text", "json", "svg", "svg-folders", "html"} }
