package cli

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"syscall"

	"cloudy/builder/fail"
	"cloudy/builder/recipe"
)

// exitStatus ends a run with a status and no message: the verb has said
// already all there is to say.
type exitStatus int

func (e exitStatus) Error() string { return fmt.Sprintf("exit status %d", int(e)) }

// renderError tells the user what went wrong and returns the exit status.
func (a *App) renderError(err error) int {
	var status exitStatus
	if errors.As(err, &status) {
		return int(status)
	}
	kind, hint := kindOf(err), fail.HintOf(err)
	var (
		shown    *diagnosed
		mistakes *recipe.Mistakes
		diags    recipe.Diagnostics
		diag     *recipe.Diagnostic
		located  *recipe.Located
	)
	module := a.module
	if module == nil {
		module = new(recipe.Module) // knows no source lines
	}
	switch {
	case errors.As(err, &shown):
		shown.module.Render(a.Err, shown.diags, a.color())
	case errors.As(err, &mistakes):
		fmt.Fprintln(a.Err, mistakes.Error())
	case errors.As(err, &diags):
		module.Render(a.Err, diags, a.color())
	case errors.As(err, &diag):
		module.Render(a.Err, recipe.Diagnostics{diag}, a.color())
	case errors.As(err, &located) && kind != fail.Interrupted:
		module.Render(a.Err, recipe.Diagnostics{located.Diagnostic()}, a.color())
	case kind == fail.Interrupted:
		fmt.Fprintln(a.Err, a.paint(yellow, "interrupted"))
	default:
		a.writeError(err)
		if kind == fail.Internal && hint == "" {
			hint = "nothing that you wrote should cause this; please report it with the output of the same command and --log-level=debug"
		}
	}
	if hint == "" && errors.Is(err, syscall.ENOSPC) {
		hint = "free some space, or name a folder elsewhere with --cache"
	}
	if hint != "" {
		fmt.Fprintf(a.Err, "%s %s\n", a.paint(cyan, "hint:"), hint)
	}
	return kind.ExitCode()
}

// writeError writes an error: its first line after the word, the others indented.
func (a *App) writeError(err error) {
	first, rest, more := strings.Cut(strings.TrimRight(err.Error(), "\n"), "\n")
	fmt.Fprintf(a.Err, "%s %s\n", a.paint(red, "error:"), first)
	if more {
		for line := range strings.SplitSeq(rest, "\n") {
			fmt.Fprintf(a.Err, "  %s\n", line)
		}
	}
}

// kindOf is fail.KindOf, for errors from below that nobody marked as well.
func kindOf(err error) fail.Kind {
	kind := fail.KindOf(err)
	if kind != fail.Internal {
		return kind
	}
	var diags recipe.Diagnostics
	var diag *recipe.Diagnostic
	switch {
	case errors.As(err, &diags), errors.As(err, &diag):
		return fail.User
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT), errors.Is(err, syscall.EROFS):
		return fail.Host
	}
	return kind
}

// diagnosed is an error made of diagnostics that can still be shown with the
// terminal's colours.
type diagnosed struct {
	module *recipe.Module
	diags  recipe.Diagnostics
}

func (d *diagnosed) Error() string { return d.module.Err(d.diags).Error() }

// Diagnose shows the warnings among diags, and returns their errors as one
// error, nil when there are none.
func (a *App) Diagnose(m *recipe.Module, diags recipe.Diagnostics) error {
	if diags.HasErrors() {
		return fail.Mark(fail.User, &diagnosed{m, diags})
	}
	if len(diags) > 0 {
		m.Render(a.Err, diags, a.color())
	}
	return nil
}

// Warn writes a warning that belongs to no step.
func (a *App) Warn(format string, args ...any) {
	fmt.Fprintf(a.Err, "%s %s\n", a.paint(yellow, "warning:"), fmt.Sprintf(format, args...))
}

// The colours that the command line uses, as SGR parameters (ECMA-48, 8.3.117).
const (
	red    = "1;31"
	yellow = "33"
	cyan   = "36"
)

// paint colours text for stderr.
func (a *App) paint(sgr, text string) string { return paint(a.color(), sgr, text) }

func paint(on bool, sgr, text string) string {
	if !on {
		return text
	}
	return "\x1b[" + sgr + "m" + text + "\x1b[0m"
}

// printf writes to w and drops the error: a reader that went away is not
// worth a message.
func printf(w io.Writer, format string, args ...any) { _, _ = fmt.Fprintf(w, format, args...) }
