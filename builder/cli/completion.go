package cli

import (
	"github.com/spf13/cobra"
)

func (a *App) completionCommand() *cobra.Command {
	shells := []string{"bash", "zsh", "fish"}
	return &cobra.Command{
		Use:       "completion bash|zsh|fish",
		GroupID:   groupHost,
		Short:     "Write a completion script for a shell",
		Long:      "Write a script that teaches a shell to complete verbs, flags, and the images, targets and\nvariables of the recipe.",
		Example:   "  source <(cloudy completion bash)\n  cloudy completion zsh > \"${fpath[1]}/_cloudy\"\n  cloudy completion fish > ~/.config/fish/completions/cloudy.fish",
		ValidArgs: shells,
		Args:      cobra.MatchAll(between(1, 1), cobra.OnlyValidArgs),
		RunE: func(c *cobra.Command, args []string) error {
			switch args[0] {
			case "zsh":
				return c.Root().GenZshCompletion(a.Out)
			case "fish":
				return c.Root().GenFishCompletion(a.Out, true)
			default:
				return c.Root().GenBashCompletionV2(a.Out, true)
			}
		},
	}
}
