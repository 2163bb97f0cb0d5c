package meshtest

import (
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"cloudy/firstboot/agent"
	"cloudy/firstboot/nodeconfig"
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

// binDir holds what is built for the tests of this run.
var binDir = sync.OnceValues(func() (string, error) { return os.MkdirTemp("", "cloudy-node-bin-") })

func build(name string, flags ...string) (string, error) {
	dir, err := binDir()
	if err != nil {
		return "", err
	}
	bin := filepath.Join(dir, name)
	cmd := exec.Command("go", append(append([]string{"build", "-o", bin}, flags...), "cloudy/firstboot/cmd/cloudy-node")...)
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("%w: %s", err, out)
	}
	return bin, nil
}

var buildOnce = sync.OnceValues(func() (string, error) { return build("cloudy-node") })

// atOnce is how many tests run at once. They wait far more than they work.
const atOnce = "8"

func TestMain(m *testing.M) {
	flag.Parse()
	asked := false
	flag.Visit(func(f *flag.Flag) { asked = asked || f.Name == "test.parallel" })
	if !asked {
		flag.Set("test.parallel", atOnce)
	}
	code := m.Run()
	if dir, err := binDir(); err == nil {
		os.RemoveAll(dir)
	}
	os.Exit(code)
}

// lab is a router with broadcast domains, and nodes in them.
type lab struct {
	t     *testing.T
	dir   string
	id    string
	bin   string
	nodes map[string]*node
}

func newLab(t *testing.T) *lab {
	t.Helper()
	t.Parallel()
	need(t, os.Geteuid() == 0, "needs root for network namespaces")
	for _, tool := range []string{"ip", "nsenter", "tincd", "ping", "dbus-daemon", "avahi-daemon", "avahi-browse"} {
		_, err := exec.LookPath(tool)
		need(t, err == nil, "needs "+tool)
	}
	_, err := os.Stat("/dev/net/tun")
	need(t, err == nil, "needs /dev/net/tun")
	bin, err := buildOnce()
	if err != nil {
		t.Fatal(err)
	}
	l := &lab{t: t, dir: t.TempDir(), id: fmt.Sprintf("cl%d-%d", os.Getpid(), labs.Add(1)), bin: bin, nodes: map[string]*node{}}
	// dbus-daemon and avahi-daemon give up root and read their files then.
	for d := l.dir; d != "/tmp" && len(d) > 4; d = filepath.Dir(d) {
		os.Chmod(d, 0o755)
	}
	if out, err := exec.Command("ip", "netns", "add", l.router()).CombinedOutput(); err != nil {
		need(t, false, "no network namespaces here: "+string(out))
	}
	t.Cleanup(func() { exec.Command("ip", "netns", "del", l.router()).Run() })
	l.ip("netns", "exec", l.router(), "sysctl", "-qw", "net.ipv4.ip_forward=1")
	return l
}

// labs tells labs of one run apart.
var labs atomic.Int32

func (l *lab) router() string { return l.id + "r" }

func (l *lab) ip(args ...string) {
	l.t.Helper()
	if out, err := exec.Command("ip", args...).CombinedOutput(); err != nil {
		l.t.Fatalf("ip %s: %v: %s", strings.Join(args, " "), err, out)
	}
}

// domain makes a broadcast domain, 10.50.N.0/24 behind a bridge.
func (l *lab) domain(n int) {
	l.t.Helper()
	br := fmt.Sprintf("br%d", n)
	// With an address of its own: it would take another one when a node is
	// added, and those that know the old one would reach nobody for a while.
	l.ip("-n", l.router(), "link", "add", br, "address", fmt.Sprintf("02:00:0a:32:%02x:01", n), "type", "bridge")
	l.ip("-n", l.router(), "addr", "add", fmt.Sprintf("10.50.%d.1/24", n), "dev", br)
	l.ip("-n", l.router(), "link", "set", br, "up")
}

// node is one node: a network and mount namespace and a root folder.
type node struct {
	l     *lab
	name  string
	ns    string
	root  string
	under string // underlay address
	pid   int    // of the process that holds the namespaces
	bin   string // the agent
	env   []string
	agent *exec.Cmd
	done  chan error
}

// node makes a node in a domain, with its bus and Avahi running.
func (l *lab) node(name string, domain, host int, conf nodeconfig.Config) *node {
	l.t.Helper()
	return l.nodeOn(l.cable, name, domain, host, conf)
}

// cable is a perfect link between two namespaces.
func (l *lab) cable(ns, dev, peerNS, peer string) {
	l.t.Helper()
	l.ip("link", "add", dev, "netns", ns, "type", "veth", "peer", "name", peer, "netns", peerNS)
}

// nodeOn is node with a link of another kind.
func (l *lab) nodeOn(link func(ns, dev, peerNS, peer string), name string, domain, host int, conf nodeconfig.Config) *node {
	l.t.Helper()
	n := &node{l: l, name: name, ns: l.id + name, bin: l.bin, root: filepath.Join(l.dir, name), under: fmt.Sprintf("10.50.%d.%d", domain, host)}
	l.nodes[name] = n
	l.ip("netns", "add", n.ns)
	l.t.Cleanup(func() { exec.Command("ip", "netns", "del", n.ns).Run() })
	peer := "to" + name
	link(n.ns, "u0", l.router(), peer)
	l.ip("-n", l.router(), "link", "set", peer, "master", fmt.Sprintf("br%d", domain))
	l.ip("-n", l.router(), "link", "set", peer, "up")
	l.ip("-n", n.ns, "link", "set", "lo", "up")
	l.ip("-n", n.ns, "addr", "add", n.under+"/24", "dev", "u0")
	l.ip("-n", n.ns, "link", "set", "u0", "up")
	l.ip("-n", n.ns, "route", "add", "default", "via", fmt.Sprintf("10.50.%d.1", domain))

	conf.Version = nodeconfig.Version
	conf.HostName = "node-" + name
	conf.Mesh.Supervisor = "exec"
	conf = conf.WithDefaults()
	data, err := conf.Encode()
	if err != nil {
		l.t.Fatal(err)
	}
	n.write(nodeconfig.Path, string(data))
	n.write("/avahi.conf", fmt.Sprintf("[server]\nhost-name=node-%s\nuse-ipv4=yes\nuse-ipv6=yes\n[publish]\npublish-workstation=no\n", name))

	hold := exec.Command("ip", "netns", "exec", n.ns, "sh", "-c", `set -e
mount -t tmpfs -o mode=755 tmpfs /run
mkdir -p /run/dbus /run/avahi-daemon
chown avahi:avahi /run/avahi-daemon
dbus-daemon --system --fork --print-pid
avahi-daemon -f "$1" --no-rlimits --no-proc-title -D
echo ready
exec sleep infinity`, "hold", n.root+"/avahi.conf")
	hold.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	out, err := hold.StdoutPipe()
	if err != nil {
		l.t.Fatal(err)
	}
	var errs bytes.Buffer
	hold.Stderr = &errs
	if err := hold.Start(); err != nil {
		l.t.Fatal(err)
	}
	n.pid = hold.Process.Pid
	l.t.Cleanup(func() {
		n.killAll()
		hold.Wait()
	})
	buf := make([]byte, 4096)
	text := ""
	for !strings.Contains(text, "ready") {
		k, err := out.Read(buf)
		text += string(buf[:k])
		if err != nil {
			l.t.Fatalf("node %s: %v: %s%s", name, err, text, errs.String())
		}
	}
	return n
}

// killAll ends every process of the node: those in its network namespace.
func (n *node) killAll() {
	out, _ := exec.Command("ip", "netns", "pids", n.ns).Output()
	for _, f := range strings.Fields(string(out)) {
		var pid int
		if fmt.Sscan(f, &pid); pid > 1 {
			syscall.Kill(pid, syscall.SIGKILL)
		}
	}
}

// pids are the node's processes of that name.
func (n *node) pids(name string) (out []int) {
	list, _ := exec.Command("ip", "netns", "pids", n.ns).Output()
	for _, f := range strings.Fields(string(list)) {
		var pid int
		fmt.Sscan(f, &pid)
		if comm, err := os.ReadFile(fmt.Sprintf("/proc/%d/comm", pid)); err == nil && strings.TrimSpace(string(comm)) == name {
			out = append(out, pid)
		}
	}
	return out
}

func (n *node) write(path, text string) {
	n.l.t.Helper()
	path = filepath.Join(n.root, path)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		n.l.t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		n.l.t.Fatal(err)
	}
}

// command is a command inside of the node.
func (n *node) command(ctx context.Context, args ...string) *exec.Cmd {
	return exec.CommandContext(ctx, "nsenter", append([]string{"-t", fmt.Sprint(n.pid), "-n", "-m", "--"}, args...)...)
}

func (n *node) try(args ...string) (string, error) { return n.tryFor(60*time.Second, args...) }

func (n *node) tryFor(limit time.Duration, args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	cmd := n.command(ctx, args...)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	err := cmd.Run()
	if err != nil {
		err = fmt.Errorf("%s: %w: %s", strings.Join(args, " "), err, errs.String())
	}
	return out.String(), err
}

// cli runs cloudy-node in the node.
func (n *node) cli(args ...string) (string, error) {
	return n.try(append([]string{n.l.bin, "--root", n.root}, args...)...)
}

func (n *node) must(args ...string) string {
	n.l.t.Helper()
	out, err := n.cli(args...)
	if err != nil {
		n.l.t.Fatalf("node %s: %v\n%s", n.name, err, n.log())
	}
	return out
}

func (n *node) start() {
	n.l.t.Helper()
	log, err := os.OpenFile(filepath.Join(n.root, "agent.log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		n.l.t.Fatal(err)
	}
	defer log.Close()
	cmd := n.command(context.Background(), n.bin, "--root", n.root, "run", "-v")
	cmd.Stdout, cmd.Stderr = log, log
	cmd.Env = append(os.Environ(), n.env...)
	if err := cmd.Start(); err != nil {
		n.l.t.Fatal(err)
	}
	n.agent, n.done = cmd, make(chan error, 1)
	go func(done chan error) { done <- cmd.Wait() }(n.done)
}

// takes gives the running agent an invitation, as soon as it listens.
func (n *node) takes(token string) {
	n.l.t.Helper()
	n.l.eventually(60*time.Second, "taken by "+n.name, func() bool {
		_, err := n.cli("join", token)
		if err != nil && !strings.Contains(err.Error(), "does not answer") {
			n.l.t.Fatalf("node %s: %v\n%s", n.name, err, n.log())
		}
		return err == nil
	})
}

// stop ends the agent; with SIGKILL it gets no chance to tidy up.
func (n *node) stop(sig syscall.Signal) {
	n.l.t.Helper()
	n.agent.Process.Signal(sig)
	select {
	case <-n.done:
	case <-time.After(2 * time.Minute):
		n.l.t.Fatalf("node %s: the agent does not end", n.name)
	}
}

func (n *node) log() string {
	data, _ := os.ReadFile(filepath.Join(n.root, "agent.log"))
	tinc, _ := os.ReadFile(filepath.Join(n.root, agent.RunDir, "tincd.log"))
	if len(data) > 12000 {
		data = data[len(data)-12000:]
	}
	return fmt.Sprintf("--- log of %s\n%s--- tincd\n%s", n.name, data, tinc)
}

func (n *node) status() agent.Status {
	var s agent.Status
	out, _ := n.cli("status", "--json")
	json.Unmarshal([]byte(out), &s)
	return s
}

// ready waits until every stage is done.
func (n *node) ready(limit time.Duration) agent.Status {
	n.l.t.Helper()
	limit = max(limit, patience)
	if out, err := n.tryFor(limit+30*time.Second, n.l.bin, "--root", n.root, "status", "--wait", "--timeout", limit.String()); err != nil {
		n.l.t.Fatalf("node %s is not ready: %v\n%s\n%s", n.name, err, out, n.log())
	}
	return n.status()
}

func (n *node) pings(addr string) bool {
	_, err := n.try("ping", "-n", "-c1", "-W1", addr)
	return err == nil
}

// rss is the resident memory of the agent in KiB.
func (n *node) rss() (kib int) {
	data, _ := os.ReadFile(fmt.Sprintf("/proc/%d/status", n.agent.Process.Pid))
	for line := range strings.Lines(string(data)) {
		if v, ok := strings.CutPrefix(line, "VmRSS:"); ok {
			fmt.Sscan(v, &kib)
		}
	}
	return kib
}

// logs is the end of everybody's log.
func (l *lab) logs() string {
	var logs []string
	for _, n := range l.nodes {
		logs = append(logs, n.log())
	}
	return strings.Join(logs, "\n")
}

// patience is what every wait has, whatever limit a test gives: machines are
// busy, and now and then two tincds lose a minute to a key that the other does
// not have. What takes longer than its limit is told; what never comes fails.
const patience = 5 * time.Minute

// eventually polls until ok.
func (l *lab) eventually(limit time.Duration, what string, ok func() bool) time.Duration {
	l.t.Helper()
	start := time.Now()
	for !ok() {
		if time.Since(start) > max(limit, patience) {
			l.t.Fatalf("after %s: not %s\n%s", max(limit, patience), what, l.logs())
		}
		time.Sleep(150 * time.Millisecond)
	}
	took := time.Since(start)
	if took > limit {
		l.t.Logf("%s only after %s, later than %s", what, took.Round(time.Millisecond), limit)
	}
	return took
}

// browses says whether avahi-browse in the node shows the service with that
// text in its line.
func (n *node) browses(kind, text string) bool {
	out, _ := n.try("timeout", "5", "avahi-browse", "-tpr", kind)
	for line := range strings.Lines(out) {
		if strings.HasPrefix(line, "=") && strings.Contains(strings.ReplaceAll(line, `\032`, " "), text) { // spaces are escaped
			return true
		}
	}
	return false
}
