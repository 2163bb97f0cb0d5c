package cli

import (
	"fmt"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"cloudy/builder/fail"
	"cloudy/builder/recipe"
)

func (a *App) fmtCommand() *cobra.Command {
	var check, diff bool
	c := &cobra.Command{
		Use:     "fmt",
		GroupID: groupRecipe,
		Short:   "Bring the recipe's files into the canonical style",
		Long: `Bring all *.hcl files of the recipe into the canonical style of HCL, and list those
that changed. With --check nothing is written, and the exit status is 1 when a
file would change.`,
		Example: `  cloudy fmt
  cloudy fmt --check --diff     for CI`,
		RunE: func(*cobra.Command, []string) error {
			folder, err := a.recipeFolder()
			if err != nil {
				return err
			}
			src, err := a.Source()
			if err != nil {
				return err
			}
			files, m, diags := src.Format()
			if err := a.Diagnose(m, diags); err != nil {
				return err
			}
			return a.format(folder, files, check, diff)
		},
	}
	c.Flags().BoolVar(&check, "check", false, "write nothing, exit with 1 when a file would change")
	c.Flags().BoolVar(&diff, "diff", false, "show the changes")
	return c
}

// recipeFolder is the folder of the recipe on the host.
func (a *App) recipeFolder() (string, error) {
	folder := a.Flags.Recipe
	if folder == "" {
		if folder = "."; !hasRecipe(folder) {
			return "", fail.WithHint(fail.User, fmt.Errorf("there is no recipe in this folder"),
				`name one with --recipe, or write out the built-in one with "cloudy init"`)
		}
	}
	if info, err := os.Stat(folder); err == nil && !info.IsDir() {
		folder = filepath.Dir(folder)
	}
	return folder, nil
}

func (a *App) format(folder string, files []recipe.Formatted, check, diff bool) error {
	changed := false
	for _, f := range files {
		if !f.Changed() {
			continue
		}
		changed = true
		if diff {
			printf(a.Out, "%s", f.Diff())
		} else {
			printf(a.Out, "%s\n", f.Name)
		}
		if check {
			continue
		}
		if err := replaceFile(filepath.Join(folder, f.Path), f.New); err != nil {
			return fail.Mark(fail.Host, fmt.Errorf("write %s: %w", f.Name, err))
		}
	}
	if check && changed {
		return exitStatus(1)
	}
	return nil
}

// replaceFile writes a file's new content aside and renames it into place, so
// that an interruption leaves one or the other whole.
func replaceFile(name string, content []byte) error {
	mode := os.FileMode(0o644)
	if info, err := os.Stat(name); err == nil {
		mode = info.Mode().Perm()
	}
	f, err := os.CreateTemp(filepath.Dir(name), ".cloudy-*")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	_, err = f.Write(content)
	if err == nil {
		err = f.Chmod(mode)
	}
	if err == nil {
		err = f.Sync()
	}
	if e := f.Close(); err == nil {
		err = e
	}
	if err != nil {
		return err
	}
	return os.Rename(f.Name(), name)
}
