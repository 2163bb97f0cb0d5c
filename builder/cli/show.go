package cli

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"cloudy/builder/fail"
	"cloudy/builder/recipe"
)

func (a *App) showCommand() *cobra.Command {
	var asJSON bool
	c := &cobra.Command{
		Use:     "show [IMAGE]",
		GroupID: groupRecipe,
		Short:   "Show what the recipe comes down to",
		Long: `Show an image with all that it inherits as one block, for the architecture of
--arch: variables, functions and loops are gone, sensitive values are masked.
Without an image, list the images, and the variables with their values and where
these come from.`,
		Example: `  cloudy show
  cloudy show node
  cloudy show node --json | jq .Packages`,
		Args:              between(0, 1),
		ValidArgsFunction: a.CompleteImages,
		RunE: func(c *cobra.Command, args []string) error {
			m, err := a.Module(c.Context())
			if err != nil {
				return err
			}
			if len(args) == 0 {
				return a.showModule(m, asJSON)
			}
			image, err := a.Image(m, args[0], a.Flags.Arch)
			if err != nil {
				return err
			}
			if !asJSON {
				printf(a.Out, "%s", image.ShowHCL())
				return nil
			}
			text, err := image.ShowJSON()
			if err != nil {
				return fail.Mark(fail.Internal, fmt.Errorf("write the image as JSON: %w", err))
			}
			printf(a.Out, "%s\n", strings.TrimRight(string(text), "\n"))
			return nil
		},
	}
	c.Flags().BoolVar(&asJSON, "json", false, "as JSON")
	return c
}

type shownImage struct {
	Name          string   `json:"name"`
	Description   string   `json:"description,omitempty"`
	Architectures []string `json:"architectures"`
	Targets       []string `json:"targets"`
}

type shownVariable struct {
	Name        string `json:"name"`
	Type        string `json:"type"`
	Value       string `json:"value"` // as HCL
	From        string `json:"from"`
	Description string `json:"description,omitempty"`
}

func (a *App) showModule(m *recipe.Module, asJSON bool) error {
	shown := struct {
		Images    []shownImage    `json:"images"`
		Variables []shownVariable `json:"variables"`
	}{[]shownImage{}, []shownVariable{}}
	for _, name := range m.Images() {
		i := shownImage{Name: name, Architectures: m.Architectures(name), Targets: []string{}}
		seen := map[string]bool{}
		for _, arch := range i.Architectures {
			image, diags := m.Image(name, arch)
			if err := a.Diagnose(m, diags); err != nil {
				return err
			}
			i.Description = image.Description
			for _, t := range image.Targets {
				if !seen[t.Name] {
					seen[t.Name] = true
					i.Targets = append(i.Targets, t.Name)
				}
			}
		}
		shown.Images = append(shown.Images, i)
	}
	for _, v := range m.Variables() {
		shown.Variables = append(shown.Variables, shownVariable{v.Name, v.Type, v.Text(), v.From, v.Description})
	}
	if asJSON {
		return writeJSON(a.Out, shown)
	}
	for _, i := range shown.Images {
		printf(a.Out, "%s: %s\n", i.Name, strings.TrimSpace(i.Description))
		printf(a.Out, "  for %s\n", strings.Join(i.Architectures, ", "))
		if len(i.Targets) > 0 {
			printf(a.Out, "  targets %s\n", strings.Join(i.Targets, ", "))
		}
	}
	if len(shown.Variables) > 0 {
		printf(a.Out, "\nvariables:\n")
	}
	for _, v := range shown.Variables {
		printf(a.Out, "  %s = %s  # %s; %s\n", v.Name, v.Value, v.From, v.Description)
	}
	return nil
}
