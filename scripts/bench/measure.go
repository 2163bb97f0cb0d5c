package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// result is one measured run.
type result struct {
	Row     string  `json:"row"`
	Who     string  `json:"who"`
	Round   int     `json:"round"`
	Wall    float64 `json:"wall"`    // seconds
	CPU     float64 `json:"cpu"`     // seconds of all processes of the run, user and system
	Largest float64 `json:"largest"` // MiB resident in the largest process
	Tree    float64 `json:"tree"`    // MiB, proportional set of all processes at once, sampled
	Others  float64 `json:"others"`  // cores that the rest of the machine kept busy meanwhile
	Load    float64 `json:"load"`    // average over a minute, when it began
	Failed  string  `json:"failed,omitempty"`
	LogFile string  `json:"-"`
}

// cpuGroup counts the processor time of all processes that are born in it.
type cpuGroup struct {
	dir string
	v2  bool
}

// newCPUGroup makes a control group below this process' own (version 2) or
// below the root of the cpuacct hierarchy (version 1).
func newCPUGroup(name string) (*cpuGroup, error) {
	self, err := os.ReadFile("/proc/self/cgroup")
	if err != nil {
		return nil, err
	}
	for line := range strings.Lines(string(self)) {
		parts := strings.SplitN(strings.TrimSpace(line), ":", 3)
		if len(parts) != 3 {
			continue
		}
		for _, ctl := range strings.Split(parts[1], ",") {
			if ctl == "cpuacct" {
				g := &cpuGroup{dir: filepath.Join("/sys/fs/cgroup", "cpuacct", parts[2], name)}
				if os.MkdirAll(g.dir, 0o755) == nil && g.usable() {
					return g, nil
				}
			}
		}
		if parts[0] == "0" {
			g := &cpuGroup{dir: filepath.Join("/sys/fs/cgroup", parts[2], name), v2: true}
			if os.Mkdir(g.dir, 0o755) == nil && g.usable() {
				return g, nil
			}
		}
	}
	return nil, errors.New("no control group for processor time can be made")
}

func (g *cpuGroup) usable() bool {
	_, err := g.seconds()
	return err == nil
}

func (g *cpuGroup) procs() string { return filepath.Join(g.dir, "cgroup.procs") }

func (g *cpuGroup) seconds() (float64, error) {
	if !g.v2 {
		data, err := os.ReadFile(filepath.Join(g.dir, "cpuacct.usage"))
		if err != nil {
			return 0, err
		}
		ns, err := strconv.ParseFloat(strings.TrimSpace(string(data)), 64)
		return ns / 1e9, err
	}
	data, err := os.ReadFile(filepath.Join(g.dir, "cpu.stat"))
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(data)) {
		if v, ok := strings.CutPrefix(line, "usage_usec "); ok {
			us, err := strconv.ParseFloat(strings.TrimSpace(v), 64)
			return us / 1e6, err
		}
	}
	return 0, errors.New("cpu.stat has no usage_usec")
}

func (g *cpuGroup) pids() []int {
	data, _ := os.ReadFile(g.procs())
	var out []int
	for _, w := range strings.Fields(string(data)) {
		if n, err := strconv.Atoi(w); err == nil {
			out = append(out, n)
		}
	}
	return out
}

// remove waits for processes that linger and removes the group.
func (g *cpuGroup) remove() error {
	var err error
	for range 50 {
		if err = os.Remove(g.dir); err == nil || errors.Is(err, os.ErrNotExist) {
			return nil
		}
		time.Sleep(100 * time.Millisecond)
	}
	return err
}

// pss is the proportional set size of a process in MiB: shared pages are
// counted once over all who share them.
func pss(pid int) float64 {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/smaps_rollup", pid))
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(data)) {
		if f := strings.Fields(line); len(f) > 1 && f[0] == "Pss:" {
			kb, _ := strconv.ParseFloat(f[1], 64)
			return kb / 1024
		}
	}
	return 0
}

// busy is the processor time in seconds that the whole machine has spent.
func busy() float64 {
	data, err := os.ReadFile("/proc/stat")
	if err != nil {
		return 0
	}
	first, _, _ := strings.Cut(string(data), "\n")
	sum := 0.0
	for i, w := range strings.Fields(first) {
		if v, err := strconv.ParseFloat(w, 64); err == nil && i != 4 && i != 5 && i < 9 { // not idle, iowait, guests
			sum += v
		}
	}
	return sum / 100 // USER_HZ
}

func load() float64 {
	data, _ := os.ReadFile("/proc/loadavg")
	first, _, _ := strings.Cut(string(data), " ")
	v, _ := strconv.ParseFloat(first, 64)
	return v
}

// command is something to be measured.
type command struct {
	root string // "-" for the host's
	argv []string
	env  []string
}

// forgetPeak makes this process small and forgets how large it was: the kernel
// counts that for a child that starts by vfork (fs/exec.c, exec_mmap), and the
// mirror and the registry that live here would pass for a builder.
func forgetPeak() error {
	debug.FreeOSMemory()
	return os.WriteFile("/proc/self/clear_refs", []byte("5"), 0) // proc(5): the peak is reset
}

// measure runs a command in a control group of its own.
func (b *bench) measure(ctx context.Context, row, who string, round int, c command) (result, error) {
	r := result{Row: row, Who: who, Round: round, Load: load()}
	g, err := newCPUGroup(fmt.Sprintf("cloudy-bench-%d-%d", os.Getpid(), len(b.results)))
	if err != nil {
		return r, err
	}
	defer func() {
		if err := g.remove(); err != nil {
			logf("%v", err)
		}
	}()
	r.LogFile = filepath.Join(b.logs, fmt.Sprintf("%s-%s-%d.log", row, who, round))
	out, err := os.Create(r.LogFile)
	if err != nil {
		return r, err
	}
	defer out.Close()
	// The child puts itself into the group before it becomes the command.
	line := staged(g.procs(), c.root, b.work, c.argv)
	cmd := exec.CommandContext(ctx, line[0], line[1:]...)
	cmd.Dir = b.work
	cmd.Env = append(slices.Clone(c.env), stageEnv+"=1")
	cmd.Stdout, cmd.Stderr = out, out
	if b.o.verbose {
		cmd.Stdout, cmd.Stderr = os.Stderr, os.Stderr
	}
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = 20 * time.Second
	if err := forgetPeak(); err != nil {
		return r, err
	}
	before, start := busy(), time.Now()
	if err := cmd.Start(); err != nil {
		return r, err
	}
	stop, sampled := make(chan struct{}), make(chan float64)
	go sample(g, stop, sampled)
	werr := cmd.Wait()
	r.Wall = time.Since(start).Seconds()
	close(stop)
	r.Tree = <-sampled
	if r.CPU, err = g.seconds(); err != nil {
		return r, err
	}
	r.Others = max(0, busy()-before-r.CPU) / r.Wall
	if u, ok := cmd.ProcessState.SysUsage().(*syscall.Rusage); ok {
		r.Largest = float64(u.Maxrss) / 1024
	}
	if werr != nil {
		r.Failed = werr.Error()
	}
	return r, ctx.Err()
}

// sample returns the largest sum over all processes of a group.
func sample(g *cpuGroup, stop <-chan struct{}, out chan<- float64) {
	most := 0.0
	for {
		select {
		case <-stop:
			out <- most
			return
		case <-time.After(500 * time.Millisecond):
		}
		sum := 0.0
		for _, pid := range g.pids() {
			sum += pss(pid)
		}
		most = max(most, sum)
	}
}
