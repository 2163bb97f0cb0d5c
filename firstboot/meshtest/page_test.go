package meshtest

import (
	"bufio"
	"context"
	"crypto/sha256"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"os"
	"regexp"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"cloudy/firstboot/agent"
	"cloudy/firstboot/nodeconfig"
)

// dial connects from inside of the node's network namespace: a socket stays
// in the one that it was made in.
func (n *node) dial(_ context.Context, network, addr string) (net.Conn, error) {
	runtime.LockOSThread() // and the thread ends with the goroutine, unless all is as before
	own, err := os.Open(fmt.Sprintf("/proc/self/task/%d/ns/net", unix.Gettid()))
	if err != nil {
		return nil, err
	}
	defer own.Close()
	other, err := os.Open("/run/netns/" + n.ns)
	if err != nil {
		return nil, err
	}
	defer other.Close()
	if err := unix.Setns(int(other.Fd()), unix.CLONE_NEWNET); err != nil {
		return nil, err
	}
	c, err := net.DialTimeout(network, addr, 10*time.Second)
	if e := unix.Setns(int(own.Fd()), unix.CLONE_NEWNET); e != nil {
		return nil, e
	}
	runtime.UnlockOSThread()
	return c, err
}

// visitor is somebody with a browser without scripts.
type visitor struct {
	n    *node
	base string
	http *http.Client
}

// visit opens the page of a node from the node from, where base leads to it.
func visit(from, of *node, base string) *visitor {
	jar, _ := cookiejar.New(nil)
	return &visitor{of, base, &http.Client{
		Jar: jar, Timeout: 2 * time.Minute,
		Transport: &http.Transport{DialContext: from.dial, TLSClientConfig: &tls.Config{InsecureSkipVerify: true}},
	}}
}

func (v *visitor) get(path string) string {
	v.n.l.t.Helper()
	resp, err := v.http.Get(v.base + path)
	if err != nil {
		v.n.l.t.Fatalf("%s: %v\n%s", path, err, v.n.log())
	}
	defer resp.Body.Close()
	body, _ := io.ReadAll(resp.Body)
	if resp.StatusCode != http.StatusOK {
		v.n.l.t.Fatalf("%s: %s: %s", path, resp.Status, body)
	}
	return string(body)
}

var hidden = regexp.MustCompile(`name="token" value="([^"]+)"`)

// send fills in a form and returns the page that follows.
func (v *visitor) send(path string, fields ...string) string {
	v.n.l.t.Helper()
	form := url.Values{}
	if path != "/login" {
		m := hidden.FindStringSubmatch(v.get("/"))
		if m == nil {
			v.n.l.t.Fatalf("%s: not logged in", path)
		}
		form.Set("token", m[1])
	}
	for i := 0; i+1 < len(fields); i += 2 {
		form.Set(fields[i], fields[i+1])
	}
	resp, err := v.http.PostForm(v.base+path, form)
	if err != nil {
		v.n.l.t.Fatalf("%s: %v", path, err)
	}
	defer resp.Body.Close()
	body, _ := io.ReadAll(resp.Body)
	if resp.StatusCode != http.StatusOK {
		v.n.l.t.Fatalf("%s: %s: %s", path, resp.Status, body)
	}
	return string(body)
}

// access is what the node's owner is told.
func (n *node) access() (a agent.PageAccess) {
	n.l.t.Helper()
	n.l.eventually(30*time.Second, "serving its page", func() bool {
		out, err := n.cli("password", "--json")
		return err == nil && json.Unmarshal([]byte(out), &a) == nil && len(a.Passwords) == 2
	})
	return a
}

// login opens the page of the node on the node itself.
func (n *node) login() *visitor {
	n.l.t.Helper()
	p := n.access()
	v := visit(n, n, "http://127.0.0.1:7000")
	if got := v.send("/login", "account", "admin", "password", p.Passwords[0].Password); !strings.Contains(got, "Log out") {
		n.l.t.Fatalf("the page of %s does not take its password: %s", n.name, got)
	}
	return v
}

// TestPage is the way from one node's page to another's: an invitation is made
// on the one and pasted into the other, which is seen to join while it does.
func TestPage(t *testing.T) {
	l, a := founder(t)
	b := l.node("b", 2, 2, nodeconfig.Config{})
	b.start()
	va, vb := a.login(), b.login()

	if got := vb.get("/"); !strings.Contains(got, "waits for an invitation") {
		t.Errorf("the newcomer's overview: %s", got)
	}
	ticket := regexp.MustCompile(`cloudy1\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+`).FindString(va.send("/invite", "do", "invite", "hours", "1", "uses", "1"))
	if ticket == "" {
		t.Fatal("no invitation on the page")
	}
	resp, err := vb.http.Get(vb.base + "/events?at=/stages")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	seen := make(chan []string)
	go func() {
		var list []string
		for lines := bufio.NewScanner(resp.Body); lines.Scan(); {
			if text, ok := strings.CutPrefix(lines.Text(), "data: "); ok && strings.Contains(text, "status-text") {
				list = append(list, text)
				if strings.Contains(text, "In the mesh test.") {
					break
				}
			}
		}
		seen <- list
	}()
	start := time.Now()
	vb.send("/join", "invitation", "for you:\n"+ticket)
	list := <-seen
	if n := len(list); n < 2 || !strings.Contains(list[0], "waits for an invitation") || !strings.Contains(list[n-1], "In the mesh test.") {
		t.Fatalf("the page said %q\n%s", list, b.log())
	}
	t.Logf("seen to join in %s, in %d steps", time.Since(start).Round(time.Millisecond), len(list))

	l.eventually(60*time.Second, "known to each other's pages", func() bool {
		return strings.Contains(va.get("/members"), ">node-b<") && strings.Contains(vb.get("/"), "2 of 2 nodes are up")
	})
	l.eventually(60*time.Second, "drawn with the latency of their link", func() bool {
		m := vb.get("/map")
		return strings.Count(m, `class="node alive"`) >= 2 && regexp.MustCompile(`class="edge-label"[^>]*>[0-9.,]+\x{a0}ms<`).MatchString(m)
	})
	if got := va.send("/own", "do", "publish", "title", "Wiki & more", "type", "_http._tcp", "port", "8080"); !strings.Contains(got, "Wiki &amp; more is announced.") {
		t.Errorf("after announcing: %s", got)
	}
	sa, sb := a.status(), b.status()
	l.eventually(60*time.Second, "in the other's catalogue", func() bool {
		got := vb.get("/services?q=wiki")
		return strings.Contains(got, "Wiki &amp; more") && strings.Contains(got, `href="http://`+sa.Address4+`:8080/"`)
	})
	if got := va.get("/logs"); !strings.Contains(got, "stage mesh state=done") || strings.Contains(got, ticket) {
		t.Error("the log lacks its lines, or has the invitation")
	}

	// From elsewhere only TLS, with the certificate whose hash the owner sees.
	far := visit(b, a, "http://"+a.under+":7000")
	p := a.access()
	if far.send("/login", "account", "guest", "password", p.Passwords[1].Password); far.get("/members") == "" {
		t.Error("empty")
	}
	resp2, err := far.http.Get(far.base + "/")
	if err != nil {
		t.Fatal(err)
	}
	resp2.Body.Close()
	if resp2.Request.URL.Scheme != "https" || resp2.TLS == nil {
		t.Errorf("another node is served %s", resp2.Request.URL)
	} else if got := strings.ReplaceAll(fmt.Sprintf("% X", sha256.Sum256(resp2.TLS.PeerCertificates[0].Raw)), " ", ":"); got != p.Fingerprint {
		t.Errorf("the certificate is %s, said to be %s", got, p.Fingerprint)
	}
	issue, err := os.ReadFile(a.root + "/run/cloudy/issue")
	if err != nil || !strings.Contains(string(issue), p.Passwords[0].Password) || !strings.Contains(string(issue), a.under) {
		t.Errorf("the console says %q, %v", issue, err)
	}

	// Put out, and back as another node, with other passwords.
	va.send("/member", "name", string(sb.Name), "reason", "test", "sure", "yes")
	b.stop(syscall.SIGTERM)
	b.start()
	vb = b.login() // the sessions are gone, the passwords are not
	l.eventually(30*time.Second, "no member any more", func() bool { return !strings.Contains(va.get("/members"), ">node-b<") })
	old := b.access()
	vb.send("/reset", "kind", "identity", "host", "node-b")
	l.eventually(60*time.Second, "another node", func() bool {
		out, err := b.cli("password", "--json")
		return err == nil && !strings.Contains(out, old.Fingerprint) && !strings.Contains(out, old.Passwords[0].Password)
	})
	if got := b.login().get("/"); !strings.Contains(got, "waits for an invitation") {
		t.Errorf("after the reset: %s", got)
	}
}
