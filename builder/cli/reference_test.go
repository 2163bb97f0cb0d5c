package cli

import (
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

func testRoot() *cobra.Command {
	return newRoot(&App{In: strings.NewReader(""), Out: io.Discard, Err: io.Discard})
}

// TestEveryVerbIsDocumented wants a short and a long text and an example of
// every verb, and lines that fit a terminal.
func TestEveryVerbIsDocumented(t *testing.T) {
	for _, c := range documented(testRoot()) {
		name := c.CommandPath()
		if c.Short == "" || c.Long == "" {
			t.Errorf("%s has no help", name)
		}
		if strings.HasSuffix(c.Short, ".") {
			t.Errorf("%s: the short help ends with a full stop", name)
		}
		if c.Runnable() && c.Example == "" {
			t.Errorf("%s has no example", name)
		}
		if !c.HasSubCommands() && c.Runnable() && c.HasParent() && c.Parent() == c.Root() && c.GroupID == "" {
			t.Errorf("%s is in no group of the help text", name)
		}
		for line := range strings.SplitSeq(c.Long+"\n"+c.Example, "\n") {
			if len(line) > 90 {
				t.Errorf("%s: a line of %d characters: %s", name, len(line), line)
			}
		}
		c.Flags().VisitAll(func(f *pflag.Flag) {
			if f.Usage == "" {
				t.Errorf("%s: --%s has no help", name, f.Name)
			}
		})
	}
}

// TestExamplesParse takes every example line and has the command that it names
// parse its flags and check its arguments.
func TestExamplesParse(t *testing.T) {
	for _, c := range documented(testRoot()) {
		for line := range strings.SplitSeq(c.Example, "\n") {
			for command := range strings.SplitSeq(strings.ReplaceAll(line, "&&", "|"), "|") {
				words := exampleWords(command)
				if len(words) == 0 || words[0] != "cloudy" {
					continue
				}
				root := testRoot()
				at, rest, err := root.Find(words[1:])
				if err == nil {
					err = at.ParseFlags(rest)
				}
				if err == nil && at == root && len(at.Flags().Args()) > 0 {
					t.Errorf("example of %s: %q: no such command", c.CommandPath(), line)
				}
				if err == nil && at != root && at.Args != nil {
					err = at.Args(at, at.Flags().Args())
				}
				if err != nil {
					t.Errorf("example of %s: %q: %v", c.CommandPath(), line, err)
				}
			}
		}
	}
}

// exampleWords splits an example as a shell would, up to a redirection or a
// remark, which stands behind three blanks or more.
func exampleWords(line string) []string {
	line, _, _ = strings.Cut(strings.TrimSpace(line), "   ")
	line, _, _ = strings.Cut(line, " >")
	line = strings.TrimSuffix(strings.TrimPrefix(line, "source <("), ")")
	var words []string
	for _, w := range strings.Fields(line) {
		words = append(words, strings.Trim(w, `'"`))
	}
	return words
}

// TestReferenceIsCurrent compares docs/cli with what the help texts say.
func TestReferenceIsCurrent(t *testing.T) {
	dir := filepath.Join("..", "..", "docs", "cli")
	want := map[string]string{}
	for _, p := range markdownPages(testRoot()) {
		want[p.name] = p.text
	}
	have, err := filepath.Glob(filepath.Join(dir, "*.md"))
	if err != nil {
		t.Fatal(err)
	}
	if *update {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		for _, name := range have {
			if want[filepath.Base(name)] == "" {
				os.Remove(name)
			}
		}
		for name, text := range want {
			if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		return
	}
	const hint = "run `go test ./builder/cli -update`"
	for _, name := range have {
		if want[filepath.Base(name)] == "" {
			t.Errorf("docs/cli has %s, which no command stands for: %s", filepath.Base(name), hint)
		}
	}
	for name, text := range want {
		got, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil || string(got) != text {
			t.Errorf("docs/cli/%s is out of date: %s", name, hint)
		}
	}
}

func TestNearest(t *testing.T) {
	names := []string{"build", "validate", "version", "run", "check"}
	for given, want := range map[string]string{"biuld": "build", "vlaidate": "validate", "versions": "version", "rum": "run", "val": "validate", "BUILD": "build", "zzz": "", "": ""} {
		if got := nearest(given, names); got != want {
			t.Errorf("nearest(%q) = %q, want %q", given, got, want)
		}
	}
}
