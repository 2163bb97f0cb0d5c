package simulate

import "time"

// Zones is a community too large for one mesh: zones, each a mesh of its own,
// whose gateways are a mesh as well, the backbone.
type Zones struct {
	Members, Zones, Largest, Gateways int // gateways: of each zone

	Zone     Result // the mean of the zones; times: the worst of them
	Backbone Result

	Everywhere   time.Duration // from a change at one node until the last node of all zones has it
	Idle         float64       // bytes a second of gossip, of a plain node
	GatewayIdle  float64       // and of a gateway, which is in two meshes
	GatewayStart int64         // bytes of gossip and records until a gateway knows both meshes
}

// tick is how often the agent looks, at the latest: what a gateway heard in
// one mesh it says in the other one then.
const tick = 5 * time.Second

// RunZones simulates zones of at most largest members with that many gateways
// each, and the backbone of all gateways. Every zone is run, with a seed of
// its own. A change travels through its zone, the backbone and all other zones.
func RunZones(members, largest, gateways int, c Config) Zones {
	z := Zones{Members: members, Zones: (members + largest - 1) / largest, Gateways: gateways}
	rest := members
	for i := range z.Zones {
		c := c
		c.Members = rest / (z.Zones - i)
		rest -= c.Members
		c.Seed += uint64(i)
		z.Largest = max(z.Largest, c.Members)
		r := Run(c)
		sum := &z.Zone
		sum.Members = max(sum.Members, r.Members)
		for _, t := range []struct{ to, of *time.Duration }{
			{&sum.Joined, &r.Joined}, {&sum.Known, &r.Known}, {&sum.Change90, &r.Change90}, {&sum.ChangeAll, &r.ChangeAll}, {&sum.Death, &r.Death},
		} {
			*t.to = max(*t.to, *t.of)
		}
		n := float64(z.Zones)
		sum.Idle += r.Idle / n
		sum.Underlay += r.Underlay / n
		sum.Startup += r.Startup / int64(z.Zones)
		sum.Records += r.Records / int64(z.Zones)
		sum.ChangeBytes += r.ChangeBytes / int64(z.Zones)
		sum.ChangePackets += r.ChangePackets / int64(z.Zones)
		sum.MostLinks = max(sum.MostLinks, r.MostLinks)
		sum.Pairs = max(sum.Pairs, r.Pairs)
	}
	c.Members = z.Zones * gateways
	z.Backbone = Run(c)
	z.Everywhere = z.Zone.ChangeAll + tick + z.Backbone.ChangeAll + tick + z.Zone.ChangeAll
	z.Idle = z.Zone.Idle
	z.GatewayIdle = z.Zone.Idle + z.Backbone.Idle
	z.GatewayStart = z.Zone.Startup + z.Zone.Records + z.Backbone.Startup + z.Backbone.Records
	return z
}
