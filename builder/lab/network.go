package lab

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"sync"

	"cloudy/builder/recipe"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// wire is one line of the lab: a link between two routers, or the access of
// a node.
type wire struct {
	ends  [2]end
	taps  [2]*os.File // of a shaped line
	count counters
	up    bool
}

// end is one interface of a wire.
type end struct {
	in   *space
	name string
}

// network is all that carries packets in the lab.
type network struct {
	lab     *recipe.Lab
	routers []*space

	mu     sync.Mutex
	links  []*wire
	access map[string]*wire // by node
	cut    map[string]bool  // what was cut, by name
}

// plain says whether packets pass a line as they are.
func plain(p recipe.Path) bool { return p == recipe.Path{} }

// newNetwork makes the routers and the links between them.
func newNetwork(l *recipe.Lab) (*network, error) {
	n := &network{lab: l, access: map[string]*wire{}, cut: map[string]bool{}}
	for i := range l.Sites {
		r, err := newRouter(i)
		if err != nil {
			return nil, fmt.Errorf("router of site %s: %w", l.Sites[i].Name, err)
		}
		n.routers = append(n.routers, r)
	}
	for i, k := range l.Links {
		name := fmt.Sprintf("link%d", i+1)
		w, err := newWire(end{n.routers[n.site(k.A)], name}, end{n.routers[n.site(k.B)], name}, k.Path)
		if err != nil {
			return nil, fmt.Errorf("link %s: %w", k.Name, err)
		}
		for e := range 2 {
			if err := w.ends[e].address(linkAddress(i, e), 30); err != nil {
				return nil, fmt.Errorf("link %s: %w", k.Name, err)
			}
		}
		n.links = append(n.links, w)
	}
	return n, n.apply()
}

func (n *network) site(name string) int {
	for i := range n.lab.Sites {
		if n.lab.Sites[i].Name == name {
			return i
		}
	}
	return -1
}

const bridge = "lan"

// newRouter makes a site's router with the bridge that is its switch.
func newRouter(site int) (*space, error) {
	s, err := newSpace()
	if err != nil {
		return nil, err
	}
	// Broadcast and multicast reach all, whoever asked for it or not.
	off := false
	attrs := netlink.NewLinkAttrs()
	attrs.Name = bridge
	// Without an address of its own a bridge takes the least of its ports':
	// one that is added could change it, and the nodes that know the old one
	// would reach nobody until they ask again, some 45 seconds later.
	attrs.HardwareAddr = net.HardwareAddr{2, 0, 10, 60, byte(site), 1}
	if err := s.LinkAdd(&netlink.Bridge{LinkAttrs: attrs, MulticastSnooping: &off}); err != nil {
		return nil, fmt.Errorf("make a bridge: %w", err)
	}
	if err := (end{s, bridge}).address(siteAddress(site, 1), 24); err != nil {
		return nil, err
	}
	if err := (end{s, "lo"}).set(true); err != nil {
		return nil, err
	}
	return s, s.sysctl("1", "ipv4/ip_forward")
}

// newWire connects two ends. Both interfaces are down.
func newWire(a, b end, path recipe.Path) (*wire, error) {
	w := &wire{ends: [2]end{a, b}}
	if plain(path) {
		attrs := netlink.NewLinkAttrs()
		attrs.Name = a.name
		err := a.in.LinkAdd(&netlink.Veth{LinkAttrs: attrs, PeerName: b.name, PeerNamespace: netlink.NsFd(b.in.file.Fd())})
		if err != nil {
			return nil, fmt.Errorf("make a pair of interfaces: %w", err)
		}
		return w, nil
	}
	for i, e := range w.ends {
		var err error
		if w.taps[i], err = e.in.tap(e.name); err != nil {
			return nil, err
		}
	}
	go carry(w.taps[0], w.taps[1], path, &w.count)
	go carry(w.taps[1], w.taps[0], path, &w.count)
	return w, nil
}

func (w *wire) close() {
	for _, t := range w.taps {
		if t != nil {
			t.Close()
		}
	}
}

// traffic returns the bytes that went through the wire, in both directions.
func (w *wire) traffic() int64 {
	l, err := w.ends[0].in.LinkByName(w.ends[0].name)
	if err != nil || l.Attrs().Statistics == nil {
		return 0
	}
	return int64(l.Attrs().Statistics.RxBytes + l.Attrs().Statistics.TxBytes)
}

func (e end) set(up bool) error {
	l, err := e.in.LinkByName(e.name)
	if err != nil {
		return fmt.Errorf("interface %s: %w", e.name, err)
	}
	if up {
		err = e.in.LinkSetUp(l)
	} else {
		err = e.in.LinkSetDown(l)
	}
	if err != nil {
		return fmt.Errorf("interface %s: %w", e.name, err)
	}
	return nil
}

// address gives the end an address and turns it on.
func (e end) address(a netip.Addr, bits int) error {
	l, err := e.in.LinkByName(e.name)
	if err != nil {
		return fmt.Errorf("interface %s: %w", e.name, err)
	}
	if err := e.in.AddrAdd(l, &netlink.Addr{IPNet: ipNet(a, bits)}); err != nil {
		return fmt.Errorf("interface %s: address %s: %w", e.name, a, err)
	}
	return e.set(true)
}

func ipNet(a netip.Addr, bits int) *net.IPNet {
	return &net.IPNet{IP: a.AsSlice(), Mask: net.CIDRMask(bits, a.BitLen())}
}

// attach connects a node to its site's switch. The node's interface is eth0.
func (n *network) attach(node Node, in *space, port int) error {
	site := &n.lab.Sites[node.Site]
	router := n.routers[node.Site]
	w, err := newWire(end{router, fmt.Sprintf("port%d", port)}, end{in, "eth0"}, site.Access)
	if err != nil {
		return err
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if old := n.access[node.Name]; old != nil {
		old.close()
	}
	n.access[node.Name] = w
	l, err := router.LinkByName(w.ends[0].name)
	if err != nil {
		return err
	}
	br, err := router.LinkByName(bridge)
	if err != nil {
		return err
	}
	if err := router.LinkSetMaster(l, br); err != nil {
		return fmt.Errorf("connect to the switch: %w", err)
	}
	if err := (end{in, "lo"}).set(true); err != nil {
		return err
	}
	if err := w.ends[1].address(node.Address, 24); err != nil {
		return err
	}
	eth, err := in.LinkByName("eth0")
	if err != nil {
		return err
	}
	gateway := siteAddress(node.Site, 1)
	err = in.RouteAdd(&netlink.Route{LinkIndex: eth.Attrs().Index, Gw: gateway.AsSlice()})
	if err != nil {
		return fmt.Errorf("default route: %w", err)
	}
	w.up = !n.cut[node.Name]
	return w.ends[0].set(w.up)
}

// Cut breaks a link, takes a site from all others, or pulls a node's plug
// out of the switch; heal undoes it.
func (n *network) set(name string, up bool) error {
	n.mu.Lock()
	if up {
		delete(n.cut, name)
	} else {
		n.cut[name] = true
	}
	n.mu.Unlock()
	return n.apply()
}

// apply makes interfaces and routes follow what is cut.
func (n *network) apply() error {
	n.mu.Lock()
	defer n.mu.Unlock()
	var errs []error
	for i, k := range n.lab.Links {
		w := n.links[i]
		up := !n.cut[k.Name] && !n.cut[k.A] && !n.cut[k.B]
		if up != w.up {
			errs = append(errs, w.ends[0].set(up), w.ends[1].set(up))
			w.up = up
		}
	}
	for name, w := range n.access {
		if up := !n.cut[name]; up != w.up {
			errs = append(errs, w.ends[0].set(up))
			w.up = up
		}
	}
	for from, table := range routes(n.lab, func(link int) bool { return n.links[link].up }) {
		errs = append(errs, n.routers[from].replace(table))
	}
	return errors.Join(errs...)
}

// replace sets the routes to other sites.
func (s *space) replace(table []route) error {
	old, err := s.RouteListFiltered(unix.AF_INET, &netlink.Route{Protocol: unix.RTPROT_STATIC}, netlink.RT_FILTER_PROTOCOL)
	if err != nil {
		return fmt.Errorf("list routes: %w", err)
	}
	stale := map[string]*netlink.Route{}
	for i := range old {
		stale[old[i].Dst.String()] = &old[i]
	}
	for _, r := range table {
		l, err := s.LinkByName(fmt.Sprintf("link%d", r.link+1))
		if err != nil {
			return err
		}
		dst := ipNet(netip.PrefixFrom(siteAddress(r.to, 1), 24).Masked().Addr(), 24)
		delete(stale, dst.String())
		err = s.RouteReplace(&netlink.Route{
			LinkIndex: l.Attrs().Index, Dst: dst, Gw: linkAddress(r.link, r.end).AsSlice(), Protocol: unix.RTPROT_STATIC,
		})
		if err != nil {
			return fmt.Errorf("route to %s: %w", dst, err)
		}
	}
	for _, r := range stale {
		// With its interface down a route is gone already.
		if err := s.RouteDel(r); err != nil && !errors.Is(err, unix.ESRCH) {
			return fmt.Errorf("remove the route to %s: %w", r.Dst, err)
		}
	}
	return nil
}
