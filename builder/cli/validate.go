package cli

import (
	"github.com/spf13/cobra"

	"cloudy/builder/plan"
	"cloudy/builder/recipe"
)

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
			var diags recipe.Diagnostics
			for _, name := range m.Images() {
				for _, arch := range m.Architectures(name) {
					n++
					img, more := m.Image(name, arch)
					if diags = append(diags, more...); img != nil {
						diags = append(diags, plan.Check(img, img.Targets)...)
					}
				}
			}
			if err := a.Diagnose(m, recipe.Tidy(diags)); err != nil {
				return err
			}
			printf(a.Out, "the recipe is valid: %d images, %d with each architecture counted\n", len(m.Images()), n)
			return nil
		},
	}
}
