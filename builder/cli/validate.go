package cli

import "github.com/spf13/cobra"

func (a *App) validateCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "validate",
		GroupID: groupRecipe,
		Short:   "Check the recipe",
		Long: `Check the whole recipe: every file, every image, every architecture. All mistakes
are shown at once, each with its file, line and column. No network is needed, so
whether packages exist is for "cloudy lock" to say.`,
		Example: `  cloudy validate
  cloudy validate --recipe ./mycloud --var hostname=node1`,
		RunE: func(c *cobra.Command, _ []string) error {
			m, err := a.Module(c.Context())
			if err != nil {
				return err
			}
			n := 0
			for _, name := range m.Images() {
				n += len(m.Architectures(name))
			}
			printf(a.Out, "the recipe is valid: %d images, %d with each architecture counted\n", len(m.Images()), n)
			return nil
		},
	}
}
