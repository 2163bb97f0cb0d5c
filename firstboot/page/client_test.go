package page

import (
	"crypto/tls"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"regexp"
	"strings"
	"testing"
)

// client is a reader without a script: it follows no redirect by itself, and
// sends forms as they stand on the page.
type client struct {
	t    *testing.T
	site *site
	base string
	http *http.Client
}

type reply struct {
	status int
	body   string
	header http.Header
	to     string // of a redirect
}

// stranger is a reader who has not logged in.
func (s *site) stranger() *client {
	jar, err := cookiejar.New(nil)
	if err != nil {
		s.t.Fatal(err)
	}
	return &client{s.t, s, s.url, &http.Client{
		Jar:           jar,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		Transport:     &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}},
	}}
}

// client is one who has.
func (s *site) client(account string) *client {
	c := s.stranger()
	u, _ := url.Parse(s.url)
	c.http.Jar.SetCookies(u, []*http.Cookie{s.session(account)})
	return c
}

func (c *client) send(r *http.Request) reply {
	c.t.Helper()
	resp, err := c.http.Do(r)
	if err != nil {
		c.t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		c.t.Fatal(err)
	}
	return reply{resp.StatusCode, string(body), resp.Header, resp.Header.Get("Location")}
}

func (c *client) get(path string) reply {
	c.t.Helper()
	u, err := url.Parse(c.base)
	if err != nil {
		c.t.Fatal(err)
	}
	path, query, _ := strings.Cut(path, "?")
	u.Path = path
	var pairs []string
	for _, kv := range strings.Split(query, "&") {
		if k, v, ok := strings.Cut(kv, "="); ok {
			pairs = append(pairs, k+"="+url.QueryEscape(v))
		}
	}
	u.RawQuery = strings.Join(pairs, "&")
	r, _ := http.NewRequest("GET", u.String(), nil)
	return c.send(r)
}

var tokenField = regexp.MustCompile(`name="token" value="([^"]+)"`)

// post fills in a form of a page, with the token that stands there.
func (c *client) post(path string, fields ...string) reply {
	c.t.Helper()
	form := url.Values{}
	if m := tokenField.FindStringSubmatch(c.get("/").body); m != nil {
		form.Set("token", m[1])
	}
	for i := 0; i+1 < len(fields); i += 2 {
		form.Set(fields[i], fields[i+1])
	}
	return c.postForm(path, form)
}

func (c *client) postForm(path string, form url.Values) reply {
	c.t.Helper()
	r, _ := http.NewRequest("POST", c.base+path, strings.NewReader(form.Encode()))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.Header.Set("Origin", c.base)
	return c.send(r)
}

// follow is a form whose answer is a redirect to a page, which is returned.
func (c *client) follow(r reply) reply {
	c.t.Helper()
	if r.status != http.StatusSeeOther {
		c.t.Fatalf("%d in place of a redirect: %s", r.status, r.body)
	}
	return c.get(r.to)
}

func (c *client) login(account, password string) reply {
	c.t.Helper()
	return c.postForm("/login", url.Values{"account": {account}, "password": {password}})
}
