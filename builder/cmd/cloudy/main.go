// Command cloudy builds Debian images out of recipes.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"

	"cloudy/builder/cli"
)

func main() {
	// The sandbox re-executes this binary as its own helper: sandbox.Init()
	// has to come here, before anything else looks at arguments or starts
	// goroutines, and does not return in such a helper.

	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	// The first signal asks for an orderly end; a second one ends at once.
	context.AfterFunc(ctx, stop)
	os.Exit(cli.Run(ctx, os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
}
