package sandbox

import "os"

// Parts of the sandbox are this same binary run under another name (argv[0]).
const (
	stageInit  = "cloudy-sandbox:init"  // process 1 of a session
	stageProbe = "cloudy-sandbox:probe" // tries out what a session would need
	stageEnter = "cloudy-sandbox:enter" // waits for its ids to be mapped, then becomes the program again
)

// Init must be the first call in main (and in TestMain): when this process is
// one of the sandbox's own, it does that work and never returns.
func Init() {
	if len(os.Args) == 0 {
		return
	}
	switch os.Args[0] {
	case stageInit:
		os.Exit(initMain())
	case stageEnter:
		os.Exit(enterMain())
	}
	if e, ok := enteredState(); ok {
		arrived(e)
	}
	if os.Args[0] == stageProbe {
		os.Exit(probeMain())
	}
}
