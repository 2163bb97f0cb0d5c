package cli

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"cloudy/builder/fail"
)

// The groups of verbs in the help text.
const (
	groupBuild  = "build"
	groupRecipe = "recipe"
	groupImage  = "image"
	groupHost   = "host"
)

// verbs is the list of all verbs; help texts sort them. A verb is a method of
// App in a file of its own that returns its command.
func verbs(a *App) []*cobra.Command {
	return []*cobra.Command{
		a.initCommand(),
		a.validateCommand(),
		a.fmtCommand(),
		a.showCommand(),
		a.buildCommand(),
		a.planCommand(),
		a.lockCommand(),
		a.runCommand(),
		a.checkCommand(),
		a.shellCommand(),
		a.flashCommand(),
		a.inspectCommand(),
		a.diffCommand(),
		a.sizeCommand(),
		a.sbomCommand(),
		a.pushCommand(),
		a.pullCommand(),
		a.copyCommand(),
		a.keyCommand(),
		a.signCommand(),
		a.verifyCommand(),
		a.labCommand(),
		a.cacheCommand(),
		a.doctorCommand(),
		a.versionCommand(),
		a.completionCommand(),
		a.manCommand(),
	}
}

// newRoot makes the whole tree of commands for one run.
func newRoot(a *App) *cobra.Command {
	root := &cobra.Command{
		Use:   "cloudy COMMAND",
		Short: "Build Debian images, fast and the same to the last byte",
		Long: `Cloudy builds bootable Debian images out of recipes: virtual machines, containers,
SD cards and more. It needs no root, no loop devices and no tools but itself; the
same recipe and lock give the same image, byte for byte, on any machine.`,
		Example: `  cloudy build                         build the default image for a machine like this
  cloudy build node:vm node:lxc        build two targets of one root filesystem
  cloudy run node                      boot it here
  cloudy inspect out/node-amd64.qcow2  say what is in it
  cloudy init mycloud                  write out the built-in recipe to change it`,
		SilenceErrors: true,
		SilenceUsage:  true,
		// Suggestions are made below, with a hint line like all other errors.
		DisableSuggestions: true,
		CompletionOptions:  cobra.CompletionOptions{DisableDefaultCmd: true},
		PersistentPreRunE:  func(c *cobra.Command, _ []string) error { return a.setUp(c) },
	}
	root.AddGroup(
		&cobra.Group{ID: groupBuild, Title: "Building:"},
		&cobra.Group{ID: groupRecipe, Title: "Recipes:"},
		&cobra.Group{ID: groupImage, Title: "Images:"},
		&cobra.Group{ID: groupHost, Title: "This machine:"},
	)
	root.Version = Version().String() // for --version
	root.SetVersionTemplate("{{.Version}}")
	root.SetUsageTemplate(usageTemplate)
	root.SetHelpTemplate(helpTemplate)
	a.addFlags(root)
	root.AddCommand(verbs(a)...)
	root.AddCommand(topics()...)
	root.SetHelpCommand(helpCommand())
	root.SetFlagErrorFunc(flagError)
	finish(root)
	return root
}

// finish gives every command of the tree what all of them have in common:
// errors in arguments are the user's, a command without an opinion takes no
// arguments, and a command that only groups others names the nearest of them.
func finish(c *cobra.Command) {
	for _, sub := range c.Commands() {
		finish(sub)
	}
	if c.HasSubCommands() && c.RunE == nil && c.Run == nil {
		c.Args = cobra.ArbitraryArgs
		c.RunE = func(c *cobra.Command, args []string) error {
			if len(args) == 0 {
				return c.Help()
			}
			return unknownCommand(c, args[0])
		}
		return
	}
	check := c.Args
	if check == nil {
		check = noArgs
	}
	c.Args = func(c *cobra.Command, args []string) error {
		return fail.WithHint(fail.User, check(c, args), fmt.Sprintf("see %q", c.CommandPath()+" --help"))
	}
}

func noArgs(c *cobra.Command, args []string) error {
	if len(args) > 0 {
		return fmt.Errorf("%s takes no arguments, but got %q", c.CommandPath(), args[0])
	}
	return nil
}

func unknownCommand(c *cobra.Command, name string) error {
	var names []string
	for _, sub := range c.Commands() {
		if !sub.Hidden {
			names = append(names, append(sub.Aliases, sub.Name())...)
		}
	}
	hint := fmt.Sprintf("%q lists the commands", c.CommandPath()+" --help")
	if near := nearest(name, names); near != "" {
		hint = fmt.Sprintf("did you mean %q?", c.CommandPath()+" "+near)
	}
	return fail.WithHint(fail.User, fmt.Errorf("unknown command %q", strings.TrimSpace(c.CommandPath()+" "+name)), hint)
}
