// Package doctor says what this machine has and lacks for building and
// running images, and how to mend what is missing. It changes nothing.
package doctor

import (
	"context"
	"os"
	"time"
)

// Level is how much a finding matters.
type Level string

// The levels.
const (
	OK   Level = "ok"
	Warn Level = "warn" // slower, or something that not every build needs
	Fail Level = "fail" // nothing can be built
)

// Finding is one thing that was looked at.
type Finding struct {
	Name   string `json:"name"`          // what was looked at, a few words
	Level  Level  `json:"level"`         //
	Detail string `json:"detail"`        // what was found, one sentence or less
	Fix    string `json:"fix,omitempty"` // what can be done about it; empty when all is well
}

// Options say for what the machine is examined. The zero value looks at nothing but the system.
type Options struct {
	// CacheDir is where downloads, layers and roots lie; it need not exist yet.
	CacheDir string
	// OutputDir is where images are written; it need not exist yet.
	OutputDir string
}

// Check looks at everything and returns the findings in the order in which a
// person would want to mend them. main must have called sandbox.Init.
func Check(ctx context.Context, o Options) []Finding {
	dir := existing(o.CacheDir)
	if dir == "" {
		dir = os.TempDir()
	}
	list := checkSandbox(ctx, dir)
	if o.CacheDir != "" {
		list = append(list, checkDir("cache folder", o.CacheDir)...)
		list = append(list, checkSpace("cache disk space", o.CacheDir))
	}
	if o.OutputDir != "" && !sameFS(o.OutputDir, o.CacheDir) {
		list = append(list, checkSpace("output disk space", o.OutputDir))
	}
	return append(list, checkMemory(), checkClock(time.Now()), checkKVM(ctx))
}

// Worst is the gravest level among findings.
func Worst(list []Finding) Level {
	worst := OK
	for _, f := range list {
		if f.Level == Fail || f.Level == Warn && worst == OK {
			worst = f.Level
		}
	}
	return worst
}
