package recipe

import (
	"encoding/json"
	"strings"
	"testing"
)

const cloudRecipe = debian + `
variable "invitation" {
  sensitive = true
  default   = "` + exampleInvitation + `"
}
service "grid" {
  description = "Storage."
  units       = ["grid.service"]
  announce {
    type = "_grid._tcp"
    port = 3456
    txt  = { version = "1" }
  }
  role "storage" {
    units   = ["grid@storage.service"]
    default = true
    health {
      tcp = 3457
    }
  }
  role "client" {
    description = "Reads alone."
    announce {
      type = "_grid-client._tcp"
      port = 80
    }
  }
}
service "web" {
  enabled = true
  units   = ["web.service", "web.service"]
  health {
    http     = "http://127.0.0.1/"
    interval = "1m"
  }
}
image "node" {
  packages = ["tinc"]
  services = [service.grid, service.web]
  mesh {
    network    = "guifi"
    invitation = var.invitation
    peers      = ["192.0.2.1"]
    mode       = "router"
    prefix     = "10.20.0.0/16"
    interface  = "mesh0"
    port       = 656
    join_port  = 7000
    tcp_only   = true
    advertise  = ["192.0.2.7"]
    mdns       = "auto"
    mdns_limit = 20
    mdns_types = ["_grid._tcp"]
  }
  page {
    demo     = true
    tls_port = 443
  }
}
image "plain" {
}
`

func TestNodeConfig(t *testing.T) {
	got, err := image(t, "node", "amd64", cloudRecipe).NodeConfig().Encode()
	if err != nil {
		t.Fatal(err)
	}
	want := `{
  "version": 1,
  "mesh": {
    "network": "guifi",
    "invitation": "` + exampleInvitation + `",
    "peers": ["192.0.2.1"],
    "mode": "router",
    "prefix4": "10.20.0.0/16",
    "interface": "mesh0",
    "tinc_port": 656,
    "join_port": 7000,
    "tcp_only": true,
    "advertise": ["192.0.2.7"],
    "mdns": "auto",
    "mdns_limit": 20,
    "mdns_types": ["_grid._tcp"]
  },
  "services": [
    {
      "name": "grid-storage", "description": "Storage.", "units": ["grid.service", "grid@storage.service"], "enabled": true,
      "announce": {"type": "_grid._tcp", "port": 3456, "txt": {"version": "1"}},
      "health": {"tcp": 3457, "interval": "30s", "timeout": "10s"}
    },
    {
      "name": "grid-client", "description": "Reads alone.", "units": ["grid.service"],
      "announce": {"type": "_grid-client._tcp", "port": 80}
    },
    {
      "name": "web", "units": ["web.service"], "enabled": true,
      "health": {"http": "http://127.0.0.1/", "interval": "1m0s", "timeout": "10s"}
    }
  ],
  "page": {"demo": true, "tls_port": 443}
}`
	canonical := func(s string) string {
		var v any
		if err := json.Unmarshal([]byte(s), &v); err != nil {
			t.Fatal(err)
		}
		out, _ := json.MarshalIndent(v, "", " ")
		return string(out)
	}
	if canonical(string(got)) != canonical(want) {
		t.Errorf("got %s", got)
	}
	if image(t, "plain", "amd64", cloudRecipe).HasAgent() {
		t.Error("an image without mesh and services has an agent")
	}
}

func TestPageMistakes(t *testing.T) {
	for name, tc := range map[string]struct{ page, want string }{
		"same port":      {`tls_port = 7000`, "cannot have the same port, 7000"},
		"no port":        {`http_port = 70000`, "65535"},
		"unknown":        {`demos = true`, `Did you mean "demo"`},
		"another's type": {`off = "maybe"`, "need true or false"},
	} {
		m, diags := load(t, debian+"image \"a\" {\npage {\n"+tc.page+"\n}\n}\n")
		_, more := m.Image("a", "amd64")
		var b strings.Builder
		m.Render(&b, append(diags, more...), false)
		if !strings.Contains(b.String(), tc.want) {
			t.Errorf("%s: no %q in\n%s", name, tc.want, b.String())
		}
	}
}

func TestMeshMistakes(t *testing.T) {
	for name, tc := range map[string]struct{ mesh, want string }{
		"network":            {`network = "Guifi net"`, "is no name of a network"},
		"invitation":         {`invitation = "cloudy1.abc"`, "is no invitation"},
		"in clear":           {`invitation = "` + exampleInvitation + `"`, "warning: The invitation is a secret"},
		"mode":               {`mode = "swich"`, `did you mean "switch"`},
		"prefix":             {`prefix = "10.0.0.0/30"`, "28 bits or less"},
		"prefix's host bits": {`prefix = "10.0.0.1/8"`, `write it as "10.0.0.0/8"`},
		"interface":          {`interface = "a;reboot"`, "is no interface name"},
		"port":               {`port = 70000`, "from 1 to 65535"},
		"advertise":          {`advertise = ["here"]`, "is no IP address"},
		"create":             {`create = true`, "needs a name"},
		"both":               {"create = true\nnetwork = \"x\"\ninvitation = \"" + exampleInvitation + `"`, "not both"},
		"misspelt":           {`netwrok = "x"`, `Did you mean "network"`},
	} {
		m, diags := load(t, debian+"image \"a\" {\nmesh {\n"+tc.mesh+"\n}\n}\n")
		_, more := m.Image("a", "amd64")
		var b strings.Builder
		m.Render(&b, append(diags, more...), false)
		if !strings.Contains(b.String(), tc.want) {
			t.Errorf("%s: no %q in\n%s", name, tc.want, b.String())
		}
	}
	m, diags := load(t, debian+`
service "a" {
  role "b" {}
}
service "a-b" {}
service "UP" {}
image "x" {
  services = [service.a, service.a-b]
}
image "y" {
  services = [service.UP]
}
`)
	var b strings.Builder
	m.Render(&b, diags, false)
	for _, want := range []string{"Two services are named \"a-b\"", "is no service name"} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("no %q in\n%s", want, b.String())
		}
	}
}

// TestLocalePackage: a locale brings what generates it.
func TestLocalePackage(t *testing.T) {
	for _, tc := range []struct{ lines, packages, says string }{
		{`locale = "ca_ES.UTF-8"`, "locales", ""},
		{`locale = "C.UTF-8"`, "", ""},
		{"locale = \"ca_ES.UTF-8\"\npackages = [\"locales-all\"]", "locales-all", ""},
		{"locale = \"ca_ES.UTF-8\"\npackages = [\"locales\"]", "locales", ""},
		{"locale = \"ca_ES.UTF-8\"\npackages = [\"-locales\"]", "", "needs the package locales"},
	} {
		m, diags := load(t, debian+"image \"a\" {\n"+tc.lines+"\n}\n")
		img, more := m.Image("a", "amd64")
		var b strings.Builder
		m.Render(&b, append(diags, more...), false)
		if got := spell(img.Packages); got != tc.packages || !strings.Contains(b.String(), tc.says) || tc.says == "" && b.Len() > 0 {
			t.Errorf("%s: packages %q\n%s", tc.lines, got, b.String())
		}
	}
}
