package meshtest

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"cloudy/firstboot/agent"
	"cloudy/firstboot/membership"
	"cloudy/firstboot/nodeconfig"
	"cloudy/firstboot/units"
)

// machine is this system once more, with a root of its own laid over, in which
// a real systemd runs the agent's units and little else.
type machine struct {
	t   *testing.T
	pid string // of its systemd
}

// boot starts a machine with the configuration.
func boot(t *testing.T, conf nodeconfig.Config) *machine {
	t.Helper()
	need(t, os.Geteuid() == 0, "needs root")
	for _, tool := range []string{"systemd-nspawn", "systemd-sysusers", "unshare", "nsenter", "tincd", "dbus-daemon", "avahi-daemon", "ip"} {
		_, err := exec.LookPath(tool)
		need(t, err == nil, "needs "+tool)
	}
	_, err := os.Stat("/usr/lib/systemd/systemd")
	need(t, err == nil, "needs systemd")
	_, err = os.Stat("/dev/net/tun")
	need(t, err == nil, "needs /dev/net/tun")
	bin, err := buildOnce()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	for d := dir; d != "/tmp" && len(d) > 4; d = filepath.Dir(d) {
		os.Chmod(d, 0o755)
	}
	write := func(name, text string) {
		t.Helper()
		path := filepath.Join(dir, name)
		os.MkdirAll(filepath.Dir(path), 0o755)
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	conf.Version = nodeconfig.Version
	data, err := conf.WithDefaults().Encode()
	if err != nil {
		t.Fatal(err)
	}
	write("node.json", string(data))
	entries, err := units.Files.ReadDir(".")
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		text, err := units.Files.ReadFile(e.Name())
		if err != nil {
			t.Fatal(err)
		}
		if filepath.Ext(e.Name()) == ".conf" {
			write(e.Name(), string(text))
		} else {
			write("units/"+e.Name(), string(text))
		}
	}
	write("units/cloudy-test.target", "[Unit]\nRequires=basic.target\nAfter=basic.target\n")
	write("units/web.service", "[Service]\nExecStart=/bin/sleep infinity\n[Install]\nWantedBy=cloudy-test.target\n")
	// What an image has from the builder, and an address.
	write("units/prepare.service", `[Unit]
DefaultDependencies=no
After=local-fs.target
Before=cloudy-identity.service
[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=/bin/sh -ec 'systemd-sysusers /cloudy/sysusers.conf; systemd-tmpfiles --create /cloudy/tmpfiles.conf; ip link add eth7 type veth peer name eth8; ip addr add 10.77.1.1/24 dev eth7; ip link set eth7 up; ip link set eth8 up'
`)
	wants := filepath.Join(dir, "units/cloudy-test.target.wants")
	if err := os.Mkdir(wants, 0o755); err != nil {
		t.Fatal(err)
	}
	list := map[string]string{"prepare.service": "../prepare.service"}
	for u := range units.Wanted() {
		list[u] = "../" + u
	}
	for _, u := range []string{"dbus.service", "avahi-daemon.service"} {
		list[u] = "/lib/systemd/system/" + u
	}
	for u, to := range list {
		if err := os.Symlink(to, filepath.Join(wants, u)); err != nil {
			t.Fatal(err)
		}
	}
	name := fmt.Sprintf("cloudy-test-%d", os.Getpid())
	script := `set -e
mkdir "$1/root"
mount --bind / "$1/root"
exec systemd-nspawn --quiet --directory="$1/root" --volatile=overlay --machine="$2" --register=no --keep-unit --private-network --link-journal=no \
	--bind=/dev/net/tun --capability=CAP_NET_ADMIN --console=pipe --bind-ro="$1:/cloudy" --bind-ro="$3:/usr/bin/cloudy-node" \
	--bind-ro="$1/node.json:/etc/cloudy/node.json" --bind-ro="$1/units:/run/systemd/system" --boot systemd.unit=cloudy-test.target`
	cmd := exec.Command("unshare", "--mount", "sh", "-c", script, "boot", dir, name, bin)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- cmd.Wait() }()
	t.Cleanup(func() {
		cmd.Process.Signal(syscall.SIGTERM) // nspawn powers it off
		select {
		case <-done:
		case <-time.After(30 * time.Second):
			cmd.Process.Kill()
			<-done
		}
	})
	m := &machine{t: t}
	for deadline := time.Now().Add(patience); m.pid == ""; time.Sleep(100 * time.Millisecond) {
		select {
		case err := <-done:
			done <- err
			need(t, false, fmt.Sprintf("systemd does not boot in a container here: %v: %s", err, out.String()))
		default:
		}
		children, _ := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", cmd.Process.Pid, cmd.Process.Pid))
		for _, pid := range strings.Fields(string(children)) {
			if line, _ := os.ReadFile("/proc/" + pid + "/cmdline"); strings.Contains(string(line), "systemd.unit=cloudy-test.target") && !strings.Contains(string(line), "nspawn") {
				m.pid = pid
			}
		}
		if time.Now().After(deadline) {
			need(t, false, "systemd does not boot in a container here: "+out.String())
		}
	}
	return m
}

// run runs a command in the machine.
func (m *machine) run(args ...string) (string, error) {
	out, err := exec.Command("nsenter", append([]string{"-t", m.pid, "-a", "-r", "-w", "--"}, args...)...).Output()
	return strings.TrimSpace(string(out)), err
}

func (m *machine) status() (s agent.Status) {
	out, _ := m.run("cloudy-node", "status", "--json")
	json.Unmarshal([]byte(out), &s)
	return s
}

func (m *machine) eventually(what string, ok func() bool) {
	m.t.Helper()
	for deadline := time.Now().Add(patience); !ok(); time.Sleep(200 * time.Millisecond) {
		if time.Now().After(deadline) {
			status, _ := m.run("cloudy-node", "status")
			failed, _ := m.run("systemctl", "--no-pager", "status", "cloudy-*")
			journal, _ := m.run("journalctl", "--no-pager", "-n", "60")
			m.t.Fatalf("not %s\n%s\n%s\n%s", what, status, failed, journal)
		}
	}
}

// TestUnderSystemd: the units as they are, run by systemd: nobody but the two
// that end at once is root, tincd comes up by its path unit and comes back,
// and what takes root is done all the same.
func TestUnderSystemd(t *testing.T) {
	t.Parallel()
	m := boot(t, nodeconfig.Config{
		Mesh:     nodeconfig.Mesh{Create: true, Network: "test"},
		Services: []nodeconfig.Service{{Name: "web", Units: []string{"web.service"}, Health: &nodeconfig.Health{Unit: "web.service"}}},
	})
	m.eventually("in its mesh", func() bool { return m.status().Ready })
	first := m.status()

	pid := func(unit string) string {
		out, _ := m.run("systemctl", "show", "--property=MainPID", "--value", unit)
		return out
	}
	for _, u := range []string{"cloudy-node.service", "cloudy-mesh.service"} {
		text, err := m.run("cat", "/proc/"+pid(u)+"/status")
		if err != nil || !strings.Contains(text, "\nUid:\t") || strings.Contains(text, "\nUid:\t0\t") || !strings.Contains(text, "\nNoNewPrivs:\t1") {
			t.Errorf("%s runs as root, or not at all: %v\n%s", u, err, text)
		}
	}
	active := func(unit string) bool { _, err := m.run("systemctl", "is-active", unit); return err == nil }
	if active("web.service") {
		t.Fatal("a service that is off runs")
	}
	if _, err := m.run("cloudy-node", "services", "on", "web"); err != nil {
		t.Fatal(err)
	}
	m.eventually("on", func() bool { return active("web.service") })
	if _, err := m.run("cloudy-node", "services", "off", "web"); err != nil {
		t.Fatal(err)
	}
	m.eventually("off", func() bool { return !active("web.service") })

	old := pid("cloudy-mesh.service")
	if _, err := m.run("kill", "-9", old); err != nil {
		t.Fatal(err)
	}
	m.eventually("tincd back", func() bool { p := pid("cloudy-mesh.service"); return p != old && p != "0" && m.status().Ready })

	if _, err := m.run("cloudy-node", "reset", "--identity"); err != nil {
		t.Fatal(err)
	}
	m.eventually("another node", func() bool { s := m.status(); return s.Ready && s.Name != first.Name && s.Name != membership.Name("") })
	if out, err := m.run("systemctl", "list-units", "--state=failed", "--plain", "--no-legend", "--no-pager"); err != nil || strings.Contains(out, "cloudy-") {
		t.Errorf("failed units: %v\n%s", err, out)
	}
	if out, err := m.run("stat", "-c", "%U", "/var/lib/cloudy/identity.json"); err != nil || out != "cloudy" {
		t.Errorf("the keys are of %q, %v", out, err)
	}
}
