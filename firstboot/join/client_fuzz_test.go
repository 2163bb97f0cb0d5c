package join

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/netip"
	"path/filepath"
	"testing"

	"cloudy/firstboot/membership"
	"cloudy/firstboot/roster"
)

// answers is an endpoint that always says the same.
type answers struct {
	status int
	body   []byte
}

func (a answers) RoundTrip(*http.Request) (*http.Response, error) {
	return &http.Response{StatusCode: a.status, Body: io.NopCloser(bytes.NewReader(a.body))}, nil
}

// FuzzFetched: a member answers anything, with any status, to what is fetched of
// it. What gets into the roster was signed by its owner, and a refusal is one
// of a member only if it has the form of one.
func FuzzFetched(f *testing.F) {
	w := newWorldAt(f, f.TempDir())
	token, v := w.invite(Offer{})
	private := newKey()
	adm, err := w.join(private, token, v)
	if err != nil {
		f.Fatal(err)
	}
	rec, err := membership.SignNode(private, adm.Chain, membership.Node{Mesh: w.mesh.ID, Seq: 1, Host: "n", RSA: rsaDER(), TincPort: 655, JoinPort: 7655})
	if err != nil {
		f.Fatal(err)
	}
	list, err := membership.SignServices(private, membership.Services{Mesh: w.mesh.ID, Seq: 1, List: []membership.Service{{Name: "a", Type: "_http._tcp", Port: 80}}})
	if err != nil {
		f.Fatal(err)
	}
	rev, err := membership.SignRevocation(w.private, membership.Revocation{Mesh: w.mesh.ID, Key: membership.KeyOf(private)})
	if err != nil {
		f.Fatal(err)
	}
	double := refusal(409, CodeDouble, "newer")
	double.Record = &rec
	for status, v := range map[int]any{
		200: Known{Nodes: []membership.NodeRecord{rec}, Services: []membership.Signed{list}}, 201: []membership.Signed{rev},
		403: revoked(w.state, nil), 409: double, 202: refusal(202, CodePending, "wait"), 500: "oh",
	} {
		data, err := json.Marshal(v)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(status, data)
	}
	f.Add(200, []byte(`{"nodes":[{}],"services":[{"p":"e30=","s":""}]}`))
	f.Fuzz(func(t *testing.T, status int, body []byte) {
		s := &Session{netip.MustParseAddrPort("[fd00::1]:7655"), http.Client{Transport: answers{status, body}}}
		r, _, err := roster.Open(w.mesh, filepath.Join(t.TempDir(), "roster"))
		if err != nil {
			t.Fatal(err)
		}
		var known Known
		err = s.Fetch(t.Context(), "known", &known)
		var ref *Refusal
		if errors.As(err, &ref) {
			if status == 200 || ref.Code == "" || ref.Status != status {
				t.Errorf("status %d: %+v", status, ref)
			}
			ref.Permanent()
			if ref.Record != nil {
				if n, _, err := ref.Record.Verify(w.mesh); err == nil && n.Key != membership.KeyOf(private) {
					t.Errorf("a record that nobody signed: %+v", n)
				}
			}
			for _, x := range ref.Revocations {
				r.AddRevocation(x)
			}
		} else if err == nil && status != 200 {
			t.Errorf("status %d is an answer", status)
		}
		for _, x := range known.Nodes {
			r.AddNode(x)
		}
		for _, x := range known.Services {
			r.AddServices(x)
		}
		var revocations []membership.Signed
		if s.Fetch(t.Context(), "revocations", &revocations) == nil {
			for _, x := range revocations {
				r.AddRevocation(x)
			}
		}
		for _, m := range r.Members() {
			if _, _, err := m.Record.Verify(w.mesh); err != nil || m.Node.Key != membership.KeyOf(private) {
				t.Errorf("in the roster: %s, %v", m.Name(), err)
			}
			if m.Services != nil && m.Services.Key != m.Node.Key {
				t.Errorf("services of %s at %s", m.Services.Key.Name(), m.Name())
			}
		}
	})
}
