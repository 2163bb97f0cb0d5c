package agent

import (
	"context"
	"errors"
	"fmt"
	"net"
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
