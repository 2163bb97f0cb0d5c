package membership

import (
	"encoding/json"
	"fmt"
	"net/netip"

	"cloudy/firstboot/nodeconfig"
)

// maxRoots bounds the roots of a mesh.
const maxRoots = 16

// Genesis is what a mesh is: fixed when it is founded, the same on all its
// nodes, named by its hash.
type Genesis struct {
	Version int    `json:"v"`
	Network string `json:"mesh"` // the community's name of it
	Roots   []Key  `json:"roots"`
	Mode    string `json:"mode"`    // tinc's: "switch" or "router"
	Prefix4 string `json:"prefix4"` // the IPv4 addresses of its nodes
	MDNS    string `json:"mdns"`    // "auto", "on" or "off": mDNS over the overlay
	Founded int64  `json:"founded"` // Unix seconds by the founder's clock; for people
}

// Mesh is a genesis with its name.
type Mesh struct {
	Genesis
	ID  Hash
	Raw []byte // the bytes that ID is the hash of
}

// NewMesh founds a mesh.
func NewMesh(g Genesis) (Mesh, error) {
	g.Version = version
	raw, err := json.Marshal(g)
	if err != nil {
		return Mesh{}, fmt.Errorf("genesis: %w", err)
	}
	return ParseMesh(raw)
}

// ParseMesh reads a genesis. The caller compares the ID with the one that it
// trusts.
func ParseMesh(raw []byte) (Mesh, error) {
	m := Mesh{Raw: raw, ID: HashOf(raw)}
	if len(raw) > 4096 {
		return Mesh{}, fmt.Errorf("genesis: %d bytes: %w", len(raw), ErrFormat)
	}
	if err := json.Unmarshal(raw, &m.Genesis); err != nil {
		return Mesh{}, fmt.Errorf("genesis: %w: %v", ErrFormat, err)
	}
	if err := checkVersion("genesis", m.Version); err != nil {
		return Mesh{}, err
	}
	bad := func(what string) (Mesh, error) { return Mesh{}, fmt.Errorf("genesis: %s: %w", what, ErrFormat) }
	p, err := netip.ParsePrefix(m.Prefix4)
	switch {
	case !nodeconfig.ValidNetwork(m.Network):
		return bad("network name")
	case len(m.Roots) == 0 || len(m.Roots) > maxRoots:
		return bad("number of roots")
	case m.Mode != "switch" && m.Mode != "router":
		return bad("mode")
	case err != nil || !p.Addr().Is4() || p != p.Masked() || p.Bits() > 28 || p.Bits() < 8:
		return bad("prefix4")
	case m.MDNS != "auto" && m.MDNS != "on" && m.MDNS != "off":
		return bad("mdns")
	}
	return m, nil
}

// IsRoot says whether the key is one of the mesh's roots.
func (m Mesh) IsRoot(k Key) bool {
	for _, r := range m.Roots {
		if r == k {
			return true
		}
	}
	return false
}
