package join

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"cloudy/firstboot/membership"
	"cloudy/firstboot/roster"
)

// rsaDER is one key for all: making one takes long, and here none is used.
var rsaDER = sync.OnceValue(func() []byte {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		panic(err)
	}
	return x509.MarshalPKCS1PublicKey(&key.PublicKey)
})

func newKey() ed25519.PrivateKey {
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		panic(err)
	}
	return key
}

// world is a founder with its endpoint on the loopback.
type world struct {
	t       testing.TB
	private ed25519.PrivateKey
	mesh    membership.Mesh
	state   State
	ledger  *Ledger
	at      netip.AddrPort
	dir     string
	mu      sync.Mutex
	now     time.Time
	heard   int
	doubles []membership.NodeRecord
}

func (w *world) State() (State, bool) { return w.state, true }
func (w *world) Heard()               { w.heard++ }

func (w *world) Double(rec membership.NodeRecord) { w.doubles = append(w.doubles, rec) }
func (w *world) clock() time.Time                 { w.mu.Lock(); defer w.mu.Unlock(); return w.now }
func (w *world) pass(d time.Duration)             { w.mu.Lock(); defer w.mu.Unlock(); w.now = w.now.Add(d) }

func newWorld(t *testing.T) *world {
	t.Helper()
	return newWorldAt(t, t.TempDir())
}

func newWorldAt(t testing.TB, dir string) *world {
	t.Helper()
	w := &world{t: t, private: newKey(), dir: dir, now: time.Unix(1_800_000_000, 0)}
	self := membership.KeyOf(w.private)
	var err error
	check := func() {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	w.mesh, err = membership.NewMesh(membership.Genesis{Network: "test", Roots: []membership.Key{self}, Mode: "switch", Prefix4: "100.64.0.0/10", MDNS: "auto"})
	check()
	chain, err := membership.Admit(w.private, w.mesh, nil, membership.Certificate{Key: self, RSA: membership.HashOf(rsaDER()), Role: membership.RoleInviter})
	check()
	rec, err := membership.SignNode(w.private, chain, membership.Node{
		Mesh: w.mesh.ID, Seq: 1, Host: "root", RSA: rsaDER(), Endpoints: []netip.Addr{netip.MustParseAddr("10.0.0.1")}, TincPort: 655, JoinPort: 7655,
	})
	check()
	r, _, err := roster.Open(w.mesh, filepath.Join(w.dir, "roster"))
	check()
	_, err = r.AddNode(rec)
	check()
	w.ledger, err = OpenLedger(filepath.Join(w.dir, "invitations.json"), w.clock)
	check()
	w.state = State{Mesh: w.mesh, Chain: chain, Self: rec, Keys: membership.GossipKeys{Epoch: 1, Keys: [][]byte{make([]byte, 32)}}, Roster: r}
	w.at = w.serve(w.private, w.ledger)
	return w
}

func (w *world) serve(private ed25519.PrivateKey, l *Ledger) netip.AddrPort {
	w.t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		w.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	w.t.Cleanup(cancel)
	s := &Server{Private: private, Ledger: l, Member: w, Log: slog.New(slog.NewTextHandler(io.Discard, nil)), Now: w.clock}
	go s.Serve(ctx, ln)
	return netip.MustParseAddrPort(ln.Addr().String())
}

func (w *world) invite(o Offer) (string, membership.Invitation) {
	w.t.Helper()
	o.Mesh, o.Endpoints = w.mesh.ID, []netip.AddrPort{w.at}
	if o.Lifetime == 0 {
		o.Lifetime = time.Hour
	}
	o.Uses = max(o.Uses, 1)
	token, v, err := w.ledger.Issue(w.private, o)
	if err != nil {
		w.t.Fatal(err)
	}
	return token, v
}

func (w *world) join(private ed25519.PrivateKey, token string, v membership.Invitation) (Admission, error) {
	w.pass(10 * time.Second) // the rate limit is another test's
	return NewClient(private).Join(w.t.Context(), w.at, v, membership.Join{Invite: token, RSA: rsaDER(), Host: "n", TincPort: 655, JoinPort: 7655})
}

func wantCode(t *testing.T, err error, code string) {
	t.Helper()
	var ref *Refusal
	if !errors.As(err, &ref) || ref.Code != code {
		t.Errorf("error %v, want a refusal with %q", err, code)
	}
}

func TestJoinOnce(t *testing.T) {
	w := newWorld(t)
	token, v := w.invite(Offer{})
	first := newKey()
	adm, err := w.join(first, token, v)
	if err != nil {
		t.Fatal(err)
	}
	certs, err := adm.Chain.Verify(w.mesh)
	if err != nil || certs[0].Key != membership.KeyOf(first) || certs[0].Role != membership.RoleNode {
		t.Fatalf("certificates %+v, %v", certs, err)
	}
	if len(adm.Keys.Keys) != 1 || len(adm.Records) != 1 || !adm.Observed.IsLoopback() {
		t.Errorf("welcome %+v", adm.Welcome)
	}
	// A lost answer: the same node may ask again, after the expiry too,
	// and after the issuer started again.
	w.pass(2 * time.Hour)
	if w.ledger, err = OpenLedger(filepath.Join(w.dir, "invitations.json"), w.clock); err != nil {
		t.Fatal(err)
	}
	w.at = w.serve(w.private, w.ledger)
	again, err := w.join(first, token, v)
	if err != nil || again.Chain[0].Digest() != adm.Chain[0].Digest() {
		t.Errorf("the same node asks again: %v", err)
	}
	// A replay by somebody else.
	_, err = w.join(newKey(), token, v)
	wantCode(t, err, CodeUsed)
}

func TestJoinRefused(t *testing.T) {
	w := newWorld(t)
	t.Run("expired", func(t *testing.T) {
		token, v := w.invite(Offer{Lifetime: time.Minute})
		w.pass(time.Minute)
		_, err := w.join(newKey(), token, v)
		wantCode(t, err, CodeExpired)
	})
	t.Run("cancelled", func(t *testing.T) {
		token, v := w.invite(Offer{})
		if err := w.ledger.Cancel(v.ID()); err != nil {
			t.Fatal(err)
		}
		_, err := w.join(newKey(), token, v)
		wantCode(t, err, CodeCancelled)
	})
	t.Run("bound to another", func(t *testing.T) {
		holder := membership.KeyOf(newKey())
		token, v := w.invite(Offer{Holder: &holder})
		_, err := w.join(newKey(), token, v)
		wantCode(t, err, CodeUsed)
	})
	t.Run("n uses", func(t *testing.T) {
		token, v := w.invite(Offer{Uses: 2})
		for range 2 {
			if _, err := w.join(newKey(), token, v); err != nil {
				t.Fatal(err)
			}
		}
		_, err := w.join(newKey(), token, v)
		wantCode(t, err, CodeUsed)
	})
	t.Run("signed by somebody else", func(t *testing.T) {
		token, v := w.invite(Offer{})
		forged := v
		forged.Expires += 1e6
		thief := newKey()
		other, err := forged.Token(thief)
		if err != nil {
			t.Fatal(err)
		}
		_, err = w.join(newKey(), other, v)
		wantCode(t, err, CodeForeign)
		_ = token
	})
	t.Run("tampered", func(t *testing.T) {
		token, v := w.invite(Offer{Role: membership.RoleNode})
		parts := strings.Split(token, ".")
		payload, _ := base64.RawURLEncoding.DecodeString(parts[1])
		parts[1] = base64.RawURLEncoding.EncodeToString([]byte(strings.Replace(string(payload), `"u":1`, `"u":9`, 1)))
		bad := strings.Join(parts, ".")
		if bad == token {
			t.Fatal("nothing was changed")
		}
		if _, err := membership.ParseInvitation(bad); !errors.Is(err, membership.ErrSignature) {
			t.Errorf("the joiner takes it: %v", err)
		}
		_, err := w.join(newKey(), bad, v)
		wantCode(t, err, CodeSignature)
	})
	t.Run("unknown to the ledger", func(t *testing.T) {
		_, v := w.invite(Offer{})
		v.Nonce[0]++
		token, err := v.Token(w.private)
		if err != nil {
			t.Fatal(err)
		}
		_, err = w.join(newKey(), token, v)
		wantCode(t, err, CodeForeign)
	})
	t.Run("request signed by another key", func(t *testing.T) {
		token, v := w.invite(Offer{})
		signed, err := membership.SignJoin(newKey(), membership.Join{Invite: token, RSA: rsaDER(), Host: "n", TincPort: 1, JoinPort: 1})
		if err != nil {
			t.Fatal(err)
		}
		w.pass(time.Minute)
		var out Welcome
		err = NewClient(newKey()).once(t.Context(), w.at, func(k membership.Key) bool { return k == v.Issuer }, "POST", "/v1/join", Request{signed}, &out)
		wantCode(t, err, CodeSignature)
	})
	t.Run("host name with a line break", func(t *testing.T) {
		token, v := w.invite(Offer{})
		w.pass(time.Minute)
		_, err := NewClient(newKey()).Join(t.Context(), w.at, v, membership.Join{Invite: token, RSA: rsaDER(), Host: "a\nConnectTo = evil", TincPort: 1, JoinPort: 1})
		wantCode(t, err, CodeMalformed)
	})
	t.Run("large body", func(t *testing.T) {
		w.pass(time.Minute)
		err := NewClient(newKey()).once(t.Context(), w.at, func(membership.Key) bool { return true }, "POST", "/v1/join", strings.Repeat("x", maxRequest), &struct{}{})
		if err == nil {
			t.Error("a body over the limit is taken")
		}
	})
}

// TestImpostor: an endpoint without the issuer's key gets nothing, not even
// the request.
func TestImpostor(t *testing.T) {
	w := newWorld(t)
	token, v := w.invite(Offer{})
	w.at = w.serve(newKey(), w.ledger)
	if _, err := w.join(newKey(), token, v); !errors.Is(err, ErrImpostor) {
		t.Errorf("error %v, want ErrImpostor", err)
	}
	if n := len(w.ledger.List()[0].Used); n != 0 {
		t.Errorf("the invitation was used %d times", n)
	}
}

func TestFlood(t *testing.T) {
	w := newWorld(t)
	token, v := w.invite(Offer{})
	limited := false
	for range 15 {
		_, err := NewClient(newKey()).Join(t.Context(), w.at, v, membership.Join{Invite: token, RSA: rsaDER(), Host: "n", TincPort: 1, JoinPort: 1})
		var ref *Refusal
		limited = limited || errors.As(err, &ref) && ref.Code == CodeBusy && !ref.Permanent()
	}
	if !limited {
		t.Error("15 requests at once, and none was refused")
	}
	w.pass(time.Minute)
	if _, err := w.join(newKey(), token, v); err != nil {
		var ref *Refusal
		if errors.As(err, &ref) && ref.Code == CodeBusy {
			t.Error("still limited after a minute")
		}
	}
}

func TestReturn(t *testing.T) {
	w := newWorld(t)
	token, v := w.invite(Offer{})
	private := newKey()
	adm, err := w.join(private, token, v)
	if err != nil {
		t.Fatal(err)
	}
	rec, err := membership.SignNode(private, adm.Chain, membership.Node{Mesh: w.mesh.ID, Seq: 1, Host: "n", RSA: rsaDER(), TincPort: 655, JoinPort: 7655})
	if err != nil {
		t.Fatal(err)
	}
	root := membership.KeyOf(w.private)
	w.pass(time.Minute)
	if _, err := NewClient(private).Return(t.Context(), w.at, root, rec); err != nil {
		t.Fatal(err)
	}
	if _, ok := w.state.Roster.Get(membership.KeyOf(private).Name()); !ok || w.heard == 0 {
		t.Errorf("known: %v, heard %d times", ok, w.heard)
	}
	// Another record with the same number is another machine's, or of a
	// backup: the answer is the one that is known. The same one is not.
	twin, err := membership.SignNode(private, adm.Chain, membership.Node{Mesh: w.mesh.ID, Seq: 1, Host: "twin", RSA: rsaDER(), TincPort: 655, JoinPort: 7655})
	if err != nil {
		t.Fatal(err)
	}
	_, err = NewClient(private).Return(t.Context(), w.at, root, twin)
	wantCode(t, err, CodeDouble)
	var double *Refusal
	if errors.As(err, &double) && (double.Record == nil || double.Record.Record.Digest() != rec.Record.Digest()) {
		t.Errorf("the answer has the record %+v", double.Record)
	}
	if _, err := NewClient(private).Return(t.Context(), w.at, root, rec); err != nil {
		t.Errorf("the same record again: %v", err)
	}
	// A node is shown records of its own key, and no others.
	if err := NewClient(private).Show(t.Context(), w.at, root, w.state.Self); err != nil || len(w.doubles) != 1 {
		t.Errorf("shown its own record: %v, %d", err, len(w.doubles))
	}
	w.pass(time.Minute)
	wantCode(t, NewClient(private).Show(t.Context(), w.at, root, rec), CodeForeign)
	// Somebody else's connection with a copied record gets no keys.
	_, err = NewClient(newKey()).Return(t.Context(), w.at, root, rec)
	wantCode(t, err, CodeSignature)
	// A revoked member is told so, on both ways in.
	rev, err := membership.SignRevocation(w.private, membership.Revocation{Mesh: w.mesh.ID, Key: membership.KeyOf(private)})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.state.Roster.AddRevocation(rev); err != nil {
		t.Fatal(err)
	}
	_, err = NewClient(private).Return(t.Context(), w.at, root, rec)
	wantCode(t, err, CodeRevoked)
	_, err = w.join(private, token, v)
	wantCode(t, err, CodeRevoked)
	// The record of a stranger to the mesh.
	stranger := newWorld(t)
	_, err = NewClient(stranger.private).Return(t.Context(), w.at, root, stranger.state.Self)
	wantCode(t, err, CodeForeign)
	// The catalogue is for members, over the mesh.
	session, err := NewClient(private).Visit(w.at, root.Name())
	if err != nil {
		t.Fatal(err)
	}
	defer session.Close()
	err = session.Fetch(t.Context(), "node/"+string(root.Name()), &rec)
	wantCode(t, err, CodeForeign)
}

// TestLedgerOnDisk: an admission that cannot be written down is none.
func TestLedgerOnDisk(t *testing.T) {
	w := newWorld(t)
	token, v := w.invite(Offer{})
	path := filepath.Join(w.dir, "invitations.json")
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(filepath.Join(path, "in the way"), 0o755); err != nil {
		t.Fatal(err)
	}
	_, err := w.join(newKey(), token, v)
	wantCode(t, err, CodeInternal)
	if err := os.RemoveAll(path); err != nil {
		t.Fatal(err)
	}
	if _, err := w.join(newKey(), token, v); err != nil {
		t.Errorf("the invitation was used up by an admission that failed: %v", err)
	}
}
