package lab

import (
	"bytes"
	"context"
	"encoding/json"
	"encoding/xml"
	"fmt"
	"io"
	"math"
	"net/netip"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"cloudy/builder/recipe"
	"cloudy/builder/sandbox"

	"golang.org/x/sys/unix"
)

func TestMain(m *testing.M) {
	sandbox.Init()
	Init()
	code := m.Run()
	cleanUp()
	os.Exit(code)
}

// square is four sites in a ring, one of its links slow.
func square() *recipe.Lab {
	l := &recipe.Lab{Name: "square", Founder: "a-1"}
	for _, name := range []string{"a", "b", "c", "d"} {
		l.Sites = append(l.Sites, recipe.LabSite{Name: name, Title: "Site " + name + " & more", Nodes: 2})
	}
	for i, ends := range []string{"ab", "bc", "cd", "da"} {
		l.Links = append(l.Links, recipe.LabLink{Name: ends, A: ends[:1], B: ends[1:], Path: recipe.Path{Delay: time.Duration(1+i/3*20) * time.Millisecond}})
	}
	return l
}

func TestRoutes(t *testing.T) {
	l := square()
	table := func(up func(int) bool) map[string]string {
		out := map[string]string{}
		for from, list := range routes(l, up) {
			for _, r := range list {
				out[l.Sites[from].Name+l.Sites[r.to].Name] = l.Links[r.link].Name
			}
		}
		return out
	}
	all := table(func(int) bool { return true })
	// d is next to a, but 21 ms away; the long way takes 3.
	for way, link := range map[string]string{"ab": "ab", "ac": "ab", "ad": "ab", "da": "cd", "ca": "bc", "bd": "bc"} {
		if all[way] != link {
			t.Errorf("from %s goes by %s, not %s", way, all[way], link)
		}
	}
	// The link b-c is cut.
	cut := table(func(i int) bool { return i != 1 })
	if cut["ad"] != "da" || cut["bc"] != "ab" || cut["cd"] != "cd" {
		t.Errorf("after a cut: %v", cut)
	}
	// b is on its own.
	alone := table(func(i int) bool { return i != 0 && i != 1 })
	if _, ok := alone["ab"]; ok || alone["ac"] != "da" {
		t.Errorf("with a site cut off: %v", alone)
	}
}

func TestAddresses(t *testing.T) {
	seen := map[netip.Addr]bool{}
	claim := func(a netip.Addr) {
		t.Helper()
		if seen[a] {
			t.Errorf("%s twice", a)
		}
		seen[a] = true
	}
	for site := range 200 {
		for host := 1; host <= 201; host++ {
			claim(siteAddress(site, host))
		}
	}
	for link := range 1000 {
		claim(linkAddress(link, 0))
		claim(linkAddress(link, 1))
	}
}

// TestPage draws a lab in many states. The page must be well-formed, and
// name what there is.
func TestPage(t *testing.T) {
	s := &State{Name: "square", Description: "1 < 2", Network: "x", Started: time.Now(), Services: 4}
	l := square()
	for i := range l.Sites {
		s.Sites = append(s.Sites, SiteState{Name: l.Sites[i].Name, Title: l.Sites[i].Title, Cut: i == 1})
	}
	for i, k := range l.Links {
		s.Links = append(s.Links, LinkState{Name: k.Name, A: k.A, B: k.B, Delay: 0.02, Loss: 0.01, Rate: 2e7, Up: i > 0, Bytes: 1 << 20})
	}
	for i, n := range nodesOf(l) {
		s.Nodes = append(s.Nodes, NodeState{Name: n.Name, Site: l.Sites[n.Site].Name, On: i > 0, Mesh: fmt.Sprint("m", i), Links: []string{"m0", "m5"}, Ready: i%2 == 0, Stage: "ready"})
	}
	data, err := Page(s, time.Second)
	if err != nil {
		t.Fatal(err)
	}
	d := xml.NewDecoder(bytes.NewReader(data))
	d.Strict, d.AutoClose, d.Entity = false, xml.HTMLAutoClose, xml.HTMLEntity
	var texts strings.Builder
	boxes := 0
	for {
		tok, err := d.Token()
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatalf("%v\n%s", err, data)
		}
		switch x := tok.(type) {
		case xml.CharData:
			texts.Write(x)
		case xml.StartElement:
			if x.Name.Local == "rect" {
				boxes++
			}
		}
	}
	for _, want := range []string{"Site b & more", "1 < 2", "c-2", "da: 20 ms, 1 % lost, 20 Mbit/s", "cut, 20 ms"} {
		if !strings.Contains(texts.String(), want) {
			t.Errorf("%q is not on the page", want)
		}
	}
	if boxes != 4 {
		t.Errorf("%d sites are drawn", boxes)
	}
	for _, site := range draw(s).Sites {
		if site.X < 0 || site.Y < 0 || site.X+site.W > 1180 || site.Y+site.H > 760 {
			t.Errorf("site %s is drawn outside of the picture: %+v", site.Name, site)
		}
	}
}

// TestCarry sends frames through a line and looks at when and whether they
// arrive. Late is the machine's load; early is a mistake.
func TestCarry(t *testing.T) {
	run := func(p recipe.Path, frames, size int) (arrived int, first, last time.Duration, count *counters) {
		in, from := pipe(t)
		to, out := pipe(t)
		count = &counters{}
		ended := make(chan bool)
		go func() {
			carry(in, out, p, count)
			close(ended)
		}()
		begin := time.Now()
		go func() {
			for range frames {
				from.Write(make([]byte, size))
			}
			from.Close()
			<-ended
			out.Close()
		}()
		buf := make([]byte, maxFrame)
		for {
			n, err := to.Read(buf)
			if err != nil || n == 0 {
				return arrived, first, last, count
			}
			if arrived++; arrived == 1 {
				first = time.Since(begin)
			}
			last = time.Since(begin)
		}
	}
	if n, first, _, _ := run(recipe.Path{Delay: 50 * time.Millisecond}, 20, 100); n != 20 || first < 50*time.Millisecond {
		t.Errorf("delay: %d of 20 frames, the first after %s", n, first)
	}
	const frames = 2000
	n, _, _, count := run(recipe.Path{Loss: 0.2}, frames, 60)
	if lost := float64(frames-n) / frames; math.Abs(lost-0.2) > 0.05 || count.lost.Load() != int64(frames-n) {
		t.Errorf("loss: %.3f lost, %d counted", lost, count.lost.Load())
	}
	// 100 frames of 1000 bytes at 8 Mbit/s take 100 ms.
	if n, _, last, _ := run(recipe.Path{Rate: 8e6}, 100, 1000); n != 100 || last < 99*time.Millisecond {
		t.Errorf("rate: %d of 100 frames in %s", n, last)
	}
	// What a line of 80 kbit/s holds for 200 ms is 2000 bytes.
	if n, _, _, count := run(recipe.Path{Rate: 80e3}, 100, 1000); n > 20 || n < 2 || count.lost.Load() == 0 {
		t.Errorf("backlog: %d of 100 frames got through", n)
	}
}

// pipe keeps frames apart, as a TAP device does.
func pipe(t *testing.T) (r, w *os.File) {
	t.Helper()
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	r, w = os.NewFile(uintptr(fds[0]), "r"), os.NewFile(uintptr(fds[1]), "w")
	t.Cleanup(func() { r.Close(); w.Close() })
	return r, w
}

func TestDownOfNone(t *testing.T) {
	dir := t.TempDir()
	if err := Down(context.Background(), dir+"/none"); err == nil {
		t.Error("a lab that is not there was ended")
	}
	// A process number that has been given to somebody else is left alone.
	os.MkdirAll(dir+"/old", 0o755)
	os.WriteFile(dir+"/old/"+pidFile, []byte(fmt.Sprintf("%d 1\n", os.Getpid())), 0o644)
	if Running(dir + "/old") {
		t.Error("this process is taken for a lab")
	}
}

func TestTimes(t *testing.T) {
	s := &State{}
	for i := range 5 {
		s.Nodes = append(s.Nodes, NodeState{Boot: Seconds(i), Join: Seconds(10 * (i + 1))})
	}
	got := s.Times()
	want := []Times{{"boot", 1, 3, 4}, {"join", 10, 30, 50}}
	if !slices.Equal(got[:2], want) {
		t.Errorf("%+v", got)
	}
	if data, err := json.Marshal(s); err != nil || len(data) == 0 {
		t.Error(err)
	}
}
