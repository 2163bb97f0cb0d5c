package join

import (
	"bytes"
	"crypto/ed25519"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"io"
	"log/slog"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"
	"time"

	"cloudy/firstboot/membership"
	"cloudy/firstboot/roster"
)

// signedBy is a statement as it travels, of any bytes; membership signs only
// what has its form.
func signedBy(private ed25519.PrivateKey, kind string, payload []byte) membership.Signed {
	return membership.Signed{Payload: payload, Sig: ed25519.Sign(private, append([]byte("cloudy/"+kind+"/1\x00"), payload...))}
}

// FuzzEndpoint asks the endpoint for anything: the body as it is, and as the
// payload of a request and a record that a member signed. Whatever comes, the
// answer is one that is documented, and the roster stays sound.
func FuzzEndpoint(f *testing.F) {
	w := newWorldAt(f, f.TempDir())
	token, v := w.invite(Offer{Uses: 100})
	member := newKey()
	adm, err := w.join(member, token, v)
	if err != nil {
		f.Fatal(err)
	}
	n := membership.Node{Version: 1, Mesh: w.mesh.ID, Key: membership.KeyOf(member), Seq: 1, Host: "n", RSA: rsaDER(), TincPort: 655, JoinPort: 7655}
	j := membership.Join{Version: 1, Invite: token, Key: membership.KeyOf(member), RSA: rsaDER(), Host: "n", TincPort: 655, JoinPort: 7655}
	add := func(v any) {
		b, err := json.Marshal(v)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	add(n)
	add(j)
	req, err := membership.SignJoin(member, j)
	if err != nil {
		f.Fatal(err)
	}
	add(Request{req})
	rec, err := membership.SignNode(member, adm.Chain, n)
	if err != nil {
		f.Fatal(err)
	}
	add(Return{rec})
	f.Add([]byte(`{"join":{"p":"e30","s":""}}`))
	f.Add([]byte(`{"record":{"chain":[{}],"record":{}}}`))
	s := &Server{Private: w.private, Ledger: w.ledger, Member: w, Log: slog.New(slog.NewTextHandler(io.Discard, nil)), Now: w.clock}
	state := &tls.ConnectionState{PeerCertificates: []*x509.Certificate{{PublicKey: member.Public()}}}
	f.Fuzz(func(t *testing.T, data []byte) {
		for path, bodies := range map[string][]any{
			"/v1/join":   {json.RawMessage(data), Request{signedBy(member, "join", data)}},
			"/v1/double": {json.RawMessage(data), Return{membership.NodeRecord{Chain: w.state.Self.Chain, Record: signedBy(w.private, "node", data)}}},
			"/v1/return": {json.RawMessage(data), Return{membership.NodeRecord{Chain: adm.Chain, Record: signedBy(member, "node", data)}}},
		} {
			for _, body := range bodies {
				raw, ok := body.(json.RawMessage)
				if !ok {
					raw, _ = json.Marshal(body)
				}
				w.pass(10 * time.Second)
				r := httptest.NewRequest("POST", path, bytes.NewReader(raw))
				r.TLS, r.RemoteAddr = state, "10.1.2.3:4"
				out := httptest.NewRecorder()
				s.handler().ServeHTTP(out, r)
				switch out.Code {
				case 200, 400, 401, 403, 409, 410:
				default:
					t.Errorf("%s: status %d: %s", path, out.Code, out.Body)
				}
				if !json.Valid(out.Body.Bytes()) {
					t.Errorf("%s: answer %q", path, out.Body)
				}
			}
		}
		for _, m := range w.state.Roster.Members() {
			if _, _, err := m.Record.Verify(w.mesh); err != nil {
				t.Errorf("in the roster: %v", err)
			}
		}
	})
}

// FuzzAnswer reads anything as an inviter's answer. Nobody is in a mesh by an
// answer that the inviter's chain does not carry.
func FuzzAnswer(f *testing.F) {
	w := newWorldAt(f, f.TempDir())
	token, v := w.invite(Offer{})
	private := newKey()
	j := membership.Join{Invite: token, RSA: rsaDER(), Host: "n", TincPort: 655, JoinPort: 7655}
	adm, err := w.join(private, token, v)
	if err != nil {
		f.Fatal(err)
	}
	b, err := json.Marshal(adm.Welcome)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b)
	f.Add([]byte(`{"genesis":"e30=","chain":[],"records":[{}],"keys":{"keys":["AA=="]},"observed":"::1%eth0"}`))
	r, _, err := roster.Open(w.mesh, filepath.Join(f.TempDir(), "roster"))
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		var got Welcome
		if json.Unmarshal(data, &got) != nil {
			return
		}
		a, err := admission(got, membership.KeyOf(private), v, j)
		if err == nil {
			if a.Mesh.ID != w.mesh.ID || a.Chain[0].Digest() != adm.Chain[0].Digest() {
				t.Errorf("admitted by %+v", a)
			}
		}
		got.Keys.Check()
		for _, x := range got.Records {
			if _, err := r.AddNode(x); err == nil {
				if _, _, err := x.Verify(w.mesh); err != nil {
					t.Errorf("taken into the roster: %v", err)
				}
			}
		}
		for _, x := range got.Revocations {
			if news, err := r.AddRevocation(x); news && err == nil {
				t.Error("a revocation that nobody signed")
			}
		}
	})
}

// FuzzLedger opens anything as the ledger, which a bad card may have changed,
// and redeems an invitation with it.
func FuzzLedger(f *testing.F) {
	w := newWorldAt(f, f.TempDir())
	_, v := w.invite(Offer{})
	b, err := json.Marshal(w.ledger.List())
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b)
	f.Add([]byte(`[null]`))
	f.Add([]byte(`[{"invitation":{},"used":[{}]}]`))
	f.Fuzz(func(t *testing.T, data []byte) {
		path := filepath.Join(t.TempDir(), "invitations.json")
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
		l, err := OpenLedger(path, w.clock)
		if err != nil {
			return
		}
		l.List()
		l.Cancel(v.ID())
		l.Redeem(v, membership.KeyOf(w.private), "h", func() (membership.Chain, error) { return nil, nil })
	})
}
