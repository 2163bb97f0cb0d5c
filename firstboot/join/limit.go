package join

import (
	"net"
	"net/netip"
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// How many connections are open at once: from one host, and in all. Each
// takes some 50 KiB until its handshake is over, which may take 5 seconds.
const (
	maxFromHost = 16
	maxOpen     = 256
)

// host is the part of an address that one host can choose freely: for IPv6 it
// has a /64. On the overlay each member has one address of a /64 of them all.
func (s *Server) host(a netip.Addr) netip.Prefix {
	bits := a.BitLen()
	if a.Is6() {
		bits = 64
		if st, ok := s.Member.State(); ok && st.Mesh.Prefix6().Contains(a) {
			bits = 128
		}
	}
	p, _ := a.Prefix(bits)
	return p
}

// limits holds a token bucket for each host: bursts of 10, one request in 5
// seconds.
type limits struct {
	mu    sync.Mutex
	by    map[netip.Prefix]*rate.Limiter
	swept time.Time
}

func (l *limits) allow(p netip.Prefix, now time.Time) bool {
	if !p.IsValid() {
		return false
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.by == nil || (len(l.by) > 10000 && now.Sub(l.swept) > time.Minute) {
		l.by, l.swept = map[netip.Prefix]*rate.Limiter{}, now
	}
	lim := l.by[p]
	if lim == nil {
		if len(l.by) > 20000 {
			return false // somebody owns very many addresses
		}
		lim = rate.NewLimiter(rate.Every(5*time.Second), 10)
		l.by[p] = lim
	}
	return lim.AllowN(now, 1)
}

// bounded is a listener that closes at once what is over the limits, so that
// no host takes the place of all others.
type bounded struct {
	net.Listener
	host func(netip.Addr) netip.Prefix

	mu   sync.Mutex
	open map[netip.Prefix]int
	all  int
}

// Accept returns the next connection that is within the limits.
func (b *bounded) Accept() (net.Conn, error) {
	for {
		c, err := b.Listener.Accept()
		if err != nil {
			return nil, err
		}
		at, err := netip.ParseAddrPort(c.RemoteAddr().String())
		if err != nil {
			c.Close()
			continue
		}
		from := b.host(at.Addr().Unmap().WithZone(""))
		if !b.take(from) {
			c.Close()
			continue
		}
		return &counted{Conn: c, done: sync.OnceFunc(func() { b.give(from) })}, nil
	}
}

func (b *bounded) take(p netip.Prefix) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.all >= maxOpen || b.open[p] >= maxFromHost {
		return false
	}
	if b.open == nil {
		b.open = map[netip.Prefix]int{}
	}
	b.all++
	b.open[p]++
	return true
}

func (b *bounded) give(p netip.Prefix) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.all--
	if b.open[p]--; b.open[p] <= 0 {
		delete(b.open, p)
	}
}

// counted is a connection that gives its place back when it is closed.
type counted struct {
	net.Conn
	done func()
}

// Close closes the connection.
func (c *counted) Close() error {
	defer c.done()
	return c.Conn.Close()
}
