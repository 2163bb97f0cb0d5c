package gossip

import (
	"io"
	"net/netip"
	"testing"
	"time"

	"cloudy/firstboot/membership"
)

// TestCatchUp: nodes that pass nothing on, and do not ask each other either,
// hear of all in the exchanges that follow what they heard.
func TestCatchUp(t *testing.T) {
	node := func(name membership.Name, at string) *Node {
		t.Helper()
		m := Profile()
		m.GossipInterval, m.ProbeInterval, m.PushPullInterval = 0, 0, 0
		n, err := start(Config{
			Name: name, Bind: netip.MustParseAddr(at), Port: 17946,
			Keys: membership.GossipKeys{Epoch: 1, Keys: [][]byte{make([]byte, 32)}},
			Log:  io.Discard, Changed: func() {},
		}, m)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			close(n.done)
			n.serf.Shutdown()
		})
		return n
	}
	hub := netip.MustParseAddr("127.77.46.1")
	h := node("c000000000001", hub.String())
	first := node("c000000000002", "127.77.46.2")
	last := node("c000000000003", "127.77.46.3")
	for _, n := range []*Node{first, last} {
		if _, err := n.Join([]netip.Addr{hub}); err != nil {
			t.Fatal(err)
		}
	}
	if n := len(last.Peers()); n != 3 {
		t.Errorf("the last one, who joined where all are known, knows %d", n)
	}
	if n := len(first.Peers()); n != 2 {
		t.Errorf("the first one knows %d before it has exchanged anything", n)
	}
	for begin := time.Now(); len(first.Peers()) != 3 || len(h.Peers()) != 3; time.Sleep(50 * time.Millisecond) {
		if time.Since(begin) > 3*time.Minute {
			t.Fatalf("the first one knows %d, the hub %d", len(first.Peers()), len(h.Peers()))
		}
	}
}
