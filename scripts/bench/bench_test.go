package main

import (
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
)

// TestMirror asks the real mirror once for each file, and shows one state of
// the indexes during a run.
func TestMirror(t *testing.T) {
	asked := map[string]int{}
	release := "one"
	real := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked[r.URL.Path]++
		switch r.URL.Path {
		case "/debian/dists/trixie/InRelease":
			io.WriteString(w, release)
		case "/debian/pool/main/a/a.deb":
			io.WriteString(w, "package")
		default:
			http.NotFound(w, r)
		}
	}))
	defer real.Close()
	dir := t.TempDir()
	get := func(m *mirror, name string) (int, string) {
		t.Helper()
		resp, err := http.Get(m.URL + "/" + name)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		data, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatal(err)
		}
		return resp.StatusCode, string(data)
	}
	for run, want := range []string{"one", "two"} {
		release = want
		m, err := startMirror(dir, real.URL+"/debian/")
		if err != nil {
			t.Fatal(err)
		}
		for range 2 {
			if code, got := get(m, "dists/trixie/InRelease"); code != 200 || got != want {
				t.Errorf("run %d: InRelease is %d %q", run, code, got)
			}
			if code, got := get(m, "pool/main/a/a.deb"); code != 200 || got != "package" {
				t.Errorf("run %d: package is %d %q", run, code, got)
			}
			if code, _ := get(m, "dists/trixie/none"); code != 404 {
				t.Errorf("run %d: what is not there is %d", run, code)
			}
			if code, _ := get(m, "../../etc/passwd"); code != 404 {
				t.Errorf("run %d: a name outside is %d", run, code)
			}
			release = "three" // in the middle of a run
		}
		if err := m.close(); err != nil {
			t.Error(err)
		}
	}
	for name, want := range map[string]int{"/debian/dists/trixie/InRelease": 2, "/debian/pool/main/a/a.deb": 1, "/debian/dists/trixie/none": 2} {
		if asked[name] != want {
			t.Errorf("%s was asked for %d times, want %d", name, asked[name], want)
		}
	}
}

func TestReport(t *testing.T) {
	b := &bench{o: &options{rounds: 3}}
	add := func(row, who string, wall, cpu float64) {
		b.results = append(b.results, result{Row: row, Who: who, Wall: wall, CPU: cpu, Largest: 200})
	}
	add("minbase", "cloudy", 3, 6)
	add("minbase", "cloudy", 1, 4)
	add("minbase", "cloudy", 2, 5)
	add("minbase", "mmdebstrap", 4, 25)
	add("node", "cloudy", 10, 20)
	add("file", "cloudy", 2, 5)
	b.results = append(b.results, result{Row: "node", Who: "debos", Failed: "exit status 1"})
	var s strings.Builder
	if err := b.report(&s); err != nil {
		t.Fatal(err)
	}
	text := s.String()
	for strings.Contains(text, "  ") {
		text = strings.ReplaceAll(text, "  ", " ")
	}
	for _, want := range []string{
		"| minbase | cloudy | 2.00 | 5.00 | 200 |",
		"| minbase tarball / mmdebstrap | 0.50 | 0.35, missed | 0.20 | 0.55, met |",
		"| one overlay file changed / cold | 0.20 | 0.10, missed | 0.25 | 5.00 s of 4.0 s, missed |",
		"200 MiB of 300 MiB, met",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in\n%s", want, text)
		}
	}
	if strings.Contains(text, "debos |") || strings.Contains(text, "/ debos") {
		t.Errorf("a failed run has a line in\n%s", text)
	}
}

// TestMeasure counts a child's time and notices that it fails.
func TestMeasure(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("control groups want root")
	}
	g, err := newCPUGroup("cloudy-bench-test")
	if err != nil {
		t.Skip(err)
	}
	if err := g.remove(); err != nil {
		t.Fatal(err)
	}
	b := &bench{o: &options{}, work: t.TempDir(), logs: t.TempDir()}
	r, err := b.measure(t.Context(), "row", "who", 0, command{root: "-", env: cleanEnv(), argv: []string{"sh", "-c", "i=0; (while [ $i -lt 200000 ]; do i=$((i+1)); done) & wait; exit 3"}})
	if err != nil {
		t.Fatal(err)
	}
	if r.CPU < 0.05 || r.CPU > r.Wall*2 || r.Failed != "exit status 3" {
		t.Errorf("%+v", r)
	}
}

func TestMain(m *testing.M) {
	if done, err := reentered(); done {
		panic(err)
	}
	os.Exit(m.Run())
}

func TestOptions(t *testing.T) {
	for _, args := range [][]string{{"-rows", "minbase,nonsense"}, {"-peers", "nonsense"}, {"-nonsense"}} {
		if _, err := parse(args); err == nil {
			t.Errorf("%v is well", args)
		}
	}
	o, err := parse([]string{"-quick"})
	if err != nil || o.rounds != 1 || len(o.peers) != 1 {
		t.Errorf("%+v, %v", o, err)
	}
	if o, err = parse([]string{"-peers", ""}); err != nil || len(o.peers) != 0 {
		t.Errorf("%+v, %v", o, err)
	}
}
