package agent

import (
	"context"
	"iter"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"time"

	"cloudy/firstboot/avahi"
	"cloudy/firstboot/membership"
)

// endpointsOf goes through the places where the issuer may be: those that it
// wrote down, those of the configuration, and when none of these helps those
// that a neighbour announces. Any of them is a hint and no more: who answers
// there must prove to have the issuer's key.
func (a *Agent) endpointsOf(ctx context.Context, v membership.Invitation) iter.Seq[netip.AddrPort] {
	return func(yield func(netip.AddrPort) bool) {
		tried := map[netip.AddrPort]bool{}
		for _, more := range []func(context.Context) []netip.AddrPort{
			func(context.Context) []netip.AddrPort { return v.Endpoints },
			a.peers,
			func(ctx context.Context) []netip.AddrPort { return a.neighbours(ctx, v.Issuer.Name()) },
		} {
			for _, to := range more(ctx) {
				if tried[to] {
					continue
				}
				tried[to] = true
				if !yield(to) {
					return
				}
			}
		}
	}
}

// joinType is the DNS-SD type under which members announce their endpoint to
// their neighbours, with the node's name and the beginning of the mesh's ID.
const joinType = "_cloudy-join._tcp"

// neighbours returns what is announced as the issuer's endpoint on the local
// networks.
func (a *Agent) neighbours(ctx context.Context, issuer membership.Name) []netip.AddrPort {
	ctx, cancel := context.WithTimeout(ctx, 4*time.Second)
	defer cancel()
	list, err := avahi.Browse(ctx, joinType)
	if err != nil {
		a.log.Debug("no look at the neighbours", "error", err)
	}
	var out []netip.AddrPort
	for _, x := range list {
		if x.TXT["i"] == string(issuer) && membership.Reachable(x.Addr) && !slices.Contains(out, netip.AddrPortFrom(x.Addr, x.Port)) && len(out) < 8 {
			out = append(out, netip.AddrPortFrom(x.Addr, x.Port))
		}
	}
	return out
}

// endpointService is the node's own announcement of it.
func (a *Agent) endpointService() membership.Service {
	return membership.Service{Name: "Cloudy " + string(a.id.Name()), Type: joinType, Port: uint16(a.conf.Mesh.JoinPort), TXT: map[string]string{
		"v": "1", "i": string(a.id.Name()), "m": a.roster.Mesh().ID.String()[:8],
	}}
}

// peers returns the configured join endpoints.
func (a *Agent) peers(ctx context.Context) []netip.AddrPort {
	var out []netip.AddrPort
	for _, p := range a.conf.Mesh.Peers {
		host, port := p, strconv.Itoa(a.conf.Mesh.JoinPort)
		if h, n, err := net.SplitHostPort(p); err == nil {
			host, port = h, n
		}
		n, err := strconv.ParseUint(port, 10, 16)
		if err != nil {
			continue
		}
		ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
		ips, err := net.DefaultResolver.LookupNetIP(ctx, "ip", host)
		cancel()
		if err != nil {
			a.log.Debug("peer has no address", "peer", p, "error", err)
			continue
		}
		for _, ip := range ips {
			out = append(out, netip.AddrPortFrom(ip.Unmap(), uint16(n)))
		}
	}
	return out
}
