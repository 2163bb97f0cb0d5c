package agent

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"cloudy/firstboot/membership"
)

// setKernelHostName tells the running kernel; elsewhere than on a node it is
// somebody else's kernel.
func (a *Agent) setKernelHostName(host string) error {
	if filepath.Clean(a.opts.Root) != "/" {
		return nil
	}
	if now, err := os.Hostname(); err == nil && now == host {
		return nil
	}
	if err := unix.Sethostname([]byte(host)); err != nil && !errors.Is(err, unix.EPERM) {
		return fmt.Errorf("host name: %w", err)
	}
	return nil
}

// stageNetwork waits for an address. It does not ask for a route: a node in
// a cable's reach of another needs none.
func (a *Agent) stageNetwork(context.Context) (string, error) {
	addrs, err := a.localAddrs()
	if err != nil {
		return "", err
	}
	if len(addrs) == 0 {
		return "", fmt.Errorf("no network address yet: %w", errWaiting)
	}
	var text []string
	for _, x := range addrs {
		text = append(text, x.String())
	}
	return strings.Join(text, " "), nil
}

// localAddrs returns the node's addresses that others may reach it at: those
// of the interfaces that are up, but the mesh's own.
func (a *Agent) localAddrs() ([]netip.Addr, error) {
	list, err := net.Interfaces()
	if err != nil {
		return nil, err
	}
	var out []netip.Addr
	for _, i := range list {
		if i.Flags&net.FlagUp == 0 || i.Flags&net.FlagLoopback != 0 || i.Name == a.conf.Mesh.Interface || containerBridge(i.Name) {
			continue
		}
		addrs, err := i.Addrs()
		if err != nil {
			continue // gone in between
		}
		for _, x := range addrs {
			p, err := netip.ParsePrefix(x.String())
			if err != nil {
				continue
			}
			if ip := p.Addr().Unmap().WithZone(""); membership.Reachable(ip) {
				out = append(out, ip)
			}
		}
	}
	return out, nil
}

// containerBridge says whether an interface is one of those that container
// managers make: their addresses are the same on every machine.
func containerBridge(name string) bool {
	for _, p := range []string{"docker", "br-", "lxcbr", "lxdbr", "incusbr", "virbr", "cni", "podman", "veth"} {
		if strings.HasPrefix(name, p) {
			return true
		}
	}
	return false
}

// endpoints returns what the node's record says of where it is.
func (a *Agent) endpoints() []netip.Addr {
	if len(a.conf.Mesh.Advertise) > 0 {
		var out []netip.Addr
		for _, s := range a.conf.Mesh.Advertise {
			if ip, err := netip.ParseAddr(s); err == nil && membership.Reachable(ip) {
				out = append(out, ip)
			}
		}
		return out
	}
	a.mu.Lock()
	nat := a.standing != nil && a.standing.NAT
	a.mu.Unlock()
	if nat {
		return nil
	}
	out, _ := a.localAddrs()
	return out[:min(len(out), 8)]
}
