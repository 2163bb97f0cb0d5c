package doctor

import (
	"context"
	"errors"
	"io/fs"
	"log/slog"
	"net"
	"net/http/httptest"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"cloudy/firstboot/agent"
	"cloudy/firstboot/identity"
	"cloudy/firstboot/nodeconfig"
	"cloudy/firstboot/page"
)

// find returns the check with that name.
func find(t *testing.T, list []Check, name string) Check {
	t.Helper()
	for _, c := range list {
		if c.State != OK && c.Do == "" {
			t.Errorf("%s is %s, and nothing says what to do: %s", c.Name, c.State, c.Detail)
		}
	}
	for _, c := range list {
		if c.Name == name {
			return c
		}
	}
	t.Fatalf("no check %q", name)
	return Check{}
}

func TestRun(t *testing.T) {
	root := t.TempDir()
	h := Host{Root: root, Config: nodeconfig.Default()}
	list := Run(t.Context(), h)
	if c := find(t, list, "agent"); c.State != Bad {
		t.Errorf("no agent: %+v", c)
	}
	if c := find(t, list, "state"); c.State != Bad {
		t.Errorf("no state: %+v", c)
	}
	if err := os.MkdirAll(h.path(agent.StateDir), 0o700); err != nil {
		t.Fatal(err)
	}
	// Somebody else has the port.
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	h.Config.Mesh.JoinPort = l.Addr().(*net.TCPAddr).Port
	h.Config.Mesh.TincPort = 1
	h.Status = &agent.Status{Stages: []agent.StageStatus{{Name: "join", State: agent.Refused, Error: "expired"}}}
	list = Run(t.Context(), h)
	if c := find(t, list, "ports"); c.State != Bad {
		t.Errorf("a port that is taken: %+v", c)
	}
	if c := find(t, list, "agent"); c.State != Bad {
		t.Errorf("refused: %+v", c)
	}
	if c := find(t, list, "state"); c.State != OK {
		t.Errorf("state: %+v", c)
	}
	if c := find(t, list, "agent"); !strings.Contains(c.Do, "cloudy-node join") || strings.Contains(c.Do, "reset") {
		t.Errorf("refused: %q", c.Do)
	}
	h.Status.Network = "test" // put out of it: join alone is refused
	if c := find(t, Run(t.Context(), h), "agent"); !strings.Contains(c.Do, "reset") {
		t.Errorf("put out: %q", c.Do)
	}
	h.Status = &agent.Status{Network: "test", Members: 5, Alive: 1}
	list = Run(t.Context(), h)
	if c := find(t, list, "mesh"); c.State != Bad {
		t.Errorf("alone among five: %+v", c)
	}
	if c := find(t, list, "ports"); c.State != Bad {
		t.Errorf("a member without tincd: %+v", c)
	}
}

// TestAsWhoMayNot: a person who is not root is told that, and not that the
// agent is gone.
func TestAsWhoMayNot(t *testing.T) {
	denied := &fs.PathError{Op: "open", Path: "x", Err: syscall.EACCES}
	h := Host{Root: t.TempDir(), Config: nodeconfig.Default(), ConfigErr: denied, AgentErr: denied}
	list := Run(t.Context(), h)
	for _, name := range []string{"configuration", "agent"} {
		if c := find(t, list, name); c.State != Warn || !strings.Contains(c.Do, "root") {
			t.Errorf("%+v", c)
		}
	}
	h.ConfigErr, h.AgentErr = errors.New("unknown field mseh"), errors.New("refused")
	list = Run(t.Context(), h)
	for _, name := range []string{"configuration", "agent"} {
		if c := find(t, list, name); c.State != Bad {
			t.Errorf("%+v", c)
		}
	}
}

func TestKeys(t *testing.T) {
	h := Host{Root: t.TempDir(), Config: nodeconfig.Default(), Status: &agent.Status{}}
	check := func(want State, word string) {
		t.Helper()
		if c := find(t, Run(t.Context(), h), "keys"); c.State != want || !strings.Contains(c.Do+c.Detail, word) {
			t.Errorf("%+v", c)
		}
	}
	check(Bad, "cloudy-identity")
	files := identity.Files{Root: h.Root, State: agent.StateDir}
	id, _, err := files.Ensure(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	check(OK, string(id.Name()))
	h.Status.Doubled = true
	check(Warn, "copied")
	if err := os.WriteFile(h.path(agent.StateDir+"/identity.json"), []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	check(Bad, "reset --identity")
}

func TestPageAndServices(t *testing.T) {
	h := Host{Root: t.TempDir(), Config: nodeconfig.Default(), Status: &agent.Status{}}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	h.Config.Page.TLSPort = l.Addr().(*net.TCPAddr).Port
	l.Close()
	if c := find(t, Run(t.Context(), h), "page"); c.State != Warn {
		t.Errorf("nobody there: %+v", c)
	}
	// httptest's certificate is Acme's.
	other := httptest.NewTLSServer(nil)
	defer other.Close()
	h.Config.Page.TLSPort = other.Listener.Addr().(*net.TCPAddr).Port
	if c := find(t, Run(t.Context(), h), "page"); c.State != Warn || !strings.Contains(c.Detail, "another program") {
		t.Errorf("another program: %+v", c)
	}
	c, err := page.OpenCredentials(h.path("page.json"), "c000000000000", "n", false)
	if err != nil {
		t.Fatal(err)
	}
	secure, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error)
	go func() {
		ended <- page.New(page.Options{Credentials: c, Log: slog.New(slog.DiscardHandler)}).Serve(ctx, nil, secure)
	}()
	defer func() { cancel(); <-ended }()
	h.Config.Page.TLSPort = secure.Addr().(*net.TCPAddr).Port
	h.Services = []agent.OwnService{{Name: "web", On: true, Up: true, Checked: time.Now()}, {Name: "off"}}
	list := Run(t.Context(), h)
	for _, name := range []string{"page", "services"} {
		if c := find(t, list, name); c.State != OK {
			t.Errorf("%+v", c)
		}
	}
	h.Services = append(h.Services, agent.OwnService{Name: "grid", On: true, Problem: "connection refused", Checked: time.Now()})
	if c := find(t, Run(t.Context(), h), "services"); c.State != Warn || !strings.Contains(c.Detail, "grid: connection refused") {
		t.Errorf("%+v", c)
	}
}
