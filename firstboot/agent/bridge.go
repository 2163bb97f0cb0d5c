package agent

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"os/exec"
	"slices"
	"strings"

	"cloudy/firstboot/avahi"
	"cloudy/firstboot/membership"
	"cloudy/firstboot/nodeconfig"
)

// With few members mDNS runs on the overlay as on a cable. With many it costs
// too much, for every answer goes to everybody: then it is kept off, and the
// agent shows the catalogue's services in the local Avahi instead, whose users
// see no difference.
//
// It is kept off by taking the interface's MULTICAST flag: Avahi leaves such
// interfaces alone as soon as it hears of the change, and so does every other
// mDNS responder; nothing is written into their configuration and nothing
// started again. IPv4 finds neighbours by broadcast and IPv6 by its own
// multicast, which the flag does not concern.

// bridge decides which of the two it is, and shows the others' services where
// it is the second. It returns how many, -1 when mDNS is on the overlay.
func (a *Agent) bridge(ctx context.Context, p *avahi.Publisher) (int, error) {
	alive := a.alive()
	a.mu.Lock()
	a.bridging = bridges(a.conf.Mesh, len(alive)+1, a.bridging)
	bridging := a.bridging
	a.mu.Unlock()
	if err := a.multicast(ctx, !bridging); err != nil {
		return 0, err
	}
	if !bridging {
		return -1, p.SetForeign(nil)
	}
	list, n := a.foreign(alive)
	return n, p.SetForeign(list)
}

// bridges says whether mDNS leaves the overlay with so many living members.
// It comes back when there are a tenth less than the limit, so that one that
// comes and goes does not turn everything over.
func bridges(m nodeconfig.Mesh, alive int, now bool) bool {
	switch m.MDNS {
	case "overlay":
		return false
	case "bridge":
		return true
	}
	limit := m.MDNSLimit
	if now {
		limit -= limit / 10
	}
	return alive > limit
}

// multicast sets the flag of the overlay's interface. tincd makes a new one
// each time it starts, with the flag.
func (a *Agent) multicast(ctx context.Context, on bool) error {
	name := a.conf.Mesh.Interface
	i, err := net.InterfaceByName(name)
	if err != nil {
		return nil // the mesh stage sees to it
	}
	if on == (i.Flags&net.FlagMulticast != 0) {
		return nil
	}
	state := "off"
	if on {
		state = "on"
	}
	a.log.Info("mDNS on the overlay", "on", on)
	if out, err := exec.CommandContext(ctx, "ip", "link", "set", "dev", name, "multicast", state).CombinedOutput(); err != nil {
		return fmt.Errorf("multicast of %s: %w: %s", name, err, strings.TrimSpace(string(out)))
	}
	return nil
}

// foreign returns the others that live with those of their services that are
// shown, and how many services there are.
func (a *Agent) foreign(alive map[membership.Name]bool) (out []avahi.Foreign, n int) {
	a.mu.Lock()
	r, self := a.roster, a.host
	a.mu.Unlock()
	types := a.conf.Mesh.MDNSTypes
	if len(types) == 0 {
		types = nodeconfig.DefaultMDNSTypes
	}
	hosts := map[string]int{self: 2} // two nodes may have chosen one name
	for _, m := range r.Members() {
		hosts[m.Node.Host]++
	}
	for _, m := range r.Members() {
		if !alive[m.Name()] || m.Services == nil {
			continue
		}
		f := avahi.Foreign{Host: m.Node.Host, Alias: m.Node.Host, Addrs: []netip.Addr{
			m.Address4, m.Address6,
		}}
		if hosts[m.Node.Host] > 1 {
			f.Alias = f.Alias[:min(len(f.Alias), 56)] + "-" + string(m.Name())[1:7]
			f.Host = f.Alias
		}
		for _, s := range m.Services.List {
			if slices.Contains(types, s.Type) || slices.Contains(types, "*") {
				f.Services = append(f.Services, s)
			}
		}
		if len(f.Services) > 0 {
			out = append(out, f)
			n += len(f.Services)
		}
	}
	return out, n
}
