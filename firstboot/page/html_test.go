package page

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

func TestEscaping(t *testing.T) {
	const evil = `"'><script>alert(1)</script>&` + "\x00"
	got := string(el("p", attr("title", evil), class("x"), text(evil)))
	want := `<p title="&#34;&#39;&gt;&lt;script&gt;alert(1)&lt;/script&gt;&amp;` + "\uFFFD" + `" class="x">&#34;&#39;&gt;&lt;script&gt;alert(1)&lt;/script&gt;&amp;` + "\uFFFD</p>"
	if got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	if got := string(el("p", "", when(false, text("x")), group("", text("y")), flag("hidden", false), flag("inert", true))); got != `<p inert>y</p>` {
		t.Errorf("got %s", got)
	}
	if got := string(el("br")); got != "<br>" {
		t.Errorf("got %s", got)
	}
}

func TestSafeURL(t *testing.T) {
	for in, want := range map[string]string{
		"/map": "/map", "?a=b": "?a=b", "#x": "#x", "": "",
		"http://100.64.0.7:80/": "http://100.64.0.7:80/", "rtsp://[fd00::1]:554/": "rtsp://[fd00::1]:554/",
		"javascript:alert(1)": "#", " javascript:alert(1)": "#", "JavaScript:alert(1)": "#", "java\nscript:alert(1)": "#", "data:text/html,x": "#",
		"//evil.example/": "#", `/\evil.example/`: "#", "https:": "#", "vbscript://x/": "#", "file:///etc/passwd": "#", "http://%zz/": "#",
	} {
		if got := safeURL(in); got != want {
			t.Errorf("safeURL(%q) = %q, want %q", in, got, want)
		}
		if got := string(el("a", href(in))); !strings.Contains(got, `href="`+strings.ReplaceAll(want, "&", "&amp;")+`"`) {
			t.Errorf("href(%q) is written as %s", in, got)
		}
	}
}

// FuzzHTML: whatever is said, the only tags are those of the element.
func FuzzHTML(f *testing.F) {
	f.Add("<b>", `"><i>`)
	f.Add("&lt;", "javascript:x")
	f.Fuzz(func(t *testing.T, words, place string) {
		got := string(el("a", href(place), attr("title", words), text(words)))
		if strings.Count(got, "<") != 2 || strings.Count(got, ">") != 2 || strings.Count(got, `"`) != 4 {
			t.Errorf("%q and %q make %s", words, place, got)
		}
	})
}

// hostile puts markup into everything that another node can say.
func hostile() *fake {
	const evil = `"><script>alert(1)</script><img src=x onerror=alert(2)>`
	f := citizen(6)
	for i := range f.members {
		m := &f.members[i]
		if !m.Self {
			m.Host, m.Version, m.At, m.Address4 = evil, evil, []string{evil}, evil
		}
	}
	for i := range f.catalogue {
		o := &f.catalogue[i]
		o.Name, o.Host, o.TXT = evil, evil, map[string]string{evil: evil, "furl": evil, "node_id": evil, "path": "javascript:alert(3)"}
	}
	f.catalogue = append(f.catalogue, Offer{Name: "x", Type: "_" + evil, Port: 1, Address4: "1.2.3.4@evil.example", TXT: map[string]string{"path": "//evil.example"}})
	f.services[1].Problem, f.services[2].Description = evil, evil
	f.invitations[1].Used = []string{evil}
	f.log = []LogLine{{Text: evil, Level: "error"}}
	f.facts.Stages[3].State, f.facts.Stages[3].Error = Failed, evil
	f.facts.Network = evil
	return f
}

func TestHostileFacts(t *testing.T) {
	s := serve(t, hostile(), nil)
	c := s.client(Admin)
	for _, x := range screens() {
		path := strings.TrimSuffix(x.path, "{$}")
		if path == "/member" {
			path += "?name=" + s.node.members[2].Name
		}
		if path == "/logout" {
			continue
		}
		body := c.get(path).body
		if strings.Contains(body, "<script>") || strings.Contains(body, "<img") || strings.Contains(body, "javascript:") || strings.Contains(body, `href="//`) {
			t.Errorf("%s lets markup through:\n%s", path, body)
		}
	}
	for _, q := range []string{`/services?q="><script>alert(1)</script>`, `/services?host="><script>&type="><script>&port=1`, `/logs?of="><script>`, `/member?name="><script>`} {
		if body := c.get(q).body; strings.Contains(body, "<script>") {
			t.Errorf("%s lets markup through", q)
		}
	}
}

// TestOnlyHTMLMakesParts: elsewhere a string becomes a part through text.
func TestOnlyHTMLMakesParts(t *testing.T) {
	files, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	made := regexp.MustCompile(`\b(part|name)\(|\.b\.Write`)
	for _, file := range files {
		if file == "html.go" || strings.HasSuffix(file, "_test.go") {
			continue
		}
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for i, line := range strings.Split(string(data), "\n") {
			if m := made.FindString(line); m != "" && !strings.Contains(line, "func (t *table) part()") && !strings.Contains(line, ".part()") {
				t.Errorf("%s:%d: %s", file, i+1, strings.TrimSpace(line))
			}
		}
	}
}
