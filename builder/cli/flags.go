package cli

import (
	"fmt"
	"io"
	"log/slog"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"cloudy/builder/fail"
	"cloudy/builder/recipe"
	"cloudy/builder/sandbox"
	"cloudy/builder/store"
)

// Flags are the values of the flags that every verb takes.
type Flags struct {
	Recipe   string            // folder of the recipe; "" means ./ when it has *.hcl files, else the embedded recipe
	Vars     []recipe.VarInput // in the order given
	Cache    string            // folder of the store
	Mirrors  []string          // in the order to try
	Progress string            // auto, plain, json or quiet
	Offline  bool
	Arch     string   // Debian's name of an architecture, the first of --arch
	Archs    []string // all of --arch, for the verbs that take several
	Verbose  bool
	NoColor  bool
	LogLevel string // debug, info, warn or error
}

// progressModes are the values of --progress.
func progressModes() []string { return []string{"auto", "plain", "json", "quiet"} }

// Architectures are the Debian architectures that images are built for.
func Architectures() []string { return []string{"amd64", "arm64", "armhf", "i386", "riscv64"} }

// addFlags declares the global flags on the root command.
func (a *App) addFlags(root *cobra.Command) {
	f, p := &a.Flags, root.PersistentFlags()
	p.StringVar(&f.Recipe, "recipe", "", "`folder` of the recipe (default: this folder if it has *.hcl files, else the built-in recipe)")
	p.Var(varFlag{&f.Vars, false}, "var", "set a variable of the recipe, as `name=value`; may be given several times")
	p.Var(varFlag{&f.Vars, true}, "var-file", "set variables from a `file` of name = value lines; may be given several times")
	p.StringVar(&f.Cache, "cache", "", "`folder` of the store of downloads and layers (default: $CLOUDY_CACHE or the user's cache folder)")
	p.StringArrayVar(&f.Mirrors, "mirror", nil, "`url` of a Debian mirror to use first (default: $CLOUDY_MIRROR or the host's apt sources)")
	p.StringVar(&f.Progress, "progress", "auto", "`how` to show progress: auto, plain, json or quiet")
	p.BoolVar(&f.Offline, "offline", false, "use the store and the lock alone, no network")
	p.StringVar(&f.Arch, "arch", HostArch(), "Debian `architecture` of the image; build, plan and lock take several, with commas")
	p.BoolVarP(&f.Verbose, "verbose", "v", false, "tell more: the output of programs that a build runs, and --log-level=info")
	p.BoolVar(&f.NoColor, "no-color", false, "no colours (also: NO_COLOR in the environment)")
	p.StringVar(&f.LogLevel, "log-level", "", "`level` of messages for developers: debug, info, warn or error (default warn)")

	fixed := func(values ...string) cobra.CompletionFunc {
		return cobra.FixedCompletions(values, cobra.ShellCompDirectiveNoFileComp)
	}
	for name, fn := range map[string]cobra.CompletionFunc{
		"recipe": func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
			return nil, cobra.ShellCompDirectiveFilterDirs
		},
		"cache": func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
			return nil, cobra.ShellCompDirectiveFilterDirs
		},
		"mirror":    fixed(),
		"progress":  fixed(progressModes()...),
		"arch":      completeArchs,
		"log-level": fixed("debug", "info", "warn", "error"),
		"var":       a.completeVariables,
	} {
		if err := root.RegisterFlagCompletionFunc(name, fn); err != nil {
			panic(err) // a flag that is not declared above
		}
	}
}

// setUp checks the global flags, fills in defaults from the environment and
// makes the logger. It runs before every verb.
func (a *App) setUp(c *cobra.Command) error {
	f := &a.Flags
	if err := oneOf("progress", f.Progress, progressModes()); err != nil {
		return err
	}
	if err := f.splitArchs(c); err != nil {
		return err
	}
	if f.Cache == "" {
		dir, err := store.DefaultDir()
		if err != nil {
			return fail.WithHint(fail.Host, fmt.Errorf("find the cache folder: %w", err), "name one with --cache or CLOUDY_CACHE")
		}
		f.Cache = dir
	}
	if env := os.Getenv("CLOUDY_MIRROR"); len(f.Mirrors) == 0 && env != "" {
		f.Mirrors = strings.Fields(env)
	}
	return a.setLogger()
}

// severalArchs is the annotation of verbs that take several architectures.
const severalArchs = "several architectures"

// splitArchs takes --arch apart.
func (f *Flags) splitArchs(c *cobra.Command) error {
	f.Archs = nil
	for arch := range strings.SplitSeq(f.Arch, ",") {
		if err := oneOf("arch", arch, Architectures()); err != nil {
			return err
		}
		if !slices.Contains(f.Archs, arch) {
			f.Archs = append(f.Archs, arch)
		}
	}
	if len(f.Archs) > 1 && c.Annotations[severalArchs] == "" {
		return fail.WithHint(fail.User, fmt.Errorf("--arch=%s: %s is for one architecture", f.Arch, c.CommandPath()), "cloudy build, plan and lock take several")
	}
	f.Arch = f.Archs[0]
	return nil
}

// completeArchs completes a list of architectures where the verb takes one.
func completeArchs(c *cobra.Command, _ []string, toComplete string) ([]cobra.Completion, cobra.ShellCompDirective) {
	list := Architectures()
	if at := strings.LastIndex(toComplete, ",") + 1; c.Annotations[severalArchs] != "" {
		given := strings.Split(toComplete[:at], ",")
		list = slices.DeleteFunc(list, func(arch string) bool { return slices.Contains(given, arch) })
		for i := range list {
			list[i] = toComplete[:at] + list[i]
		}
	}
	return list, cobra.ShellCompDirectiveNoFileComp
}

// varFlag is --var or --var-file: both append to one list, because the later
// one of the command line wins.
type varFlag struct {
	to   *[]recipe.VarInput
	file bool
}

// Set adds one value.
func (v varFlag) Set(s string) error {
	if v.file {
		*v.to = append(*v.to, recipe.VarInput{File: s})
		return nil
	}
	if name, _, ok := strings.Cut(s, "="); !ok || name == "" {
		return fmt.Errorf("want name=value")
	}
	*v.to = append(*v.to, recipe.VarInput{Assign: s})
	return nil
}

// String is the default, which is empty.
func (varFlag) String() string { return "" }

// Type names the value in help texts without one of its own.
func (v varFlag) Type() string { return "value" }

func (a *App) setLogger() error {
	level := slog.LevelWarn
	if a.Flags.Verbose {
		level = slog.LevelInfo
	}
	if s := a.Flags.LogLevel; s != "" {
		if err := level.UnmarshalText([]byte(s)); err != nil {
			return fail.Mark(fail.User, fmt.Errorf("--log-level=%s: want debug, info, warn or error", s))
		}
	}
	a.Log = slog.New(slog.NewTextHandler(a.Err, &slog.HandlerOptions{Level: level}))
	return nil
}

// HostArch is Debian's name of the architecture that this program runs on.
func HostArch() string { return sandbox.HostArch() }

func isTerminal(f *os.File) bool { return term.IsTerminal(int(f.Fd())) }

// color says whether stderr takes colours.
func (a *App) color() bool { return a.colorOn(a.Err) }

// colorOn says whether w takes colours: a terminal that is not dumb, and
// nobody said no (https://no-color.org).
func (a *App) colorOn(w io.Writer) bool {
	return !a.Flags.NoColor && os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb" && terminal(w) != nil
}
