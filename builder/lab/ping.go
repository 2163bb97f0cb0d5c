package lab

import (
	"encoding/binary"
	"net/netip"
	"os"
	"sync"

	"golang.org/x/sys/unix"
)

// pinger asks other nodes over the overlay whether they are there, from
// inside of a node: by ICMPv6 echo (RFC 4443, section 4), on a raw socket in
// the node's network namespace.
type pinger struct {
	file *os.File

	mu    sync.Mutex
	heard map[netip.Addr]bool
	seq   uint16
}

const (
	echoRequest = 128 // RFC 4443
	echoReply   = 129
)

func newPinger(s *space) (*pinger, error) {
	p := &pinger{heard: map[netip.Addr]bool{}}
	err := s.do(func() error {
		fd, err := unix.Socket(unix.AF_INET6, unix.SOCK_RAW|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, unix.IPPROTO_ICMPV6)
		if err != nil {
			return os.NewSyscallError("socket", err)
		}
		// All but the answers is kept from this socket (RFC 3542, section 3.2).
		filter := unix.ICMPv6Filter{}
		for i := range filter.Data {
			filter.Data[i] = ^uint32(0)
		}
		filter.Data[echoReply>>5] &^= 1 << (echoReply & 31)
		if err := unix.SetsockoptICMPv6Filter(fd, unix.IPPROTO_ICMPV6, unix.ICMPV6_FILTER, &filter); err != nil {
			unix.Close(fd)
			return os.NewSyscallError("setsockopt", err)
		}
		p.file = os.NewFile(uintptr(fd), "icmp6")
		return nil
	})
	if err != nil {
		return nil, err
	}
	go p.listen()
	return p, nil
}

func (p *pinger) listen() {
	raw, err := p.file.SyscallConn()
	if err != nil {
		return
	}
	buf := make([]byte, 256)
	for {
		var from unix.Sockaddr
		var n int
		var failed error
		err := raw.Read(func(fd uintptr) bool {
			n, from, failed = unix.Recvfrom(int(fd), buf, 0)
			return failed != unix.EAGAIN
		})
		if err != nil || failed != nil && failed != unix.EINTR {
			return // closed
		}
		if a, ok := from.(*unix.SockaddrInet6); ok && n >= 8 && buf[0] == echoReply {
			p.mu.Lock()
			p.heard[netip.AddrFrom16(a.Addr)] = true
			p.mu.Unlock()
		}
	}
}

// ask sends an echo request. What cannot be sent now is not heard, no more.
func (p *pinger) ask(to netip.Addr) {
	p.mu.Lock()
	p.seq++
	packet := make([]byte, 8, 16)
	packet[0] = echoRequest // the kernel fills in the checksum
	binary.BigEndian.PutUint16(packet[4:], 0xc10d)
	binary.BigEndian.PutUint16(packet[6:], p.seq)
	p.mu.Unlock()
	raw, err := p.file.SyscallConn()
	if err != nil {
		return
	}
	raw.Control(func(fd uintptr) {
		unix.Sendto(int(fd), append(packet, "cloudy"...), 0, &unix.SockaddrInet6{Addr: to.As16()})
	})
}

// has says whether an address has answered since it was forgotten.
func (p *pinger) has(a netip.Addr) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.heard[a]
}
