package cli

import (
	"strings"

	"github.com/spf13/cobra"

	"cloudy/builder/doctor"
	"cloudy/builder/fail"
)

func (a *App) doctorCommand() *cobra.Command {
	var asJSON bool
	var out string
	c := &cobra.Command{
		Use:     "doctor",
		GroupID: groupHost,
		Short:   "Say what this machine has and lacks for building",
		Long: `Try out what this machine allows: namespaces, subordinate ids, overlayfs, disk
space, KVM. What is missing comes with what to do about it. Nothing is changed. The
exit status is 4 when nothing can be built here.`,
		Example: "  cloudy doctor\n  cloudy doctor --json",
		RunE: func(c *cobra.Command, _ []string) error {
			list := doctor.Check(c.Context(), doctor.Options{CacheDir: a.Flags.Cache, OutputDir: out})
			if err := c.Context().Err(); err != nil {
				return err
			}
			if asJSON {
				if err := writeJSON(a.Out, list); err != nil {
					return err
				}
			} else {
				a.writeFindings(list)
			}
			if doctor.Worst(list) == doctor.Fail {
				return exitStatus(fail.Host.ExitCode())
			}
			return nil
		},
	}
	c.Flags().BoolVar(&asJSON, "json", false, "as JSON")
	c.Flags().StringVar(&out, "out", "out", "`folder` that images will be written to")
	return c
}

func (a *App) writeFindings(list []doctor.Finding) {
	width := 0
	for _, f := range list {
		width = max(width, len(f.Name))
	}
	color := a.colorOn(a.Out)
	for _, f := range list {
		level := map[doctor.Level]string{doctor.OK: "32", doctor.Warn: yellow, doctor.Fail: red}[f.Level]
		printf(a.Out, "%s  %-*s  %s\n", paint(color, level, pad4(string(f.Level))), width, f.Name, f.Detail)
		if f.Fix != "" {
			for line := range strings.SplitSeq(f.Fix, "\n") {
				printf(a.Out, "%4s  %-*s    %s\n", "", width, "", line)
			}
		}
	}
}

// pad4 fills a level's name to the width of the longest.
func pad4(s string) string { return (s + "    ")[:max(4, len(s))] }
