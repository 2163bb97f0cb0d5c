package membership

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"errors"
	"math/big"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
)

var rsaDER = sync.OnceValue(func() []byte {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		panic(err)
	}
	return x509.MarshalPKCS1PublicKey(&key.PublicKey)
})

// key returns the same key for the same number.
func key(n byte) ed25519.PrivateKey {
	seed := make([]byte, ed25519.SeedSize)
	seed[0] = n
	return ed25519.NewKeyFromSeed(seed)
}

func testMesh(t testing.TB, roots ...byte) Mesh {
	g := Genesis{Network: "test", Mode: "switch", Prefix4: "100.64.0.0/10", MDNS: "auto"}
	for _, r := range roots {
		g.Roots = append(g.Roots, KeyOf(key(r)))
	}
	m, err := NewMesh(g)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func admit(t testing.TB, m Mesh, by byte, parent Chain, who byte, role Role) Chain {
	t.Helper()
	c, err := Admit(key(by), m, parent, Certificate{Key: KeyOf(key(who)), RSA: HashOf(rsaDER()), Role: role})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestChain(t *testing.T) {
	m := testMesh(t, 1)
	one := admit(t, m, 1, nil, 11, RoleInviter)
	two := admit(t, m, 11, one, 12, RoleInviter)
	three := admit(t, m, 12, two, 13, RoleInviter)
	leaf := admit(t, m, 13, three, 14, RoleInviter)
	if _, err := Admit(key(14), m, leaf, Certificate{Key: KeyOf(key(15)), Role: RoleNode}); !errors.Is(err, ErrChain) {
		t.Errorf("a chain of five: %v", err)
	}
	plain := admit(t, m, 1, nil, 20, RoleNode)
	if _, err := Admit(key(20), m, plain, Certificate{Key: KeyOf(key(21)), Role: RoleNode}); !errors.Is(err, ErrChain) {
		t.Errorf("admitted by a plain member: %v", err)
	}
	if _, err := leaf.Verify(testMesh(t, 2)); !errors.Is(err, ErrMesh) {
		t.Errorf("in another mesh: %v", err)
	}
	if _, err := (Chain{leaf[0], leaf[2], leaf[3]}).Verify(m); !errors.Is(err, ErrChain) {
		t.Errorf("a certificate is missing: %v", err)
	}
	if _, err := leaf[:2].Verify(m); !errors.Is(err, ErrChain) {
		t.Errorf("the chain ends before the root: %v", err)
	}
	if _, err := (Chain{}).Verify(m); !errors.Is(err, ErrChain) {
		t.Errorf("no certificate: %v", err)
	}
	// A statement of another kind with the same content.
	var cert Certificate
	if err := leaf[0].decode(kindCertificate, &cert); err != nil {
		t.Fatal(err)
	}
	other, err := sign(kindRevocation, key(13), cert)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := append(Chain{other}, three...).Verify(m); !errors.Is(err, ErrSignature) {
		t.Errorf("a signature of another kind: %v", err)
	}
	for i := range leaf {
		bad := append(Chain(nil), leaf...)
		bad[i].Payload = []byte(strings.Replace(string(bad[i].Payload), `"at":0`, `"at":1`, 1))
		if _, err := bad.Verify(m); !errors.Is(err, ErrSignature) {
			t.Errorf("certificate %d changed: %v", i, err)
		}
	}
}

func TestRevoked(t *testing.T) {
	m := testMesh(t, 1, 2, 3)
	one := admit(t, m, 1, nil, 11, RoleInviter)
	leaf, err := admit(t, m, 11, one, 12, RoleNode).Verify(m)
	if err != nil {
		t.Fatal(err)
	}
	rev := func(by, whom byte, tree bool) Revocation {
		s, err := SignRevocation(key(by), Revocation{Mesh: m.ID, Key: KeyOf(key(whom)), Subtree: tree})
		if err != nil {
			t.Fatal(err)
		}
		r, err := VerifyRevocation(s, m)
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	for name, tt := range map[string]struct {
		list []Revocation
		want bool
	}{
		"none":                       {nil, false},
		"by its inviter":             {[]Revocation{rev(11, 12, false)}, true},
		"by the root above":          {[]Revocation{rev(1, 12, false)}, true},
		"by itself":                  {[]Revocation{rev(12, 12, false)}, true},
		"by a stranger":              {[]Revocation{rev(30, 12, false)}, false},
		"by another root":            {[]Revocation{rev(2, 12, false)}, false},
		"by another root twice":      {[]Revocation{rev(2, 12, false), rev(2, 12, true)}, false},
		"by two other roots":         {[]Revocation{rev(2, 12, false), rev(3, 12, false)}, true},
		"its inviter":                {[]Revocation{rev(1, 11, false)}, false},
		"its inviter with all below": {[]Revocation{rev(1, 11, true)}, true},
		"another":                    {[]Revocation{rev(1, 40, true)}, false},
		"its inviter by it":          {[]Revocation{rev(12, 11, true)}, false},
	} {
		if _, got := Revoked(m, leaf, tt.list); got != tt.want {
			t.Errorf("%s: %v, want %v", name, got, tt.want)
		}
	}
}

func TestNodeRecord(t *testing.T) {
	m := testMesh(t, 1)
	chain := admit(t, m, 1, nil, 11, RoleNode)
	good := Node{Mesh: m.ID, Seq: 1, Host: "node-1", RSA: rsaDER(), TincPort: 655, JoinPort: 7655, Endpoints: []netip.Addr{netip.MustParseAddr("10.1.2.3")}}
	check := func(n Node, by byte) error {
		r, err := SignNode(key(by), chain, n)
		if err != nil {
			t.Fatal(err)
		}
		_, _, err = r.Verify(m)
		return err
	}
	if err := check(good, 11); err != nil {
		t.Fatal(err)
	}
	if err := check(good, 12); !errors.Is(err, ErrChain) {
		t.Errorf("with another's certificate: %v", err)
	}
	for name, change := range map[string]func(*Node){
		"host name":        func(n *Node) { n.Host = "a\nb" },
		"empty host name":  func(n *Node) { n.Host = "" },
		"tinc key":         func(n *Node) { n.RSA = append([]byte(nil), n.RSA[:len(n.RSA)-1]...) },
		"loopback":         func(n *Node) { n.Endpoints = []netip.Addr{netip.MustParseAddr("127.0.0.1")} },
		"group":            func(n *Node) { n.Endpoints = []netip.Addr{netip.MustParseAddr("224.0.0.1")} },
		"link-local":       func(n *Node) { n.Endpoints = []netip.Addr{netip.MustParseAddr("fe80::1")} },
		"mapped":           func(n *Node) { n.Endpoints = []netip.Addr{netip.MustParseAddr("::ffff:10.0.0.1")} },
		"many endpoints":   func(n *Node) { n.Endpoints = make([]netip.Addr, 9) },
		"port":             func(n *Node) { n.TincPort = 0 },
		"link":             func(n *Node) { n.Links = []Name{"../../etc/passwd"} },
		"agent's version":  func(n *Node) { n.Agent = "\x1b[2J" },
		"invalid endpoint": func(n *Node) { n.Endpoints = []netip.Addr{{}} },
	} {
		n := good
		change(&n)
		if err := check(n, 11); !errors.Is(err, ErrFormat) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestServiceCheck(t *testing.T) {
	good := Service{Name: "Wiki (català)", Type: "_http._tcp", Port: 80, TXT: map[string]string{"path": "/"}}
	if err := good.Check(); err != nil {
		t.Fatal(err)
	}
	for name, s := range map[string]Service{
		"type":      {Name: "a", Type: "http", Port: 1},
		"name":      {Name: "", Type: "_http._tcp", Port: 1},
		"control":   {Name: "a\x1b", Type: "_http._tcp", Port: 1},
		"long":      {Name: strings.Repeat("x", 64), Type: "_http._tcp", Port: 1},
		"port":      {Name: "a", Type: "_http._tcp"},
		"txt key":   {Name: "a", Type: "_http._tcp", Port: 1, TXT: map[string]string{"a=b": ""}},
		"txt value": {Name: "a", Type: "_http._tcp", Port: 1, TXT: map[string]string{"a": strings.Repeat("x", 200)}},
	} {
		if err := s.Check(); !errors.Is(err, ErrFormat) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestAddresses(t *testing.T) {
	m := testMesh(t, 1)
	p4 := netip.MustParsePrefix(m.Prefix4)
	seen := map[netip.Addr]bool{}
	for i := range byte(100) {
		k := KeyOf(key(i))
		a4, a6 := m.Address4(k, 0), m.Address6(k)
		if !p4.Contains(a4) || !m.Prefix6().Contains(a6) || seen[a6] {
			t.Fatalf("%s: %s %s", k, a4, a6)
		}
		seen[a6] = true
		if m.Address4(k, 1) == a4 {
			t.Errorf("%s: the salt changes nothing", k)
		}
	}
	// Small prefixes have no network and broadcast addresses in them.
	m.Prefix4 = "10.9.8.0/28"
	for i := range byte(200) {
		if a := m.Address4(KeyOf(key(i)), 0).As4()[3]; a == 0 || a == 15 {
			t.Fatalf("host part %d", a)
		}
	}
	// Changing how addresses are made would renumber every mesh.
	m = Mesh{Genesis: Genesis{Prefix4: "100.64.0.0/10"}}
	if got := m.Address6(Key{}).String() + " " + m.Address4(Key{}, 0).String(); got != goldenAddresses {
		t.Errorf("addresses are %q, were %q", got, goldenAddresses)
	}
}

func TestInvitationText(t *testing.T) {
	v := Invitation{Mesh: HashOf(nil), Endpoints: []netip.AddrPort{netip.MustParseAddrPort("10.1.2.3:7655")}, Expires: 1, Uses: 1}
	token, err := v.Token(key(1))
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%d characters", len(token))
	for _, text := range []string{token, "\ufeff" + token + "\r\n", "https://10.1.2.3/join#" + token, "Hello,\n\n  " + token + " \n", utf16(token)} {
		if FindToken(text) != token {
			t.Errorf("not found in %q", text)
		}
	}
	got, err := ParseInvitation(token)
	if err != nil || got.Issuer != KeyOf(key(1)) || got.Role != RoleNode || got.Endpoints[0] != v.Endpoints[0] {
		t.Errorf("%+v, %v", got, err)
	}
	for i := range token {
		bad := []byte(token)
		bad[i] ^= 1
		if _, err := ParseInvitation(string(bad)); err == nil {
			t.Fatalf("taken with character %d changed", i)
		}
	}
}

// TestInvitationSpelling: an invitation has one spelling. The signature's 512
// bits are 86 characters with four bits to spare, and Go's base64 skips line
// breaks; neither makes a second text of one invitation.
func TestInvitationSpelling(t *testing.T) {
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
	token, err := Invitation{Expires: 1, Uses: 1}.Token(key(1))
	if err != nil {
		t.Fatal(err)
	}
	dot := strings.LastIndexByte(token, '.')
	for _, at := range []int{dot - 1, len(token) - 1} { // the last character of payload and signature
		for _, c := range alphabet {
			bad := token[:at] + string(c) + token[at+1:]
			if _, err := ParseInvitation(bad); err == nil && bad != token {
				t.Errorf("taken with %q at %d instead of %q", c, at, token[at])
			}
		}
	}
	for _, bad := range []string{
		token + "\n", "\n" + token, token[:40] + "\n" + token[40:], token[:dot+9] + "\r\n" + token[dot+9:], token[:len(token)-1] + "\n",
		token + "=", token + "==", token + "A", token + ".", token + ".AA", token[:dot] + "." + token[dot:], token[:dot+1], token[:dot], "",
	} {
		if _, err := ParseInvitation(bad); err == nil {
			t.Errorf("taken: %q", bad)
		}
	}
	// A signature has one form as well: S and S plus the group's order L
	// satisfy the same equation, and RFC 8032 (section 5.1.7) lets S < L count.
	raw, err := base64.RawURLEncoding.DecodeString(token[dot+1:])
	if err != nil {
		t.Fatal(err)
	}
	order, _ := new(big.Int).SetString("7237005577332262213973186563042994240857116359379907606001950938285454250989", 10) // 2^252 + 27742317777372353535851937790883648493
	scalar := slices.Clone(raw[32:])
	slices.Reverse(scalar) // little endian
	sum := new(big.Int).Add(new(big.Int).SetBytes(scalar), order).FillBytes(make([]byte, 32))
	slices.Reverse(sum)
	bad := token[:dot+1] + base64.RawURLEncoding.EncodeToString(append(slices.Clone(raw[:32]), sum...))
	if _, err := ParseInvitation(bad); !errors.Is(err, ErrSignature) {
		t.Errorf("a second signature for one invitation: %v", err)
	}
}

func utf16(s string) string {
	var b strings.Builder
	b.WriteString("\xff\xfe")
	for i := range s {
		b.WriteByte(s[i])
		b.WriteByte(0)
	}
	return b.String()
}

func FuzzParseInvitation(f *testing.F) {
	token, err := Invitation{Expires: 1, Uses: 1}.Token(key(1))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(token)
	f.Add("cloudy1.e30.")
	f.Add(token + "\n")
	f.Add(strings.Replace(token, ".", "..", 1))
	f.Fuzz(func(t *testing.T, s string) {
		FindToken(s)
		v, err := ParseInvitation(s)
		if err != nil {
			return
		}
		if v.Uses < 1 || len(v.Endpoints) > 8 || v.Role == "" || s != token {
			t.Errorf("taken, and the fuzzer has no key: %+v", v)
		}
		if FindToken("see "+s+"\r\n") != s {
			t.Errorf("parsed, but not found: %q", s)
		}
	})
}

// FuzzStatements signs whatever the fuzzer says, as a member gone bad would:
// nothing that verifies may break a bound.
func FuzzStatements(f *testing.F) {
	m := testMesh(f, 1)
	chain := admit(f, m, 1, nil, 11, RoleInviter)
	add := func(v any) {
		b, err := json.Marshal(v)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	k := KeyOf(key(11))
	add(Node{Version: 1, Mesh: m.ID, Key: k, Host: "a", RSA: rsaDER(), TincPort: 1, JoinPort: 1, Links: []Name{k.Name()}})
	add(Services{Version: 1, Mesh: m.ID, Key: k, List: []Service{{Name: "a", Type: "_http._tcp", Port: 1}}})
	add(Revocation{Version: 1, Mesh: m.ID, Key: k, By: k})
	add(Certificate{Version: 1, Mesh: m.ID, Key: k, By: k, Role: RoleNode})
	add(Join{Version: 1, Key: k, RSA: rsaDER(), Host: "a", TincPort: 1, JoinPort: 1})
	f.Fuzz(func(t *testing.T, payload []byte) {
		signed := func(kd kind) Signed { return Signed{payload, ed25519.Sign(key(11), message(kd, payload))} }
		if n, _, err := (NodeRecord{chain, signed(kindNode)}).Verify(m); err == nil {
			for _, l := range n.Links {
				if !l.Valid() {
					t.Errorf("link %q", l)
				}
			}
			if n.Key != k || strings.ContainsAny(n.Host, "\n/ ") {
				t.Errorf("%+v", n)
			}
		}
		if s, err := VerifyServices(signed(kindServices), m); err == nil && (s.Key != k || len(s.List) > maxServices) {
			t.Errorf("%+v", s)
		}
		if r, err := VerifyRevocation(signed(kindRevocation), m); err == nil && r.By != k {
			t.Errorf("%+v", r)
		}
		if certs, err := append(Chain{signed(kindCertificate)}, chain...).Verify(m); err == nil && certs[0].By != k {
			t.Errorf("%+v", certs)
		}
		if j, err := VerifyJoin(signed(kindJoin)); err == nil && j.Key != k {
			t.Errorf("%+v", j)
		}
		ParseMesh(payload)
	})
}

const goldenAddresses = "fd48:ba05:3337:59fe:e094:a2ad:b1b2:8813 100.99.113.145"
