// Package doctor looks at what a node needs and says what is wrong with it
// and what to do. It changes nothing and needs no running agent.
package doctor

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"path/filepath"
	"strings"
	"time"

	"cloudy/firstboot/agent"
	"cloudy/firstboot/identity"
	"cloudy/firstboot/nodeconfig"
	"cloudy/firstboot/page"
)

// State is how a check came out.
type State string

// The states of a check.
const (
	OK   State = "ok"
	Warn State = "warn" // something will not work, the node does
	Bad  State = "bad"
)

// Check is one thing that was looked at.
type Check struct {
	Name   string `json:"name"`
	State  State  `json:"state"`
	Detail string `json:"detail"`
	Do     string `json:"do,omitempty"` // what to do, where it is not ok
}

// Host is what is looked at.
type Host struct {
	Root      string // "/" on a node
	Config    nodeconfig.Config
	ConfigErr error              // why Config is the default and not the image's
	Status    *agent.Status      // of the running agent, or nil
	AgentErr  error              // why there is none
	Services  []agent.OwnService // as the agent tells
}

func ok(name, format string, args ...any) Check {
	return Check{Name: name, State: OK, Detail: fmt.Sprintf(format, args...)}
}

// Run makes all checks.
func Run(ctx context.Context, h Host) []Check {
	return []Check{
		h.config(), h.agent(), h.keys(), h.tincd(ctx), h.tun(), h.ip(), h.avahi(ctx), h.clock(), h.entropy(), h.state(), h.ports(), h.page(ctx), h.network(),
		h.mesh(), h.services(),
	}
}

func (h Host) path(p string) string { return filepath.Join(h.Root, p) }

func (h Host) config() Check {
	path := h.path(nodeconfig.Path)
	switch {
	case errors.Is(h.ConfigErr, fs.ErrPermission):
		return Check{"configuration", Warn, h.ConfigErr.Error(), "run cloudy-node doctor as root"}
	case h.ConfigErr != nil:
		return Check{"configuration", Bad, h.ConfigErr.Error(), "mend " + path + ", or move it away to have the defaults; then systemctl restart cloudy-node"}
	}
	return ok("configuration", "%s is right, or not there", path)
}

func (h Host) agent() Check {
	switch {
	case errors.Is(h.AgentErr, fs.ErrPermission):
		return Check{"agent", Warn, "this user may not ask the agent", "run cloudy-node doctor as root, or join the group cloudy"}
	case h.Status == nil:
		return Check{"agent", Bad, "the agent does not answer", "if it was not started just now: systemctl start cloudy-node; look why it ended: journalctl -u cloudy-node"}
	}
	for _, s := range h.Status.Stages {
		switch {
		case s.State == agent.Failed:
			return Check{"agent", Bad, s.Name + ": " + s.Error, fmt.Sprintf("it tries again by itself, next at %s", s.Next.Format(time.TimeOnly))}
		case s.State == agent.Refused && h.Status.Network != "":
			return Check{"agent", Bad, s.Name + ": " + s.Error, "cloudy-node reset, and then cloudy-node join with a new invitation"}
		case s.State == agent.Refused:
			return Check{"agent", Bad, s.Name + ": " + s.Error, "ask for a new invitation and give it to cloudy-node join"}
		case s.State == agent.Waiting:
			return Check{"agent", Warn, s.Name + ": " + s.Error, "nothing is broken; it goes on when what it waits for is there"}
		}
	}
	return ok("agent", "every stage is done or under way")
}

func (h Host) keys() Check {
	id, err := identity.Files{Root: h.Root, State: agent.StateDir}.Load()
	switch {
	case errors.Is(err, fs.ErrPermission):
		return Check{"keys", Warn, "this user may not see them", "run cloudy-node doctor as root"}
	case errors.Is(err, fs.ErrNotExist):
		return Check{"keys", Bad, "this node has no keys yet", "they are made at boot: systemctl restart cloudy-identity; journalctl -u cloudy-identity says what hinders it"}
	case err != nil:
		return Check{"keys", Bad, err.Error(), "bring the file back from a backup, or cloudy-node reset --identity: the node is another one then, and must be invited anew"}
	case h.Status != nil && h.Status.Doubled:
		return Check{"keys", Warn, "another machine has, or lately had, this node's keys", "was its card copied? One of the two has taken new keys by itself, and needs an invitation"}
	}
	return ok("keys", "%s", id.Name())
}

// ports looks whether the mesh's ports are the agent's or free.
func (h Host) ports() Check {
	m := h.Config.Mesh
	member := h.Status != nil && h.Status.Network != ""
	for _, p := range []struct {
		port int
		of   string
	}{{m.TincPort, "tincd"}, {m.JoinPort, "the join endpoint"}} {
		c, err := net.DialTimeout("tcp", fmt.Sprintf("127.0.0.1:%d", p.port), 3*time.Second)
		if err == nil {
			c.Close()
		}
		switch {
		case member && err != nil:
			return Check{"ports", Bad, fmt.Sprintf("nothing answers at port %d of %s", p.port, p.of), "look at cloudy-node status and systemctl status cloudy-mesh, and for a firewall on this machine"}
		case !member && err == nil:
			return Check{"ports", Bad, fmt.Sprintf("port %d, which is for %s, is another program's", p.port, p.of), fmt.Sprintf("find it: ss -tlnp 'sport = :%d'", p.port)}
		}
	}
	return ok("ports", "%d and %d", m.TincPort, m.JoinPort)
}

// page looks whether the node's page is where it should be. The mesh does not
// need it.
func (h Host) page(ctx context.Context) Check {
	port := h.Config.Page.TLSPort
	switch {
	case h.Config.Page.Off:
		return ok("page", "off, as the image says")
	case h.Status == nil:
		return ok("page", "not looked at without the agent")
	}
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	d := tls.Dialer{Config: &tls.Config{InsecureSkipVerify: true}} // who it is matters, not who says so
	c, err := d.DialContext(ctx, "tcp", fmt.Sprintf("127.0.0.1:%d", port))
	if err != nil {
		return Check{"page", Warn, fmt.Sprintf("nothing answers at port %d: %v", port, err), fmt.Sprintf("does another program have port %d or %d? ss -tlnp; journalctl -u cloudy-node says why", h.Config.Page.HTTPPort, port)}
	}
	defer c.Close()
	of := c.(*tls.Conn).ConnectionState().PeerCertificates[0].Subject.Organization
	if len(of) == 0 || !strings.HasPrefix(of[0], page.Organization) {
		return Check{"page", Warn, fmt.Sprintf("another program answers at port %d", port), fmt.Sprintf("find it: ss -tlnp 'sport = :%d'", port)}
	}
	return ok("page", "https, port %d; cloudy-node password tells how to log in", port)
}

// services looks whether what is on answers.
func (h Host) services() Check {
	var down []string
	for _, s := range h.Services {
		if s.On && !s.Up && !s.Checked.IsZero() {
			down = append(down, s.Name+": "+s.Problem)
		}
	}
	if len(down) > 0 {
		return Check{"services", Warn, strings.Join(down, "; "), "they are not announced while they do not answer: look at systemctl status and journalctl of their units, or turn them off: cloudy-node services off NAME"}
	}
	return ok("services", "all that are on answer")
}

func (h Host) network() Check {
	list, err := net.InterfaceAddrs()
	if err != nil {
		return Check{"network", Bad, err.Error(), "look at ip addr"}
	}
	var have []string
	for _, a := range list {
		if n, ok := a.(*net.IPNet); ok && n.IP.IsGlobalUnicast() && (h.Status == nil || n.IP.String() != h.Status.Address4 && n.IP.String() != h.Status.Address6) {
			have = append(have, n.IP.String())
		}
	}
	if len(have) == 0 {
		return Check{"network", Bad, "this node has no address outside of the mesh", "plug in the cable; look at networkctl and ip addr"}
	}
	return ok("network", "%s", strings.Join(have, " "))
}

func (h Host) mesh() Check {
	s := h.Status
	switch {
	case s == nil || s.Network == "":
		return Check{"mesh", Warn, "this node is in no mesh", "cloudy-node join, with an invitation of a member"}
	case s.Members == 1:
		return ok("mesh", "%s, alone so far", s.Network)
	case s.Alive <= 1:
		return Check{"mesh", Bad, fmt.Sprintf("none of %d other members is heard of", s.Members-1),
			fmt.Sprintf("can this node reach theirs? cloudy-node members --json has their addresses; TCP and UDP port %d and TCP port %d must pass", h.Config.Mesh.TincPort, h.Config.Mesh.JoinPort)}
	}
	return ok("mesh", "%s, %d of %d members alive, %s", s.Network, s.Alive, s.Members, s.Address4)
}
