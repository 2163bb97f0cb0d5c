package agent

import (
	"encoding/binary"
	"fmt"
	"net"
	"net/netip"
	"os"

	"golang.org/x/sys/unix"

	"cloudy/firstboot/membership"
	"cloudy/firstboot/tinc"
)

// A node that looks for another's hardware address asks everybody, which on the
// overlay is a packet through a tunnel to each member: while a mesh forms, that
// was most of what tinc carried. But a member's address is made from its name,
// so the kernel is told. It is told that the entry is stale: it uses it at once
// and asks that one member a little later whether it is right, so that nothing
// depends on it.

// neighbours are the entries that the kernel was given.
type neighbours struct {
	index int // of the overlay's interface: tincd makes a new one when it starts
	told  map[membership.Name]netip.Addr
}

// tellNeighbours gives the kernel the members that it was not told of.
func (a *Agent) tellNeighbours() error {
	mesh := a.roster.Mesh()
	if mesh.Mode != "switch" {
		return nil // has no hardware addresses
	}
	i, err := net.InterfaceByName(a.conf.Mesh.Interface)
	if err != nil {
		return nil // the next round sees to it
	}
	known := &a.taught
	if known.index != i.Index || known.told == nil {
		*known = neighbours{i.Index, map[membership.Name]netip.Addr{}}
	}
	var batch []byte
	n := 0
	for _, m := range a.roster.Members() {
		if m.Node.Key == a.id.Key() || known.told[m.Name()] == m.Address4 {
			continue
		}
		known.told[m.Name()] = m.Address4
		for _, addr := range []netip.Addr{m.Address4, m.Address6} {
			batch = append(batch, neighbour(i.Index, addr, tinc.HardwareAddress(m.Name()))...)
		}
		if n++; n == 100 {
			break // the others in the next round; an answer is not asked for
		}
	}
	if len(batch) == 0 {
		return nil
	}
	return sendNeighbours(batch)
}

// sendNeighbours gives messages to the kernel.
func sendNeighbours(batch []byte) error {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.NETLINK_ROUTE)
	if err == nil {
		defer unix.Close(fd)
		err = unix.Sendto(fd, batch, 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK})
	}
	if err != nil {
		return fmt.Errorf("neighbours: %w", os.NewSyscallError("netlink", err))
	}
	return nil
}

// neighbour is the message that makes an entry, unless there is one
// (rtnetlink(7), RTM_NEWNEIGH).
func neighbour(index int, addr netip.Addr, mac net.HardwareAddr) []byte {
	family := byte(unix.AF_INET6)
	if addr.Is4() {
		family = unix.AF_INET
	}
	attribute := func(b []byte, kind uint16, data []byte) []byte {
		b = binary.NativeEndian.AppendUint16(b, uint16(unix.SizeofRtAttr+len(data)))
		b = append(binary.NativeEndian.AppendUint16(b, kind), data...)
		return append(b, make([]byte, -len(b)&3)...)
	}
	// struct nlmsghdr: length, type, flags, number and port; struct ndmsg:
	// family, padding, interface, state, flags, type.
	b := make([]byte, 4, 80)
	b = binary.NativeEndian.AppendUint16(b, unix.RTM_NEWNEIGH)
	b = binary.NativeEndian.AppendUint16(b, unix.NLM_F_REQUEST|unix.NLM_F_CREATE|unix.NLM_F_EXCL)
	b = append(b, make([]byte, 8)...)
	b = append(b, family, 0, 0, 0)
	b = binary.NativeEndian.AppendUint32(b, uint32(index))
	b = binary.NativeEndian.AppendUint16(b, unix.NUD_STALE)
	b = append(b, 0, 0)
	b = attribute(b, unix.NDA_DST, addr.AsSlice())
	b = attribute(b, unix.NDA_LLADDR, mac)
	binary.NativeEndian.PutUint32(b, uint32(len(b)))
	return b
}
