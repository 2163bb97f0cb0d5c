package avahi

import (
	"context"
	"fmt"
	"net/netip"
	"strings"
	"time"

	"github.com/godbus/dbus/v5"
)

const browser = "org.freedesktop.Avahi.ServiceBrowser"

// Entry is a service that somebody on the local networks announces. Anybody
// there can announce anything.
type Entry struct {
	Name string
	Addr netip.Addr
	Port uint16
	TXT  map[string]string
}

// maxEntries bounds what a look brings: a neighbour could announce thousands.
const maxEntries = 64

// Browse looks once for the services of a type, until Avahi has told what it
// knows and what answered, or the context ends. What was found until then is
// returned with an error as well.
func Browse(ctx context.Context, kind string) ([]Entry, error) {
	p, err := Open()
	if err != nil {
		return nil, err
	}
	defer p.Close()
	signals := make(chan *dbus.Signal, 256)
	p.conn.Signal(signals)
	// Before the browser is made, or its first words are missed.
	if err := p.conn.AddMatchSignalContext(ctx, dbus.WithMatchInterface(browser)); err != nil {
		return nil, fmt.Errorf("D-Bus: %w", err)
	}
	var path dbus.ObjectPath
	if err := p.call("/", server+".ServiceBrowserNew", anyIface, anyProto, kind, "", uint32(0)).Store(&path); err != nil {
		return nil, fmt.Errorf("browse %s: %w", kind, err)
	}
	var out []Entry
	for len(out) < maxEntries {
		select {
		case <-ctx.Done():
			return out, ctx.Err()
		case s, ok := <-signals:
			if !ok {
				return out, fmt.Errorf("browse %s: connection lost", kind)
			}
			if s.Path != path {
				continue
			}
			switch strings.TrimPrefix(s.Name, browser+".") {
			case "AllForNow", "Failure":
				return out, nil
			case "ItemNew":
				// interface, protocol, name, type, domain, flags
				if len(s.Body) < 5 {
					continue
				}
				if e, err := p.resolve(ctx, s.Body[:5]); err == nil {
					out = append(out, e)
				}
			}
		}
	}
	return out, nil
}

// resolve asks for address, port and text.
func (p *Publisher) resolve(ctx context.Context, item []any) (Entry, error) {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	var (
		iface, proto, aproto     int32
		name, kind, domain, host string
		addr                     string
		port                     uint16
		txt                      [][]byte
		flags                    uint32
	)
	args := append(append([]any{}, item...), anyProto, uint32(0))
	err := p.conn.Object(busName, "/").CallWithContext(ctx, server+".ResolveService", 0, args...).
		Store(&iface, &proto, &name, &kind, &domain, &host, &aproto, &addr, &port, &txt, &flags)
	if err != nil {
		return Entry{}, err
	}
	a, err := netip.ParseAddr(addr)
	if err != nil {
		return Entry{}, err
	}
	e := Entry{Name: name, Addr: a.Unmap().WithZone(""), Port: port, TXT: map[string]string{}}
	for _, t := range txt {
		k, v, _ := strings.Cut(string(t), "=")
		e.TXT[k] = v
	}
	return e, nil
}
