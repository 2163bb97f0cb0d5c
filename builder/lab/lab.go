package lab

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"cloudy/builder/fail"
	"cloudy/builder/recipe"

	"golang.org/x/sys/unix"
)

// Options start a lab.
type Options struct {
	Lab   *recipe.Lab
	Dir   string // the lab's folder; Prepare has been there
	Agent string // binary of the agent for the nodes; empty: the image's own
	// Parallel is how many nodes start at once; 0 for what suits the machine.
	Parallel int
}

// Folder returns where a lab of that name is, below a folder of labs.
func Folder(labs, name string) string { return filepath.Join(labs, name) }

// Check says what this machine lacks for a lab, as a fail.Host.
func Check() error {
	if os.Geteuid() != 0 {
		return fail.WithHint(fail.Host, errors.New("a lab needs root: it makes network devices and control groups"), "run the command with sudo")
	}
	if _, err := os.Stat("/dev/net/tun"); err != nil {
		return fail.WithHint(fail.Host, errors.New("there is no /dev/net/tun, which tinc needs"), "modprobe tun")
	}
	if _, err := findHierarchies(); err != nil {
		return fail.Mark(fail.Host, err)
	}
	return nil
}

// ErrRuns says that a lab of the name runs already.
var ErrRuns = errors.New("it runs already")

// ErrNone says that there is no such lab.
var ErrNone = errors.New("there is no such lab")

// Prepare makes the lab's folder and returns where the image's root is to be
// written. What a lab that ended left there is removed.
func Prepare(ctx context.Context, dir string) (root string, err error) {
	if Running(dir) {
		return "", fmt.Errorf("lab %s: %w", filepath.Base(dir), ErrRuns)
	}
	if err := Down(ctx, dir); err != nil && !errors.Is(err, ErrNone) {
		return "", err
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", fail.Mark(fail.Host, err)
	}
	return filepath.Join(dir, "image"), nil
}

// Up starts a lab whose image is where Prepare said. When it returns the
// lab's network is there and its nodes are being started.
func Up(ctx context.Context, o Options) error {
	image, over := filepath.Join(o.Dir, "image"), filepath.Join(o.Dir, "layer")
	for name, how := range map[string]string{
		"usr/lib/systemd/systemd": "add the package systemd", "usr/sbin/tincd": "add the package tinc",
		"usr/sbin/avahi-daemon": "add the package avahi-daemon", agentPath: "add a mesh block",
	} {
		if _, err := os.Stat(filepath.Join(image, name)); err != nil {
			return fail.WithHint(fail.User, fmt.Errorf("the image has no /%s", name), how+" to the image")
		}
	}
	if err := writeLayer(over, o.Agent); err != nil {
		return err
	}
	s := spec{Dir: o.Dir, Lab: o.Lab, Lower: []string{over, image}, Parallel: o.Parallel}
	if s.Parallel <= 0 {
		s.Parallel = parallel()
	}
	data, err := json.MarshalIndent(s, "", "  ")
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(o.Dir, specFile), data, 0o644); err != nil {
		return fail.Mark(fail.Host, err)
	}
	if err := raiseLimits(o.Dir, len(o.Lab.Nodes())); err != nil {
		return fail.Mark(fail.Host, fmt.Errorf("let the kernel bear so many nodes: %w", err))
	}
	if err := startKeeper(o.Dir); err != nil {
		return fail.Mark(fail.Host, err)
	}
	for {
		if _, err := Get(ctx, o.Dir, false); err == nil {
			return nil
		}
		if !Running(o.Dir) {
			text, _ := os.ReadFile(filepath.Join(o.Dir, logFile))
			return fail.Mark(fail.Host, fmt.Errorf("the lab does not start: %s", bytes.TrimSpace(text)))
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// startKeeper starts the process that holds the lab. Its number is written
// down before it does anything, so that Down always finds it.
func startKeeper(dir string) error {
	log, err := os.Create(filepath.Join(dir, logFile))
	if err != nil {
		return err
	}
	defer log.Close()
	wait, start, err := os.Pipe()
	if err != nil {
		return err
	}
	defer start.Close()
	cmd := &exec.Cmd{
		Path: "/proc/self/exe", Args: []string{stageKeep, dir}, Dir: "/", Env: []string{"PATH=" + os.Getenv("PATH"), "GOMAXPROCS=2", "GOGC=400"},
		Stdout: log, Stderr: log, ExtraFiles: []*os.File{wait},
		SysProcAttr: &unix.SysProcAttr{Cloneflags: unix.CLONE_NEWPID | unix.CLONE_NEWNS, Setsid: true},
	}
	err = cmd.Start()
	wait.Close()
	if err != nil {
		return fmt.Errorf("start the process that holds the lab: %w", err)
	}
	go cmd.Wait() // where it ends before this program does
	id, err := processID(cmd.Process.Pid)
	if err == nil {
		err = os.WriteFile(filepath.Join(dir, pidFile), []byte(id+"\n"), 0o644)
	}
	if err == nil {
		_, err = start.Write([]byte{1})
	}
	if err != nil {
		cmd.Process.Kill()
		return fmt.Errorf("start the process that holds the lab: %w", err)
	}
	return nil
}

// processID is a process's number with the time of its start, so that
// another process with the number is not taken for it (proc(5), starttime).
func processID(pid int) (string, error) {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return "", err
	}
	f := strings.Fields(string(data[bytes.LastIndexByte(data, ')')+1:]))
	if len(f) < 20 || f[0] == "Z" || f[0] == "X" {
		return "", fmt.Errorf("process %d has ended", pid)
	}
	return fmt.Sprintf("%d %s", pid, f[19]), nil
}

// keeperOf returns the number of the process that holds the lab, or 0.
func keeperOf(dir string) int {
	data, err := os.ReadFile(filepath.Join(dir, pidFile))
	if err != nil {
		return 0
	}
	var pid int
	if _, err := fmt.Sscan(string(data), &pid); err != nil || pid < 2 {
		return 0
	}
	if id, err := processID(pid); err != nil || id != strings.TrimSpace(string(data)) {
		return 0
	}
	return pid
}

// Running says whether the lab in dir runs.
func Running(dir string) bool { return keeperOf(dir) != 0 }

// Get asks for the state of the lab in dir; with usage, also for what its
// processes take.
func Get(ctx context.Context, dir string, usage bool) (*State, error) {
	path := "/state"
	if usage {
		path += "?usage"
	}
	var s State
	return &s, call(ctx, dir, "GET", path, nil, &s)
}

// Cut breaks links, takes sites from all others, and pulls plugs of nodes.
func Cut(ctx context.Context, dir string, names []string) error {
	return call(ctx, dir, "POST", "/cut", names, new(struct{}))
}

// Heal undoes Cut.
func Heal(ctx context.Context, dir string, names []string) error {
	return call(ctx, dir, "POST", "/heal", names, new(struct{}))
}

// Down ends the lab in dir and removes all that is left of it, whatever
// state it is in. It returns ErrNone where there is none.
func Down(ctx context.Context, dir string) error {
	if _, err := os.Stat(dir); errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("lab %s: %w", filepath.Base(dir), ErrNone)
	}
	if pid := keeperOf(dir); pid != 0 {
		// With process 1 of a namespace the kernel ends all others of it.
		if err := unix.Kill(pid, unix.SIGKILL); err != nil && err != unix.ESRCH {
			return fail.Mark(fail.Host, fmt.Errorf("end the lab: %w", err))
		}
		for keeperOf(dir) != 0 {
			select {
			case <-ctx.Done():
				return ctx.Err()
			case <-time.After(20 * time.Millisecond):
			}
		}
	}
	if h, err := findHierarchies(); err == nil {
		if err := h.remove(dir); err != nil {
			return fail.Mark(fail.Host, err)
		}
	}
	if err := restoreLimits(dir); err != nil {
		return fail.Mark(fail.Host, err)
	}
	if err := os.RemoveAll(dir); err != nil {
		return fail.Mark(fail.Host, fmt.Errorf("remove the lab's folder: %w", err))
	}
	return nil
}

// List returns the names of all labs below a folder of labs.
func List(labs string) []string {
	entries, _ := os.ReadDir(labs)
	var out []string
	for _, e := range entries {
		if e.IsDir() {
			out = append(out, e.Name())
		}
	}
	return out
}
