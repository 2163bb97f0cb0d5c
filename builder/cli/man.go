package cli

import (
	"fmt"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"cloudy/builder/fail"
)

func (a *App) manCommand() *cobra.Command {
	var markdown bool
	c := &cobra.Command{
		Use:     "man FOLDER",
		Hidden:  true,
		Short:   "Write the man pages into a folder",
		Long:    "Write a man page for every verb and help topic into a folder, or the same as Markdown.",
		Example: "  cloudy man ./man1\n  cloudy man --markdown docs/cli",
		Args:    between(1, 1),
		RunE: func(c *cobra.Command, args []string) error {
			pages := manPages(c.Root())
			if markdown {
				pages = markdownPages(c.Root())
			}
			if err := os.MkdirAll(args[0], 0o755); err != nil {
				return fail.Mark(fail.Host, fmt.Errorf("write the pages: %w", err))
			}
			for _, p := range pages {
				if err := os.WriteFile(filepath.Join(args[0], p.name), []byte(p.text), 0o644); err != nil {
					return fail.Mark(fail.Host, fmt.Errorf("write the pages: %w", err))
				}
			}
			return nil
		},
	}
	c.Flags().BoolVar(&markdown, "markdown", false, "write Markdown instead of man pages")
	return c
}
