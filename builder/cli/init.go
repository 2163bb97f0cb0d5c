package cli

import (
	"errors"
	"fmt"
	"path/filepath"

	"github.com/spf13/cobra"

	"cloudy/builder/fail"
	"cloudy/builder/recipe"
)

func (a *App) initCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "init [FOLDER]",
		GroupID: groupRecipe,
		Short:   "Write out the built-in recipe to change it",
		Long: `Write the recipe and overlays that are built into Cloudy to a folder, this one if
none is named. Nothing is written when one of the files is there already.`,
		Example: `  cloudy init mycloud
  cd mycloud && cloudy build`,
		Args: between(0, 1),
		ValidArgsFunction: func(*cobra.Command, []string, string) ([]cobra.Completion, cobra.ShellCompDirective) {
			return nil, cobra.ShellCompDirectiveFilterDirs
		},
		RunE: func(_ *cobra.Command, args []string) error {
			folder := "."
			if len(args) > 0 {
				folder = args[0]
			}
			files, err := recipe.Embedded().WriteTo(folder)
			switch {
			case errors.Is(err, recipe.ErrExists):
				return fail.WithHint(fail.User, err, "nothing was written; name another folder")
			case err != nil:
				return fail.Mark(fail.Host, err)
			}
			for _, f := range files {
				printf(a.Out, "%s\n", filepath.Join(folder, f))
			}
			next := "cloudy build"
			if folder != "." {
				next = fmt.Sprintf("cloudy build --recipe %s", folder)
			}
			printf(a.Err, "%d files written; build with %q\n", len(files), next)
			return nil
		},
	}
}
