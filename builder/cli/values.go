package cli

import (
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"cloudy/builder/fail"
)

// oneOf returns a user error when the value of a flag is none of those given.
func oneOf(flag, value string, values []string) error {
	if slices.Contains(values, value) {
		return nil
	}
	err := fmt.Errorf("--%s=%s: want one of %s", flag, value, strings.Join(values, ", "))
	hint := ""
	if near := nearest(value, values); near != "" {
		hint = fmt.Sprintf("did you mean %q?", near)
	}
	return fail.WithHint(fail.User, err, hint)
}

// mustComplete lets a shell complete the values of c's flag.
func mustComplete(c *cobra.Command, flag string, values []string) {
	if err := c.RegisterFlagCompletionFunc(flag, cobra.FixedCompletions(values, cobra.ShellCompDirectiveNoFileComp)); err != nil {
		panic(err) // a flag that the verb has not declared
	}
}
