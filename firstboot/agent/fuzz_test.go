package agent

import (
	"bytes"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"cloudy/firstboot/membership"
	"cloudy/firstboot/nodeconfig"
)

// FuzzControl asks anything over the control socket, of a node that is in a mesh
// and of one that is not: each answer is JSON, and whether something was wrong
// shows in the status.
func FuzzControl(f *testing.F) {
	member, stranger := rooted(f), wishful(f)
	for _, a := range []*Agent{member, stranger} {
		a.privileged = func() bool { return false } // nothing is done, only wished
		if err := os.MkdirAll(a.path(WishDir), 0o755); err != nil {
			f.Fatal(err)
		}
	}
	add := func(method, path string, body any) {
		data, err := json.Marshal(body)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(method, path, data)
	}
	for _, path := range []string{"/status", "/members", "/services?type=_http._tcp", "/invitations", "/pending", "/own", "/passwords"} {
		add("GET", path, nil)
	}
	add("POST", "/invite", InviteRequest{Lifetime: time.Hour, Uses: 1, Role: membership.RoleInviter})
	add("POST", "/decide", DecideRequest{Name: "c000000000000", Approve: true})
	add("POST", "/service", ServiceRequest{Name: "web", On: true})
	add("POST", "/cancel", "abcdefgh")
	add("POST", "/join", "cloudy1."+strings.Repeat("e30", 9)+"."+strings.Repeat("a", 86))
	add("POST", "/revoke", RevokeRequest{Name: "c000000000000", Reason: "x"})
	add("POST", "/publish", membership.Service{Name: "Wiki", Type: "_http._tcp", Port: 80, TXT: map[string]string{"path": "/"}})
	add("POST", "/unpublish", membership.Service{Name: "Wiki", Type: "_http._tcp"})
	add("POST", "/reset", ResetRequest{Services: true})
	add("POST", "/password", "admin")
	f.Fuzz(func(t *testing.T, method, path string, body []byte) {
		if !strings.HasPrefix(path, "/") {
			return
		}
		r, err := http.NewRequest(method, "http://agent"+path, bytes.NewReader(body))
		if err != nil {
			return
		}
		for _, a := range []*Agent{member, stranger} {
			out := httptest.NewRecorder()
			r.Body = io.NopCloser(bytes.NewReader(body))
			a.control().ServeHTTP(out, r)
			switch out.Code {
			case 200, 400:
				if !json.Valid(out.Body.Bytes()) {
					t.Errorf("%s %s: %q", method, path, out.Body)
				}
			case 301, 307, 404, 405: // of the multiplexer
			default:
				t.Errorf("%s %s: status %d", method, path, out.Code)
			}
			for _, s := range a.announced() {
				if err := s.Check(); err != nil {
					t.Errorf("%s %s: announces %v", method, path, err)
				}
			}
		}
		if len(member.ledger.List()) > 50 { // or each write is slower than the last
			if err := member.forgetMesh(t.Context()); err != nil {
				t.Fatal(err)
			}
			if err := member.found("test"); err != nil {
				t.Fatal(err)
			}
		}
	})
}

// FuzzWish: what a daemon that was taken over can have root do. The node's
// configuration loses an invitation at most, and nothing outside of the agent's
// folders changes but what a wish is for.
func FuzzWish(f *testing.F) {
	const token = "cloudy1.AAAAAAAAAAAAAAAAAAAAAAAAAAAA.AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"
	a := wishful(f)
	a.log = slog.New(slog.DiscardHandler)
	if _, err := a.makeIdentity(f.Context()); err != nil {
		f.Fatal(err)
	}
	for _, w := range []any{Wish{Wipe: token}, Wish{Wipe: "mesh"}, Wish{Identity: true}, Wish{Services: true}, map[string]any{"exec": "reboot", "wipe": "../../etc/passwd"}} {
		data, err := json.Marshal(w)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	f.Add([]byte(`{"wipe": "cloudy1."}`))
	conf := a.path(nodeconfig.Path)
	files := map[string]string{
		conf:                                `{"version": 1, "mesh": {"network": "guifi", "invitation": "` + token + `"}}`,
		a.path("boot/firmware/cmdline.txt"): "console=tty1 root=PARTUUID=1234 cloudy.invite=" + token + " quiet",
		a.path("boot/cloudy.txt"):           "hostname = x\n",
		a.path("etc/passwd"):                "root:x:0:0::/root:/bin/sh\n",
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		var w Wish
		if json.Unmarshal(data, &w) == nil && w.Reset != "" {
			return // it makes new keys, which takes a second
		}
		for path, text := range files {
			put(t, path, text)
		}
		put(t, filepath.Join(a.path(WishDir), "x.json"), string(data))
		a.CarryOut(t.Context())
		c, err := nodeconfig.Load(conf)
		if err != nil || c.Mesh.Network != "guifi" || c.Mesh.Invitation != token && c.Mesh.Invitation != "" {
			t.Errorf("%s: the configuration is %+v, %v", data, c.Mesh, err)
		}
		line, _ := os.ReadFile(a.path("boot/firmware/cmdline.txt"))
		if got := strings.Fields(string(line)); len(got) < 3 || got[0] != "console=tty1" || got[1] != "root=PARTUUID=1234" || got[len(got)-1] != "quiet" {
			t.Errorf("%s: the command line is %q", data, line)
		}
		for _, path := range []string{"boot/cloudy.txt", "etc/passwd"} {
			if text, _ := os.ReadFile(a.path(path)); string(text) != files[a.path(path)] {
				t.Errorf("%s: %s is %q", data, path, text)
			}
		}
		if left, _ := filepath.Glob(a.path(WishDir + "/*.json")); len(left) > 0 {
			t.Errorf("%s: left %v", data, left)
		}
	})
}

// FuzzStanding reads anything as the node's place in a mesh, as a card with bad
// blocks has it: the node is a member by a chain that ends at its own key, or
// none.
func FuzzStanding(f *testing.F) {
	a := rooted(f)
	data, err := os.ReadFile(a.statePath(standingFile))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(data)
	f.Add([]byte(`{"keys":{}}`))
	f.Add(bytes.Replace(data, []byte(`"keys": [`), []byte(`"keys": [null, `), 1))
	f.Fuzz(func(t *testing.T, data []byte) {
		a.mu.Lock()
		a.standing, a.certs, a.roster, a.ledger = nil, nil, nil, nil
		a.mu.Unlock()
		put(t, a.statePath(standingFile), string(data))
		if _, err := a.stageJoin(t.Context()); err != nil {
			if a.standing != nil {
				t.Errorf("taken up with %v", err)
			}
			return
		}
		if a.certs[0].Key != a.id.Key() {
			t.Errorf("a member as %s", a.certs[0].Key.Name())
		}
		a.Status()
		if err := a.rotateStart(); err != nil {
			t.Error(err)
		}
		if a.signRecord() != nil {
			return // what is written of links is none
		}
		if err := a.signServices([]membership.Service{{Name: "a", Type: "_http._tcp", Port: 1}}); err != nil {
			t.Error(err)
		}
	})
}
