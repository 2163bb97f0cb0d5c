package customise

import (
	"io"
	"strings"
	"testing"

	"cloudy/builder/nodeagent"
	"cloudy/builder/recipe"
	"cloudy/builder/tree"
	"cloudy/firstboot/nodeconfig"
)

// stand-in for the agent: what it is made of does not matter here.
func standIn(t *testing.T) *nodeagent.Agent {
	t.Helper()
	list := nodeagent.Embedded()
	if len(list) == 0 {
		skip(t, "no agent is built in; make build puts it there")
	}
	return &list[0]
}

func nodeTree() *tree.Tree {
	return treeOf(
		"usr/bin/", "usr/sbin/tincd=tinc", "etc/passwd=root:x:0:0:root:/root:/bin/bash\n", "etc/group=root:x:0:\n",
		"etc/shadow=root:*:20000:0:99999:7:::\n", "etc/gshadow=root:*::\n",
		"usr/lib/systemd/system/etcd.service=[Service]\nExecStart=/usr/bin/etcd\n[Install]\nWantedBy=multi-user.target\n",
		"etc/systemd/system/multi-user.target.wants/etcd.service->/usr/lib/systemd/system/etcd.service",
		"usr/lib/systemd/system/tinc.service=[Install]\nWantedBy=multi-user.target\n",
		"etc/systemd/system/multi-user.target.wants/tinc.service->/usr/lib/systemd/system/tinc.service",
	)
}

func TestAgent(t *testing.T) {
	program := standIn(t)
	img := &recipe.Image{
		Mesh:     &recipe.Mesh{Network: "guifi"},
		Services: []recipe.Service{{Name: "web", Announce: &recipe.Announce{Type: "_http._tcp", Port: 80}}},
	}
	d, err := Apply(nodeTree(), img, program, epoch)
	must(t, err)
	out := d.Tree()
	e := out.Find("usr/bin/cloudy-node")
	if e == nil || e.Mode != 0o755 || e.Size != program.Size {
		t.Fatalf("the program is %+v", e)
	}
	r, err := e.Open()
	must(t, err)
	n, err := io.Copy(io.Discard, r)
	if err != nil || n != program.Size {
		t.Errorf("the program has %d bytes: %v", n, err)
	}
	for _, p := range []string{
		"usr/lib/systemd/system/cloudy-node.service", "usr/lib/systemd/system/cloudy-identity.service", "usr/lib/systemd/system/cloudy-mesh.service",
		"usr/lib/systemd/system-preset/80-cloudy.preset",
		"etc/systemd/system/multi-user.target.wants/cloudy-node.service", "etc/systemd/system/sysinit.target.wants/cloudy-identity.service",
	} {
		if out.Find(p) == nil {
			t.Errorf("there is no /%s", p)
		}
	}
	for _, p := range []string{"etc/systemd/system/multi-user.target.wants/etcd.service", "etc/systemd/system/multi-user.target.wants/tinc.service"} {
		if out.Find(p) != nil {
			t.Errorf("/%s starts at boot", p)
		}
	}
	text, err := d.read(nodeconfig.Path)
	must(t, err)
	c, err := nodeconfig.Parse([]byte(text))
	if err != nil || c.Mesh.Network != "guifi" || len(c.Services) != 1 || c.Services[0].Announce.Port != 80 {
		t.Errorf("the node reads %+v, %v", c, err)
	}
	if e := out.Find("etc/cloudy/node.json"); e.Mode != 0o644 {
		t.Errorf("the configuration has mode %o", e.Mode)
	}
}

// TestAgentInvitation: the secret is in one file, which not everybody reads.
func TestAgentInvitation(t *testing.T) {
	token := "cloudy1.ZXhhbXBsZQ." + strings.Repeat("A", 86)
	d, err := Apply(nodeTree(), &recipe.Image{Mesh: &recipe.Mesh{Invitation: token}}, standIn(t), epoch)
	must(t, err)
	if e := d.Tree().Find("etc/cloudy/node.json"); e == nil || e.Mode&0o007 != 0 || !d.Declares("etc/cloudy/node.json") {
		t.Errorf("the configuration is %+v", e)
	}
}

func TestAgentMissing(t *testing.T) {
	d, err := Apply(nodeTree(), &recipe.Image{}, nil, epoch)
	must(t, err)
	if out := d.Tree(); out.Find("usr/bin/cloudy-node") != nil || out.Find("etc/systemd/system/multi-user.target.wants/etcd.service") == nil {
		t.Error("an image without a mesh got the agent or its preset")
	}
	if _, err := Apply(nodeTree(), &recipe.Image{Mesh: &recipe.Mesh{}}, nil, epoch); err == nil {
		t.Error("no agent, and no error")
	}
	bare := treeOf("usr/bin/", "etc/passwd=root:x:0:0:root:/root:/bin/bash\n")
	if _, err := Apply(bare, &recipe.Image{Mesh: &recipe.Mesh{}}, standIn(t), epoch); err == nil || !strings.Contains(err.Error(), "no tincd") {
		t.Errorf("no tincd: %v", err)
	}
}

func TestSysusersLine(t *testing.T) {
	d := newDelta(nodeTree(), epoch)
	a, err := readAccounts(d)
	must(t, err)
	for _, l := range []string{"# nothing", "", `u cloudy - "The node's agent" /var/lib/cloudy -`, "g mesh - -", "m cloudy mesh", `u cloudy - "again"`} {
		must(t, a.sysusersLine(l))
	}
	must(t, a.save())
	passwd, err := d.read("etc/passwd")
	must(t, err)
	group, err := d.read("etc/group")
	must(t, err)
	if !strings.Contains(passwd, "cloudy:x:100:100:The node's agent:/var/lib/cloudy:/usr/sbin/nologin\n") || strings.Count(passwd, "cloudy") != 2 {
		t.Errorf("passwd:\n%s", passwd)
	}
	if !strings.Contains(group, "cloudy:x:100:\n") || !strings.Contains(group, "mesh:x:101:cloudy\n") {
		t.Errorf("group:\n%s", group)
	}
	if err := a.sysusersLine("r - 500-900"); err == nil {
		t.Error("a line that is not known was passed over")
	}
}
