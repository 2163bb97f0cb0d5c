package meshtest

import (
	"fmt"
	"testing"
	"time"

	"cloudy/firstboot/nodeconfig"
	"cloudy/firstboot/simulate"
)

// traffic is what left a node, in bytes with headers and in packets, by what it
// was for.
type traffic map[string]float64

// counters are rules that count what leaves a node.
const counters = `table inet count {
  counter tcp655 { }
  counter tunnel { }
  counter endpoint { }
  counter gossip { }
  counter records { }
  counter mdns { }
  chain out {
    type filter hook output priority 0
    oifname "u0" tcp dport 655 counter name tcp655
    oifname "u0" tcp sport 655 counter name tcp655
    oifname "u0" udp dport 655 counter name tunnel
    oifname "u0" tcp dport 7655 counter name endpoint
    oifname "u0" tcp sport 7655 counter name endpoint
    oifname "cloudy" udp dport 7946 counter name gossip
    oifname "cloudy" tcp dport 7946 counter name gossip
    oifname "cloudy" tcp sport 7946 counter name gossip
    oifname "cloudy" tcp dport 7655 counter name records
    oifname "cloudy" tcp sport 7655 counter name records
    oifname "cloudy" udp dport 5353 counter name mdns
  }
}`

// strayCounter counts what tinc floods the mesh with by mistake, and the kernel gets
// from the overlay: see tinc.Network.Drain.
const strayCounter = `table netdev strays {
  counter strays { }
  chain in {
    type filter hook ingress device cloudy priority 0;
    ether daddr 01:00:00:00:00:00 counter name strays
  }
}`

// strays returns how many of them there were.
func (n *node) strays() int {
	n.l.t.Helper()
	text := n.sh("nft list counter netdev strays strays | grep packets")
	var packets int
	if _, err := fmt.Sscanf(text, " packets %d", &packets); err != nil {
		n.l.t.Fatalf("%q: %v", text, err)
	}
	return packets
}

func (n *node) traffic() traffic {
	n.l.t.Helper()
	out := traffic{}
	for _, name := range []string{"tcp655", "tunnel", "endpoint", "gossip", "records", "mdns"} {
		var packets, bytes float64
		text := n.sh("nft list counter inet count " + name + " | grep packets")
		if _, err := fmt.Sscanf(text, " packets %f bytes %f", &packets, &bytes); err != nil {
			n.l.t.Fatalf("%q: %v", text, err)
		}
		out[name] = bytes
		out[name+" packets"] = packets
	}
	return out
}

// TestTraffic counts what a mesh costs while nothing happens and compares it
// with the simulation, whose large meshes no machine can hold.
func TestTraffic(t *testing.T) {
	const members = 10
	l, a := founder(t)
	need(t, toolHas("nft"), "needs nft")
	var nodes []*node
	for i := range members - 1 {
		n := l.node(fmt.Sprintf("n%d", i), 1+i%2, 10+i, nodeconfig.Config{})
		l.nft(n.ns, counters)
		nodes = append(nodes, n)
	}
	l.nft(a.ns, counters)
	// The first one is there before the others come and draw keys.
	l.join(a, nodes[0])
	for _, n := range []*node{a, nodes[0]} {
		l.nft(n.ns, strayCounter)
	}
	l.join(a, nodes[1:]...)
	nodes = append(nodes, a)
	l.eventually(300*time.Second, "everybody known to everybody", func() bool {
		for _, n := range nodes {
			if s := n.status(); s.Alive != members || s.Members != members {
				return false
			}
		}
		return true
	})
	t.Logf("answers to probes that went astray: %d", a.strays())
	if n := nodes[0].strays(); n > 0 {
		t.Errorf("%d answers to probes reached a member that they are not for", n)
	}
	kinds := []string{"tcp655", "tunnel", "endpoint", "gossip", "records", "mdns"}
	mean := func() traffic {
		out := traffic{}
		for _, n := range nodes {
			for k, v := range n.traffic() {
				out[k] += v / members
			}
		}
		return out
	}
	model := simulate.Run(simulate.Standard(members))
	begin := mean()
	t.Logf("until all were known, for one node: gossip %.0f bytes, the model says %d; records %.0f (%d); tinc %.0f",
		begin["gossip"], model.Startup, begin["records"], model.Records, begin["tcp655"]+begin["tunnel"])
	time.Sleep(40 * time.Second) // what is new goes round, twice
	was, at := mean(), time.Now()
	time.Sleep(60 * time.Second)
	now, seconds := mean(), time.Since(at).Seconds()
	rate := traffic{}
	for _, k := range kinds {
		rate[k] = (now[k] - was[k]) / seconds
		t.Logf("%-8s %8.1f bytes/s, %6.2f packets/s", k, rate[k], (now[k+" packets"]-was[k+" packets"])/seconds)
	}
	for _, c := range []struct {
		what            string
		measured, model float64
	}{
		{"gossip", rate["gossip"], model.Idle},
		{"all on the underlay", rate["tcp655"] + rate["tunnel"] + rate["endpoint"], model.Underlay},
	} {
		off := c.measured/c.model - 1
		t.Logf("%s: %.0f bytes/s, the model says %.0f: %+.0f %%", c.what, c.measured, c.model, 100*off)
		// A busy machine is late, and a late probe is asked again.
		if off < -0.6 || off > 1.5 {
			t.Errorf("%s: the simulation is off by %+.0f %%", c.what, 100*off)
		}
	}
}
