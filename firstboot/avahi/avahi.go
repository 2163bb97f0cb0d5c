// Package avahi announces services through the local Avahi daemon, over
// D-Bus (org.freedesktop.Avahi, as of Avahi 0.8).
package avahi

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/godbus/dbus/v5"

	"cloudy/firstboot/membership"
)

const (
	busName    = "org.freedesktop.Avahi"
	server     = "org.freedesktop.Avahi.Server"
	entryGroup = "org.freedesktop.Avahi.EntryGroup"
	anyIface   = int32(-1) // AVAHI_IF_UNSPEC
	anyProto   = int32(-1) // AVAHI_PROTO_UNSPEC

	// groupCollision and groupFailure are states of an entry group
	// (AvahiEntryGroupState, avahi-common/defs.h).
	groupCollision = int32(3)
	groupFailure   = int32(4)
)

// callTimeout bounds the wait for Avahi's answer.
const callTimeout = 5 * time.Second

// Publisher keeps a set of services announced. Not safe for use by several
// goroutines at once.
type Publisher struct {
	conn    *dbus.Conn
	owner   string // Avahi's unique bus name; another one means that it was started again
	groups  map[string]group
	foreign map[string]group
}

type group struct {
	path dbus.ObjectPath
	sum  string
}

// Open connects to the system bus and to Avahi.
func Open() (*Publisher, error) {
	conn, err := dbus.ConnectSystemBus()
	if err != nil {
		return nil, fmt.Errorf("D-Bus: %w", err)
	}
	p := &Publisher{conn: conn, groups: map[string]group{}, foreign: map[string]group{}}
	if p.owner, err = p.currentOwner(); err != nil {
		conn.Close()
		return nil, err
	}
	return p, nil
}

func (p *Publisher) currentOwner() (string, error) {
	var owner string
	if err := p.conn.BusObject().Call("org.freedesktop.DBus.GetNameOwner", 0, busName).Store(&owner); err != nil {
		return "", fmt.Errorf("avahi-daemon: %w", err)
	}
	return owner, nil
}

// Alive says whether what was announced still stands: the bus is there and
// Avahi is the one that was told.
func (p *Publisher) Alive() error {
	if !p.conn.Connected() {
		return errors.New("D-Bus: connection lost")
	}
	owner, err := p.currentOwner()
	if err != nil {
		return err
	}
	if owner != p.owner {
		return errors.New("avahi-daemon was started again")
	}
	return nil
}

// Set announces exactly these services, each under NAME on HOST, and leaves
// alone what is announced already.
func (p *Publisher) Set(host string, list []membership.Service) error {
	want := map[string]membership.Service{}
	for _, s := range list {
		want[instance(s.Name, host)+"|"+s.Type] = s
	}
	var errs []error
	for key, g := range p.groups {
		s, ok := want[key]
		if ok && g.sum == fmt.Sprint(s) && !p.broken(g) {
			delete(want, key)
			continue
		}
		if err := p.call(g.path, entryGroup+".Free").Err; err != nil {
			errs = append(errs, err)
		}
		delete(p.groups, key)
	}
	for _, key := range slices.Sorted(maps.Keys(want)) {
		s := want[key]
		path, err := p.publish(instance(s.Name, host), s)
		if err != nil {
			errs = append(errs, fmt.Errorf("announce %s: %w", s.Name, err))
			continue
		}
		p.groups[key] = group{path, fmt.Sprint(s)}
	}
	return errors.Join(errs...)
}

func (p *Publisher) broken(g group) bool {
	var state int32
	if err := p.call(g.path, entryGroup+".GetState").Store(&state); err != nil {
		return true
	}
	return state == groupCollision || state == groupFailure
}

func (p *Publisher) publish(name string, s membership.Service) (dbus.ObjectPath, error) {
	var path dbus.ObjectPath
	if err := p.call("/", server+".EntryGroupNew").Store(&path); err != nil {
		return "", err
	}
	err := p.call(path, entryGroup+".AddService", anyIface, anyProto, uint32(0), name, s.Type, "", "", s.Port, txtOf(s)).Err
	if err == nil {
		err = p.call(path, entryGroup+".Commit").Err
	}
	if err != nil {
		p.call(path, entryGroup+".Free")
		return "", err
	}
	return path, nil
}

// txtOf is one string for each pair (RFC 6763, section 6.3), in a fixed order.
func txtOf(s membership.Service) [][]byte {
	txt := [][]byte{}
	for _, k := range slices.Sorted(maps.Keys(s.TXT)) {
		txt = append(txt, []byte(k+"="+s.TXT[k]))
	}
	return txt
}

func (p *Publisher) call(path dbus.ObjectPath, method string, args ...any) *dbus.Call {
	c := p.conn.Object(busName, path).Go(method, 0, make(chan *dbus.Call, 1), args...)
	select {
	case done := <-c.Done:
		return done
	case <-time.After(callTimeout):
		return &dbus.Call{Err: fmt.Errorf("%s: no answer", method)}
	}
}

// instance is a service's name on the network: two nodes offer services of
// one name, so the host's is added. At most 63 bytes (RFC 6763, section 4.1.1).
func instance(name, host string) string {
	tail := " on " + host
	for len(name)+len(tail) > 63 && name != "" {
		r := []rune(name)
		name = string(r[:len(r)-1])
	}
	if len(name)+len(tail) > 63 {
		return tail[len(tail)-63:]
	}
	return name + tail
}

// Close takes back all announcements: Avahi drops those of a client that is
// gone.
func (p *Publisher) Close() { p.conn.Close() }
