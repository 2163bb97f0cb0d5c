// Package cli is the command line: one file per verb, the flags that all
// verbs share, and the rendering of errors, diagnostics and progress. It knows
// nothing of how anything is built.
package cli

import (
	"context"
	"io"
	"log/slog"
	"os"

	"cloudy/builder/recipe"
)

// App is what the verbs of one run share: the streams, the values of the
// global flags, and a logger.
type App struct {
	In       io.Reader
	Out, Err io.Writer

	Flags Flags
	Log   *slog.Logger

	shared cacheFlags     // of the verbs that have them
	module *recipe.Module // the last one loaded: it has the lines that diagnostics point to
}

// Run runs one command line (without the program's name) and returns its exit
// status; "cloudy help exit-codes" lists them. Results go to stdout, all else
// (progress, warnings, errors) to stderr. It keeps no state between calls, so
// tests run it in-process.
func Run(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	a := &App{In: stdin, Out: stdout, Err: stderr, Log: slog.New(slog.DiscardHandler)}
	root := newRoot(a)
	root.SetArgs(args)
	root.SetIn(stdin)
	root.SetOut(stdout)
	root.SetErr(stderr)
	err := root.ExecuteContext(ctx)
	if err == nil {
		return 0
	}
	if ctx.Err() != nil {
		// What broke because the work was stopped is not worth telling.
		err = ctx.Err()
	}
	return a.renderError(err)
}

// terminal returns the file behind w when it is a terminal, or nil.
func terminal(w io.Writer) *os.File {
	f, ok := w.(*os.File)
	if !ok || !isTerminal(f) {
		return nil
	}
	return f
}
