package lab

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"cloudy/firstboot/simulate"
)

// need skips the test, or fails it where everything is required.
func need(t *testing.T, ok bool, reason string) {
	t.Helper()
	if ok {
		return
	}
	if os.Getenv("CLOUDY_REQUIRE_ALL") != "" {
		t.Fatal(reason)
	}
	t.Skip(reason)
}

// built are the programs under test, and the store of the tests.
var built = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "cloudy-lab-")
	if err != nil {
		return "", err
	}
	builtIn = dir
	for out, pkg := range map[string]string{"cloudy": "cloudy/builder/cmd/cloudy", "cloudy-node-amd64": "cloudy/firstboot/cmd/cloudy-node"} {
		c := exec.Command("go", "build", "-o", filepath.Join(dir, out), pkg)
		c.Env = append(os.Environ(), "CGO_ENABLED=0")
		if msg, err := c.CombinedOutput(); err != nil {
			return dir, fmt.Errorf("build %s: %w\n%s", pkg, err, msg)
		}
	}
	return dir, nil
})

var builtIn string

func cleanUp() {
	if builtIn != "" {
		os.RemoveAll(builtIn)
	}
}

// world is the command line with a store of its own.
type world struct {
	t   *testing.T
	dir string
}

func newWorld(t *testing.T) *world {
	t.Helper()
	need(t, runtime.GOARCH == "amd64", "the image of this test is for amd64")
	if err := Check(); err != nil {
		need(t, false, err.Error())
	}
	dir, err := built()
	if err != nil {
		t.Fatal(err)
	}
	return &world{t, dir}
}

func (w *world) command(args ...string) *exec.Cmd {
	c := exec.Command(filepath.Join(w.dir, "cloudy"), append([]string{"lab"}, args...)...)
	c.Dir = w.dir
	c.Env = append(os.Environ(), "CLOUDY_CACHE="+filepath.Join(w.dir, "cache"), "CLOUDY_NODE_DIR="+w.dir)
	return c
}

func (w *world) try(args ...string) (stdout, stderr string, code int) {
	w.t.Helper()
	c := w.command(args...)
	var out, errs bytes.Buffer
	c.Stdout, c.Stderr = &out, &errs
	err := c.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		w.t.Fatal(err)
	}
	return out.String(), errs.String(), c.ProcessState.ExitCode()
}

func (w *world) must(args ...string) string {
	w.t.Helper()
	out, errs, code := w.try(args...)
	if code != 0 {
		w.t.Fatalf("cloudy lab %s: exit status %d\n%s%s", strings.Join(args, " "), code, out, errs)
	}
	return out
}

func (w *world) fails(want string, args ...string) {
	w.t.Helper()
	_, errs, code := w.try(args...)
	if ok, err := regexp.MatchString(want, errs); code == 0 || err != nil || !ok {
		w.t.Errorf("cloudy lab %s: exit status %d, says %q and not %q", strings.Join(args, " "), code, errs, want)
	}
}

// up starts a lab, and ends it with the test.
func (w *world) up(file string, args ...string) string {
	w.t.Helper()
	name := strings.TrimSuffix(filepath.Base(file), ".lab.hcl")
	w.t.Cleanup(func() {
		if w.t.Failed() {
			out, _, _ := w.try("status", name)
			w.t.Log(out)
		}
		w.try("down", name)
		w.gone(name)
	})
	return w.must(append([]string{"up", file, "--progress=quiet"}, args...)...)
}

func (w *world) state(name string) *State {
	w.t.Helper()
	var s State
	if err := json.Unmarshal([]byte(w.must("status", name, "--json")), &s); err != nil {
		w.t.Fatal(err)
	}
	return &s
}

func (w *world) eventually(limit time.Duration, what string, ok func() bool) {
	w.t.Helper()
	for start := time.Now(); !ok(); time.Sleep(200 * time.Millisecond) {
		if time.Since(start) > limit {
			w.t.Fatalf("after %s: not %s", limit, what)
		}
	}
}

// gone fails when anything of a lab is left: a process, a mount, a control
// group, a file, a raised limit.
func (w *world) gone(name string) {
	w.t.Helper()
	dir := filepath.Join(w.dir, "cache", "labs", name)
	name = filepath.Base(group("/", dir))
	procs, _ := filepath.Glob("/proc/[0-9]*")
	for _, p := range procs {
		groups, _ := os.ReadFile(p + "/cgroup")
		line, _ := os.ReadFile(p + "/cmdline")
		if strings.Contains(string(groups), "/"+name+"/") || strings.HasPrefix(string(line), stageKeep+"\x00"+dir) {
			w.t.Errorf("process %s is left: %q", p, line)
		}
		if mounts, _ := os.ReadFile(p + "/mounts"); strings.Contains(string(mounts), dir) {
			w.t.Errorf("a mount is left in the namespace of %s", p)
		}
	}
	h, err := findHierarchies()
	if err != nil {
		w.t.Fatal(err)
	}
	for _, top := range h.all() {
		if _, err := os.Lstat(group(top, dir)); !errors.Is(err, os.ErrNotExist) {
			w.t.Errorf("%s is left", group(top, dir))
		}
	}
	if _, err := os.Lstat(dir); !errors.Is(err, os.ErrNotExist) {
		w.t.Errorf("%s is left", dir)
	}
}

// smallLab is two sites with a line between them that delays.
const smallLab = `
lab "small" {
  network = "test"
  founder = "hill-1"
}

service "web" {
  description = "Page"
  type        = "_http._tcp"
  port        = 80
  units       = ["lab-web.service"]
}

site "hill" {
  nodes    = 2
  services = [service.web]
}

site "valley" {
  nodes    = 1
  services = [service.web]
  memory   = "256MiB"
}

link "way" {
  between = ["hill", "valley"]
  delay   = "20ms"
  rate    = "20mbit"
}
`

// TestSmall goes through all that a lab can do, with three nodes.
func TestSmall(t *testing.T) {
	w := newWorld(t)
	file := filepath.Join(w.dir, "small.lab.hcl")
	if err := os.WriteFile(file, []byte(smallLab), 0o644); err != nil {
		t.Fatal(err)
	}
	before := map[string]int{}
	for _, l := range limits() {
		before[l.name], _ = readLimit(l.name)
	}
	w.up(file)
	s := w.state("small")
	if len(s.Nodes) != 3 || s.Complete == 0 || s.Services != 3 {
		t.Fatalf("%+v", s)
	}
	node := map[string]*NodeState{}
	for i := range s.Nodes {
		n := &s.Nodes[i]
		node[n.Name] = n
		if !n.Ready || n.Reached != 2 || n.Listed != 3 || n.Boot == 0 || n.Join == 0 || n.Agent == 0 {
			t.Errorf("%+v", n)
		}
	}
	w.fails(`lab small: it runs already\nhint: "cloudy lab down small" ends it`, "up", file)

	// A node is a machine of its own, with its systemd, name and limits.
	exec := func(name string, args ...string) string {
		return strings.TrimSpace(w.must(append([]string{"exec", name, "--"}, args...)...))
	}
	if got := exec("valley-1", "sh", "-c", "cat /proc/1/comm; hostname; systemctl is-active cloudy-mesh avahi-daemon; cat /proc/sys/net/ipv4/ip_forward"); got != "systemd\nvalley-1\nactive\nactive\n0" {
		t.Errorf("inside of a node: %q", got)
	}
	if node["valley-1"].Limit != 256<<20 || node["valley-1"].Memory == 0 || node["hill-1"].Limit != 0 {
		t.Errorf("limits: %+v", node["valley-1"])
	}
	if _, _, code := w.try("exec", "hill-1", "sh", "-c", "exit 7"); code != 7 {
		t.Errorf("exit status %d is not the command's", code)
	}
	if _, _, code := w.try("exec", "hill-1", "sh", "-c", "echo 1 > /proc/sys/kernel/panic"); code == 0 {
		t.Error("a node can set the machine's kernel")
	}
	w.fails(`no node "valey-1"\nhint: did you mean "valley-1"`, "exec", "valey-1", "true")
	w.fails(`no link, site or node "weg"`, "cut", "weg")

	// The line delays: 20 ms there, 20 ms back.
	out := exec("hill-2", "ping", "-n", "-c3", "-i0.2", node["valley-1"].Address)
	m := regexp.MustCompile(`= ([0-9.]+)/`).FindStringSubmatch(out)
	if m == nil {
		t.Fatal(out)
	}
	if least, _ := strconv.ParseFloat(m[1], 64); least < 40 {
		t.Errorf("the way there and back took %g ms, less than its delay", least)
	}
	// Within the site nothing does; between them plain multicast ends.
	w.eventually(60*time.Second, "the page of the other site found by Avahi", func() bool {
		out, _, _ := w.try("exec", "valley-1", "--", "timeout", "5", "avahi-browse", "-tpr", "_http._tcp")
		return strings.Contains(strings.ReplaceAll(out, `\032`, " "), "Page on hill-2")
	})

	pings := func(from, to string) bool {
		_, _, code := w.try("exec", from, "--", "ping", "-n", "-c1", "-W1", to)
		return code == 0
	}
	for what, names := range map[string][2]string{"way": {"hill-1", "valley-1"}, "valley": {"hill-2", "valley-1"}, "hill-2": {"hill-1", "hill-2"}} {
		from, to := names[0], node[names[1]].Address6
		if !pings(from, to) {
			w.eventually(90*time.Second, names[1]+" reached before "+what+" is cut", func() bool { return pings(from, to) })
		}
		w.must("cut", what)
		if pings(from, to) || pings(from, node[names[1]].Address) {
			t.Errorf("with %s cut %s reaches %s", what, names[0], names[1])
		}
		if what == "way" && !pings("hill-2", node["hill-1"].Address6) {
			t.Error("with the link cut the site itself is cut")
		}
		w.must("heal", what)
		w.eventually(120*time.Second, names[1]+" reached after "+what+" is healed", func() bool { return pings(from, to) })
	}

	page := filepath.Join(t.TempDir(), "lab.html")
	w.must("page", "small", "--out", page)
	if data, err := os.ReadFile(page); err != nil || !strings.Contains(string(data), "<svg") || !strings.Contains(string(data), "valley-1") {
		t.Errorf("page: %v\n%s", err, data)
	}
	w.must("down", "small")
	w.gone("small")
	for name, was := range before {
		if now, _ := readLimit(name); now > was {
			t.Errorf("%s is %d, and was %d", name, now, was)
		}
	}
}

// TestCrash ends parts of a lab in the worst moments; down cleans up.
func TestCrash(t *testing.T) {
	w := newWorld(t)
	file := filepath.Join(w.dir, "small.lab.hcl")
	if err := os.WriteFile(file, []byte(smallLab), 0o644); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { w.try("down", "small"); w.gone("small") })
	dir := filepath.Join(w.dir, "cache", "labs", "small")

	// The command dies while nodes start.
	c := w.command("up", file, "--progress=quiet")
	c.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	w.eventually(3*time.Minute, "a node started", func() bool {
		_, err := os.Stat(filepath.Join(dir, "nodes", "hill-1", "console.log"))
		return err == nil
	})
	syscall.Kill(-c.Process.Pid, syscall.SIGKILL)
	c.Wait()
	w.must("down", "small")
	w.gone("small")

	// The keeper dies: with it all nodes do.
	w.must("up", file, "--progress=quiet", "--no-wait")
	w.eventually(2*time.Minute, "all nodes started", func() bool {
		for _, n := range w.state("small").Nodes {
			if !n.On {
				return false
			}
		}
		return true
	})
	var pids []int
	for _, n := range w.state("small").Nodes {
		pids = append(pids, n.PID)
	}
	syscall.Kill(keeperOf(dir), syscall.SIGKILL)
	w.eventually(30*time.Second, "every systemd ended", func() bool {
		for _, pid := range pids {
			if _, err := processID(pid); err == nil {
				return false
			}
		}
		return true
	})
	w.fails(`lab small does not run any more\nhint: "cloudy lab down small" removes`, "status")
	if out := w.must("ls"); !strings.Contains(out, "ended") {
		t.Errorf("ls: %s", out)
	}
	w.must("down", "small")
	w.gone("small")
}

// TestTestbed starts the 43 nodes of the test bed from cold: everybody reaches
// everybody and lists every service. It prints when they got how far; that is
// no test, for it depends on what else the machine does.
func TestTestbed(t *testing.T) {
	w := newWorld(t)
	w.up("testbed", "--no-wait")
	for start := time.Now(); w.state("testbed").Complete == 0; time.Sleep(2 * time.Second) {
		if time.Since(start) > 15*time.Minute {
			t.Fatal("not every node reaches and lists all")
		}
	}
	t.Log("\n" + w.must("status", "testbed"))
	s := w.state("testbed")
	if len(s.Nodes) != 43 {
		t.Fatalf("%d nodes", len(s.Nodes))
	}
	for _, n := range s.Nodes {
		if n.Reached != 42 || n.Listed != 43 {
			t.Errorf("%s reaches %d nodes and lists %d services", n.Name, n.Reached, n.Listed)
		}
		if n.Agent > 40<<20 {
			t.Errorf("the agent of %s has %d KiB resident, more than 40 MiB", n.Name, n.Agent>>10)
		}
	}
	// By Avahi alone, too, on the smallest node.
	begin := time.Now()
	w.eventually(3*time.Minute, "all pages found by Avahi", func() bool {
		out, _, _ := w.try("exec", "galileo-3", "--", "timeout", "20", "avahi-browse", "-tp", "_http._tcp")
		found := map[string]bool{}
		for line := range strings.Lines(out) {
			if f := strings.Split(line, ";"); len(f) > 3 {
				found[f[3]] = true
			}
		}
		return len(found) >= 43
	})
	t.Logf("galileo-3 lists all 43 by avahi-browse after %s", time.Since(begin).Round(time.Millisecond))
	idleTraffic(t, s)
}

// idleTraffic compares what leaves the nodes while nothing happens with the
// simulation (docs/scale.md), whose large meshes no machine can hold.
func idleTraffic(t *testing.T, s *State) {
	t.Helper()
	sent := func() (all float64) {
		for _, n := range s.Nodes {
			all += sentBy(t, n.PID)
		}
		return all
	}
	time.Sleep(45 * time.Second) // what is new goes round
	was, at := sent(), time.Now()
	time.Sleep(30 * time.Second)
	got := (sent() - was) / time.Since(at).Seconds() / float64(len(s.Nodes))
	want := simulate.Run(simulate.Standard(len(s.Nodes))).Underlay
	off := got/want - 1
	t.Logf("a node sends %.0f bytes/s while nothing happens, the simulation says %.0f: %+.0f %%", got, want, 100*off)
	// A busy machine is late, and what is late is sent again.
	if off < -0.6 || off > 1.5 {
		t.Errorf("the simulation is off by %+.0f %%", 100*off)
	}
}

// sentBy returns the bytes, without their Ethernet headers, that a node has sent.
func sentBy(t *testing.T, pid int) float64 {
	t.Helper()
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/net/dev", pid))
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(data)) {
		// eight numbers of what was received, then bytes and packets that were sent
		if name, rest, ok := strings.Cut(strings.TrimSpace(line), ":"); ok && name == "eth0" {
			f := strings.Fields(rest)
			bytes, err1 := strconv.ParseFloat(f[8], 64)
			packets, err2 := strconv.ParseFloat(f[9], 64)
			if err := errors.Join(err1, err2); err != nil {
				t.Fatal(err)
			}
			return bytes - 14*packets
		}
	}
	t.Fatalf("no eth0 in %s", data)
	return 0
}
