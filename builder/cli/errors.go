package cli

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"syscall"

	"github.com/hashicorp/hcl/v2"
	"golang.org/x/term"

	"cloudy/builder/fail"
)

// exitStatus ends a run with a status and no message: the verb has said
// already all there is to say.
type exitStatus int

func (e exitStatus) Error() string { return fmt.Sprintf("exit status %d", int(e)) }

// sourced is an error that brings the sources which its diagnostics point to.
type sourced interface {
	error
	Diagnostics() hcl.Diagnostics
	Sources() map[string]*hcl.File
}

// renderError tells the user what went wrong and returns the exit status.
func (a *App) renderError(err error) int {
	var status exitStatus
	if errors.As(err, &status) {
		return int(status)
	}
	kind, hint := kindOf(err), fail.HintOf(err)
	var (
		src   sourced
		diags hcl.Diagnostics
		diag  *hcl.Diagnostic
	)
	switch {
	case errors.As(err, &src):
		a.writeDiagnostics(src.Diagnostics(), src.Sources())
	case errors.As(err, &diags):
		a.writeDiagnostics(diags, nil)
	case errors.As(err, &diag):
		a.writeDiagnostics(hcl.Diagnostics{diag}, nil)
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
	var diags hcl.Diagnostics
	var diag *hcl.Diagnostic
	switch {
	case errors.As(err, &diags), errors.As(err, &diag):
		return fail.User
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT), errors.Is(err, syscall.EROFS):
		return fail.Host
	}
	return kind
}

// writeDiagnostics renders diagnostics with their source lines, worst first
// as the recipe found them. Files that are not among sources are read from
// disk, because a diagnostic names the file as the user did.
func (a *App) writeDiagnostics(diags hcl.Diagnostics, sources map[string]*hcl.File) {
	files := make(map[string]*hcl.File, len(sources))
	for name, f := range sources {
		files[name] = f
	}
	for _, d := range diags {
		if d.Subject == nil || files[d.Subject.Filename] != nil {
			continue
		}
		if b, err := os.ReadFile(d.Subject.Filename); err == nil {
			files[d.Subject.Filename] = &hcl.File{Bytes: b}
		}
	}
	width := uint(100)
	if f := terminal(a.Err); f != nil {
		if w, _, err := term.GetSize(int(f.Fd())); err == nil && w > 20 {
			width = uint(w)
		}
	}
	// A broken pipe on stderr leaves nobody to tell.
	_ = hcl.NewDiagnosticTextWriter(a.Err, files, width, a.color()).WriteDiagnostics(diags)
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
func (a *App) paint(sgr, text string) string {
	if !a.color() {
		return text
	}
	return "\x1b[" + sgr + "m" + text + "\x1b[0m"
}

// printf writes to w and drops the error: a reader that went away is not
// worth a message.
func printf(w io.Writer, format string, args ...any) { _, _ = fmt.Fprintf(w, format, args...) }
