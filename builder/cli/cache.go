package cli

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"cloudy/builder/cache"
	"cloudy/builder/fail"
	"cloudy/builder/progress"
	"cloudy/builder/store"
)

// Store opens the store that the flags name. The verb closes it.
func (a *App) Store() (*store.Store, error) {
	st, err := store.Open(a.Flags.Cache)
	if err != nil && fail.KindOf(err) == fail.Internal {
		err = fail.WithHint(fail.Host, err, "name another folder with --cache or CLOUDY_CACHE")
	}
	return st, err
}

// cacheFlags are the flags of the cache that machines share.
type cacheFlags struct {
	from, to, keys []string
	sign           string
	insecure       bool
}

func (f *cacheFlags) add(c *cobra.Command) {
	f.addFrom(c)
	c.Flags().StringArrayVar(&f.to, "cache-to", nil, "`repository` of a registry to share the layers of this build in (default: $CLOUDY_CACHE_TO)")
	c.Flags().StringVar(&f.sign, "cache-sign", "", "sign the layers that are shared with this secret `key` (default: $CLOUDY_CACHE_SIGN)")
}

// addFrom adds the flags of taking alone.
func (f *cacheFlags) addFrom(c *cobra.Command) {
	c.Flags().StringArrayVar(&f.from, "cache-from", nil, "`repository` of a registry with layers that other machines have built (default: $CLOUDY_CACHE_FROM); may be given several times")
	c.Flags().StringArrayVar(&f.keys, "cache-key", nil, "take only layers that are signed by this public `key` (default: $CLOUDY_CACHE_KEY); may be given several times")
	c.Flags().BoolVar(&f.insecure, "cache-insecure", false, "allow plain HTTP and any certificate for the shared cache")
}

// sharedCache opens the cache that flags and environment name.
func (a *App) sharedCache() (*cache.Cache, error) {
	f := a.shared
	for name, list := range map[string]*[]string{"CLOUDY_CACHE_FROM": &f.from, "CLOUDY_CACHE_TO": &f.to, "CLOUDY_CACHE_KEY": &f.keys} {
		if len(*list) == 0 {
			*list = strings.Fields(os.Getenv(name))
		}
	}
	if f.sign == "" {
		f.sign = os.Getenv("CLOUDY_CACHE_SIGN")
	}
	if a.Flags.Offline || len(f.from)+len(f.to) == 0 {
		return nil, nil
	}
	o := cache.Options{From: f.from, To: f.to, Insecure: f.insecure}
	var err error
	if o.Trusted, err = publicKeys(f.keys); err != nil {
		return nil, fmt.Errorf("--cache-key: %w", err)
	}
	if f.sign != "" && len(f.to) > 0 {
		k, err := a.secretKey(f.sign)
		if err != nil {
			return nil, fmt.Errorf("--cache-sign: %w", err)
		}
		o.Signer = &k
	}
	return cache.New(o)
}

func (a *App) cacheCommand() *cobra.Command {
	c := &cobra.Command{
		Use:     "cache COMMAND",
		GroupID: groupHost,
		Short:   "List, clean and verify the store of downloads and layers",
		Long: `The store keeps what builds download and make: files by their SHA-256, and layers
of root filesystems by the hash of all that went into them. Losing it costs time
alone. "cloudy help environment" says how to move it.

Machines share layers through a registry: "cloudy build --cache-to" puts them there,
--cache-from takes them.`,
		Example: "  cloudy cache ls\n  cloudy cache gc --max-age 14d --max-size 20GiB\n  cloudy cache verify",
	}
	c.AddCommand(a.cacheListCommand(), a.cacheCollectCommand(), a.cacheVerifyCommand())
	return c
}

func (a *App) cacheListCommand() *cobra.Command {
	var asJSON, all bool
	c := &cobra.Command{
		Use:     "ls",
		Short:   "List what is in the store",
		Long:    "List what is in the store, least recently used first: layers one by one, downloads\nas one sum unless --all is given.",
		Example: "  cloudy cache ls\n  cloudy cache ls --all --json",
		RunE: func(*cobra.Command, []string) error {
			st, err := a.Store()
			if err != nil {
				return err
			}
			defer st.Close()
			list, err := st.List()
			if err != nil {
				return fail.Mark(fail.Host, err)
			}
			if asJSON {
				return writeJSON(a.Out, append([]store.Entry{}, list...))
			}
			a.listEntries(st.Dir(), list, all)
			return nil
		},
	}
	c.Flags().BoolVar(&asJSON, "json", false, "as JSON, with all entries")
	c.Flags().BoolVar(&all, "all", false, "list every download as well")
	return c
}

func (a *App) listEntries(dir string, list []store.Entry, all bool) {
	type sum struct {
		n    int
		size int64
	}
	sums, total := map[store.EntryKind]sum{}, int64(0)
	for _, e := range list {
		s := sums[e.Kind]
		sums[e.Kind] = sum{s.n + 1, s.size + e.Size}
		total += e.Size
		if !all && e.Kind != store.LayerEntry {
			continue
		}
		printf(a.Out, "%-5s  %10s  %s  %.12s  %s\n", e.Kind, progress.FormatBytes(e.Size), e.Used.Format("2006-01-02 15:04"), e.Key, e.Description)
	}
	var parts []string
	for _, k := range []struct {
		kind store.EntryKind
		name string
	}{{store.LayerEntry, "layers"}, {store.BlobEntry, "files"}, {store.PartEntry, "unfinished downloads"}} {
		if s := sums[k.kind]; s.n > 0 {
			parts = append(parts, fmt.Sprintf("%d %s with %s", s.n, k.name, progress.FormatBytes(s.size)))
		}
	}
	if len(parts) == 0 {
		parts = []string{"nothing"}
	}
	printf(a.Out, "%s in %s: %s\n", progress.FormatBytes(total), dir, strings.Join(parts, ", "))
}

func (a *App) cacheCollectCommand() *cobra.Command {
	var maxAge, maxSize string
	var dryRun bool
	c := &cobra.Command{
		Use:   "gc",
		Short: "Remove from the store what was not used for long",
		Long: `Remove from the store what was not used for --max-age, then the least recently
used until all fits into --max-size. What a running build uses stays. Without
either flag only what killed builds left behind goes.`,
		Example: "  cloudy cache gc --max-age 30d\n  cloudy cache gc --max-size 10GiB --dry-run",
		RunE: func(c *cobra.Command, _ []string) error {
			policy := store.Policy{DryRun: dryRun}
			var err error
			if policy.MaxAge, err = parseAge(maxAge); err != nil {
				return fail.Mark(fail.User, fmt.Errorf("--max-age: %w", err))
			}
			if policy.MaxSize, err = parseSize(maxSize); err != nil {
				return fail.Mark(fail.User, fmt.Errorf("--max-size: %w", err))
			}
			st, err := a.Store()
			if err != nil {
				return err
			}
			defer st.Close()
			report, err := st.GC(c.Context(), policy)
			if err != nil {
				return st.HostError(err)
			}
			verb := "removed"
			if dryRun {
				verb = "would remove"
			}
			printf(a.Out, "%s %d entries, %s; %s left\n", verb, len(report.Removed), progress.FormatBytes(report.Freed), progress.FormatBytes(report.Left))
			if n := len(report.Busy); n > 0 {
				a.Warn("%d entries are in use by a running build and stay", n)
			}
			return nil
		},
	}
	c.Flags().StringVar(&maxAge, "max-age", "", "remove what was not used for this `time`: 12h, 30d")
	c.Flags().StringVar(&maxSize, "max-size", "", "`size` that the store may have: 500MiB, 20GiB")
	c.Flags().BoolVar(&dryRun, "dry-run", false, "only say what would be removed")
	return c
}

func (a *App) cacheVerifyCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "verify",
		Short:   "Read the whole store and drop what is damaged",
		Long:    "Read every file and layer in the store and compare it with its digest. What is\ndamaged is removed, so that the next build makes it again; the exit status is 1 then.",
		Example: "  cloudy cache verify",
		RunE: func(c *cobra.Command, _ []string) error {
			st, err := a.Store()
			if err != nil {
				return err
			}
			defer st.Close()
			ctx, end := a.Progress(c.Context())
			report, err := st.Verify(ctx)
			end(err, "")
			if err != nil {
				return st.HostError(err)
			}
			printf(a.Out, "%d files and %d layers verified", report.Blobs, report.Layers)
			if report.Unverifiable > 0 {
				printf(a.Out, ", %d layers have no list to verify by", report.Unverifiable)
			}
			printf(a.Out, "\n")
			for _, d := range report.Damaged {
				what := "removed"
				if !d.Removed {
					what = "still in use, not removed"
				}
				printf(a.Out, "damaged: %s %.12s: %v (%s)\n", d.Entry.Kind, d.Entry.Key, d.Err, what)
			}
			if len(report.Damaged) > 0 {
				return exitStatus(1)
			}
			return nil
		},
	}
}

// parseAge reads a duration, with days as well ("30d"); "" is 0.
func parseAge(s string) (time.Duration, error) {
	if s == "" {
		return 0, nil
	}
	if days, ok := strings.CutSuffix(s, "d"); ok {
		if n, err := strconv.ParseFloat(days, 64); err == nil && n > 0 && n < 36500 {
			return time.Duration(n * 24 * float64(time.Hour)), nil
		}
	}
	d, err := time.ParseDuration(s)
	if err != nil || d <= 0 {
		return 0, fmt.Errorf("%q is no time like 12h or 30d", s)
	}
	return d, nil
}

// parseSize reads a number of bytes as recipes write it ("20GiB"); "" is 0.
func parseSize(s string) (int64, error) {
	if s == "" {
		return 0, nil
	}
	wrong := fmt.Errorf("%q is no size like 500MiB or 20GiB", s)
	unit := strings.TrimLeft(s, "0123456789.")
	factor, ok := map[string]float64{"B": 1, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30, "TiB": 1 << 40}[unit]
	n, err := strconv.ParseFloat(strings.TrimSuffix(s, unit), 64)
	if !ok || err != nil || n <= 0 || n*factor > 1<<60 {
		return 0, wrong
	}
	return int64(n * factor), nil
}
