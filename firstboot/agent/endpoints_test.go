package agent

import (
	"net/netip"
	"slices"
	"testing"

	"cloudy/firstboot/membership"
)

// TestEndpoints: an issuer is sought where it wrote down that it is, then where
// the configuration says, each place once; and no further than one of them
// helps.
func TestEndpoints(t *testing.T) {
	a := wishful(t)
	a.conf.Mesh.Peers = []string{"10.0.0.1", "127.0.0.1:99", "10.0.0.2", "10.0.0.3:port", "fd00::1"}
	at := netip.MustParseAddrPort
	v := membership.Invitation{Endpoints: []netip.AddrPort{at("10.0.0.9:7655"), at("10.0.0.1:7655")}}
	want := []netip.AddrPort{v.Endpoints[0], v.Endpoints[1], at("127.0.0.1:99"), at("10.0.0.2:7655"), at("[fd00::1]:7655")}
	if got := slices.Collect(a.endpointsOf(t.Context(), v)); !slices.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
	for to := range a.endpointsOf(t.Context(), v) {
		if to == want[2] {
			break
		}
	}
}
