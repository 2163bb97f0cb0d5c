package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"

	"golang.org/x/term"

	"cloudy/builder/progress"
	"cloudy/builder/rootfs"
)

// Progress returns a context whose work shows its progress as the flags say,
// and a function that ends the display: with a table of all steps, or with
// the output of the step that failed. The verb calls it once, with the error
// that the work ended with and the path of the whole log, if there is one:
//
//	ctx, end := a.Progress(ctx)
//	err := work(ctx)
//	end(err, "")
//	return err
func (a *App) Progress(ctx context.Context) (context.Context, func(err error, logPath string)) {
	mode := a.Flags.Progress
	tty := terminal(a.Err)
	if mode == "auto" {
		mode = "plain"
		if tty != nil && os.Getenv("CI") == "" && os.Getenv("TERM") != "dumb" && os.Getenv("TERM") != "" {
			mode = "live"
		}
	}
	summary := progress.NewSummary()
	var sink progress.Sink
	stop := func() {}
	switch mode {
	case "live":
		live := progress.NewLive(tty, progress.LiveOptions{
			Size: func() (int, int) {
				columns, rows, err := term.GetSize(int(tty.Fd()))
				if err != nil {
					return 0, 0
				}
				return columns, rows
			},
			Color: a.color(),
			Logs:  a.Flags.Verbose,
			ASCII: !utf8Locale(),
		})
		sink, stop = live, live.Close
	case "json":
		sink = progress.NewJSON(a.Err)
	case "quiet":
		sink = progress.NewQuiet(a.Err)
	default:
		plain := progress.NewPlain(a.Err)
		plain.Logs = a.Flags.Verbose
		sink = plain
	}
	end := func(err error, logPath string) {
		stop()
		if mode == "json" {
			return // the reader has every event
		}
		var script *rootfs.ScriptError
		switch {
		case errors.As(err, &script) && len(script.Output) > 0: // shows it itself
			if logPath != "" {
				fmt.Fprintf(a.Err, "the whole output: %s\n", logPath)
			}
		case err != nil:
			summary.WriteFailure(a.Err, logPath)
		}
		if mode != "quiet" {
			summary.Write(a.Err)
		}
	}
	return progress.With(ctx, progress.Tee(summary, sink)), end
}

// utf8Locale says whether the terminal shows UTF-8, by the variables of
// locale(7) in their order.
func utf8Locale() bool {
	for _, name := range []string{"LC_ALL", "LC_CTYPE", "LANG"} {
		if v := os.Getenv(name); v != "" {
			v = strings.ToLower(v)
			return strings.Contains(v, "utf-8") || strings.Contains(v, "utf8")
		}
	}
	return false
}
