// Command cloudy-node brings a node into its mesh and keeps it there.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"

	"cloudy/firstboot/cli"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	os.Exit(cli.Run(ctx, os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
}
