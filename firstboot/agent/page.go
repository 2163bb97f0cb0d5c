package agent

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os/exec"
	"strings"
	"time"

	"cloudy/firstboot/durable"
	"cloudy/firstboot/membership"
	"cloudy/firstboot/page"
)

// credentialsFile holds the page's accounts and its TLS key.
const credentialsFile = "page.json"

// forPage is what the agent keeps for its page; Agent.mu guards it.
type forPage struct {
	latency map[membership.Name]time.Duration // of links, measured
	page    *page.Credentials
	lines   *lastLines // of the log
}

func newForPage(lines *lastLines) forPage {
	return forPage{latency: map[membership.Name]time.Duration{}, lines: lines}
}

// issueFile is what the console shows above its login (agetty(8)): a link in
// /etc/issue.d leads there.
const issueFile = RunDir + "/issue"

// servePage serves the node's page from when the node has its identity. A
// node that becomes another one gets a page with other passwords.
func (a *Agent) servePage(ctx context.Context) {
	for failures := 0; ctx.Err() == nil; {
		began := time.Now()
		err := a.servePageOnce(ctx)
		if ctx.Err() != nil {
			return
		}
		if err != nil {
			a.log.Warn("the node's page", "error", err)
			if time.Since(began) > time.Minute {
				failures = 0
			}
			if failures++; sleep(ctx, min(backoff(failures, retryMax), time.Minute)) != nil {
				return
			}
		}
	}
}

func (a *Agent) whoAmI() (name membership.Name, host string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.id != nil {
		name = a.id.Name()
	}
	return name, a.host
}

func (a *Agent) servePageOnce(ctx context.Context) error {
	name, host := a.whoAmI()
	for name == "" {
		if err := sleep(ctx, 100*time.Millisecond); err != nil {
			return err
		}
		name, host = a.whoAmI()
	}
	conf := a.conf.Page
	c, err := page.OpenCredentials(a.statePath(credentialsFile), string(name), host, conf.Demo)
	if err != nil {
		return err
	}
	a.mu.Lock()
	a.page = c
	a.mu.Unlock()
	if err := a.writeIssue(); err != nil {
		a.log.Warn("console", "error", err)
	}
	secure, err := net.Listen("tcp", fmt.Sprintf(":%d", conf.TLSPort))
	if err != nil {
		return err
	}
	defer secure.Close()
	plain, err := net.Listen("tcp", fmt.Sprintf(":%d", conf.HTTPPort))
	if err != nil {
		return err
	}
	defer plain.Close()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	go func() {
		defer cancel()
		for sleep(ctx, 5*time.Second) == nil {
			if now, _ := a.whoAmI(); now != name {
				return
			}
			// Addresses come late, and passwords are changed.
			if err := a.writeIssue(); err != nil {
				a.log.Debug("console", "error", err)
			}
		}
	}()
	p := page.New(page.Options{Node: pageNode{a}, Credentials: c, Log: a.log, TLSPort: conf.TLSPort, Demo: conf.Demo})
	a.log.Info("page", "http", plain.Addr(), "https", secure.Addr())
	return p.Serve(ctx, plain, secure)
}

// writeIssue tells who sits at the console where the page is, and the
// passwords as long as they are those that were made here. Only root reads
// the file; agetty is root.
func (a *Agent) writeIssue() error {
	p, err := a.passwords()
	if err != nil {
		return err
	}
	var b strings.Builder
	b.WriteString("\nThe page of this node:\n")
	for _, u := range p.Pages {
		fmt.Fprintf(&b, "  %s\n", u)
	}
	for _, x := range p.Passwords {
		if x.Password != "" {
			fmt.Fprintf(&b, "  account %-5s  password %s\n", x.Account, x.Password)
		}
	}
	fmt.Fprintf(&b, "  certificate %s\n\n", p.Fingerprint)
	// A backslash begins an escape there; nothing of this has one.
	_, err = durable.Update(a.path(issueFile), []byte(b.String()), 0o600)
	return err
}

// PageAccess is how to get to the node's page.
type PageAccess struct {
	Pages       []string        `json:"pages"`
	Passwords   []page.Password `json:"passwords"`
	Fingerprint string          `json:"fingerprint"` // SHA-256 of the certificate
}

func (a *Agent) passwords() (PageAccess, error) {
	a.mu.Lock()
	c := a.page
	a.mu.Unlock()
	if c == nil {
		return PageAccess{}, errors.New("this node has no page, or not yet")
	}
	p := PageAccess{Passwords: c.Passwords(), Fingerprint: c.Fingerprint()}
	addrs, err := a.localAddrs()
	if err != nil {
		return p, err
	}
	for _, x := range addrs {
		p.Pages = append(p.Pages, fmt.Sprintf("https://%s/", net.JoinHostPort(x.String(), fmt.Sprint(a.conf.Page.TLSPort))))
	}
	if len(p.Pages) == 0 {
		p.Pages = []string{fmt.Sprintf("http://localhost:%d/", a.conf.Page.HTTPPort)}
	}
	return p, nil
}

// renewPassword makes a new password for an account.
func (a *Agent) renewPassword(_ context.Context, account string) (page.Password, error) {
	a.mu.Lock()
	c := a.page
	a.mu.Unlock()
	if c == nil {
		return page.Password{}, errors.New("this node has no page, or not yet")
	}
	p, err := c.Renew(account)
	if err != nil {
		return p, err
	}
	return p, a.writeIssue()
}

// pageNode is the agent as its page sees it.
type pageNode struct{ a *Agent }

// Facts implements page.Node.
func (p pageNode) Facts() page.Facts {
	a := p.a
	s := a.Status()
	f := page.Facts{
		Name: string(s.Name), Host: s.Host, Version: a.opts.Version, Member: s.Network != "", Network: s.Network, Inviter: string(s.Inviter),
		Address4: s.Address4, Address6: s.Address6, Members: s.Members, Alive: s.Alive, Links: s.Links, Ready: s.Ready, Cloned: s.Cloned,
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
