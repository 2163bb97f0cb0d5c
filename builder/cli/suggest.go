package cli

import (
	"errors"
	"fmt"
	"strings"

	"github.com/agext/levenshtein"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"cloudy/builder/fail"
)

// nearest returns the one of names that the user most likely meant with
// given, or "" when none is near.
func nearest(given string, names []string) string {
	best, bestDistance := "", 1+max(1, len(given)/3)
	for _, name := range names {
		d := levenshtein.Distance(strings.ToLower(given), name, nil)
		if swapped(given, name) {
			d = 1
		}
		if len(given) > 2 && strings.HasPrefix(name, given) {
			d = min(d, 1)
		}
		if d < bestDistance {
			best, bestDistance = name, d
		}
	}
	return best
}

// swapped says whether two neighbouring letters are all that differs, which is
// the most common slip and two edits by Levenshtein's measure.
func swapped(a, b string) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range len(a) - 1 {
		if a[i] != b[i] {
			return a[i] == b[i+1] && a[i+1] == b[i] && a[i+2:] == b[i+2:]
		}
	}
	return false
}

// flagError makes a user error with a hint out of what pflag says about a flag.
func flagError(c *cobra.Command, err error) error {
	var unknown *pflag.NotExistError
	hint := fmt.Sprintf("see %q", c.CommandPath()+" --help")
	if errors.As(err, &unknown) && unknown.GetSpecifiedShortnames() == "" {
		var names []string
		c.Flags().VisitAll(func(f *pflag.Flag) {
			if !f.Hidden {
				names = append(names, f.Name)
			}
		})
		name, _, _ := strings.Cut(unknown.GetSpecifiedName(), "=")
		if near := nearest(name, names); near != "" {
			hint = fmt.Sprintf("did you mean --%s?", near)
		}
	}
	return fail.WithHint(fail.User, err, hint)
}

// between wants so many arguments, without a limit where most is negative. The
// error says what they are, by the words of the usage line.
func between(least, most int) cobra.PositionalArgs {
	return func(c *cobra.Command, args []string) error {
		if len(args) >= least && (most < 0 || len(args) <= most) {
			return nil
		}
		_, what, _ := strings.Cut(c.Use, " ")
		got := "nothing"
		if len(args) > 0 {
			got = strings.Trim(fmt.Sprintf("%q", args), "[]")
		}
		return fmt.Errorf("%s wants %s, and got %s", c.CommandPath(), what, got)
	}
}
