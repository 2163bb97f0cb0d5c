// Command cloudy builds Debian images out of recipes.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"

	"cloudy/builder/cli"
	"cloudy/builder/lab"
	"cloudy/builder/sandbox"
)

func main() {
	// The sandbox re-executes this binary as a helper of its own; such a
	// process does not come back from here.
	sandbox.Init()
	lab.Init()

	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	// The first signal asks for an orderly end; a second one ends at once.
	context.AfterFunc(ctx, stop)
	os.Exit(cli.Run(ctx, os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
}
