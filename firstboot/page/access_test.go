package page

import (
	"crypto/tls"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

func TestLogin(t *testing.T) {
	s := serve(t, citizen(5), nil)
	c := s.stranger()
	if r := c.get("/services?type=_http._tcp"); r.status != 303 || r.to != "/login?to=%2Fservices%3Ftype%3D_http._tcp" {
		t.Errorf("a stranger gets %d, %q", r.status, r.to)
	}
	if r := c.login(Admin, s.guest); r.status != 401 || !strings.Contains(r.body, mWrongPassword[english]) {
		t.Errorf("the wrong password gets %d", r.status)
	}
	if r := c.login("root", s.admin); r.status != 401 {
		t.Errorf("an unknown account gets %d", r.status)
	}
	if r := c.get("/"); r.status != 303 {
		t.Errorf("not logged in, and got %d", r.status)
	}
	r := c.postForm("/login", url.Values{"account": {Admin}, "password": {s.admin}, "to": {"/services?type=_http._tcp"}})
	if r.status != 303 || r.to != "/services?type=_http._tcp" {
		t.Fatalf("login: %d, %q: %s", r.status, r.to, r.body)
	}
	cookie := r.header.Get("Set-Cookie")
	for _, want := range []string{"HttpOnly", "SameSite=Lax", "Path=/"} {
		if !strings.Contains(cookie, want) {
			t.Errorf("the cookie %q lacks %s", cookie, want)
		}
	}
	if r := c.get("/"); r.status != 200 || !strings.Contains(r.body, "node-castelldefels") {
		t.Errorf("logged in, and got %d", r.status)
	}
	if r := c.post("/logout"); r.status != 303 {
		t.Errorf("logout: %d", r.status)
	}
	if r := c.get("/"); r.status != 303 {
		t.Errorf("logged out, and got %d", r.status)
	}
	for _, to := range []string{"//evil.example/", "https://evil.example/", `/\evil.example`, "javascript:x", "/logout"} {
		r := c.postForm("/login", url.Values{"account": {Guest}, "password": {s.guest}, "to": {to}})
		if r.status != 303 || r.to != "/" {
			t.Errorf("after the login to %q: %d, %q", to, r.status, r.to)
		}
	}
}

func TestOverTLS(t *testing.T) {
	s := serve(t, citizen(5), nil)
	c := s.stranger()
	c.base = s.secure
	r := c.login(Admin, s.admin)
	if cookie := r.header.Get("Set-Cookie"); !strings.HasPrefix(cookie, "__Host-cloudy-session=") || !strings.Contains(cookie, "Secure") {
		t.Errorf("the cookie over TLS is %q", cookie)
	}
	if r := c.get("/"); r.status != 200 {
		t.Errorf("over TLS: %d", r.status)
	}
	conn, err := tls.Dial("tcp", strings.TrimPrefix(s.secure, "https://"), &tls.Config{InsecureSkipVerify: true})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	cert := conn.ConnectionState().PeerCertificates[0]
	if err := cert.VerifyHostname(s.node.facts.Host + ".local"); err != nil {
		t.Error(err)
	}
	if err := cert.CheckSignatureFrom(cert); err == nil {
		t.Error("the page's certificate is an authority")
	}
	if now := time.Now(); now.Before(cert.NotBefore) || now.After(cert.NotAfter) || !cert.NotBefore.Before(time.Unix(1, 0)) {
		t.Errorf("valid from %s to %s", cert.NotBefore, cert.NotAfter)
	}
}

// from is a request from another machine.
func from(s *Server, method, target, addr string) *http.Response {
	r := httptest.NewRequest(method, target, nil)
	r.RemoteAddr = addr
	w := httptest.NewRecorder()
	s.ServeHTTP(w, r)
	return w.Result()
}

func TestPlainHTTPLeadsToTLS(t *testing.T) {
	s := serve(t, citizen(5), func(o *Options) { o.TLSPort = 7443 })
	for target, want := range map[string]string{
		"http://10.0.0.7:7000/map?x=1": "https://10.0.0.7:7443/map?x=1",
		"http://node.local:7000/login": "https://node.local:7443/login",
		"http://[fd00::7]:7000/":       "https://[fd00::7]:7443/",
	} {
		r := from(s.server, "GET", target, "10.0.0.9:4000")
		if r.StatusCode != 307 || r.Header.Get("Location") != want {
			t.Errorf("%s: %d, %s", target, r.StatusCode, r.Header.Get("Location"))
		}
	}
	if r := from(s.server, "POST", "http://10.0.0.7:7000/login", "10.0.0.9:4000"); r.StatusCode != 307 {
		t.Errorf("a login in the clear is taken: %d", r.StatusCode)
	}
	for _, own := range []string{"127.0.0.1:4000", "[::1]:4000", "[::ffff:127.0.0.1]:4000"} {
		if r := from(s.server, "GET", "http://localhost:7000/login", own); r.StatusCode != 200 {
			t.Errorf("on the node itself: %d", r.StatusCode)
		}
	}
	demo := serve(t, citizen(5), func(o *Options) { o.Demo = true })
	r := from(demo.server, "GET", "http://10.0.0.7:7000/login", "10.0.0.9:4000")
	if r.StatusCode != 200 {
		t.Errorf("of a demonstration: %d", r.StatusCode)
	}
}

func TestHeaders(t *testing.T) {
	s := serve(t, citizen(5), nil)
	for _, path := range []string{"/", "/login", "/nothing", "/style.css", "/events"} {
		h := s.client(Guest).get(path).header
		if path == "/events" {
			continue
		}
		for k, want := range map[string]string{
			"Content-Security-Policy": "default-src 'none'", "X-Content-Type-Options": "nosniff", "X-Frame-Options": "DENY",
			"Referrer-Policy": "same-origin", "Cross-Origin-Opener-Policy": "same-origin",
		} {
			if !strings.Contains(h.Get(k), want) {
				t.Errorf("%s: %s is %q", path, k, h.Get(k))
			}
		}
		if strings.Contains(h.Get("Content-Security-Policy"), "unsafe") {
			t.Errorf("%s: %s", path, h.Get("Content-Security-Policy"))
		}
	}
	if got := s.client(Guest).get("/").header.Get("Cache-Control"); got != "no-store" {
		t.Errorf("pages are kept: %q", got)
	}
	r, _ := http.NewRequest("GET", s.url+styleSheet.url(), nil)
	if got := s.stranger().send(r).header.Get("Cache-Control"); !strings.Contains(got, "immutable") {
		t.Errorf("styles are not kept: %q", got)
	}
}

// TestNothingInline: what the policy forbids is not on any page.
func TestNothingInline(t *testing.T) {
	s := serve(t, citizen(5), nil)
	c := s.client(Admin)
	for _, x := range screens() {
		body := c.get(strings.TrimSuffix(x.path, "{$}")).body
		for _, bad := range []string{" style=", "<style", " onclick=", " onload=", "<script>", "javascript:"} {
			if strings.Contains(body, bad) {
				t.Errorf("%s has %q", x.path, bad)
			}
		}
	}
}

func TestForgedRequests(t *testing.T) {
	s := serve(t, citizen(5), nil)
	c := s.client(Admin)
	forms := map[string]url.Values{
		"/invite": {"do": {"invite"}, "uses": {"1"}, "hours": {"72"}}, "/own": {"do": {"off"}, "service": {"tahoe-lafs"}},
		"/member": {"name": {s.node.members[2].Name}, "sure": {"yes"}}, "/reset": {"kind": {"mesh"}, "host": {s.node.facts.Host}},
		"/account": {"of": {Admin}, "now": {s.admin}, "new": {"another secret"}, "again": {"another secret"}}, "/logout": {},
	}
	for path, form := range forms {
		if r := c.postForm(path, form); r.status != 403 {
			t.Errorf("%s without a token: %d", path, r.status)
		}
		other := s.server.sessions.get(s.server.sessions.begin(Admin), true)
		form.Set("token", other.csrf)
		if r := c.postForm(path, form); r.status != 403 {
			t.Errorf("%s with another session's token: %d", path, r.status)
		}
	}
	token := tokenField.FindStringSubmatch(c.get("/").body)[1]
	for _, head := range [][2]string{{"Origin", "https://evil.example"}, {"Origin", "null"}, {"Sec-Fetch-Site", "cross-site"}, {"Sec-Fetch-Site", "same-site"}} {
		r, _ := http.NewRequest("POST", s.url+"/reset", strings.NewReader(url.Values{"token": {token}, "kind": {"mesh"}, "host": {s.node.facts.Host}}.Encode()))
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		r.Header.Set(head[0], head[1])
		if got := c.send(r); got.status != 403 {
			t.Errorf("%s %s: %d", head[0], head[1], got.status)
		}
		// A login from elsewhere would give the reader somebody's account.
		r, _ = http.NewRequest("POST", s.url+"/login", strings.NewReader(url.Values{"account": {Admin}, "password": {s.admin}}.Encode()))
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		r.Header.Set(head[0], head[1])
		if got := s.stranger().send(r); got.status != 403 {
			t.Errorf("login, %s %s: %d", head[0], head[1], got.status)
		}
	}
	if done := s.node.did(); len(done) != 0 {
		t.Errorf("the node did %q", done)
	}
	if r := c.get("/"); r.status != 200 {
		t.Error("a forged request has logged the reader out")
	}
}

func TestGuestsOnlyRead(t *testing.T) {
	s := serve(t, citizen(5), nil)
	c := s.client(Guest)
	for _, path := range []string{"/", "/stages", "/own", "/logs", "/map", "/services", "/members", "/member?name=" + s.node.members[2].Name, "/join", "/account"} {
		r := c.get(path)
		if r.status != 200 {
			t.Errorf("%s: %d", path, r.status)
		}
		if n := strings.Count(r.body, `method="post"`); n != 1 { // to log out
			t.Errorf("%s has %d forms that change something", path, n)
		}
	}
	for _, path := range []string{"/invite", "/reset"} {
		if r := c.get(path); r.status != 403 {
			t.Errorf("%s: %d", path, r.status)
		}
	}
	for path, fields := range map[string][]string{
		"/invite": {"do", "invite", "uses", "1", "hours", "72"}, "/own": {"do", "off", "service", "tahoe-lafs"}, "/join": {"invitation", fakeToken},
		"/member": {"name", s.node.members[2].Name, "sure", "yes"}, "/reset": {"kind", "mesh", "host", s.node.facts.Host},
		"/account": {"of", Guest, "now", s.guest, "new", "another secret", "again", "another secret"},
	} {
		if r := c.post(path, fields...); r.status != 403 {
			t.Errorf("%s: %d", path, r.status)
		}
	}
	if strings.Contains(c.get("/logs").body, "cloudy-mesh.service") {
		t.Error("a guest is offered the services' logs")
	}
	if strings.Contains(c.get("/logs?of=cloudy-mesh.service").body, "journalctl") {
		t.Error("a guest gets a service's log")
	}
	if done := s.node.did(); len(done) != 0 {
		t.Errorf("the node did %q", done)
	}
}

func TestGuessing(t *testing.T) {
	var late atomic.Int64
	begun := time.Now() // and no later, however long this takes
	now := func() time.Time { return begun.Add(time.Duration(late.Load())) }
	s := serve(t, citizen(5), func(o *Options) { o.Now = now })
	c := s.stranger()
	for i := range guessesAtOnce {
		if r := c.login(Admin, "wrong password"); r.status != 401 {
			t.Fatalf("guess %d: %d", i, r.status)
		}
	}
	r := c.login(Admin, s.admin)
	if r.status != 429 || r.header.Get("Retry-After") == "" {
		t.Errorf("after %d guesses even the right password must wait: %d", guessesAtOnce, r.status)
	}
	late.Store(int64(guessPause + time.Second))
	if r := c.login(Admin, s.admin); r.status != 303 {
		t.Errorf("after the pause: %d", r.status)
	}
	if r := c.login(Admin, "wrong password"); r.status != 401 {
		t.Errorf("the right password did not clear the count: %d", r.status)
	}
	// Who can log in as guest has no more guesses at the admin's password.
	for range guessesAtOnce - 1 {
		c.login(Admin, "wrong password")
	}
	if r := c.login(Guest, s.guest); r.status != 303 {
		t.Errorf("the guest: %d", r.status)
	}
	if r := c.login(Admin, "wrong password"); r.status != 429 {
		t.Errorf("a guest's login cleared the count of the admin: %d", r.status)
	}
}

func TestGuessers(t *testing.T) {
	clock := time.Unix(0, 0)
	l := limits{now: func() time.Time { return clock }}
	addr := netip.MustParseAddr
	for range guessesAtOnce {
		l.guess(addr("2001:db8::1"), Admin)
		l.guess(addr("fd00::1"), Admin)
	}
	for a, open := range map[string]bool{"2001:db8::2": false, "2001:db8:0:1::1": true, "fd00::1": false, "fd00::2": true, "10.0.0.1": true} {
		if _, ok := l.guess(addr(a), Admin); ok != open {
			t.Errorf("%s may guess: %t", a, ok)
		}
	}
	a := addr("10.1.0.0")
	for range 3 * maxGuessers {
		a = a.Next()
		l.guess(a, "whoever "+a.String())
	}
	if len(l.list) > maxGuessers {
		t.Errorf("%d guessers are kept", len(l.list))
	}
}

func TestSessions(t *testing.T) {
	clock := time.Unix(1000, 0)
	s := sessions{now: func() time.Time { return clock }}
	a := s.begin(Admin)
	if s.get(a, true) == nil || s.get("", true) != nil || s.get(a+"x", true) != nil {
		t.Error("found and not found")
	}
	clock = clock.Add(sessionIdle - time.Minute)
	if s.get(a, false) == nil {
		t.Error("over too early")
	}
	clock = clock.Add(2 * time.Minute)
	if s.get(a, true) != nil {
		t.Error("a stream keeps a session alive")
	}
	b := s.begin(Admin)
	for range 2 * sessionLife / sessionIdle {
		clock = clock.Add(sessionIdle / 2)
		s.get(b, true)
	}
	clock = clock.Add(sessionIdle/2 + time.Second)
	if s.get(b, true) != nil {
		t.Error("a session lives longer than a day")
	}
	first := s.begin(Guest)
	for range maxSessions {
		clock = clock.Add(time.Second)
		s.begin(Guest)
	}
	if s.get(first, true) != nil || len(s.list) > maxSessions {
		t.Errorf("%d sessions", len(s.list))
	}
	admin := s.begin(Admin)
	for range maxSessions {
		clock = clock.Add(time.Second)
		s.begin(Guest)
	}
	if s.get(admin, true) == nil {
		t.Error("guests ended the admin's session")
	}
}

func TestChangePassword(t *testing.T) {
	s := serve(t, citizen(5), nil)
	c, other := s.client(Admin), s.client(Admin)
	bad := func(want message, fields ...string) {
		t.Helper()
		if r := c.post("/account", fields...); r.status != 422 || !strings.Contains(r.body, strings.SplitN(want[english], "%", 2)[0]) {
			t.Errorf("%q: %d", fields, r.status)
		}
	}
	bad(mPasswordShort, "of", Admin, "now", s.admin, "new", "short", "again", "short")
	bad(mPasswordsDiffer, "of", Admin, "now", s.admin, "new", "long enough 1", "again", "long enough 2")
	bad(mWrongPassword, "of", Admin, "now", s.guest, "new", "long enough 1", "again", "long enough 1")
	bad(mPasswordLong, "of", Admin, "now", s.admin, "new", strings.Repeat("x", 300), "again", strings.Repeat("x", 300))
	r := c.follow(c.post("/account", "of", Admin, "now", s.admin, "new", " pa ràules  ", "again", " pa ràules  "))
	if !strings.Contains(r.body, mPasswordChanged[english]) {
		t.Error("not told")
	}
	if other.get("/").status != 303 {
		t.Error("the account's other session lives on")
	}
	if c.get("/").status != 200 {
		t.Error("the own session has ended")
	}
	for password, want := range map[string]int{s.admin: 401, "pa ràules": 401, " pa ràules  ": 303} {
		if r := s.stranger().login(Admin, password); r.status != want {
			t.Errorf("login with %q: %d", password, r.status)
		}
	}
	for _, p := range s.server.o.Credentials.Passwords() {
		if p.Account == Admin && p.Password != "" {
			t.Error("a chosen password is kept in the clear")
		}
	}
}

func TestCredentials(t *testing.T) {
	path := filepath.Join(t.TempDir(), "page.json")
	open := func(owner string, demo bool) *Credentials {
		t.Helper()
		c, err := OpenCredentials(path, owner, "node", demo)
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	a := open("c000000000001", false)
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info.Mode(), err)
	}
	if b := open("c000000000001", false); !slices.Equal(a.Passwords(), b.Passwords()) || a.Fingerprint() != b.Fingerprint() {
		t.Error("the same node has other passwords after a restart")
	}
	b := open("c000000000002", true)
	if b.Passwords()[0] == a.Passwords()[0] || a.Fingerprint() == b.Fingerprint() {
		t.Error("a copy has the original's secrets")
	}
	if ok, err := b.Check(Guest, Guest); !ok || err != nil {
		t.Error("of a demonstration, guest is not guest")
	}
	if ok, _ := b.Check(Admin, Guest); ok {
		t.Error("of a demonstration, admin is guest")
	}
	p, err := b.Renew(Admin)
	if err != nil {
		t.Fatal(err)
	}
	if ok, _ := open("c000000000002", true).Check(Admin, p.Password); !ok {
		t.Error("the renewed password does not count after a restart")
	}
	if _, err := b.Renew("root"); err == nil {
		t.Error("an account that is none gets a password")
	}
	if ok, _ := b.Check("root", p.Password); ok {
		t.Error("an account that is none has a password")
	}
	for _, hash := range []string{"", hashKind + "$!$x", hashKind + "$AAAA$AAAA", "scrypt-30-8-4$AAAAAAAAAAAAAAAAAAAAAA$" + strings.Repeat("A", 43), "$2b$10$x"} {
		if ok, err := checkPassword(hash, "x"); ok || err == nil {
			t.Errorf("%q is taken for a hash", hash)
		}
	}
	seen := map[string]bool{}
	for range 100 {
		p := newPassword()
		if len(p) != 20 || seen[p] {
			t.Fatalf("password %q", p)
		}
		seen[p] = true
	}
	if err := os.WriteFile(path, []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := OpenCredentials(path, "c000000000002", "node", false); err == nil {
		t.Error("a damaged file is taken")
	}
}
