package cli

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"cloudy/builder/fail"
	"cloudy/builder/lab"
	"cloudy/builder/recipe"
)

func (a *App) labCommand() *cobra.Command {
	c := &cobra.Command{
		Use:     "lab COMMAND",
		GroupID: groupHost,
		Short:   "Run a small world of nodes on this machine",
		Long: `Run a mesh of nodes on this machine: each with the real systemd, tinc, Avahi and agent,
in namespaces of its own, in sites with links between them that delay and lose packets.
A lab file says which; docs/reference/lab.md describes it. Labs need root.`,
		Example: "  cloudy lab up testbed\n  cloudy lab status\n  cloudy lab exec trieste-1 -- avahi-browse -atrp\n  cloudy lab cut italy\n  cloudy lab down",
	}
	c.AddCommand(a.labUpCommand(), a.labStatusCommand(), a.labExecCommand(), a.labCutCommand(true), a.labCutCommand(false),
		a.labPageCommand(), a.labDownCommand(), a.labListCommand())
	return c
}

// labs is the folder of all labs: beside the store, for nobody but its owner.
func (a *App) labs() (string, error) {
	st, err := a.Store()
	if err != nil {
		return "", err
	}
	defer st.Close()
	dir := filepath.Join(st.Dir(), "labs")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return "", fail.Mark(fail.Host, err)
	}
	return dir, nil
}

// theLab is the folder of the lab of that name; of the only one when name is empty.
func (a *App) theLab(name string) (string, error) {
	dir, err := a.labs()
	if err != nil {
		return "", err
	}
	names := lab.List(dir)
	switch {
	case name == "" && len(names) == 1:
		return lab.Folder(dir, names[0]), nil
	case name == "" && len(names) == 0:
		return "", fail.WithHint(fail.User, errors.New("no lab is there"), `"cloudy lab up FILE" starts one`)
	case name == "":
		return "", fail.WithHint(fail.User, errors.New("there are several labs"), "name one of "+strings.Join(names, ", "))
	}
	if !contains(names, name) {
		hint := `"cloudy lab ls" lists them`
		if near := nearest(name, names); near != "" {
			hint = fmt.Sprintf("did you mean %q?", near)
		}
		return "", fail.WithHint(fail.User, fmt.Errorf("there is no lab %q", name), hint)
	}
	return lab.Folder(dir, name), nil
}

// runningLab is theLab with its state.
func (a *App) runningLab(c *cobra.Command, name string, usage bool) (string, *lab.State, error) {
	dir, err := a.theLab(name)
	if err != nil {
		return "", nil, err
	}
	if !lab.Running(dir) {
		return "", nil, fail.WithHint(fail.User, fmt.Errorf("lab %s does not run any more", filepath.Base(dir)),
			fmt.Sprintf("\"cloudy lab down %s\" removes what is left of it", filepath.Base(dir)))
	}
	s, err := lab.Get(c.Context(), dir, usage)
	return dir, s, fail.Mark(fail.Host, err)
}

// labSource finds a lab file: a path, or the name of one in labs/ of the
// recipe folder or of what is built in.
func (a *App) labSource(name string) (*recipe.Source, error) {
	if _, err := os.Stat(name); err == nil {
		return recipe.OpenSource(name)
	}
	if strings.ContainsRune(name, filepath.Separator) || strings.HasSuffix(name, ".hcl") {
		return nil, fail.Mark(fail.User, fmt.Errorf("read lab file: %s: %w", name, fs.ErrNotExist))
	}
	if own := filepath.Join(a.Flags.Recipe, "labs", name+".hcl"); a.Flags.Recipe != "" || hasRecipe(".") {
		if _, err := os.Stat(own); err == nil {
			return recipe.OpenSource(own)
		}
	}
	src, names := recipe.EmbeddedLab(name)
	if src == nil {
		hint := "the built-in labs are " + strings.Join(names, ", ")
		if near := nearest(name, names); near != "" {
			hint = fmt.Sprintf("did you mean %q?", near)
		}
		return nil, fail.WithHint(fail.User, fmt.Errorf("there is no file %s, and no built-in lab of that name", name), hint)
	}
	return src, nil
}

func oneAtMost(what string) cobra.PositionalArgs {
	return func(_ *cobra.Command, args []string) error {
		if len(args) > 1 {
			return fmt.Errorf("want one %s at most, but got %q", what, args)
		}
		return nil
	}
}

func optional(args []string) string {
	if len(args) == 0 {
		return ""
	}
	return args[0]
}

// completeLabs completes the name of a lab that is there.
func (a *App) completeLabs(_ *cobra.Command, args []string, _ string) ([]cobra.Completion, cobra.ShellCompDirective) {
	dir, err := a.labs()
	if err != nil || len(args) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	return lab.List(dir), cobra.ShellCompDirectiveNoFileComp
}

func (a *App) labListCommand() *cobra.Command {
	return &cobra.Command{
		Use: "ls", Short: "List the labs that are there", Long: "List the labs of this machine and whether they run.",
		Example: "  cloudy lab ls",
		RunE: func(*cobra.Command, []string) error {
			dir, err := a.labs()
			if err != nil {
				return err
			}
			for _, name := range lab.List(dir) {
				state := "ended; \"cloudy lab down " + name + "\" removes what is left"
				if lab.Running(lab.Folder(dir, name)) {
					state = "runs"
				}
				printf(a.Out, "%-20s %s\n", name, state)
			}
			return nil
		},
	}
}

func (a *App) labDownCommand() *cobra.Command {
	return &cobra.Command{
		Use: "down [LAB]", Short: "End a lab and remove all of it",
		Long:    "End a lab as if its power went off: no process, mount, interface or file of it is left.\nThis also removes what is left of one that crashed.",
		Example: "  cloudy lab down testbed", Args: oneAtMost("lab"), ValidArgsFunction: a.completeLabs,
		RunE: func(c *cobra.Command, args []string) error {
			dir, err := a.theLab(optional(args))
			if err != nil {
				return err
			}
			return lab.Down(c.Context(), dir)
		},
	}
}
