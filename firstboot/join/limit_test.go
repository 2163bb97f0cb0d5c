package join

import (
	"net"
	"net/netip"
	"sync/atomic"
	"testing"
	"time"

	"cloudy/firstboot/membership"
)

// TestBounded: one host has so many connections and no more, others have
// theirs, and a place is given back.
func TestBounded(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	// Which host it is, is told by the port here: all are on the loopback.
	var other atomic.Bool
	b := &bounded{Listener: ln, host: func(a netip.Addr) netip.Prefix {
		if other.Load() {
			return netip.MustParsePrefix("10.0.0.1/32")
		}
		return netip.PrefixFrom(a, 32)
	}}
	accepted := make(chan net.Conn)
	go func() {
		for {
			c, err := b.Accept()
			if err != nil {
				close(accepted)
				return
			}
			accepted <- c
		}
	}()
	dial := func() net.Conn {
		t.Helper()
		c, err := net.Dial("tcp", ln.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close() })
		return c
	}
	var held []net.Conn
	for range maxFromHost {
		dial()
		held = append(held, <-accepted)
	}
	c := dial()
	c.SetReadDeadline(time.Now().Add(3 * time.Minute))
	if _, err := c.Read(make([]byte, 1)); err == nil {
		t.Error("one more is not closed")
	} else if e, ok := err.(net.Error); ok && e.Timeout() {
		t.Error("one more is let wait")
	}
	other.Store(true)
	dial()
	(<-accepted).Close()
	other.Store(false)
	held[0].Close()
	held[0].Close() // once is once
	dial()
	<-accepted
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.all != maxFromHost || len(b.open) != 1 {
		t.Errorf("%d open, of %d hosts", b.all, len(b.open))
	}
}

// TestHost: on the overlay, where all have one /64, each is a host of its own.
func TestHost(t *testing.T) {
	w := newWorld(t)
	s := &Server{Member: w}
	p := w.mesh.Prefix6()
	x, y := w.mesh.Address6(membership.KeyOf(newKey())), w.mesh.Address6(membership.KeyOf(newKey()))
	if s.host(x) == s.host(y) || !p.Contains(x) {
		t.Errorf("%s and %s are one host", x, y)
	}
	if s.host(netip.MustParseAddr("2001:db8::1")) != s.host(netip.MustParseAddr("2001:db8::2")) {
		t.Error("addresses of one /64 are two hosts")
	}
	if s.host(netip.MustParseAddr("10.0.0.1")) == s.host(netip.MustParseAddr("10.0.0.2")) {
		t.Error("two IPv4 addresses are one host")
	}
}
