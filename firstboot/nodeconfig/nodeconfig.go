// Package nodeconfig is the contract between the builder and the node: one
// versioned file that the builder writes into an image and the agent reads
// there. It depends on the standard library alone.
//
// The file is JSON. A reader refuses a version that it does not know, and a
// field that it does not know: an image whose agent is older than its
// configuration must say so and not do half of it.
package nodeconfig

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/netip"
	"os"
	"regexp"
)

// Version is the format that this package writes.
const Version = 1

// Path is where the file lies in an image.
const Path = "/etc/cloudy/node.json"

// maxSize bounds the file in bytes; a configuration with every service of
// the recipes is about 20 KB.
const maxSize = 1 << 20

// ErrVersion is the error of a file of another version.
var ErrVersion = errors.New("unknown version of the node configuration")

// Config is what the image says about the node that it becomes.
type Config struct {
	Version  int       `json:"version"`
	HostName string    `json:"host_name,omitempty"` // empty: made from the node's key
	Mesh     Mesh      `json:"mesh"`
	Services []Service `json:"services,omitempty"`
	Page     Page      `json:"page,omitzero"`
}

// Page is the node's page.
type Page struct {
	Off      bool `json:"off,omitempty"`
	HTTPPort int  `json:"http_port,omitempty"` // default DefaultHTTPPort
	TLSPort  int  `json:"tls_port,omitempty"`  // default DefaultTLSPort

	// Demo is for images that are shown around: the account guest has the
	// password "guest", and plain HTTP is not sent to TLS.
	Demo bool `json:"demo,omitempty"`
}

// Defaults of Page: the ports that Cloudy's page always had.
const (
	DefaultHTTPPort = 7000
	DefaultTLSPort  = 7443
)

// Mesh is the mesh that the node joins, and how it runs there.
type Mesh struct {
	Network    string   `json:"network,omitempty"`    // the community's name of the mesh; a node only joins a mesh of this name. Empty: any
	Invitation string   `json:"invitation,omitempty"` // baked-in invitation: the last seed tried
	Peers      []string `json:"peers,omitempty"`      // join endpoints to try beside those of the invitation, "host" or "host:port"
	Create     bool     `json:"create,omitempty"`     // this node founds the mesh, as its root
	Mode       string   `json:"mode,omitempty"`       // of a founded mesh: "switch" (default) or "router"
	Prefix4    string   `json:"prefix4,omitempty"`    // of a founded mesh: the IPv4 prefix of its nodes, default DefaultPrefix4
	Interface  string   `json:"interface,omitempty"`  // name of the overlay's network interface, default DefaultInterface
	TincPort   int      `json:"tinc_port,omitempty"`  // TCP and UDP, default DefaultTincPort
	JoinPort   int      `json:"join_port,omitempty"`  // TCP: joining and records, default DefaultJoinPort
	GossipPort int      `json:"gossip_port,omitempty"`
	TCPOnly    bool     `json:"tcp_only,omitempty"`   // tinc over TCP alone: where UDP does not pass
	Advertise  []string `json:"advertise,omitempty"`  // addresses that others reach this node at; empty: those of its interfaces
	MDNS       string   `json:"mdns,omitempty"`       // "auto" (default): on the overlay while there are few members; "overlay": always; "bridge": never
	MDNSLimit  int      `json:"mdns_limit,omitempty"` // how many living members are few, default DefaultMDNSLimit
	MDNSTypes  []string `json:"mdns_types,omitempty"` // types of others' services that the bridge shows in the local Avahi; empty: DefaultMDNSTypes; "*": all
	Supervisor string   `json:"supervisor,omitempty"` // who runs tincd: "systemd" (default) or "exec" (the agent itself)
}

// Defaults of Mesh.
const (
	DefaultInterface  = "cloudy"
	DefaultPrefix4    = "100.64.0.0/10" // shared address space (RFC 6598): community networks use 10/8 themselves
	DefaultTincPort   = 655             // IANA: tinc
	DefaultJoinPort   = 7655
	DefaultGossipPort = 7946 // Serf's

	// DefaultMDNSLimit is where mDNS leaves the overlay: one look for
	// services costs each node the answers of all, 1 MB in a mesh of 43, 25
	// MB in one of 200.
	DefaultMDNSLimit = 50
)

// DefaultMDNSTypes are the service types that community networks' nodes have
// always announced, and those of what people look for on a network.
var DefaultMDNSTypes = []string{
	"_tahoe-lafs._tcp", "_syncthing._tcp", "_peerstreamer._tcp", "_tincvpn._tcp", "_dnsservice._tcp", "_snpservice._tcp",
	"_proxy3._tcp", "_owp._tcp", "_etcd._tcp", "_serf._tcp", "_couchdb._tcp", "_ipfs._tcp", "_sip._udp", "_cloudy._tcp",
	"_http._tcp", "_https._tcp", "_ssh._tcp", "_sftp-ssh._tcp", "_ftp._tcp", "_nfs._tcp", "_smb._tcp", "_webdav._tcp", "_git._tcp",
	"_domain._udp", "_ntp._udp", "_xmpp-client._tcp", "_xmpp-server._tcp", "_mumble._tcp", "_rtsp._tcp", "_ipp._tcp",
}

// Default is the configuration of a node whose image has none.
func Default() Config {
	return Config{Version: Version}.WithDefaults()
}

// WithDefaults returns c with every empty field that has a default filled in.
func (c Config) WithDefaults() Config {
	m := &c.Mesh
	set := func(p *string, v string) {
		if *p == "" {
			*p = v
		}
	}
	setInt := func(p *int, v int) {
		if *p == 0 {
			*p = v
		}
	}
	set(&m.Mode, "switch")
	set(&m.Prefix4, DefaultPrefix4)
	set(&m.Interface, DefaultInterface)
	set(&m.Supervisor, "systemd")
	set(&m.MDNS, "auto")
	setInt(&m.MDNSLimit, DefaultMDNSLimit)
	setInt(&m.TincPort, DefaultTincPort)
	setInt(&m.JoinPort, DefaultJoinPort)
	setInt(&m.GossipPort, DefaultGossipPort)
	setInt(&c.Page.HTTPPort, DefaultHTTPPort)
	setInt(&c.Page.TLSPort, DefaultTLSPort)
	return c
}

var (
	hostName      = regexp.MustCompile(`^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$`) // RFC 1123 label
	interfaceName = regexp.MustCompile(`^[a-zA-Z][a-zA-Z0-9_-]{0,14}$`)        // IFNAMSIZ is 16 with its NUL
	networkName   = regexp.MustCompile(`^[a-z0-9][a-z0-9.-]{0,62}$`)
)

// ValidHostName says whether name is a host name of one label.
func ValidHostName(name string) bool { return hostName.MatchString(name) }

// ValidNetwork says whether name can name a mesh.
func ValidNetwork(name string) bool { return networkName.MatchString(name) }

// Validate returns every mistake of c, joined. It wants defaults filled in.
func (c Config) Validate() error {
	var errs []error
	bad := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	if c.Version != Version {
		return fmt.Errorf("%w: %d (known: %d)", ErrVersion, c.Version, Version)
	}
	if c.HostName != "" && !hostName.MatchString(c.HostName) {
		bad("host_name: %q is no host name", c.HostName)
	}
	m := c.Mesh
	if m.Network != "" && !networkName.MatchString(m.Network) {
		bad("mesh.network: %q is no network name", m.Network)
	}
	if m.Create && m.Network == "" {
		bad("mesh.create: needs mesh.network")
	}
	if m.Mode != "switch" && m.Mode != "router" {
		bad("mesh.mode: %q is neither switch nor router", m.Mode)
	}
	if p, err := netip.ParsePrefix(m.Prefix4); err != nil || !p.Addr().Is4() || p != p.Masked() || p.Bits() > 28 {
		bad("mesh.prefix4: %q is no IPv4 prefix of 28 bits or less", m.Prefix4)
	}
	if !interfaceName.MatchString(m.Interface) {
		bad("mesh.interface: %q is no interface name", m.Interface)
	}
	for name, port := range map[string]int{"tinc_port": m.TincPort, "join_port": m.JoinPort, "gossip_port": m.GossipPort} {
		if port < 1 || port > 65535 {
			bad("mesh.%s: %d is no port", name, port)
		}
	}
	for name, port := range map[string]int{"http_port": c.Page.HTTPPort, "tls_port": c.Page.TLSPort} {
		if port < 1 || port > 65535 {
			bad("page.%s: %d is no port", name, port)
		}
	}
	if c.Page.HTTPPort == c.Page.TLSPort {
		bad("page: http_port and tls_port are the same, %d", c.Page.HTTPPort)
	}
	for _, a := range m.Advertise {
		if _, err := netip.ParseAddr(a); err != nil {
			bad("mesh.advertise: %q is no address", a)
		}
	}
	if m.Supervisor != "systemd" && m.Supervisor != "exec" {
		bad("mesh.supervisor: %q is neither systemd nor exec", m.Supervisor)
	}
	if m.MDNS != "auto" && m.MDNS != "overlay" && m.MDNS != "bridge" {
		bad("mesh.mdns: %q is none of auto, overlay and bridge", m.MDNS)
	}
	if m.MDNSLimit < 0 {
		bad("mesh.mdns_limit: %d", m.MDNSLimit)
	}
	for _, t := range m.MDNSTypes {
		if t != "*" && !ValidServiceType(t) {
			bad("mesh.mdns_types: %q is no service type", t)
		}
	}
	errs = append(errs, c.checkServices()...)
	return errors.Join(errs...)
}

// Parse reads a configuration, fills in the defaults and validates it.
func Parse(data []byte) (Config, error) {
	var c Config
	if len(data) > maxSize {
		return c, fmt.Errorf("node configuration: %d bytes are more than %d", len(data), maxSize)
	}
	// The version first: a newer file has fields that are unknown here, and
	// "unknown version" tells more than "unknown field".
	var v struct {
		Version int `json:"version"`
	}
	if err := json.Unmarshal(data, &v); err != nil {
		return c, fmt.Errorf("node configuration: %w", err)
	}
	if v.Version != Version {
		return c, fmt.Errorf("node configuration: %w: %d (known: %d)", ErrVersion, v.Version, Version)
	}
	d := json.NewDecoder(bytes.NewReader(data))
	d.DisallowUnknownFields()
	if err := d.Decode(&c); err != nil {
		return c, fmt.Errorf("node configuration: %w", err)
	}
	if _, err := d.Token(); err != io.EOF {
		return c, errors.New("node configuration: text after its end")
	}
	c = c.WithDefaults()
	if err := c.Validate(); err != nil {
		return c, fmt.Errorf("node configuration: %w", err)
	}
	return c, nil
}

// Load reads the file at path; a missing file is Default.
func Load(path string) (Config, error) {
	data, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return Default(), nil
	}
	if err != nil {
		return Config{}, fmt.Errorf("node configuration: %w", err)
	}
	return Parse(data)
}

// Encode returns the file's content: indented, with a newline at the end,
// the same bytes for the same configuration.
func (c Config) Encode() ([]byte, error) {
	c.Version = Version
	data, err := json.MarshalIndent(c, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("node configuration: %w", err)
	}
	return append(data, '\n'), nil
}
