package page

import (
	"bufio"
	"context"
	"errors"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"
)

// The flows of somebody without a script: forms and links alone.

func TestInvite(t *testing.T) {
	s := serve(t, citizen(5), nil)
	c := s.client(Admin)
	r := c.follow(c.post("/invite", "do", "invite", "hours", "24", "uses", "3", "inviter", "yes"))
	if !strings.Contains(r.body, fakeToken) || !strings.Contains(r.body, `class="qr"`) {
		t.Fatal("the invitation is not shown")
	}
	if got := s.node.did(); !slices.Equal(got, []string{"invite 24h0m0s 3 true false"}) {
		t.Errorf("the node did %q", got)
	}
	if strings.Contains(c.get("/invite").body, fakeToken) {
		t.Error("the token is shown again, unasked")
	}
	if strings.Contains(s.client(Admin).get("/invite?show=4fzYk3Qa").body, fakeToken) {
		t.Error("another session sees the token")
	}
	c.follow(c.post("/invite", "do", "cancel", "id", "4fzYk3Qa"))
	if r := c.get("/invite"); !strings.Contains(r.body, mTakenBack[english]) {
		t.Error("not shown as taken back")
	}
	for _, bad := range [][]string{{"do", "invite", "hours", "24", "uses", "0"}, {"do", "invite", "hours", "24", "uses", "x"}, {"do", "invite", "hours", "99999", "uses", "1"}} {
		if r := c.post("/invite", bad...); r.status != 422 {
			t.Errorf("%q: %d", bad, r.status)
		}
	}
	s.node.set(func(f *fake) { f.err = errors.New("this node has no address that others reach") })
	if r := c.post("/invite", "do", "invite", "hours", "24", "uses", "7"); r.status != 422 || !strings.Contains(r.body, "no address that others reach") || !strings.Contains(r.body, `value="7"`) {
		t.Errorf("what the node says is lost, or the form is: %d", r.status)
	}
	s.node.set(func(f *fake) { f.facts.MayInvite = false })
	if r := c.get("/invite"); !strings.Contains(r.body, mMayNotInvite[english]) || strings.Contains(r.body, `name="uses"`) {
		t.Error("a node that may not invite offers to")
	}
}

func TestApprove(t *testing.T) {
	s := serve(t, citizen(5), nil)
	c := s.client(Admin)
	if r := c.get("/invite"); !strings.Contains(r.body, "cloudy-71ab90") {
		t.Error("who waits is not shown")
	}
	c.follow(c.post("/invite", "do", "invite", "hours", "1", "uses", "1", "approve", "yes"))
	c.follow(c.post("/invite", "do", "deny", "id", "c71ab90ffe012"))
	if r := c.follow(c.post("/invite", "do", "approve", "id", "c71ab90ffe012")); strings.Contains(r.body, "cloudy-71ab90") || !strings.Contains(r.body, mApproved[english]) {
		t.Error("who was approved waits still, or it is not told")
	}
	if got := s.node.did(); !slices.Equal(got, []string{"invite 1h0m0s 1 false true", "decide c71ab90ffe012 false", "decide c71ab90ffe012 true"}) {
		t.Errorf("the node did %q", got)
	}
}

func TestJoin(t *testing.T) {
	s := serve(t, newcomer(), nil)
	c := s.client(Admin)
	if r := c.get("/"); !strings.Contains(r.body, `href="/join"`) || !strings.Contains(r.body, mNoInvitation[english]) {
		t.Error("the way in is not shown")
	}
	if r := c.post("/join", "invitation", "something else"); r.status != 422 || !strings.Contains(r.body, "something else") || !strings.Contains(r.body, mNoInvitationThere[english]) {
		t.Errorf("what is no invitation: %d", r.status)
	}
	r := c.follow(c.post("/join", "invitation", "  Dear all,\n"+fakeToken+"\n"))
	if !strings.Contains(r.body, mJoining[english]) || !strings.Contains(r.body, mStageJoin[english]) {
		t.Error("the stages are not shown")
	}
	if got := s.node.did(); len(got) != 1 || !strings.Contains(got[0], fakeToken) {
		t.Errorf("the node did %q", got)
	}
	for _, path := range []string{"/map", "/services", "/members"} {
		if r := c.get(path); r.status != 200 || !strings.Contains(r.body, mNotInMeshWhat[english]) {
			t.Errorf("%s of a node in no mesh: %d", path, r.status)
		}
	}
	if r := serve(t, citizen(5), nil).client(Admin).get("/join"); !strings.Contains(r.body, mAlreadyIn[english]) || strings.Contains(r.body, "textarea") {
		t.Error("a member is asked to join")
	}
}

func TestSwitchAndPublish(t *testing.T) {
	s := serve(t, citizen(5), nil)
	c := s.client(Admin)
	c.follow(c.post("/own", "do", "on", "service", "etcd"))
	c.follow(c.post("/own", "do", "off", "service", "tahoe-lafs"))
	r := c.follow(c.post("/own", "do", "publish", "title", "Chess club", "type", "_chess._tcp", "port", "5000"))
	if !strings.Contains(r.body, "Chess club is announced.") {
		t.Error("not told")
	}
	if strings.Contains(c.get("/own").body, "Chess club is announced.") {
		t.Error("told twice")
	}
	c.follow(c.post("/own", "do", "unpublish", "service", "Wiki", "kind", "_http._tcp"))
	if got := s.node.did(); !slices.Equal(got, []string{"switch etcd true", "switch tahoe-lafs false", "publish Chess club _chess._tcp 5000", "unpublish Wiki _http._tcp"}) {
		t.Errorf("the node did %q", got)
	}
	for _, bad := range [][]string{
		{"do", "publish", "title", "x", "type", "http", "port", "80"}, {"do", "publish", "title", "x", "type", "_http._tcp", "port", "70000"},
		{"do", "publish", "title", "", "type", "_http._tcp", "port", "80"}, {"do", "explode"},
	} {
		if r := c.post("/own", bad...); r.status != 422 {
			t.Errorf("%q: %d", bad, r.status)
		}
	}
}

func TestRevokeAndReset(t *testing.T) {
	s := serve(t, citizen(6), nil)
	c := s.client(Admin)
	name := s.node.members[4].Name
	if r := c.get("/member?name=" + name); !strings.Contains(r.body, mRevokeDo[english]) {
		t.Error("no way to put a member out")
	}
	if r := c.get("/member?name=" + s.node.members[0].Name); strings.Contains(r.body, mRevokeDo[english]+"</button>") {
		t.Error("a node is offered to put itself out")
	}
	if r := c.post("/member", "name", name, "reason", "stolen"); r.status != 422 || !strings.Contains(r.body, `value="stolen"`) {
		t.Errorf("without the tick: %d", r.status)
	}
	c.follow(c.post("/member", "name", name, "reason", " stolen,\r\n again ", "subtree", "yes", "sure", "yes"))
	if r := c.post("/member", "name", "c000000000000", "sure", "yes"); r.status != 422 {
		t.Errorf("who is no member: %d", r.status)
	}
	if r := c.post("/reset", "kind", "identity", "host", "other"); r.status != 422 {
		t.Errorf("without the name: %d", r.status)
	}
	if r := c.post("/reset", "kind", "everything", "host", s.node.facts.Host); r.status != 422 {
		t.Errorf("a kind that there is not: %d", r.status)
	}
	c.follow(c.post("/reset", "kind", "identity", "host", s.node.facts.Host))
	if got := s.node.did(); !slices.Equal(got, []string{"revoke " + name + ` "stolen, again" true`, "reset identity"}) {
		t.Errorf("the node did %q", got)
	}
}

func TestFilters(t *testing.T) {
	all := citizen(14).catalogue
	for query, want := range map[string]int{
		"": 13, "type=_http._tcp": 7, "q=wiki": 1, "q=WIKI+gracia": 1, "q=tahoe": 1, "q=grid=osona": 1, "host=rubi": 1, "host=node-": 13, "port=443": 1,
		"address=100.69.": 1, "latency=50": 5, "latency=150": 9, "type=_http._tcp&latency=50": 2, "q=nothing+like+it": 0, "port=x": 13, "type=_none._tcp": 0,
		"address=fd3a:91c2": 13,
	} {
		r, err := http.NewRequest("GET", "/services?"+query, nil)
		if err != nil {
			t.Fatal(err)
		}
		f := newFilter(r.URL.Query())
		n := 0
		for _, o := range all {
			if (f.kind == "" || f.kind == o.Type) && f.passes(&o) {
				n++
			}
		}
		if n != want {
			t.Errorf("%q lets %d through, not %d", query, n, want)
		}
		if g := newFilter(f.query()); g != f {
			t.Errorf("%q becomes %+v", query, g)
		}
	}
	s := serve(t, citizen(14), nil)
	c := s.client(Guest)
	r := c.get("/services?q=wiki")
	if !strings.Contains(r.body, "http://100.65.37.18:8080/wiki") || strings.Contains(r.body, "Photos") || !strings.Contains(r.body, "1 service<") {
		t.Error("the list is not what was asked for")
	}
	if r := c.get("/services?q=nothing like it"); !strings.Contains(r.body, mNothingFound[english]) {
		t.Error("nothing is said of nothing")
	}
	s.node.set(func(f *fake) {
		for len(f.catalogue) <= 2*perPage {
			f.catalogue = append(f.catalogue, f.catalogue[1])
		}
	})
	if r := c.get("/services?page=1"); !strings.Contains(r.body, "Page 2 of 3") || strings.Count(r.body, "<tr") != perPage+1 {
		t.Error("no second page")
	}
	if r := c.get("/services?page=99"); !strings.Contains(r.body, "Page 3 of 3") {
		t.Error("no last page")
	}
}

func TestOfferLinks(t *testing.T) {
	for _, x := range []struct {
		offer Offer
		want  string
	}{
		{Offer{Type: "_http._tcp", Address4: "100.64.0.7", Port: 80, TXT: map[string]string{"path": "/a b?x"}}, "http://100.64.0.7:80/a%20b%3Fx"},
		{Offer{Type: "_https._tcp", Address6: "fd00::7", Port: 443, TXT: map[string]string{"path": "//evil.example/"}}, "https://[fd00::7]:443/"},
		{Offer{Type: "_http._tcp", Address4: "100.64.0.7", Port: 80, TXT: map[string]string{"path": "@evil.example"}}, "http://100.64.0.7:80/"},
		{Offer{Type: "_tahoe-lafs._tcp", Address4: "100.64.0.7", Port: 3456}, ""},
		{Offer{Type: "_chess._tcp", Address4: "100.64.0.7", Port: 5000}, ""},
		{Offer{Type: "_http._tcp", Port: 80}, ""},
	} {
		if got := x.offer.link(); got != x.want {
			t.Errorf("%+v: %q, want %q", x.offer, got, x.want)
		}
	}
}

func TestConditions(t *testing.T) {
	for want, change := range map[message]func(*Facts){
		mInMesh:       func(f *Facts) {},
		mInMeshAlone:  func(f *Facts) { f.Members, f.Alive = 1, 1 },
		mNoNetwork:    func(f *Facts) { f.Member = false; f.Stages[1].State = Waiting },
		mNoInvitation: func(f *Facts) { f.Member = false; f.Stages[2].State = Waiting },
		mAsked:        func(f *Facts) { f.Member, f.Asked = false, true; f.Stages[2].State = Waiting },
		mJoinRefused:  func(f *Facts) { f.Member = false; f.Stages[2].State = Refused },
		mPutOut:       func(f *Facts) { f.Stages[2].State = Refused },
		mStageStuck:   func(f *Facts) { f.Stages[3].State = Failed },
		mOnItsWay:     func(f *Facts) { f.Stages[3].State = Running },
		mStageWaits:   func(f *Facts) { f.Stages[4].State = Waiting },
	} {
		node := citizen(5)
		change(&node.facts)
		v := &view{s: New(Options{Node: node}), facts: node.facts, lang: english}
		_, sentence := v.condition()
		words := strings.SplitN(want[english], "%", 2)[0]
		if got := string(sentence); !strings.HasPrefix(got, words) {
			t.Errorf("%q, want %q", got, words)
		}
	}
}

// TestCopies: a copy is told what to do as long as there is something to do.
func TestCopies(t *testing.T) {
	for name, tt := range map[string]struct {
		node             *fake
		cloned, doubled  bool
		invited, twoOfIt bool
	}{
		"neither":            {newcomer(), false, false, false, false},
		"a copy":             {newcomer(), true, false, true, false},
		"a copy that is in":  {citizen(5), true, false, false, false},
		"the one that stays": {citizen(5), false, true, false, true},
	} {
		tt.node.facts.Cloned, tt.node.facts.Doubled = tt.cloned, tt.doubled
		c := serve(t, tt.node, nil).client(Guest)
		for _, path := range []string{"/", "/stages"} {
			body := c.get(path).body
			if got := strings.Contains(body, string(text(mCloned[english]))); got != tt.invited {
				t.Errorf("%s, %s: told to be invited: %t", name, path, got)
			}
			if got := strings.Contains(body, string(text(mDoubled[english]))); got != tt.twoOfIt {
				t.Errorf("%s, %s: told of the other: %t", name, path, got)
			}
		}
	}
}

// TestLive: a change on the node is in the stream, and nothing else is.
func TestLive(t *testing.T) {
	s := serve(t, newcomer(), nil)
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	defer cancel()
	stream := func(at string, cookie *http.Cookie) *http.Response {
		t.Helper()
		r, _ := http.NewRequestWithContext(ctx, "GET", s.url+"/events?at="+at, nil)
		if cookie != nil {
			r.AddCookie(cookie)
		}
		resp, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { resp.Body.Close() })
		return resp
	}
	if r := stream("/stages", nil); r.StatusCode != 403 {
		t.Errorf("a stranger gets events: %d", r.StatusCode)
	}
	if r := stream("/invite", s.session(Guest)); r.StatusCode != 404 {
		t.Errorf("a guest gets an administrator's events: %d", r.StatusCode)
	}
	if r := stream("/nothing", s.session(Guest)); r.StatusCode != 404 {
		t.Errorf("events of nothing: %d", r.StatusCode)
	}
	cookie := s.session(Guest)
	r := stream("/stages", cookie)
	if got := r.Header.Get("Content-Type"); got != "text/event-stream" {
		t.Errorf("%q", got)
	}
	lines := bufio.NewScanner(r.Body)
	lines.Buffer(nil, 1<<20)
	// event returns the next one.
	event := func() (kind, id, html string) {
		t.Helper()
		var data []string
		for lines.Scan() {
			switch line := lines.Text(); {
			case line == "" && kind != "":
				return kind, data[0], strings.Join(data[1:], "\n")
			case strings.HasPrefix(line, "event: "):
				kind = line[7:]
			case strings.HasPrefix(line, "data:"):
				data = append(data, strings.TrimPrefix(line[5:], " "))
			}
		}
		t.Fatalf("the stream ended: %v", lines.Err())
		return
	}
	seen := map[string]string{}
	for range 2 {
		_, id, html := event()
		seen[id] = html
	}
	if !strings.Contains(seen["stages"], mStateWaiting[english]) || !strings.Contains(seen["status"], mNoInvitation[english]) {
		t.Fatalf("the first events are %q", seen)
	}
	s.node.set(func(f *fake) {
		f.facts.Stages[2].State, f.facts.Stages[2].Error = Failed, "the inviter\ndoes not\r answer: <b>"
	})
	for !strings.Contains(seen["stages"], "does not&#13; answer: &lt;b&gt;") {
		_, id, html := event()
		seen[id] = html
	}
	s.server.sessions.end(cookie.Value)
	for {
		if kind, _, _ := event(); kind == "over" {
			break
		}
	}
}

func TestTooManyStreams(t *testing.T) {
	s := serve(t, citizen(3), nil)
	for range maxStreams {
		s.server.streams <- struct{}{}
	}
	if r := s.client(Guest).get("/events?at=/"); r.status != 503 || r.header.Get("Retry-After") == "" {
		t.Errorf("%d", r.status)
	}
}

func TestMapPlaces(t *testing.T) {
	for _, n := range []int{1, 2, 3, 5, 8, 14, 26, 43, 200} {
		f := citizen(n)
		at, radius := place(f.members, f.links)
		if len(at) != n {
			t.Fatalf("%d of %d members have a place", len(at), n)
		}
		again, _ := place(f.members, f.links)
		for name, p := range at {
			if again[name] != p {
				t.Fatalf("%s moves", name)
			}
			for other, q := range at {
				if d := (p.x-q.x)*(p.x-q.x) + (p.y-q.y)*(p.y-q.y); other != name && d < 160*160 {
					t.Errorf("of %d: %s and %s lie on each other", n, name, other)
				}
			}
			if p.x*p.x+p.y*p.y > (radius+10)*(radius+10) {
				t.Errorf("of %d: %s lies outside", n, name)
			}
		}
		if p := at[f.facts.Name]; p.x != 0 || p.y != 0 {
			t.Errorf("this node is not in the middle: %+v", p)
		}
	}
	// Claims of members about others and about themselves.
	f := citizen(3)
	f.links = append(f.links, Link{A: f.members[1].Name, B: f.members[1].Name}, Link{A: f.members[1].Name, B: "cffffffffffff"}, Link{A: "x", B: "y"})
	if at, _ := place(f.members, f.links); len(at) != 3 {
		t.Errorf("%d places", len(at))
	}
	if at, _ := place(f.members, nil); len(at) != 3 {
		t.Errorf("%d places without links", len(at))
	}
}
