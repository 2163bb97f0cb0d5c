package avahi

import (
	"errors"
	"fmt"
	"maps"
	"net"
	"net/netip"
	"slices"

	"github.com/godbus/dbus/v5"

	"cloudy/firstboot/membership"
)

// Foreign is another node whose services are shown here, for programs that
// only know mDNS, when there is no mDNS on the overlay.
type Foreign struct {
	Host     string // of the node itself, as it stands in its services' names
	Alias    string // host name here, without .local; no two of one name
	Addrs    []netip.Addr
	Services []membership.Service
}

const (
	// noReverse is AVAHI_PUBLISH_NO_REVERSE (avahi-common/defs.h): the
	// address's own name is its node's business.
	noReverse = uint32(16)

	// groupLimit is below entries-per-entry-group-max of Avahi's
	// configuration, 32 by default.
	groupLimit = 30

	// foreignLimit is below Avahi's objects-per-client-max, 1024 by default.
	foreignLimit = 900
)

// SetForeign shows exactly these, on the loopback alone: what the mesh has is
// told to programs on this node, not to its neighbours, who would hear it from
// every node around.
func (p *Publisher) SetForeign(list []Foreign) error {
	lo, err := net.InterfaceByIndex(1)
	if err != nil || lo.Flags&net.FlagLoopback == 0 {
		if lo, err = net.InterfaceByName("lo"); err != nil {
			return fmt.Errorf("loopback: %w", err)
		}
	}
	want := map[string]part{}
	for _, f := range list {
		for i, x := range f.parts() {
			want[fmt.Sprintf("foreign|%s|%d", f.Alias, i)] = x
		}
	}
	var errs []error
	for key, g := range p.foreign {
		x, ok := want[key]
		if ok && g.sum == fmt.Sprint(x) && !p.broken(g) {
			delete(want, key)
			continue
		}
		if err := p.call(g.path, entryGroup+".Free").Err; err != nil {
			errs = append(errs, err)
		}
		delete(p.foreign, key)
	}
	for _, key := range slices.Sorted(maps.Keys(want)) {
		if len(p.foreign) >= foreignLimit {
			errs = append(errs, fmt.Errorf("more than %d groups of services are not shown in Avahi", foreignLimit))
			break
		}
		path, err := p.showForeign(want[key], int32(lo.Index))
		if err != nil {
			errs = append(errs, fmt.Errorf("show %s: %w", want[key].Alias, err))
			continue
		}
		p.foreign[key] = group{path, fmt.Sprint(want[key])}
	}
	return errors.Join(errs...)
}

// part is what goes into one entry group. The first has the addresses.
type part struct{ Foreign }

func (f Foreign) parts() []part {
	var out []part
	rest, addrs := f.Services, f.Addrs
	for len(out) == 0 || len(rest) > 0 {
		n := min(len(rest), groupLimit-len(addrs))
		out = append(out, part{Foreign{f.Host, f.Alias, addrs, rest[:n]}})
		rest, addrs = rest[n:], nil
	}
	return out
}

func (p *Publisher) showForeign(x part, iface int32) (dbus.ObjectPath, error) {
	var path dbus.ObjectPath
	if err := p.call("/", server+".EntryGroupNew").Store(&path); err != nil {
		return "", err
	}
	host := x.Alias + ".local"
	var err error
	for _, a := range x.Addrs {
		if err == nil {
			err = p.call(path, entryGroup+".AddAddress", iface, anyProto, noReverse, host, a.String()).Err
		}
	}
	for _, s := range x.Services {
		if err == nil {
			err = p.call(path, entryGroup+".AddService", iface, anyProto, uint32(0), instance(s.Name, x.Host), s.Type, "", host, s.Port, txtOf(s)).Err
		}
	}
	if err == nil {
		err = p.call(path, entryGroup+".Commit").Err
	}
	if err != nil {
		p.call(path, entryGroup+".Free")
		return "", err
	}
	return path, nil
}
