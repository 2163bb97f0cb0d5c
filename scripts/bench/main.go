// Bench compares Cloudy with mmdebstrap, debos and mkosi on this machine and
// prints the ratios of one run.
//
// The peers are Debian's own packages, in a root that Cloudy builds, entered
// by pivot_root; so their versions do not depend on the host. Both sides
// download from a caching mirror on the loopback, which is filled before
// anything is measured, and read the same one suite. Runs of the two sides
// alternate, because a busy machine is not equally busy all the time.
//
// It needs root, a Debian mirror (once) and some 6 GB of memory or disk.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
)

// options are what the command line says.
type options struct {
	cloudy  string
	rounds  int
	rows    []string
	peers   []string
	work    string // parent of the work folder
	tmpfs   bool
	cache   string
	mirror  string
	json    string
	verbose bool
}

func main() {
	if done, err := reentered(); done {
		if err != nil {
			fmt.Fprintln(os.Stderr, "bench:", err)
			os.Exit(125)
		}
		return
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Args[1:]); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			return
		}
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func parse(args []string) (*options, error) {
	o := &options{}
	f := flag.NewFlagSet("bench", flag.ContinueOnError)
	cache, _ := os.UserCacheDir()
	var rows, peers string
	var quick bool
	f.StringVar(&o.cloudy, "cloudy", "bin/cloudy", "the `program` to measure")
	f.IntVar(&o.rounds, "rounds", 3, "how often each thing is measured; the table has medians")
	f.StringVar(&rows, "rows", strings.Join(allRows(), ","), "`list` of what to measure")
	f.StringVar(&peers, "peers", strings.Join(allPeers(), ","), "`list` of builders to compare with; empty is none")
	f.BoolVar(&quick, "quick", false, "one round, minbase and node against mmdebstrap alone")
	f.StringVar(&o.work, "work", os.TempDir(), "`folder` to work in")
	f.BoolVar(&o.tmpfs, "tmpfs", true, "mount a tmpfs on the folder that is worked in")
	f.StringVar(&o.cache, "cache", filepath.Join(cache, "cloudy-bench"), "`folder` kept between runs: the mirror's files, the peers' root")
	f.StringVar(&o.mirror, "mirror", "", "`URL` of a Debian mirror (default as cloudy finds it)")
	f.StringVar(&o.json, "json", "", "write all single measurements to this `file`")
	f.BoolVar(&o.verbose, "verbose", false, "show what the builders print")
	if err := f.Parse(args); err != nil {
		return nil, err
	}
	o.rows, o.peers = list(rows), list(peers)
	if quick {
		o.rounds, o.rows, o.peers = 1, []string{"minbase", "node"}, []string{"mmdebstrap"}
	}
	for _, r := range o.rows {
		if !slices.Contains(allRows(), r) {
			return nil, fmt.Errorf("unknown row %q (%s)", r, strings.Join(allRows(), ", "))
		}
	}
	for _, p := range o.peers {
		if !slices.Contains(allPeers(), p) {
			return nil, fmt.Errorf("unknown peer %q (%s)", p, strings.Join(allPeers(), ", "))
		}
	}
	var err error
	for _, p := range []*string{&o.cloudy, &o.work, &o.cache} {
		if *p, err = filepath.Abs(*p); err != nil {
			return nil, err
		}
	}
	return o, nil
}

func list(s string) []string {
	return slices.DeleteFunc(strings.Split(s, ","), func(w string) bool { return w == "" })
}

func run(ctx context.Context, args []string) (err error) {
	o, err := parse(args)
	if err != nil {
		return err
	}
	if os.Geteuid() != 0 {
		return errors.New("the peers need root")
	}
	if err := isolate(); err != nil {
		return err
	}
	b, err := newBench(ctx, o)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, b.close()) }()
	if err := b.prepare(ctx); err != nil {
		return err
	}
	for round := range o.rounds {
		if err := b.round(ctx, round); err != nil {
			return err
		}
	}
	if o.json != "" {
		if err := writeJSON(o.json, b.results); err != nil {
			return err
		}
	}
	return b.report(os.Stdout)
}

func writeJSON(path string, v any) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	e := json.NewEncoder(f)
	e.SetIndent("", "  ")
	return errors.Join(e.Encode(v), f.Close())
}

// logf says on the terminal what is going on.
func logf(format string, args ...any) {
	_, _ = io.WriteString(os.Stderr, fmt.Sprintf(format, args...)+"\n")
}
