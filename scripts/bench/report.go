package main

import (
	"fmt"
	"io"
	"os"
	"runtime"
	"slices"
	"strings"
	"text/tabwriter"

	"golang.org/x/sys/unix"
)

// describe collects what the numbers are about.
func (b *bench) describe() {
	add := func(name, value string) { b.facts = append(b.facts, fact{name, strings.TrimSpace(value)}) }
	var u unix.Utsname
	if unix.Uname(&u) == nil {
		add("kernel", unix.ByteSliceToString(u.Release[:]))
	}
	add("cores", fmt.Sprint(runtime.NumCPU()))
	add("processor", processor())
	where := "disk"
	if b.o.tmpfs {
		where = "tmpfs"
	}
	add("work folder on", where)
	if v, err := output("-", "-", []string{b.o.cloudy, "version"}, cleanEnv()); err == nil {
		add("cloudy", strings.ReplaceAll(strings.TrimSpace(v), "\n", ", "))
	}
	if len(b.o.peers) > 0 {
		if v, err := output(b.peers, b.work, []string{"dpkg-query", "-W", "-f", "${Package} ${Version}, ", "mmdebstrap", "debos", "mkosi", "debootstrap", "apt", "dpkg", "e2fsprogs"}, cleanEnv()); err == nil {
			add("peers", strings.TrimSuffix(strings.TrimSpace(v), ","))
		}
	}
}

func processor() string {
	data, err := os.ReadFile("/proc/cpuinfo")
	if err != nil {
		return runtime.GOARCH
	}
	for line := range strings.Lines(string(data)) {
		if name, v, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(name) == "model name" {
			return v
		}
	}
	return runtime.GOARCH
}

// target is a ratio that is aimed at; 0 is none.
type target struct{ wall, cpu float64 }

// comparison is one line of the table.
type comparison struct {
	title     string
	row       string // what Cloudy did
	base      string // the row that it is compared with
	baseWho   string
	want      target
	cpuBudget float64 // seconds; 0 is none
}

func comparisons() []comparison {
	return []comparison{
		{title: "minbase tarball / mmdebstrap", row: "minbase", base: "minbase", baseWho: "mmdebstrap", want: target{0.35, 0.55}},
		{title: "node disk / mmdebstrap + mke2fs", row: "node", base: "node", baseWho: "mmdebstrap", want: target{0.40, 0.70}},
		{title: "node disk / debos", row: "node", base: "node", baseWho: "debos", want: target{0.25, 0}},
		{title: "node disk / mkosi", row: "node", base: "node", baseWho: "mkosi", want: target{0.20, 0}},
		{title: "one overlay file changed / cold", row: "file", base: "node", baseWho: "cloudy", want: target{0.10, 0}, cpuBudget: 4},
		{title: "one package added / cold", row: "package", base: "node", baseWho: "cloudy", want: target{0.30, 0}},
		{title: "another machine, shared cache / cold", row: "cache", base: "node", baseWho: "cloudy", want: target{0.5, 0}},
		{title: "all targets at once / disk alone", row: "all targets", base: "target vm", baseWho: "cloudy"},
		{title: "nothing changed / cold", row: "nothing", base: "node", baseWho: "cloudy", cpuBudget: 0.5},
	}
}

// median of one figure over all rounds that went well; NaN-free: ok is false
// where there is none.
func (b *bench) median(row, who string, of func(result) float64) (float64, bool) {
	var v []float64
	for _, r := range b.results {
		if r.Row == row && r.Who == who && r.Failed == "" {
			v = append(v, of(r))
		}
	}
	if len(v) == 0 {
		return 0, false
	}
	slices.Sort(v)
	if n := len(v); n%2 == 0 {
		return (v[n/2-1] + v[n/2]) / 2, true
	}
	return v[len(v)/2], true
}

// memoryBudget is what the builder may have resident, in MiB.
const memoryBudget = 300

// report prints medians and ratios in Markdown.
func (b *bench) report(out io.Writer) error {
	var s strings.Builder
	for _, f := range b.facts {
		fmt.Fprintf(&s, "- %s: %s\n", f.name, f.value)
	}
	fmt.Fprintf(&s, "- rounds: %d (medians below)\n\n", b.o.rounds)
	b.measured(&s)
	s.WriteString("\n")
	b.ratios(&s)
	_, err := io.WriteString(out, s.String())
	return err
}

func (b *bench) measured(s io.Writer) {
	w := tabwriter.NewWriter(s, 0, 0, 1, ' ', 0)
	fmt.Fprint(w, "| what\t| by\t| wall s\t| CPU s\t| largest process MiB\t| all processes MiB\t| cores others used\t| load\t|\n| ---\t| ---\t| ---\t| ---\t| ---\t| ---\t| ---\t| ---\t|\n")
	for _, row := range printed() {
		for _, who := range append([]string{"cloudy"}, allPeers()...) {
			wall, ok := b.median(row, who, func(r result) float64 { return r.Wall })
			if !ok {
				continue
			}
			cpu, _ := b.median(row, who, func(r result) float64 { return r.CPU })
			largest, _ := b.median(row, who, func(r result) float64 { return r.Largest })
			tree, _ := b.median(row, who, func(r result) float64 { return r.Tree })
			others, _ := b.median(row, who, func(r result) float64 { return r.Others })
			load, _ := b.median(row, who, func(r result) float64 { return r.Load })
			fmt.Fprintf(w, "| %s\t| %s\t| %.2f\t| %.2f\t| %.0f\t| %.0f\t| %.1f\t| %.1f\t|\n", row, who, wall, cpu, largest, tree, others, load)
		}
	}
	w.Flush()
}

func (b *bench) ratios(s io.Writer) {
	w := tabwriter.NewWriter(s, 0, 0, 1, ' ', 0)
	fmt.Fprint(w, "| ratio\t| wall\t| wanted\t| CPU\t| wanted\t|\n| ---\t| ---\t| ---\t| ---\t| ---\t|\n")
	wallOf := func(r result) float64 { return r.Wall }
	cpuOf := func(r result) float64 { return r.CPU }
	for _, c := range comparisons() {
		wall, ok := b.median(c.row, "cloudy", wallOf)
		base, have := b.median(c.base, c.baseWho, wallOf)
		if !ok || !have {
			continue
		}
		cpu, _ := b.median(c.row, "cloudy", cpuOf)
		baseCPU, _ := b.median(c.base, c.baseWho, cpuOf)
		cpuWant := wanted(cpu/baseCPU, c.want.cpu)
		if c.cpuBudget > 0 {
			cpuWant = fmt.Sprintf("%.2f s of %.1f s%s", cpu, c.cpuBudget, met(cpu <= c.cpuBudget))
		}
		fmt.Fprintf(w, "| %s\t| %.2f\t| %s\t| %.2f\t| %s\t|\n", c.title, wall/base, wanted(wall/base, c.want.wall), cpu/baseCPU, cpuWant)
	}
	if all, ok := b.median("all targets", "cloudy", wallOf); ok {
		if most, ok := b.allowed(); ok {
			fmt.Fprintf(w, "| all targets at once / 1.6 disks alone and what the other compressors need (%.1f s)\t| %.2f\t| %s\t| -\t| -\t|\n", most, all/most, wanted(all/most, 1))
		}
	}
	w.Flush()
	most := 0.0
	for _, r := range b.results {
		if r.Who == "cloudy" {
			most = max(most, r.Largest)
		}
	}
	if most > 0 {
		fmt.Fprintf(s, "\nLargest process of a build by cloudy: %.0f MiB of %d MiB%s.\n", most, memoryBudget, met(most <= memoryBudget))
	}
}

func wanted(have, want float64) string {
	if want == 0 {
		return "-"
	}
	return fmt.Sprintf("%.2f%s", want, met(have <= want))
}

func met(yes bool) string {
	if yes {
		return ", met"
	}
	return ", missed"
}
