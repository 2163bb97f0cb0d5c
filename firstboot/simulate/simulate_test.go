package simulate

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"encoding/json"
	"errors"
	"flag"
	"io"
	"log/slog"
	"math"
	"net"
	"net/netip"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"cloudy/firstboot/join"
	"cloudy/firstboot/membership"
)

var update = flag.Bool("update", false, "run everything and write docs/scale.md and docs/scale.svg (minutes)")

const (
	document = "../../docs/scale.md"
	plot     = "../../docs/scale.svg"
)

// alone are the meshes of the document's first table.
var alone = []int{16, 43, 100, 200, 500, 1000}

// TestScaleDocument: the document's small rows are what the code says today.
// With -update all rows are run and written.
func TestScaleDocument(t *testing.T) {
	old, err := os.ReadFile(document)
	if err != nil {
		t.Fatal(err)
	}
	if !*update {
		for _, n := range []int{16, 43, 100} {
			if row := Run(Standard(n)).Row(); !strings.Contains(string(old), row+"\n") {
				t.Errorf("docs/scale.md is not current (make scale); %d members are now\n%s", n, row)
			}
		}
		return
	}
	text := string(old)
	replace := func(name, with string) {
		head, rest, ok := strings.Cut(text, "<!-- begin "+name+" -->\n")
		_, tail, ok2 := strings.Cut(rest, "<!-- end "+name+" -->")
		if !ok || !ok2 {
			t.Fatalf("no place for %s in the document", name)
		}
		text = head + "<!-- begin " + name + " -->\n" + with + "<!-- end " + name + " -->" + tail
	}
	meshes := make([]Result, len(alone))
	var zoned [3]Zones
	var wg sync.WaitGroup
	wg.Go(func() {
		for i, n := range alone {
			meshes[i] = Run(Standard(n))
		}
	})
	wg.Go(func() {
		for i, n := range []int{200, 1000, 26600} {
			zoned[i] = RunZones(n, 150, 3, Standard(150))
		}
	})
	wg.Wait()
	table := Head + "\n"
	idle := Series{Name: "one mesh", Colour: "#c2410c"}
	for _, r := range meshes {
		table += r.Row() + "\n"
		idle.Points = append(idle.Points, [2]float64{float64(r.Members), r.Idle * 8 / 1000})
	}
	replace("meshes", table)
	table = ZoneHead + "\n"
	plain, gateway := Series{Name: "zones: a node", Colour: "#2563eb"}, Series{Name: "zones: a gateway", Colour: "#15803d"}
	for _, z := range zoned {
		table += z.Row() + "\n"
		plain.Points = append(plain.Points, [2]float64{float64(z.Members), z.Idle * 8 / 1000})
		gateway.Points = append(gateway.Points, [2]float64{float64(z.Members), z.GatewayIdle * 8 / 1000})
	}
	replace("zones", table)
	top := 0.0
	for _, s := range []Series{idle, plain, gateway} {
		for _, p := range s.Points {
			top = max(top, p[1])
		}
	}
	svg := Plot("Gossip while nothing happens", "kbit/s a node", math.Ceil(top), []Series{idle, plain, gateway})
	if err := os.WriteFile(plot, svg, 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(document, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

// TestDeterministic: the same seed, the same run; another one, another.
func TestDeterministic(t *testing.T) {
	c := Standard(30)
	a, b := Run(c), Run(c)
	if a != b {
		t.Errorf("two runs of one seed:\n%+v\n%+v", a, b)
	}
	c.Seed++
	if a == Run(c) {
		t.Error("another seed, the same run")
	}
}

// TestSense: the model does what must be so of any gossip.
func TestSense(t *testing.T) {
	small, large := Run(Standard(20)), Run(Standard(80))
	if small.Known < small.Joined || small.ChangeAll < small.Change90 || small.ChangeAll > time.Minute {
		t.Errorf("%+v", small)
	}
	if large.Idle <= small.Idle || large.Death <= small.Death || large.Records <= small.Records || large.Pairs != 80*79/2 {
		t.Errorf("larger is not dearer: %+v, %+v", small, large)
	}
	// memberlist counts a member out after suspicion, which takes 30 s at
	// the least, and some probes.
	if small.Death < 30*time.Second || large.Death > 5*time.Minute {
		t.Errorf("deaths noticed after %s and %s", small.Death, large.Death)
	}
	c := Standard(20)
	c.Loss = 0.2
	if lossy := Run(c); lossy.Known <= 0 || lossy.Idle <= small.Idle {
		t.Errorf("with a fifth of the packets lost: %+v", lossy)
	}
	z := RunZones(60, 20, 2, Standard(20))
	if z.Zones != 3 || z.Largest != 20 || z.Backbone.Members != 6 || z.GatewayIdle <= z.Idle || z.Everywhere <= z.Zone.ChangeAll {
		t.Errorf("%+v", z)
	}
}

// stranger is an endpoint's node that answers nobody.
type stranger struct{}

func (stranger) State() (join.State, bool) { return join.State{}, false }
func (stranger) Heard()                    {}

// TestFetchCost measures requests of the agent, all but their answers.
func TestFetchCost(t *testing.T) {
	one, two := fetchCost(t, 1), fetchCost(t, 2)
	got, more := one+fetchPackets*tcp6Bytes, two-one+againPackets*tcp6Bytes
	t.Logf("%d bytes with headers, %d for one more", got, more)
	if math.Abs(float64(got-fetchBytes)) > 0.1*fetchBytes {
		t.Errorf("a request costs %d bytes, the model says %d", got, fetchBytes)
	}
	if math.Abs(float64(more-againBytes)) > 0.1*againBytes {
		t.Errorf("one more costs %d bytes, the model says %d", more, againBytes)
	}
}

// fetchCost is the length of a connection with so many requests.
func fetchCost(t *testing.T, requests int) int {
	t.Helper()
	key := ed25519.NewKeyFromSeed(make([]byte, ed25519.SeedSize))
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	srv := &join.Server{Private: key, Member: stranger{}, Log: slog.New(slog.NewTextHandler(io.Discard, nil)), Now: time.Now}
	go srv.Serve(t.Context(), ln)
	front, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer front.Close()
	var bytesBoth atomic.Int64
	closed := make(chan bool)
	go func() {
		c, err := front.Accept()
		if err != nil {
			return
		}
		s, err := net.Dial("tcp", ln.Addr().String())
		if err != nil {
			return
		}
		go func() {
			n, _ := io.Copy(s, c)
			bytesBoth.Add(n)
			s.(*net.TCPConn).CloseWrite()
			closed <- true
		}()
		n, _ := io.Copy(c, s)
		bytesBoth.Add(n)
		c.Close()
		closed <- true
	}()
	session, err := join.NewClient(key).Visit(netip.MustParseAddrPort(front.Addr().String()), membership.KeyOf(key).Name())
	if err != nil {
		t.Fatal(err)
	}
	var ref *join.Refusal
	for range requests {
		if err := session.Fetch(context.Background(), "revocations", &struct{}{}); !errors.As(err, &ref) {
			t.Fatal(err)
		}
	}
	session.Close()
	<-closed
	<-closed
	answer, _ := json.Marshal(ref)
	return int(bytesBoth.Load()) - requests*len(answer)
}

func TestPlot(t *testing.T) {
	svg := Plot("T", "u", 4, []Series{{"a", "red", [][2]float64{{10, 1}, {1000, 4}}}})
	for _, want := range []string{"<svg ", `viewBox="0 0`, "M64.0 217.0L520.0 40.0", "1,000", "</svg>"} {
		if !bytes.Contains(svg, []byte(want)) {
			t.Errorf("no %q in\n%s", want, svg)
		}
	}
}
