package membership

import (
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/x509"
	"fmt"
	"net/netip"
	"regexp"
	"slices"

	"cloudy/firstboot/nodeconfig"
)

// Limits of records, so that no member can fill the others' memory.
const (
	maxEndpoints = 8
	maxLinks     = 8
	maxServices  = nodeconfig.MaxAnnounced
)

// Node is what a node says of itself.
type Node struct {
	Version   int          `json:"v"`
	Mesh      Hash         `json:"m"`
	Key       Key          `json:"k"`
	Seq       uint64       `json:"seq"`           // the higher one counts
	Host      string       `json:"host"`          // host name, for people
	RSA       []byte       `json:"rsa"`           // tinc's public key, PKCS #1 DER
	Endpoints []netip.Addr `json:"at,omitempty"`  // where tinc and the join endpoint are reached; none behind a NAT
	TincPort  uint16       `json:"tinc"`          // TCP and UDP
	JoinPort  uint16       `json:"join"`          // TCP
	Salt      uint32       `json:"salt"`          // of Address4
	Links     []Name       `json:"to,omitempty"`  // members that it connects to, who keep its host file
	Agent     string       `json:"sw,omitempty"`  // version of the agent, for people
	Lot       string       `json:"lot,omitempty"` // drawn when another machine with this key showed itself; the larger one yields
}

// NodeRecord is a Node as it travels, with what proves that it is a member.
type NodeRecord struct {
	Chain  Chain  `json:"chain"`
	Record Signed `json:"record"`
}

// Equal says whether both are the same bytes.
func (r NodeRecord) Equal(s NodeRecord) bool {
	return r.Record.Equal(s.Record) && slices.EqualFunc(r.Chain, s.Chain, Signed.Equal)
}

// Service is one announced service.
type Service struct {
	Name string            `json:"name"` // instance name, shown to people
	Type string            `json:"type"` // "_http._tcp"
	Port uint16            `json:"port"`
	TXT  map[string]string `json:"txt,omitempty"`
}

// Services are all services that a node announces: those that answer now.
type Services struct {
	Version int       `json:"v"`
	Mesh    Hash      `json:"m"`
	Key     Key       `json:"k"`
	Seq     uint64    `json:"seq"`
	List    []Service `json:"list"`
}

var (
	hostForm = regexp.MustCompile(`^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$`)
)

// CheckRSA says whether der is a key that a node's tinc may have: PKCS #1,
// 2048 to 4096 bits, exponent 65537.
func CheckRSA(der []byte) (*rsa.PublicKey, error) {
	if len(der) > 1024 {
		return nil, fmt.Errorf("tinc key of %d bytes: %w", len(der), ErrFormat)
	}
	key, err := x509.ParsePKCS1PublicKey(der)
	if err != nil {
		return nil, fmt.Errorf("tinc key: %w: %v", ErrFormat, err)
	}
	if n := key.N.BitLen(); n < 2048 || n > 4096 || key.E != 65537 {
		return nil, fmt.Errorf("tinc key of %d bits, exponent %d: %w", n, key.E, ErrFormat)
	}
	return key, nil
}

// SignNode signs a record.
func SignNode(private ed25519.PrivateKey, chain Chain, n Node) (NodeRecord, error) {
	n.Version, n.Key = version, KeyOf(private)
	s, err := sign(kindNode, private, n)
	return NodeRecord{chain, s}, err
}

// Verify checks signature, membership and form. It knows nothing of
// revocations. The certificates are the chain's, the node's own first.
func (r NodeRecord) Verify(m Mesh) (Node, []Certificate, error) {
	var n Node
	fail := func(err error) (Node, []Certificate, error) { return Node{}, nil, err }
	if err := r.Record.decode(kindNode, &n); err != nil {
		return fail(err)
	}
	if err := checkVersion(kindNode, n.Version); err != nil {
		return fail(err)
	}
	if err := r.Record.check(kindNode, n.Key); err != nil {
		return fail(err)
	}
	certs, err := r.Chain.Verify(m)
	if err != nil {
		return fail(err)
	}
	bad := func(what string) (Node, []Certificate, error) {
		return fail(fmt.Errorf("record of %s: %s: %w", n.Key.Name(), what, ErrFormat))
	}
	switch {
	case n.Mesh != m.ID:
		return fail(fmt.Errorf("record of %s: %w", n.Key.Name(), ErrMesh))
	case certs[0].Key != n.Key:
		return fail(fmt.Errorf("record of %s with the certificate of %s: %w", n.Key.Name(), certs[0].Key.Name(), ErrChain))
	case certs[0].RSA != HashOf(n.RSA):
		return bad("tinc key is not the certified one")
	case !hostForm.MatchString(n.Host):
		return bad("host name")
	case len(n.Endpoints) > maxEndpoints:
		return bad("endpoints")
	case n.TincPort == 0 || n.JoinPort == 0:
		return bad("port")
	case len(n.Links) > maxLinks:
		return bad("links")
	case !nodeconfig.Printable(n.Agent, 40):
		return bad("version of the agent")
	case !nodeconfig.Printable(n.Lot, 32):
		return bad("lot")
	}
	if _, err := CheckRSA(n.RSA); err != nil {
		return fail(err)
	}
	for _, a := range n.Endpoints {
		if !Reachable(a) {
			return bad("endpoint " + a.String())
		}
	}
	for _, l := range n.Links {
		if !l.Valid() {
			return bad("link")
		}
	}
	return n, certs, nil
}

// Reachable says whether an address can be that of another node: no zone,
// not this host itself, no group, and in the form that has one spelling.
func Reachable(a netip.Addr) bool {
	return a.IsValid() && a.Zone() == "" && !a.Is4In6() && a.IsGlobalUnicast()
}

// SignServices signs a list.
func SignServices(private ed25519.PrivateKey, s Services) (Signed, error) {
	s.Version, s.Key = version, KeyOf(private)
	return sign(kindServices, private, s)
}

// VerifyServices checks signature and form. Whether the signer is a member
// is for the caller, who has its record.
func VerifyServices(s Signed, m Mesh) (Services, error) {
	var v Services
	if err := s.decode(kindServices, &v); err != nil {
		return Services{}, err
	}
	if err := checkVersion(kindServices, v.Version); err != nil {
		return Services{}, err
	}
	if err := s.check(kindServices, v.Key); err != nil {
		return Services{}, err
	}
	if v.Mesh != m.ID {
		return Services{}, fmt.Errorf("services of %s: %w", v.Key.Name(), ErrMesh)
	}
	if len(v.List) > maxServices {
		return Services{}, fmt.Errorf("%d services of %s: %w", len(v.List), v.Key.Name(), ErrFormat)
	}
	for _, x := range v.List {
		if err := x.Check(); err != nil {
			return Services{}, fmt.Errorf("services of %s: %w", v.Key.Name(), err)
		}
	}
	return v, nil
}

// Check says whether the service can be announced.
func (s Service) Check() error {
	if err := nodeconfig.CheckAnnouncement(s.Name, nodeconfig.Announce{Type: s.Type, Port: int(s.Port), TXT: s.TXT}); err != nil {
		return fmt.Errorf("service %.70q: %w: %w", s.Name, err, ErrFormat)
	}
	return nil
}
