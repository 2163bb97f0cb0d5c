package agent

import (
	"testing"

	"cloudy/firstboot/nodeconfig"
)

func TestBridges(t *testing.T) {
	auto := nodeconfig.Mesh{MDNS: "auto", MDNSLimit: 50}
	for _, tt := range []struct {
		name  string
		conf  nodeconfig.Mesh
		alive int
		now   bool
		want  bool
	}{
		{"few", auto, 50, false, false},
		{"many", auto, 51, false, true},
		{"one left", auto, 50, true, true},
		{"a tenth left", auto, 45, true, false},
		{"always on the overlay", nodeconfig.Mesh{MDNS: "overlay", MDNSLimit: 1}, 200, false, false},
		{"never", nodeconfig.Mesh{MDNS: "bridge", MDNSLimit: 50}, 1, false, true},
	} {
		if got := bridges(tt.conf, tt.alive, tt.now); got != tt.want {
			t.Errorf("%s: %v", tt.name, got)
		}
	}
}
