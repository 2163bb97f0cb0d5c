package cli

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"cloudy/builder/fail"
	"cloudy/builder/recipe"
)

// Source is where the recipe is read from: --recipe, else this folder when it
// has a recipe, else what is built in.
func (a *App) Source() (*recipe.Source, error) {
	if a.Flags.Recipe == "" && !hasRecipe(".") {
		return recipe.Embedded(), nil
	}
	name := a.Flags.Recipe
	if name == "" {
		name = "."
	}
	src, err := recipe.OpenSource(name)
	if err != nil {
		return nil, fail.WithHint(fail.User, err, `"cloudy init" writes the built-in recipe into a folder`)
	}
	return src, nil
}

func hasRecipe(dir string) bool {
	files, err := filepath.Glob(filepath.Join(dir, "*.hcl"))
	return err == nil && slices.ContainsFunc(files, func(f string) bool { return !strings.HasSuffix(f, recipe.LabSuffix) })
}

// Module loads the recipe with the variables of the command line and the
// environment. Mistakes in it come back as one error; warnings are shown.
func (a *App) Module(ctx context.Context) (*recipe.Module, error) {
	src, err := a.Source()
	if err != nil {
		return nil, err
	}
	m, diags := recipe.Load(ctx, src, recipe.Options{Vars: a.Flags.Vars, Env: os.Environ()})
	a.module = m
	return m, a.Diagnose(m, diags)
}

// Image returns an image of m for an architecture. An image that does not
// exist, or not for that architecture, is a user error with a hint.
func (a *App) Image(m *recipe.Module, name, arch string) (*recipe.Image, error) {
	if !slices.Contains(m.Images(), name) {
		hint := "the recipe has " + strings.Join(m.Images(), ", ")
		if near := nearest(name, m.Images()); near != "" {
			hint = fmt.Sprintf("did you mean %q?", near)
		}
		return nil, fail.WithHint(fail.User, fmt.Errorf("there is no image %q", name), hint)
	}
	if list := m.Architectures(name); !slices.Contains(list, arch) {
		return nil, fail.WithHint(fail.User, fmt.Errorf("image %q cannot be built for %s", name, arch),
			"its architectures are "+strings.Join(list, ", ")+": choose with --arch")
	}
	image, diags := m.Image(name, arch)
	return image, a.Diagnose(m, diags)
}

// quietModule loads the recipe for completion, which must neither fail nor say
// anything; nil when there is none.
func (a *App) quietModule(ctx context.Context) *recipe.Module {
	src, err := a.Source()
	if err != nil {
		return nil
	}
	m, _ := recipe.Load(ctx, src, recipe.Options{Vars: a.Flags.Vars, Env: os.Environ()})
	return m
}

// CompleteImages completes one name of an image of the recipe.
func (a *App) CompleteImages(c *cobra.Command, args []string, _ string) ([]cobra.Completion, cobra.ShellCompDirective) {
	if len(args) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	return a.imageNames(c.Context()), cobra.ShellCompDirectiveNoFileComp
}

// CompleteTargets completes any number of IMAGE or IMAGE:TARGET.
func (a *App) CompleteTargets(c *cobra.Command, _ []string, toComplete string) ([]cobra.Completion, cobra.ShellCompDirective) {
	name, _, colon := strings.Cut(toComplete, ":")
	if !colon {
		// No blank after the name: a colon and a target may follow.
		return a.imageNames(c.Context()), cobra.ShellCompDirectiveNoFileComp | cobra.ShellCompDirectiveNoSpace
	}
	m := a.quietModule(c.Context())
	if m == nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	var list []cobra.Completion
	for _, arch := range m.Architectures(name) {
		image, diags := m.Image(name, arch)
		if diags.HasErrors() || image == nil {
			continue
		}
		for _, t := range image.Targets {
			if full := name + ":" + t.Name; !slices.Contains(list, full) {
				list = append(list, full)
			}
		}
	}
	return list, cobra.ShellCompDirectiveNoFileComp
}

func (a *App) imageNames(ctx context.Context) []cobra.Completion {
	m := a.quietModule(ctx)
	if m == nil {
		return nil
	}
	var list []cobra.Completion
	for _, name := range m.Images() {
		description := ""
		if archs := m.Architectures(name); len(archs) > 0 {
			if image, diags := m.Image(name, archs[0]); !diags.HasErrors() && image != nil {
				description = image.Description
			}
		}
		list = append(list, cobra.CompletionWithDesc(name, description))
	}
	return list
}

// completeVariables completes the argument of --var.
func (a *App) completeVariables(c *cobra.Command, _ []string, toComplete string) ([]cobra.Completion, cobra.ShellCompDirective) {
	const directive = cobra.ShellCompDirectiveNoFileComp | cobra.ShellCompDirectiveNoSpace
	m := a.quietModule(c.Context())
	if m == nil || strings.Contains(toComplete, "=") {
		return nil, directive
	}
	var list []cobra.Completion
	for _, v := range m.Variables() {
		list = append(list, cobra.CompletionWithDesc(v.Name+"=", v.Description))
	}
	return list, directive
}
