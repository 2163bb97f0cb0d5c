package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"cloudy/builder/archive"
)

// bench is one run of the whole comparison.
type bench struct {
	o       *options
	work    string // everything that is made; seen as /bench in the peers' root
	logs    string
	peers   string // the peers' root
	mirror  *mirror
	mounted bool
	results []result
	facts   []fact // what was compared
}

// fact is a line that stands above the table.
type fact struct{ name, value string }

func newBench(ctx context.Context, o *options) (*bench, error) {
	from := o.mirror
	if from == "" {
		found, err := archive.HostMirrors(nil)
		if err != nil {
			return nil, err
		}
		list, err := found.For(archive.Source{Name: "debian"})
		if err != nil {
			return nil, err
		}
		from = list[0].URL
	}
	b := &bench{o: o, peers: filepath.Join(o.cache, "peers")}
	var err error
	if b.mirror, err = startMirror(filepath.Join(o.cache, "mirror"), from); err != nil {
		return nil, err
	}
	if b.work, err = os.MkdirTemp(o.work, "cloudy-bench-"); err != nil {
		return nil, errors.Join(err, b.close())
	}
	if o.tmpfs {
		// Some peers want to be owned and entered by others than root.
		if err := unix.Mount("cloudy-bench", b.work, "tmpfs", 0, "mode=755,size=12g"); err != nil {
			return nil, errors.Join(fmt.Errorf("mount a tmpfs: %w", err), b.close())
		}
		b.mounted = true
	}
	if err := os.Chmod(b.work, 0o755); err != nil {
		return nil, errors.Join(err, b.close())
	}
	b.logs = filepath.Join(b.work, "logs")
	return b, errors.Join(os.MkdirAll(b.logs, 0o755), ctx.Err())
}

func (b *bench) close() error {
	var err error
	if b.mounted {
		err = unix.Unmount(b.work, unix.MNT_DETACH)
	}
	if b.work != "" {
		err = errors.Join(err, os.RemoveAll(b.work))
	}
	return errors.Join(err, b.mirror.close())
}

// prepare writes recipes and makes the peers' root.
func (b *bench) prepare(ctx context.Context) error {
	if err := b.writeRecipe(); err != nil {
		return err
	}
	if len(b.o.peers) > 0 {
		if err := b.makePeers(); err != nil {
			return fmt.Errorf("make the peers' root: %w", err)
		}
		if err := b.writePeerRecipes(); err != nil {
			return err
		}
	}
	b.describe()
	return ctx.Err()
}

// allRows are the things measured.
func allRows() []string {
	return []string{"minbase", "node", "nothing", "file", "package", "cache", "targets"}
}

// printed are the rows of the table, in its order.
func printed() []string {
	rows := []string{"minbase", "node", "nothing", "file", "package", "share", "cache"}
	return append(rows, targetRows()...)
}

// round measures everything once.
func (b *bench) round(ctx context.Context, n int) error {
	if b.wants("minbase") {
		if err := b.take(ctx, "minbase", "cloudy", n, func() command { return b.cold("minbase:tar") }); err != nil {
			return err
		}
		if b.against("mmdebstrap") {
			if err := b.take(ctx, "minbase", "mmdebstrap", n, b.minbase); err != nil {
				return err
			}
		}
	}
	if b.wants("node") || b.wants("nothing") || b.wants("file") || b.wants("package") {
		if err := b.node(ctx, n); err != nil {
			return err
		}
	}
	if b.wants("cache") {
		if err := b.shared(ctx, n); err != nil {
			return err
		}
	}
	if b.wants("targets") {
		if err := b.targets(ctx, n); err != nil {
			return err
		}
	}
	if !b.wants("node") {
		return nil
	}
	for _, p := range allPeers() {
		if !b.against(p) {
			continue
		}
		if err := b.take(ctx, "node", p, n, func() command { return b.nodeBy(p) }); err != nil {
			return err
		}
		b.clear("peer")
	}
	return nil
}

// node measures a cold build and, on its store, what a change costs.
func (b *bench) node(ctx context.Context, n int) error {
	defer b.clear("store", "out")
	if err := b.take(ctx, "node", "cloudy", n, func() command { return b.cold("bench:vm") }); err != nil {
		return err
	}
	if b.wants("nothing") {
		if err := b.take(ctx, "nothing", "cloudy", n, func() command { return b.warm("bench:vm") }); err != nil {
			return err
		}
	}
	recipe := filepath.Join(b.work, "recipe")
	if b.wants("file") {
		if err := edit(filepath.Join(recipe, "overlays/bench/etc/sysctl.d/90-node.conf"), func(s string) string { return s + "# changed\n" }); err != nil {
			return err
		}
		if err := b.take(ctx, "file", "cloudy", n, func() command { return b.warm("bench:vm") }); err != nil {
			return err
		}
	}
	if b.wants("package") {
		first := true
		if err := b.take(ctx, "package", "cloudy", n, func() command {
			if !first { // what it measures is done already: begin with a cold build
				if err := b.writeRecipe(); err != nil {
					logf("%v", err)
				}
				if _, err := b.measure(ctx, "again", "cloudy", n, b.cold("bench:vm")); err != nil {
					logf("%v", err)
				}
			}
			first = false
			if err := edit(filepath.Join(recipe, "bench.hcl"), func(s string) string { return strings.Replace(s, `"snmpd",`, `"snmpd", "tree",`, 1) }); err != nil {
				logf("%v", err)
			}
			return b.warm("bench:vm")
		}); err != nil {
			return err
		}
	}
	return b.writeRecipe()
}

func (b *bench) wants(row string) bool    { return slices.Contains(b.o.rows, row) }
func (b *bench) against(peer string) bool { return slices.Contains(b.o.peers, peer) }
func (b *bench) clear(names ...string) {
	for _, n := range names {
		if err := os.RemoveAll(filepath.Join(b.work, n)); err != nil {
			logf("%v", err)
		}
	}
}

// take measures and remembers. A run for which the real mirror was asked is
// done again, for the network is no part of the comparison; again says how to
// begin anew. A peer that fails is a gap in the table, with its log's end on
// the terminal; Cloudy failing ends the run.
func (b *bench) take(ctx context.Context, row, who string, n int, again func() command) error {
	var r result
	for range 3 {
		before := b.mirror.fetched.Load()
		var err error
		if r, err = b.measure(ctx, row, who, n, again()); err != nil {
			return err
		}
		files := b.mirror.fetched.Load() - before
		if files == 0 || r.Failed != "" {
			break
		}
		logf("%s by %s took %d files from the real mirror; once more", row, who, files)
	}
	logf("round %d  %-8s %-11s  wall %6.1f s  CPU %6.1f s  largest %4.0f MiB  others %.1f cores", n+1, row, who, r.Wall, r.CPU, r.Largest, r.Others)
	if r.Failed != "" {
		log, _ := os.ReadFile(r.LogFile)
		logf("%s %s: %s\n%s", row, who, r.Failed, log[max(0, len(log)-4000):])
		if who == "cloudy" {
			return fmt.Errorf("cloudy failed: %s", r.Failed)
		}
	}
	b.results = append(b.results, r)
	return nil
}

// cold is a build with an empty store.
func (b *bench) cold(image string) command {
	b.clear("store", "out")
	return b.warm(image)
}

func (b *bench) warm(image string) command {
	at := func(n string) string { return filepath.Join(b.work, n) }
	return command{root: "-", env: cleanEnv("CLOUDY_CACHE=" + at("store")), argv: []string{
		b.o.cloudy, "build", image, "--recipe", at("recipe"), "--out", at("out"), "--mirror", b.mirror.URL, "--progress", "plain",
	}}
}

func edit(path string, change func(string) string) error {
	data, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	now := change(string(data))
	if now == string(data) {
		return fmt.Errorf("%s: nothing to change", path)
	}
	return os.WriteFile(path, []byte(now), 0o644)
}
