package page

import (
	"bytes"
	"log/slog"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// FuzzForms sends anything to the page as a form and as a question: a guest,
// and a form without its token, changes nothing; nobody is sent elsewhere; and
// what comes back is a page in which what was sent is text.
func FuzzForms(f *testing.F) {
	node := citizen(5)
	path := filepath.Join(f.TempDir(), "page.json")
	c, err := OpenCredentials(path, node.facts.Name, node.facts.Host, false)
	if err != nil {
		f.Fatal(err)
	}
	s := New(Options{Node: node, Credentials: c, Log: slog.New(slog.DiscardHandler)})
	const all = "do=publish&service=wiki&kind=_http._tcp&title=W&type=_http._tcp&port=80&uses=1&hours=72&invitation=cloudy1.x&name=c000000000000&sure=yes&reason=r&id=4fzYk3Qa&of=admin&now=a&new=aaaaaaaaaaaa&again=aaaaaaaaaaaa&account=admin&password=x&to=//evil"
	for _, x := range s.screens {
		path := strings.TrimSuffix(x.path, "{$}")
		f.Add(path, "name=c000000000000&of=cloudy-node&q=<b>&type=_http._tcp&lang=ca", all)
		f.Add(path, "", strings.Replace(all, "publish", "on", 1))
	}
	f.Add("/events", "at=/stages", "")
	f.Add("//evil.example/", "lang=es", "kind=factory&host="+node.facts.Host)
	f.Fuzz(func(t *testing.T, path, query, form string) {
		u := &url.URL{Path: path, RawQuery: query}
		if !strings.HasPrefix(path, "/") || len(path)+len(query)+len(form) > 4000 {
			return
		}
		for _, who := range []struct {
			account, method string
			token           bool
		}{{"", "GET", false}, {Guest, "GET", false}, {Admin, "GET", false}, {"", "POST", false}, {Guest, "POST", true}, {Admin, "POST", false}, {Admin, "POST", true}} {
			if who.method == "GET" && strings.HasPrefix(path, "/events") {
				continue // it goes on until its reader is gone
			}
			s.limits.list, s.sessions.list = nil, nil
			node.set(func(f *fake) { f.done = nil })
			body := form
			r := httptest.NewRequest(who.method, "http://node/", nil)
			if who.account != "" {
				token := s.sessions.begin(who.account)
				r.Header.Set("Cookie", "cloudy-session="+token)
				if who.token {
					body = "token=" + s.sessions.get(token, false).csrf + "&" + form
				}
			}
			r.Body = readCloser{strings.NewReader(body)}
			r.ContentLength = int64(len(body))
			if who.method == "POST" {
				r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
			}
			r.URL.Path, r.URL.RawQuery, r.RequestURI = u.Path, u.RawQuery, u.RequestURI()
			out := httptest.NewRecorder()
			s.ServeHTTP(out, r)
			what := who.account + " " + who.method + " " + u.RequestURI() + " " + form
			if done := node.did(); len(done) > 0 && (who.account != Admin || !who.token) {
				t.Errorf("%s: did %q", what, done)
			}
			if to := out.Header().Get("Location"); to != "" {
				if l, err := url.Parse(to); err != nil || l.Host != "" || l.Scheme != "" || !strings.HasPrefix(to, "/") || strings.HasPrefix(to, "//") || strings.HasPrefix(to, `/\`) {
					t.Errorf("%s: leads to %q", what, to)
				}
			}
			if out.Code >= 500 {
				t.Errorf("%s: status %d: %s", what, out.Code, out.Body)
			}
			if strings.HasPrefix(out.Header().Get("Content-Type"), "text/html") && out.Code != 303 && out.Code != 307 && out.Code != 301 {
				checkMarkup(t, what, out.Body.Bytes())
			}
		}
	})
}

type readCloser struct{ *strings.Reader }

func (readCloser) Close() error { return nil }

// tagForm is every tag that the page can make.
var tagForm = regexp.MustCompile(`<(/?[a-z][a-z0-9]*)((?: [a-zA-Z-]+(?:="[^"<>]*")?)*)>`)

var attrForm = regexp.MustCompile(` ([a-zA-Z-]+)(?:="[^"]*")?`)

// checkMarkup looks whether all of a page is its own tags, and text.
func checkMarkup(t *testing.T, what string, page []byte) {
	t.Helper()
	page = bytes.TrimPrefix(page, []byte("<!doctype html>"))
	for _, m := range tagForm.FindAllSubmatch(page, -1) {
		switch string(m[1]) {
		case "iframe", "object", "embed", "base", "img", "style":
			t.Errorf("%s: the page has %s", what, m[0])
		}
		for _, a := range attrForm.FindAllSubmatch(m[2], -1) {
			if name := string(a[1]); strings.HasPrefix(name, "on") || name == "style" || name == "srcdoc" {
				t.Errorf("%s: the page has %s", what, m[0])
			}
		}
	}
	if rest := tagForm.ReplaceAll(page, nil); bytes.ContainsAny(rest, "<>") {
		at := bytes.IndexAny(rest, "<>")
		t.Errorf("%s: the page has %q", what, rest[max(0, at-40):min(len(rest), at+40)])
	}
}

// FuzzCredentials opens anything as the file of the accounts: it is refused,
// or has both, and no password is right that is not one of them.
func FuzzCredentials(f *testing.F) {
	path := filepath.Join(f.TempDir(), "page.json")
	if _, err := OpenCredentials(path, "c000000000000", "n", false); err != nil {
		f.Fatal(err)
	}
	data, err := os.ReadFile(path)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(data)
	f.Add([]byte(`{"owner":"c000000000000","accounts":{"admin":{"hash":"scrypt-13-8-4$$"},"guest":{"plain":""}}}`))
	f.Add(bytes.Replace(data, []byte(`"plain"`), []byte(`"hash"`), 1))
	f.Fuzz(func(t *testing.T, data []byte) {
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
		c, err := OpenCredentials(path, "c000000000000", "n", false)
		if err != nil {
			return
		}
		for _, a := range accounts {
			if ok, _ := c.Check(a, ""); ok {
				t.Errorf("%s has no password: %s", a, data)
			}
		}
		if len(c.Passwords()) != len(accounts) || c.Fingerprint() == "" {
			t.Errorf("%+v", c.Passwords())
		}
	})
}
