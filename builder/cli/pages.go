package cli

import (
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// page is one generated file of the reference.
type page struct{ name, text string }

// documented are the commands that have a page, parents first.
func documented(c *cobra.Command) []*cobra.Command {
	list := []*cobra.Command{c}
	for _, sub := range c.Commands() {
		if !sub.Hidden && sub.Name() != "help" {
			list = append(list, documented(sub)...)
		}
	}
	return list
}

// pageName is the name of c's page without a suffix: cloudy-cache-gc.
func pageName(c *cobra.Command) string { return strings.ReplaceAll(c.CommandPath(), " ", "-") }

// related are the pages next to c's: its parent and its children.
func related(c *cobra.Command) []*cobra.Command {
	var list []*cobra.Command
	if c.HasParent() {
		list = append(list, c.Parent())
	}
	for _, sub := range c.Commands() {
		if !sub.Hidden && sub.Name() != "help" {
			list = append(list, sub)
		}
	}
	return list
}

// localFlags are the flags that c has and its parents have not.
func localFlags(c *cobra.Command) []*pflag.Flag {
	flags := c.NonInheritedFlags()
	if !c.HasParent() {
		flags = c.PersistentFlags()
	}
	var list []*pflag.Flag
	flags.VisitAll(func(f *pflag.Flag) {
		if !f.Hidden && f.Name != "help" {
			list = append(list, f)
		}
	})
	slices.SortFunc(list, func(x, y *pflag.Flag) int { return strings.Compare(x.Name, y.Name) })
	return list
}

// flagText returns a flag as the user writes it ("-v, --verbose", "--arch architecture") and its description.
func flagText(f *pflag.Flag) (name, usage string) {
	value, usage := pflag.UnquoteUsage(f)
	name = "--" + f.Name
	if f.Shorthand != "" {
		name = "-" + f.Shorthand + ", " + name
	}
	if value != "" {
		name += " " + value
	}
	// The architecture's default is this machine's, which a page must not have.
	if f.DefValue != "" && f.DefValue != "false" && f.DefValue != "[]" && f.DefValue != "0" && f.Name != "arch" {
		usage += fmt.Sprintf(" (default %s)", f.DefValue)
	}
	return name, usage
}

func manPages(root *cobra.Command) []page {
	var pages []page
	for _, c := range documented(root) {
		pages = append(pages, page{pageName(c) + ".1", manPage(c)})
	}
	return pages
}

// manPage writes c's page in the man macros (man(7)).
func manPage(c *cobra.Command) string {
	var b strings.Builder
	fmt.Fprintf(&b, ".TH %s 1 \"\" \"Cloudy\" \"Cloudy Manual\"\n", roff(strings.ToUpper(pageName(c))))
	fmt.Fprintf(&b, ".SH NAME\n%s \\- %s\n", roff(pageName(c)), roff(c.Short))
	if c.Runnable() {
		fmt.Fprintf(&b, ".SH SYNOPSIS\n\\fB%s\\fR\n", roff(c.UseLine()))
	}
	fmt.Fprintf(&b, ".SH DESCRIPTION\n.nf\n%s\n.fi\n", roff(c.Long))
	if flags := localFlags(c); len(flags) > 0 {
		b.WriteString(".SH OPTIONS\n")
		for _, f := range flags {
			name, usage := flagText(f)
			fmt.Fprintf(&b, ".TP\n\\fB%s\\fR\n%s\n", roff(name), roff(usage))
		}
		if c.HasParent() {
			fmt.Fprintf(&b, ".PP\nThe options in \\fBcloudy\\fR(1) hold for every command.\n")
		}
	}
	if c.Example != "" {
		fmt.Fprintf(&b, ".SH EXAMPLES\n.nf\n%s\n.fi\n", roff(c.Example))
	}
	if list := related(c); len(list) > 0 {
		b.WriteString(".SH SEE ALSO\n")
		for i, r := range list {
			if i > 0 {
				b.WriteString(",\n")
			}
			fmt.Fprintf(&b, "\\fB%s\\fR(1)", roff(pageName(r)))
		}
		b.WriteString("\n")
	}
	return b.String()
}

// roff escapes text for a man page: backslashes, hyphens that must stay
// hyphens when copied, and dots and quotes that would start a macro.
func roff(s string) string {
	s = strings.NewReplacer(`\`, `\e`, "-", `\-`).Replace(s)
	lines := strings.Split(s, "\n")
	for i, l := range lines {
		if strings.HasPrefix(l, ".") || strings.HasPrefix(l, "'") {
			lines[i] = `\&` + l
		}
	}
	return strings.Join(lines, "\n")
}

func markdownPages(root *cobra.Command) []page {
	var pages []page
	for _, c := range documented(root) {
		pages = append(pages, page{pageName(c) + ".md", markdownPage(c)})
	}
	return pages
}

func markdownPage(c *cobra.Command) string {
	var b strings.Builder
	b.WriteString("<!-- Written by `cloudy man --markdown`; change the command's help text instead. -->\n")
	fmt.Fprintf(&b, "# %s\n\n%s.\n", c.CommandPath(), c.Short)
	if c.Runnable() {
		fmt.Fprintf(&b, "\n```\n%s\n```\n", c.UseLine())
	}
	fmt.Fprintf(&b, "\n```text\n%s\n```\n", c.Long)
	if flags := localFlags(c); len(flags) > 0 {
		b.WriteString("\n## Options\n\n| option | what |\n| --- | --- |\n")
		for _, f := range flags {
			name, usage := flagText(f)
			fmt.Fprintf(&b, "| `%s` | %s |\n", name, strings.ReplaceAll(usage, "|", `\|`))
		}
		if c.HasParent() {
			b.WriteString("\nThe options of [cloudy](cloudy.md) hold for every command.\n")
		}
	}
	if c.Example != "" {
		fmt.Fprintf(&b, "\n## Examples\n\n```sh\n%s\n```\n", unindent(c.Example))
	}
	if list := related(c); len(list) > 0 {
		b.WriteString("\n## See also\n\n")
		for _, r := range list {
			fmt.Fprintf(&b, "- [%s](%s.md): %s\n", r.CommandPath(), pageName(r), r.Short)
		}
	}
	return b.String()
}

func unindent(s string) string {
	lines := strings.Split(s, "\n")
	for i := range lines {
		lines[i] = strings.TrimPrefix(lines[i], "  ")
	}
	return strings.Join(lines, "\n")
}
