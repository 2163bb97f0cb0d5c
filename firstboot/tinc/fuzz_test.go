package tinc

import (
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// hostLine is every line that a host file may have.
var hostLine = regexp.MustCompile(`^(Address = [0-9a-f.:]+ \d+|Port = \d+|Subnet = [0-9a-f.:]+/\d+|-----(BEGIN|END) RSA PUBLIC KEY-----|[A-Za-z0-9+/=]{1,64})$`)

// FuzzHostFile writes the host file of a member whose record says anything:
// either the network is refused as a whole, or every line is one of the few
// that there are.
func FuzzHostFile(f *testing.F) {
	n := testNetwork(f)
	if _, err := n.Write(); err != nil {
		f.Fatal(err)
	}
	ok, err := json.Marshal(n.Hosts[0])
	if err != nil {
		f.Fatal(err)
	}
	f.Add(ok, "switch")
	f.Add([]byte(`{"Name":"../tinc-up","Endpoints":["10.0.0.1:655"],"RSA":"AAAA"}`), "router")
	f.Add([]byte(strings.Replace(string(ok), "10.0.0.2:655", "[fe80::1%a]:655", 1)), "router")
	f.Fuzz(func(t *testing.T, data []byte, mode string) {
		var h Host
		if json.Unmarshal(data, &h) != nil {
			return
		}
		x := n
		x.Hosts = []Host{n.Hosts[0], h}
		if mode == "router" {
			x.Mode = mode
		}
		if x.check() != nil {
			return
		}
		text := string(x.hostFile(h))
		for line := range strings.Lines(text) {
			if !hostLine.MatchString(strings.TrimSuffix(line, "\n")) {
				t.Errorf("line %q", line)
			}
		}
		if !strings.HasSuffix(text, "\n") || !h.Name.Valid() {
			t.Errorf("%q: %q", h.Name, text)
		}
	})
}

// FuzzReachable reads anything as the names that tincd's scripts noted.
func FuzzReachable(f *testing.F) {
	f.Add("c000000000001")
	f.Add("c00000000000g")
	f.Add("..")
	f.Fuzz(func(t *testing.T, name string) {
		n := Network{RunDir: t.TempDir()}
		if err := os.MkdirAll(n.upDir(), 0o755); err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(n.upDir(), name)
		if filepath.Dir(path) != n.upDir() || os.WriteFile(path, nil, 0o644) != nil {
			return
		}
		for _, got := range n.Reachable() {
			if !got.Valid() || string(got) != name {
				t.Errorf("%q from %q", got, name)
			}
		}
		if len(n.Since()) != len(n.Reachable()) {
			t.Errorf("%v and %v", n.Since(), n.Reachable())
		}
	})
}
