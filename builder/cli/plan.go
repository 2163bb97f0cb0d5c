package cli

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"cloudy/builder/fail"
	"cloudy/builder/plan"
	"cloudy/builder/progress"
)

func (a *App) planCommand() *cobra.Command {
	var asJSON, asDot bool
	var out string
	c := &cobra.Command{
		Use:     "plan [IMAGE[:TARGET]...]",
		GroupID: groupBuild,
		Short:   "Show what a build would do, and why",
		Long: `Show the steps of a build with the hash of all that goes into each, whether its
result is there already, and why not when it is not. Nothing is built. With
--cache-from it also asks registries which layers they have, and fetches none.`,
		Example:           "  cloudy plan node\n  cloudy plan node --arch amd64,arm64\n  cloudy plan node --cache-from registry.example.org/cloudy/cache\n  cloudy plan node:vm --json\n  cloudy plan node --dot | dot -Tsvg > plan.svg",
		Args:              cobra.ArbitraryArgs,
		Annotations:       map[string]string{severalArchs: "yes"},
		ValidArgsFunction: a.CompleteTargets,
		RunE: func(c *cobra.Command, args []string) error {
			if asJSON && asDot {
				return fail.Mark(fail.User, fmt.Errorf("--json and --dot exclude each other"))
			}
			ctx := progress.With(c.Context(), progress.NewQuiet(a.Err))
			chosen, e, done, err := a.wanted(ctx, args, nil, out)
			if err != nil {
				return err
			}
			defer done()
			var steps []*plan.Step
			for _, s := range chosen {
				b, err := a.build(ctx, e, s)
				if err != nil {
					return err
				}
				if err := b.LookShared(ctx); err != nil {
					return err
				}
				switch {
				case asJSON || asDot:
					steps = append(steps, b.Steps...)
				default:
					a.printPlan(b)
				}
			}
			if asDot {
				return plan.WriteDot(a.Out, steps)
			}
			if asJSON {
				return writeJSON(a.Out, steps)
			}
			return nil
		},
	}
	a.shared.addFrom(c)
	c.Flags().BoolVar(&asJSON, "json", false, "as JSON")
	c.Flags().BoolVar(&asDot, "dot", false, "as a graph in Graphviz's language")
	c.Flags().StringVarP(&out, "out", "o", "out", "`folder` where the images would go")
	return c
}

func (a *App) printPlan(b *plan.Build) {
	var size int64
	for i := range b.Lock.Packages {
		size += b.Lock.Packages[i].Size
	}
	printf(a.Out, "%s for %s: %d packages, %s of downloads\n", b.Image.Name, b.Image.Arch, len(b.Lock.Packages), progress.FormatBytes(size))
	for _, s := range b.Steps {
		state, why := "run", s.Reason
		switch {
		case s.Cached:
			state = "cached"
		case s.Shared != "":
			state, why = "shared", "in "+s.Shared
		}
		printf(a.Out, "%s\n", strings.TrimRight(fmt.Sprintf("  %-7s %s  %-20s %s", state, s.Key[:12], s.Name, why), " "))
	}
}
