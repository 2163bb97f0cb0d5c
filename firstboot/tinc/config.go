// Package tinc writes the configuration of a tinc 1.0 network (tinc.conf(5),
// version 1.0.36 in Debian) out of typed fields, and runs tincd.
//
// No text that came from another node gets into a file: names have one form,
// addresses and ports are numbers, keys are parsed and written anew. A host
// file could otherwise carry any option of tinc, scripts included.
package tinc

import (
	"bytes"
	"crypto/sha256"
	"encoding/pem"
	"fmt"
	"io/fs"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"cloudy/firstboot/durable"
	"cloudy/firstboot/membership"
)

// Host is another member, as tincd must know it to talk to it directly.
type Host struct {
	Name      membership.Name
	Endpoints []netip.AddrPort // none: it connects to us
	RSA       []byte           // PKCS #1 DER
	Address4  netip.Addr       // overlay addresses; used in router mode
	Address6  netip.Addr
}

// Network is all of one node's tinc.
type Network struct {
	Dir       string // the configuration folder, absolute: tincd leaves its working directory
	RunDir    string // where the scripts note who is reachable, absolute
	Mode      string // "switch" or "router"
	Interface string
	Port      uint16
	TCPOnly   bool
	KeyPEM    []byte // the private key
	Self      Host
	Drain     bool         // this node takes strayProbe before others do
	Prefix4   netip.Prefix // own address with the prefix length of the interface
	Prefix6   netip.Prefix
	ConnectTo []membership.Name
	Hosts     []Host
}

// Change is what must be done to a running tincd after Write.
type Change struct {
	Restart bool // something that tincd reads at its start
	Reload  bool // links changed, or a host is gone and must be cut off
	Address bool // the overlay addresses changed: the up script is to run again
}

// overlayMTU is the least that IPv6 allows (RFC 8200, section 5). Where a path
// carries less than 1350 bytes, tinc answers a larger packet with a "packet
// too big" that says less than that, which Linux ignores: nothing large would
// cross. A packet of this size goes over the meta connection there.
const overlayMTU = 1280

// longAgo is the time stamp of host files.
var longAgo = time.Unix(1, 0)

// Exists says whether the configuration has been written before.
func (n Network) Exists() bool {
	_, err := os.Stat(filepath.Join(n.Dir, "tinc.conf"))
	return err == nil
}

// Write brings the folder to what the network says, and writes nothing that
// is so already. A host that is new needs no signal, for tincd reads its file
// when it connects.
func (n Network) Write() (Change, error) {
	var c Change
	if err := n.check(); err != nil {
		return c, err
	}
	hosts := filepath.Join(n.Dir, "hosts")
	for _, d := range []string{n.Dir, hosts, n.upDir()} {
		if err := os.MkdirAll(d, 0o755); err != nil {
			return c, err
		}
		if err := durable.Clean(d); err != nil {
			return c, err
		}
	}
	for _, f := range []struct {
		name string
		data []byte
		mode fs.FileMode
		mark *bool
	}{
		{"rsa_key.priv", n.KeyPEM, 0o600, &c.Restart},
		{"hosts/" + string(n.Self.Name), n.selfFile(), 0o644, &c.Restart},
		{"host-up", n.hostScript("up"), 0o755, new(bool)},
		{"host-down", n.hostScript("down"), 0o755, new(bool)},
		{"tinc-up", n.upScript(), 0o755, &c.Address},
	} {
		changed, err := durable.Update(filepath.Join(n.Dir, f.name), f.data, f.mode)
		if err != nil {
			return c, err
		}
		*f.mark = *f.mark || changed
	}
	keep := map[string]bool{string(n.Self.Name): true}
	for _, h := range n.Hosts {
		keep[string(h.Name)] = true
		path := filepath.Join(hosts, string(h.Name))
		if _, err := durable.Update(path, n.hostFile(h), 0o644); err != nil {
			return c, err
		}
		// At a reload tincd drops the links to all whose files are newer
		// than its start, which is everybody who joined since. A file of
		// long ago keeps its link; one that is gone still loses it.
		if err := os.Chtimes(path, longAgo, longAgo); err != nil {
			return c, err
		}
	}
	entries, err := os.ReadDir(hosts)
	if err != nil {
		return c, err
	}
	for _, e := range entries {
		if !keep[e.Name()] {
			if err := durable.Remove(filepath.Join(hosts, e.Name())); err != nil {
				return c, err
			}
			c.Reload = true
		}
	}
	// tinc.conf last: with it the network is complete, and without it no
	// tincd starts.
	fixed, links := n.conf()
	path := filepath.Join(n.Dir, "tinc.conf")
	old, err := os.ReadFile(path)
	if err != nil || !bytes.HasPrefix(old, fixed) {
		c.Restart = true
	} else if !bytes.Equal(old[len(fixed):], links) {
		c.Reload = true
	}
	_, err = durable.Update(path, append(fixed, links...), 0o644)
	return c, err
}

func (n Network) check() error {
	if !filepath.IsAbs(n.Dir) || !filepath.IsAbs(n.RunDir) {
		return fmt.Errorf("tinc: %s and %s must be absolute", n.Dir, n.RunDir)
	}
	if strings.ContainsAny(n.RunDir, "'\n\\$`\"") {
		return fmt.Errorf("tinc: folder %q in a script", n.RunDir)
	}
	for _, h := range append([]Host{n.Self}, n.Hosts...) {
		if !h.Name.Valid() {
			return fmt.Errorf("tinc: host name %.40q: %w", h.Name, membership.ErrFormat)
		}
		if _, err := membership.CheckRSA(h.RSA); err != nil {
			return fmt.Errorf("tinc: host %s: %w", h.Name, err)
		}
		for _, e := range h.Endpoints {
			if !membership.Reachable(e.Addr()) || e.Port() == 0 {
				return fmt.Errorf("tinc: host %s: endpoint %s: %w", h.Name, e, membership.ErrFormat)
			}
		}
	}
	for _, name := range n.ConnectTo {
		if !slices.ContainsFunc(n.Hosts, func(h Host) bool { return h.Name == name }) {
			return fmt.Errorf("tinc: link to %s, whose key is unknown", name)
		}
	}
	return nil
}

// conf returns tinc.conf: what tincd reads once, and what it reads again at
// a reload.
func (n Network) conf() (fixed, links []byte) {
	var b bytes.Buffer
	fmt.Fprintf(&b, "# Written by cloudy-node; changes here are lost.\n")
	fmt.Fprintf(&b, "Name = %s\nMode = %s\nInterface = %s\n", n.Self.Name, n.Mode, n.Interface)
	// A switch is a tap device whatever the name; AddressFamily any, so
	// that IPv6-only parts of a community take part.
	fmt.Fprintf(&b, "AddressFamily = any\n")
	fmt.Fprintf(&b, "PrivateKeyFile = %s\n", filepath.Join(n.Dir, "rsa_key.priv"))
	// Defaults are 60 and 900 seconds: a link that is dead for a minute
	// unnoticed, a node that stays away for a quarter of an hour.
	fmt.Fprintf(&b, "PingInterval = 10\nPingTimeout = 5\nMaxTimeout = 60\n")
	if n.Mode == "router" {
		fmt.Fprintf(&b, "Broadcast = mst\n") // multicast (mDNS) still reaches everybody
	}
	fixed = bytes.Clone(b.Bytes())
	b.Reset()
	for _, name := range n.ConnectTo {
		fmt.Fprintf(&b, "ConnectTo = %s\n", name)
	}
	return fixed, b.Bytes()
}

// strayProbe is where tinc 1.0.36 sends an answer to a probe of a path's MTU
// when it has no key for who asked yet: it marks the answer by a 1 in the first
// byte, for UDP, and hands it to a meta connection as if it were somebody's
// frame (net_packet.c, mtu_probe_h and send_udppacket). The next tincd finds a
// multicast frame and gives it to all members: 1,400 bytes to each, several
// times for each pair of members whenever keys are new. Where the address is a
// member's, that one gets it alone, and its kernel drops it.
const strayProbe = "1:0:0:0:0:0"

// Who takes them: tinc prefers the least weight among those that it reaches.
const (
	drainWeight  = 10
	memberWeight = 20
)

// selfFile is the node's own host file: how others shall send to it.
func (n Network) selfFile() []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, "Port = %d\n", n.Port)
	// tinc 1.0's defaults are blowfish and a MAC of 4 bytes.
	fmt.Fprintf(&b, "Cipher = aes-256-cbc\nDigest = sha256\nMACLength = 16\nCompression = 0\n")
	if n.TCPOnly {
		fmt.Fprintf(&b, "TCPOnly = yes\n")
	}
	n.subnets(&b, n.Self)
	if n.Mode != "router" {
		weight := memberWeight
		if n.Drain {
			weight = drainWeight
		}
		fmt.Fprintf(&b, "Subnet = %s#%d\n", strayProbe, weight)
	}
	writeKey(&b, n.Self.RSA)
	return b.Bytes()
}

func (n Network) hostFile(h Host) []byte {
	var b bytes.Buffer
	for _, e := range h.Endpoints {
		fmt.Fprintf(&b, "Address = %s %d\n", e.Addr(), e.Port())
	}
	if len(h.Endpoints) > 0 {
		fmt.Fprintf(&b, "Port = %d\n", h.Endpoints[0].Port())
	}
	n.subnets(&b, h)
	writeKey(&b, h.RSA)
	return b.Bytes()
}

func (n Network) subnets(b *bytes.Buffer, h Host) {
	if n.Mode != "router" {
		return // a switch learns
	}
	for _, a := range []netip.Addr{h.Address4, h.Address6} {
		if a.IsValid() {
			fmt.Fprintf(b, "Subnet = %s/%d\n", a, a.BitLen())
		}
	}
}

func writeKey(b *bytes.Buffer, der []byte) {
	pem.Encode(b, &pem.Block{Type: "RSA PUBLIC KEY", Bytes: der})
}

// HardwareAddress is a member's in a switch: fixed, so that the neighbours'
// caches stay right when tincd starts again, and everybody knows it.
// 02: locally administered, one host.
func HardwareAddress(name membership.Name) net.HardwareAddr {
	sum := sha256.Sum256([]byte("cloudy-mac/1|" + string(name)))
	return append(net.HardwareAddr{2}, sum[:5]...)
}

// upScript gives the interface its addresses when tincd has made it, also
// when the agent is not there.
func (n Network) upScript() []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, "#!/bin/sh\n# Written by cloudy-node; changes here are lost.\n")
	fmt.Fprintf(&b, "[ -n \"$INTERFACE\" ] || INTERFACE=%s\n", n.Interface)
	if n.Mode == "switch" {
		fmt.Fprintf(&b, "ip link set dev \"$INTERFACE\" address %s 2>/dev/null\n", HardwareAddress(n.Self.Name))
	}
	fmt.Fprintf(&b, "ip -4 addr flush dev \"$INTERFACE\"\n")
	fmt.Fprintf(&b, "ip link set dev \"$INTERFACE\" mtu %d up\n", overlayMTU)
	fmt.Fprintf(&b, "ip -4 addr replace %s dev \"$INTERFACE\"\n", n.Prefix4)
	// nodad: the address is the key's, and duplicate detection would make
	// it unusable for the first second.
	fmt.Fprintf(&b, "ip -6 addr replace %s dev \"$INTERFACE\" nodad\n", n.Prefix6)
	if n.Mode == "router" {
		fmt.Fprintf(&b, "ip link set dev \"$INTERFACE\" multicast on\nip -4 route replace 224.0.0.0/4 dev \"$INTERFACE\"\n")
	}
	fmt.Fprintf(&b, "exit 0\n")
	return b.Bytes()
}

// UpScript is the path of the script that gives the interface its addresses.
func (n Network) UpScript() string { return filepath.Join(n.Dir, "tinc-up") }

func (n Network) upDir() string { return filepath.Join(n.RunDir, "reachable") }

// hostScript notes who is reachable: a file for each node. tincd tells it
// through these scripts alone; to ask it with signals, as tinc 1.0 offers,
// crashes it now and then, for it walks its tables inside the handler.
func (n Network) hostScript(what string) []byte {
	line := ": >'" + n.upDir() + "/'\"$NODE\""
	if what == "down" {
		line = "rm -f '" + n.upDir() + "/'\"$NODE\""
	}
	return []byte("#!/bin/sh\n# Written by cloudy-node; changes here are lost.\n" +
		"case $NODE in c????????????) ;; *) exit 0 ;; esac\n" + // tincd allows no slash in a name either
		line + "\n")
}

// Reachable returns the members that tincd reaches now, itself left out.
func (n Network) Reachable() []membership.Name {
	entries, _ := os.ReadDir(n.upDir())
	var out []membership.Name
	for _, e := range entries {
		if name := membership.Name(e.Name()); name.Valid() && name != n.Self.Name {
			out = append(out, name)
		}
	}
	return out
}

// Since returns the members that tincd reaches now, with when it found each of
// them, itself left out.
func (n Network) Since() map[membership.Name]time.Time {
	out := map[membership.Name]time.Time{}
	for _, name := range n.Reachable() {
		if info, err := os.Stat(filepath.Join(n.upDir(), string(name))); err == nil {
			out[name] = info.ModTime()
		}
	}
	return out
}

// ForgetReachable is for when tincd starts: it reports everybody anew.
func (n Network) ForgetReachable() {
	for _, name := range n.Reachable() {
		os.Remove(filepath.Join(n.upDir(), string(name)))
	}
}
