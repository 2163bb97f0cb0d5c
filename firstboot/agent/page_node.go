package agent

import (
	"context"
	"fmt"
	"os/exec"
	"strings"
	"time"

	"cloudy/firstboot/membership"
	"cloudy/firstboot/page"
)

// pageNode is the agent as its page sees it.
type pageNode struct{ a *Agent }

// Facts implements page.Node.
func (p pageNode) Facts() page.Facts {
	a := p.a
	s := a.Status()
	f := page.Facts{
		Name: string(s.Name), Host: s.Host, Version: a.opts.Version, Member: s.Network != "", Network: s.Network, Inviter: string(s.Inviter),
		Address4: s.Address4, Address6: s.Address6, Members: s.Members, Alive: s.Alive, Links: s.Links, Ready: s.Ready, Cloned: s.Cloned, Doubled: s.Doubled,
		MayInvite: s.Role == membership.RoleInviter,
	}
	for _, x := range s.Stages {
		if x.Name == "join" && x.State == Waiting {
			a.mu.Lock()
			f.Asked = len(a.asked) > 0
			a.mu.Unlock()
		}
		f.Stages = append(f.Stages, page.Stage{Name: x.Name, State: string(x.State), Error: x.Error, Since: x.Since, Attempts: x.Attempts, Next: x.Next})
	}
	addrs, _ := a.localAddrs()
	for _, x := range addrs {
		f.Addresses = append(f.Addresses, x.String())
	}
	a.machineFacts(&f)
	return f
}

// noteLatency takes what a probe of a link took; what is shown is smoothed.
func (a *Agent) noteLatency(l membership.Name, d time.Duration, answered bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	switch old, known := a.latency[l]; {
	case !answered:
		delete(a.latency, l)
	case known:
		a.latency[l] = (3*old + d) / 4
	default:
		a.latency[l] = d
	}
}

// latencyOf returns what is known between two members.
func (p pageNode) latencyOf(x, y membership.Name) page.Latency {
	a := p.a
	a.mu.Lock()
	g, id := a.gossip, a.id
	var measured time.Duration
	if id != nil && x == id.Name() {
		measured = a.latency[y]
	} else if id != nil && y == id.Name() {
		measured = a.latency[x]
	}
	a.mu.Unlock()
	if measured > 0 {
		return page.Latency{Time: measured}
	}
	if g != nil {
		if d, ok := g.Latency(x, y); ok {
			return page.Latency{Time: d, Estimate: true}
		}
	}
	return page.Latency{}
}

// Members implements page.Node.
func (p pageNode) Members() []page.Member {
	a := p.a
	list := a.Members()
	a.mu.Lock()
	r := a.roster
	a.mu.Unlock()
	var out []page.Member
	for _, m := range list {
		x := page.Member{
			Name: string(m.Name), Host: m.Host, Self: m.Self, Alive: m.Alive, Inviter: m.Role == membership.RoleInviter, By: string(m.Inviter),
			Address4: m.Address4, Address6: m.Address6, Services: m.Services, Version: m.Agent,
		}
		if r != nil {
			if known, ok := r.Get(m.Name); ok {
				x.Root = r.Mesh().IsRoot(known.Node.Key)
			}
		}
		for _, e := range m.At {
			x.At = append(x.At, e.String())
		}
		if self, _ := a.whoAmI(); !m.Self && m.Alive {
			x.Latency = p.latencyOf(self, m.Name)
		}
		out = append(out, x)
	}
	return out
}

// Links implements page.Node: what the members say of their links.
func (p pageNode) Links() []page.Link {
	list := p.a.Members()
	alive := map[string]bool{}
	for _, m := range list {
		alive[string(m.Name)] = m.Alive
	}
	var out []page.Link
	seen := map[[2]string]bool{}
	for _, m := range list {
		for _, to := range m.Links {
			from := string(m.Name)
			if _, known := alive[to]; !known || seen[[2]string{to, from}] || seen[[2]string{from, to}] {
				continue
			}
			seen[[2]string{from, to}] = true
			l := page.Link{A: from, B: to, Up: alive[from] && alive[to]}
			if l.Up {
				l.Latency = p.latencyOf(m.Name, membership.Name(to))
			}
			out = append(out, l)
		}
	}
	return out
}

// Catalogue implements page.Node.
func (p pageNode) Catalogue() []page.Offer {
	self, _ := p.a.whoAmI()
	latency := map[membership.Name]page.Latency{}
	var out []page.Offer
	for _, f := range p.a.Search("") {
		l, ok := latency[f.Node]
		if !ok && f.Node != self {
			l = p.latencyOf(self, f.Node)
			latency[f.Node] = l
		}
		out = append(out, page.Offer{
			Name: f.Name, Type: f.Type, Port: int(f.Port), TXT: f.TXT, Node: string(f.Node), Host: f.Host, Address4: f.Address4, Address6: f.Address6,
			Self: f.Node == self, Latency: l,
		})
	}
	return out
}

// Services implements page.Node.
func (p pageNode) Services() []page.Service {
	var out []page.Service
	for _, s := range p.a.OwnServices() {
		out = append(out, page.Service{
			Name: s.Name, Description: s.Description, Type: s.Type, Port: s.Port, On: s.On, Up: s.Up, Checked: s.Manual || !s.Checked.IsZero(),
			Problem: s.Problem, Manual: s.Manual,
		})
	}
	return out
}

// Sources implements page.Node.
func (p pageNode) Sources() []string {
	out := []string{"cloudy-node"}
	if _, err := exec.LookPath("journalctl"); err != nil {
		return out
	}
	out = append(out, "cloudy-mesh.service", "cloudy-identity.service")
	for _, s := range p.a.conf.Services {
		out = append(out, s.Units...)
	}
	return out
}

// Log implements page.Node.
func (p pageNode) Log(ctx context.Context, source string, n int) ([]page.LogLine, error) {
	if source == "cloudy-node" {
		return p.a.lines.last(n), nil
	}
	// The units of the node alone: what a reader asks for is no argument.
	for _, s := range p.Sources()[1:] {
		if s != source {
			continue
		}
		out, err := exec.CommandContext(ctx, "journalctl", "--unit", s, "--lines", fmt.Sprint(n), "--no-pager", "--output", "short-iso", "--quiet").CombinedOutput()
		if err != nil {
			return nil, fmt.Errorf("journalctl: %w: %.300s", err, out)
		}
		var list []page.LogLine
		for line := range strings.Lines(string(out)) {
			list = append(list, page.LogLine{Text: strings.TrimRight(line, "\n")})
		}
		return list, nil
	}
	return nil, fmt.Errorf("there is no log %.60q", source)
}
