package doctor

import (
	"net"
	"os"
	"testing"

	"cloudy/firstboot/agent"
	"cloudy/firstboot/nodeconfig"
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
	h.Status = &agent.Status{Network: "test", Members: 5, Alive: 1}
	list = Run(t.Context(), h)
	if c := find(t, list, "mesh"); c.State != Bad {
		t.Errorf("alone among five: %+v", c)
	}
	if c := find(t, list, "ports"); c.State != Bad {
		t.Errorf("a member without tincd: %+v", c)
	}
}
