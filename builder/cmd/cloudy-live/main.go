// Command cloudy-live starts the system of a live medium, or installs it. The
// medium's initial RAM disk runs it; see cloudy/targets/metal/live.
package main

import (
	"context"
	"fmt"
	"os"

	"cloudy/targets/metal/live"
)

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: cloudy-live FOLDER-OF-THE-ROOT")
		os.Exit(2)
	}
	if err := live.Main(context.Background(), os.Args[1]); err != nil {
		fmt.Fprintf(os.Stderr, "cloudy: %v\n", err)
		os.Exit(1)
	}
}
