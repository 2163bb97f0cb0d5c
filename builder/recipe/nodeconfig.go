package recipe

import (
	"cmp"
	"slices"

	"cloudy/firstboot/nodeconfig"
)

func (b *builder) mesh(n *node) *Mesh {
	number := func(name string) int { return int(get(n, name, int64(0))) }
	m := &Mesh{
		Network: get(n, "network", ""), Invitation: get(n, "invitation", ""), Peers: n.strings("peers"), Create: get(n, "create", false),
		Mode: get(n, "mode", ""), Prefix: get(n, "prefix", ""), Interface: get(n, "interface", ""),
		Port: number("port"), JoinPort: number("join_port"), GossipPort: number("gossip_port"),
		TCPOnly: get(n, "tcp_only", false), Advertise: n.strings("advertise"),
		MDNS: get(n, "mdns", ""), MDNSLimit: number("mdns_limit"), MDNSTypes: n.strings("mdns_types"), Range: n.at,
	}
	if v := n.attrs["network"]; m.Create && (v == nil || !v.bad && m.Network == "") {
		b.errorf(n.where("create"), "Add network = \"…\".", "A mesh that is founded needs a name")
	}
	if m.Create && m.Invitation != "" {
		b.errorf(n.where("create"), "Leave one of them out.", "A node joins a mesh by its invitation or founds one, not both")
	}
	if it, ok := n.first("invitation"); ok && !it.sensitive {
		b.diags = append(b.diags, Warnf(it.at, "Take it from a variable with sensitive = true, and give that on the command line or in the environment.",
			"The invitation is a secret and stands in the recipe"))
	}
	return m
}

func (b *builder) page(n *node) *Page {
	number := func(name string) int { return int(get(n, name, int64(0))) }
	p := &Page{Off: get(n, "off", false), Demo: get(n, "demo", false), HTTPPort: number("http_port"), TLSPort: number("tls_port")}
	if http, tls := cmp.Or(p.HTTPPort, nodeconfig.DefaultHTTPPort), cmp.Or(p.TLSPort, nodeconfig.DefaultTLSPort); http == tls {
		at := "tls_port"
		if n.attrs[at] == nil {
			at = "http_port"
		}
		b.errorf(n.where(at), "Choose another one.", "HTTP and TLS cannot have the same port, %d", http)
	}
	return p
}

// HasAgent tells whether the image has the node's agent: it is for a mesh,
// there are services to look after, or its page was asked for.
func (i *Image) HasAgent() bool { return i.Mesh != nil || len(i.Services) > 0 || i.Page != nil }

// NodeConfig is what the image says to the node's agent.
func (i *Image) NodeConfig() nodeconfig.Config {
	c := nodeconfig.Config{Version: nodeconfig.Version}
	if m := i.Mesh; m != nil {
		c.Mesh = nodeconfig.Mesh{
			Network: m.Network, Invitation: m.Invitation, Peers: m.Peers, Create: m.Create, Mode: m.Mode, Prefix4: m.Prefix,
			Interface: m.Interface, TincPort: m.Port, JoinPort: m.JoinPort, GossipPort: m.GossipPort, TCPOnly: m.TCPOnly, Advertise: m.Advertise,
			MDNS: m.MDNS, MDNSLimit: m.MDNSLimit, MDNSTypes: m.MDNSTypes,
		}
	}
	if p := i.Page; p != nil {
		c.Page = nodeconfig.Page{Off: p.Off, Demo: p.Demo, HTTPPort: p.HTTPPort, TLSPort: p.TLSPort}
	}
	for k := range i.Services {
		c.Services = append(c.Services, i.Services[k].nodeServices()...)
	}
	return c
}

// nodeServices is the service as the node has it: a service of its own for
// each role, or the service itself where there are no roles.
func (s *Service) nodeServices() []nodeconfig.Service {
	if len(s.Roles) == 0 {
		return []nodeconfig.Service{{
			Name: s.Name, Description: s.Description, Units: unitNames(s.Units), Enabled: s.Enabled,
			Announce: s.Announce.node(), Health: s.Health.node(),
		}}
	}
	var out []nodeconfig.Service
	for i := range s.Roles {
		r := &s.Roles[i]
		n := nodeconfig.Service{
			Name: s.Name + "-" + r.Name, Description: r.Description, Units: unitNames(slices.Concat(s.Units, r.Units)), Enabled: r.Default,
			Announce: r.Announce.node(), Health: r.Health.node(),
		}
		if n.Description == "" {
			n.Description = s.Description
		}
		if n.Announce == nil {
			n.Announce = s.Announce.node()
		}
		if n.Health == nil {
			n.Health = s.Health.node()
		}
		out = append(out, n)
	}
	return out
}

func unitNames(list []Text) []string {
	var out []string
	for _, t := range unique(list) {
		out = append(out, t.Value)
	}
	return out
}

func (a *Announce) node() *nodeconfig.Announce {
	if a == nil {
		return nil
	}
	return &nodeconfig.Announce{Type: a.Type, Port: a.Port, TXT: a.TXT}
}

func (h *Health) node() *nodeconfig.Health {
	if h == nil {
		return nil
	}
	return &nodeconfig.Health{
		HTTP: h.HTTP, TCP: h.TCP, Unit: h.Unit, Command: h.Command,
		Interval: nodeconfig.Duration(h.Interval), Timeout: nodeconfig.Duration(h.Timeout),
	}
}

// nodeConfig reports what the agent would refuse, for the recipe's own checks
// are of single attributes.
func (b *builder) nodeConfig(img *Image) {
	if b.diags.HasErrors() {
		return
	}
	at := map[string]Range{}
	for i := range img.Services {
		s := &img.Services[i]
		for _, n := range s.nodeServices() {
			one := nodeconfig.Config{Version: nodeconfig.Version, Services: []nodeconfig.Service{n}}
			if err := one.WithDefaults().Validate(); err != nil {
				b.errorf(s.Range, "The node's agent says so.", "Service %q: %v", s.Name, err)
			}
			if first, ok := at[n.Name]; ok {
				b.errorf(s.Range, "The other one is at "+place(first)+". A role's name on the node is SERVICE-ROLE.", "Two services are named %q on the node", n.Name)
			}
			at[n.Name] = s.Range
		}
	}
	if b.diags.HasErrors() || !img.HasAgent() {
		return
	}
	if err := img.NodeConfig().WithDefaults().Validate(); err != nil {
		where := img.Range
		if img.Mesh != nil {
			where = img.Mesh.Range
		}
		b.errorf(where, "The node's agent says so.", "The node's configuration is wrong: %v", err)
	}
}
