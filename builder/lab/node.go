package lab

import (
	"bufio"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	"cloudy/builder/recipe"
	"cloudy/firstboot/nodeconfig"

	"golang.org/x/sys/unix"
)

// member is a node that runs, or is to run.
type member struct {
	Node
	site   *recipe.LabSite
	dir    string
	port   int // of the site's switch
	agent  *agent
	pinger *pinger

	mu      sync.Mutex
	pid     int // of its systemd, as the host counts; 0 while it is off
	space   *space
	started time.Time
	state   NodeState
}

// prepare makes the node's folder: its configuration and machine-id, over
// what all nodes share.
func (m *member) prepare(l *recipe.Lab, image string) error {
	for _, d := range []string{"upper", "work", "root"} {
		if err := os.MkdirAll(filepath.Join(m.dir, d), 0o755); err != nil {
			return err
		}
	}
	c, err := nodeconfig.Load(filepath.Join(image, nodeconfig.Path))
	if err != nil {
		return err
	}
	c.HostName, c.Mesh.Network, c.Mesh.Invitation, c.Mesh.Create = m.Name, l.Network, "", m.Founder
	for _, s := range l.LabServices(m.site) {
		c.Services = append(c.Services, nodeconfig.Service{
			Name: s.Name, Description: s.Description, Units: s.Units, Enabled: true,
			Announce: &nodeconfig.Announce{Type: s.Type, Port: s.Port, TXT: s.TXT},
		})
	}
	if err := c.Validate(); err != nil {
		return fmt.Errorf("configuration of node %s: %w", m.Name, err)
	}
	data, err := c.Encode()
	if err != nil {
		return err
	}
	up := layer{dir: filepath.Join(m.dir, "upper")}
	up.write(nodeconfig.Path, data, 0o644)
	// As a container manager gives it. Without one systemd takes this for
	// a first boot and goes through the presets of all units.
	id := make([]byte, 16)
	rand.Read(id)
	up.write("etc/machine-id", []byte(hex.EncodeToString(id)+"\n"), 0o444)
	up.write("etc/hostname", []byte(m.Name+"\n"), 0o644)
	return up.err
}

// power starts the node: its systemd runs when it returns.
func (m *member) power(k *keeper, invitation string) (err error) {
	defer func() {
		if err != nil {
			err = fmt.Errorf("node %s: %w", m.Name, err)
		}
	}()
	groups, err := k.groups.make(k.spec.Dir, m.Name, m.Memory)
	if err != nil {
		return err
	}
	config, tell, err := os.Pipe()
	if err != nil {
		return err
	}
	defer tell.Close()
	hear, said, err := os.Pipe()
	if err != nil {
		config.Close()
		return err
	}
	defer hear.Close()
	console, err := os.OpenFile(filepath.Join(m.dir, "console.log"), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o644)
	if err != nil {
		return err
	}
	defer console.Close()
	cmd := &exec.Cmd{
		Path: "/proc/self/exe", Args: []string{stageNode, m.Name}, Dir: "/", Env: []string{},
		Stdout: console, Stderr: console, ExtraFiles: []*os.File{config, said},
		SysProcAttr: &unix.SysProcAttr{
			Cloneflags: unix.CLONE_NEWPID | unix.CLONE_NEWNS | unix.CLONE_NEWNET | unix.CLONE_NEWUTS | unix.CLONE_NEWIPC,
			Setsid:     true,
		},
	}
	begin := time.Now()
	err = cmd.Start()
	config.Close()
	said.Close()
	if err != nil {
		return fmt.Errorf("make its namespaces: %w", err)
	}
	go func() {
		err := cmd.Wait()
		m.mu.Lock()
		defer m.mu.Unlock()
		m.pid = 0
		m.state.Note = fmt.Sprint("its systemd ended: ", err)
	}()
	lines := bufio.NewReader(hear)
	line, err := lines.ReadString('\n')
	pid, perr := strconv.Atoi(strings.TrimSpace(line))
	if err != nil || perr != nil {
		cmd.Process.Kill()
		return fmt.Errorf("its first process does not start: %v", err)
	}
	space, err := openSpace(fmt.Sprintf("/proc/%d/ns/net", pid))
	if err == nil {
		err = k.net.attach(m.Node, space, m.port)
	}
	if err != nil {
		cmd.Process.Kill()
		return err
	}
	// Reading the kernel's own state of the node is for root on the host.
	if m.pinger, err = newPinger(space); err != nil {
		cmd.Process.Kill()
		return err
	}
	m.agent = newAgent(pid)
	m.mu.Lock()
	m.space, m.pid, m.started = space, pid, begin
	m.mu.Unlock()
	err = json.NewEncoder(tell).Encode(start{Name: m.Name, Dir: m.dir, Lower: k.spec.Lower, Groups: groups, Invitation: invitation})
	tell.Close()
	if err != nil {
		return err
	}
	// Closed when systemd is there; a line when it is not.
	if text, _ := io.ReadAll(lines); len(text) > 0 {
		return fmt.Errorf("%s", strings.TrimSpace(string(text)))
	}
	return nil
}
